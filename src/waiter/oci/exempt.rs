//! Who passes a shut gate: what a container is, by its bundle and by its engine's own files, and the rules that name it.

use std::collections::BTreeMap;
use std::path::Path;
use std::str::FromStr;

use serde::Deserialize;

use crate::sys::foreign;

/// The annotation, or Docker's label, that exempts a container when it is `true`.
pub const ANNOTATION: &str = "clockgate.exempt";
/// A `config.json` has some tens of kilobytes.
const SIZE_MAX: u64 = 1 << 24;

/// Without a time daemon the clock will never be right; and a node's network comes up by these. Our own program waits, where it
/// should, by itself.
const COMMANDS: [&str; 12] = [
    "clockgate",
    "chronyd",
    "ntpd",
    "ntp-daemon",
    "openntpd",
    "systemd-timesyncd",
    "ptp4l",
    "phc2sys",
    "ts2phc",
    "timemaster",
    "statime",
    "clockbound",
];
/// The pods of the usual network plugins, the pod's pause container included.
const PODS: [&str; 14] = [
    "antrea-agent-*",
    "aws-node-*",
    "azure-cns-*",
    "azure-vnet-*",
    "calico-node-*",
    "canal-*",
    "cilium-*",
    "kindnet-*",
    "kube-flannel-*",
    "kube-multus-*",
    "kube-proxy-*",
    "kube-router-*",
    "ovnkube-node-*",
    "weave-net-*",
];

/// The rules that hold unless `exempt = none` takes them away.
#[must_use]
pub fn built_in() -> Vec<Rule> {
    let rule = |what: fn() -> What| move |glob: &&str| Rule { what: what(), glob: (*glob).to_owned() };
    COMMANDS.iter().map(rule(|| What::Command)).chain(PODS.iter().map(rule(|| What::Pod))).collect()
}

/// One rule: something of a container, and what it has to look like; `*` stands for anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    what: What,
    glob: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    /// The file name of the first word of its command.
    Command,
    Image,
    Name,
    Pod,
    Namespace,
    /// An annotation, or a label of Docker's.
    Annotation(String),
}

/// What is known of a container.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Facts {
    command: String,
    image: String,
    name: String,
    /// Annotations, and Docker's labels.
    marks: BTreeMap<String, String>,
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted = "wanted is command:, image:, name:, pod: or namespace: and a pattern, or annotation:KEY=PATTERN";
        let (what, glob) = text.split_once(':').ok_or(wanted)?;
        let (what, glob) = match what {
            "command" => (What::Command, glob),
            "image" => (What::Image, glob),
            "name" => (What::Name, glob),
            "pod" => (What::Pod, glob),
            "namespace" => (What::Namespace, glob),
            "annotation" => {
                let (key, glob) = glob.split_once('=').ok_or(wanted)?;
                (What::Annotation(key.trim().to_owned()), glob)
            }
            _ => return Err(wanted.to_owned()),
        };
        // An empty pattern would match every container of which the thing is not known.
        let glob = glob.trim();
        if glob.is_empty() { Err(wanted.to_owned()) } else { Ok(Self { what, glob: glob.to_owned() }) }
    }
}

impl std::fmt::Display for Rule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match &self.what {
            What::Command => write!(f, "command:{}", self.glob),
            What::Image => write!(f, "image:{}", self.glob),
            What::Name => write!(f, "name:{}", self.glob),
            What::Pod => write!(f, "pod:{}", self.glob),
            What::Namespace => write!(f, "namespace:{}", self.glob),
            What::Annotation(key) => write!(f, "annotation:{key}={}", self.glob),
        }
    }
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Bundle {
    process: Process,
    annotations: BTreeMap<String, String>,
    mounts: Vec<Mount>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Process {
    args: Vec<String>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Mount {
    destination: String,
    source: String,
}

/// What dockerd keeps of a container, `config.v2.json`: a container's labels get no further than that.
#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct Docker {
    name: String,
    config: DockerConfig,
}

#[derive(Default, Deserialize)]
#[serde(default, rename_all = "PascalCase")]
struct DockerConfig {
    image: String,
    labels: Option<BTreeMap<String, String>>,
}

impl Facts {
    /// What the bundle says; what cannot be read is not known.
    #[must_use]
    pub fn of(bundle: &Path) -> Self {
        let Some(bundle) = read::<Bundle>(&bundle.join("config.json")) else { return Self::default() };
        let command = bundle.process.args.first().map(Path::new).and_then(Path::file_name);
        let mut facts = Self {
            command: command.map(|name| name.to_string_lossy().into_owned()).unwrap_or_default(),
            marks: bundle.annotations,
            ..Self::default()
        };
        facts.image = facts.first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]);
        facts.name = facts.first(&["io.kubernetes.cri.container-name", "io.kubernetes.container.name"]);
        facts.ask_docker(&bundle.mounts);
        facts
    }

    /// Adds annotations that came another way.
    pub fn add(&mut self, annotations: BTreeMap<String, String>) {
        self.marks.extend(annotations);
    }

    /// The rule that lets the container pass, in words.
    #[must_use]
    pub fn exempt_by(&self, rules: &[Rule]) -> Option<String> {
        if self.marks.get(ANNOTATION).is_some_and(|value| value == "true") {
            return Some(format!("{ANNOTATION}=true"));
        }
        rules.iter().find(|rule| self.is_meant_by(rule)).map(Rule::to_string)
    }

    /// What to call the container beside its id.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        [&self.name, &self.image, &self.command].into_iter().find(|text| !text.is_empty()).map(String::as_str)
    }

    /// Who manages the container, where conmon called.
    #[must_use]
    pub fn is_crio(&self) -> bool {
        self.marks.get("io.container.manager").is_some_and(|manager| manager == "cri-o")
    }

    fn is_meant_by(&self, rule: &Rule) -> bool {
        let text = match &rule.what {
            What::Command => self.command.clone(),
            What::Image => self.image.clone(),
            What::Name => self.name.clone(),
            What::Pod => self.first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]),
            What::Namespace => self.first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]),
            What::Annotation(key) => self.first(&[key]),
        };
        !text.is_empty() && matches(&rule.glob, &text)
    }

    fn first(&self, keys: &[&str]) -> String {
        keys.iter().find_map(|key| self.marks.get(*key)).cloned().unwrap_or_default()
    }

    /// dockerd mounts three files of its own folder for the container into it, beside which it keeps what it knows.
    fn ask_docker(&mut self, mounts: &[Mount]) {
        let ours = |mount: &&Mount| mount.destination == "/etc/hostname" && mount.source.contains("/containers/");
        let folder = mounts.iter().find(ours).and_then(|mount| Path::new(&mount.source).parent());
        let Some(docker) = folder.and_then(|folder| read::<Docker>(&folder.join("config.v2.json"))) else { return };
        docker.name.trim_start_matches('/').clone_into(&mut self.name);
        self.image = docker.config.image;
        for (key, value) in docker.config.labels.unwrap_or_default() {
            self.marks.entry(key).or_insert(value);
        }
    }
}

fn read<T: serde::de::DeserializeOwned>(file: &Path) -> Option<T> {
    serde_json::from_slice(&foreign::read(file, SIZE_MAX).ok()?).ok()
}

/// Whether `text` looks like `glob`, in which `*` stands for anything.
fn matches(glob: &str, text: &str) -> bool {
    let mut parts = glob.split('*');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else { return false };
    let mut last = None;
    for part in parts {
        if let Some(middle) = last.replace(part) {
            let Some(at) = rest.find(middle) else { return false };
            rest = rest.get(at + middle.len()..).unwrap_or_default();
        }
    }
    last.map_or(rest.is_empty(), |last| rest.ends_with(last))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn facts(config: &serde_json::Value) -> Facts {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config.to_string()).unwrap();
        Facts::of(folder.path())
    }

    fn is_exempt(config: &serde_json::Value) -> bool {
        facts(config).exempt_by(&built_in()).is_some()
    }

    #[test]
    fn a_pattern_matches_from_end_to_end() {
        for (glob, text) in
            [("a*", "abc"), ("*c", "abc"), ("a*c", "abc"), ("*", "x"), ("a*b*c", "a-b-b-c"), ("ab", "ab")]
        {
            assert!(matches(glob, text), "{glob} {text}");
        }
        for (glob, text) in [("a", "ab"), ("b*", "ab"), ("*a", "ab"), ("a*b*c", "acb"), ("ab*ba", "aba")] {
            assert!(!matches(glob, text), "{glob} {text}");
        }
    }

    #[test]
    fn time_daemons_network_plugins_and_ourselves_pass() {
        for command in ["/usr/sbin/chronyd", "ntp-daemon", "/clockgate", "ptp4l"] {
            assert!(is_exempt(&serde_json::json!({ "process": { "args": [command, "-d"] } })), "{command}");
        }
        let pod = |name: &str| serde_json::json!({ "annotations": { "io.kubernetes.cri.sandbox-name": name } });
        assert!(is_exempt(&pod("calico-node-x7k2p")) && is_exempt(&pod("kube-proxy-9")));
        assert!(!is_exempt(&pod("calico-kube-controllers-x")));
        assert!(!is_exempt(&serde_json::json!({ "process": { "args": ["/bin/sh", "-c", "chronyd"] } })));
    }

    #[test]
    fn the_annotation_counts_when_it_is_true() {
        let with = |value: &str| serde_json::json!({ "annotations": { ANNOTATION: value } });
        assert_eq!(facts(&with("true")).exempt_by(&[]).as_deref(), Some("clockgate.exempt=true"));
        assert!(facts(&with("false")).exempt_by(&[]).is_none() && facts(&with("")).exempt_by(&[]).is_none());
    }

    #[test]
    fn dockers_label_is_found_beside_the_mounted_hostname() {
        let data = tempfile::tempdir().unwrap();
        let folder = data.path().join("containers/ab");
        std::fs::create_dir_all(&folder).unwrap();
        let docker = serde_json::json!({ "Name": "/ntp", "Config": { "Image": "x/chrony:4", "Labels": { ANNOTATION: "true" } } });
        std::fs::write(folder.join("config.v2.json"), docker.to_string()).unwrap();
        let source = folder.join("hostname");
        let facts = facts(&serde_json::json!({ "mounts": [{ "destination": "/etc/hostname", "source": source }] }));
        assert!(facts.exempt_by(&[]).is_some());
        assert_eq!(facts.title(), Some("ntp"));
        for rule in ["image:x/chrony*", "name:ntp", "annotation:clockgate.exempt=t*"] {
            assert!(facts.is_meant_by(&rule.parse().unwrap()), "{rule}");
        }
    }

    #[test]
    fn what_is_not_known_matches_no_rule() {
        assert_eq!(Facts::of(Path::new("/nowhere")), Facts::default());
        assert!(!is_exempt(&serde_json::json!({ "process": 7 })));
        assert!(Facts::default().exempt_by(&["image:*".parse().unwrap()]).is_none());
        for wrong in ["", "image:", "image", "annotation:key", "colour:blue", "name: "] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
        assert_eq!("annotation:a.b=c*".parse::<Rule>().unwrap().to_string(), "annotation:a.b=c*");
    }
}

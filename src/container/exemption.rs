//! Which containers neither wait at a shut gate nor are frozen: one list of what a host needs to have a right clock, and of what a
//! node needs to run at all; and the rules and the label by which people add to it.

use std::fmt;
use std::str::FromStr;

use super::{Metadata, cgroup, node_services};
use crate::daemon::program as daemons;
use crate::sys::glob::GlobPattern;

/// The label, or annotation, that exempts a container when it is `true`.
pub const LABEL: &str = "clockgate.exempt";

/// What a program of the list is needed for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Duty {
    /// The clock: without it no clock will ever be right.
    Clock,
    /// The network of a Kubernetes node, without which no server can be asked. Elsewhere a program of that name is a user's own.
    Network,
    /// The control plane of a Kubernetes cluster, by which nodes stay in it. Elsewhere, again, it is a user's own.
    Cluster,
}

/// Ourselves: in a container clockgate waits, where it should, by itself.
const OURS: &str = "clockgate";

/// Every program of the list: the time daemons, and those of a node's pods.
fn programs() -> impl Iterator<Item = (&'static str, Duty)> {
    let clock =
        daemons::PROGRAMS.into_iter().filter(daemons::Program::is_needed).map(|program| (program.name, Duty::Clock));
    let network = node_services::network_programs().map(|name| (name, Duty::Network));
    clock.chain(network).chain(node_services::cluster_programs().map(|name| (name, Duty::Cluster)))
}

/// A program of the list, by the name that the kernel keeps of it.
#[must_use]
pub fn program(comm: &str) -> Option<(&'static str, Duty)> {
    programs().find(|(name, _)| daemons::comm(name) == comm)
}

/// The rules that hold unless `exempt = none` takes them away.
#[must_use]
pub fn built_in() -> Vec<Rule> {
    let programs = programs().map(|(name, duty)| match duty {
        Duty::Clock => Rule::Command(GlobPattern::new(name)),
        Duty::Network | Duty::Cluster => Rule::CommandInPod(GlobPattern::new(name)),
    });
    let pods = node_services::pods().chain(daemons::pods()).map(|name| Rule::Pod(GlobPattern::new(name)));
    [Rule::Command(GlobPattern::new(OURS)), Rule::StaticPod].into_iter().chain(programs).chain(pods).collect()
}

/// One rule: something of a container, and the pattern that it has to match.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rule {
    /// The file name of the program that it starts.
    Command(GlobPattern),
    /// The same, where it belongs to a pod.
    CommandInPod(GlobPattern),
    /// Its image.
    Image(GlobPattern),
    /// Its name.
    Name(GlobPattern),
    /// The name of its pod; its namespace, a slash and its name where the pattern has a slash.
    Pod(GlobPattern),
    /// The namespace of its pod.
    Namespace(GlobPattern),
    /// An annotation or a label.
    Annotation(String, GlobPattern),
    /// A pod that a kubelet starts from a file, as it does the control plane, without which no time daemon is scheduled.
    StaticPod,
}

/// Why a container is exempt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exemption<'a> {
    /// The label, [`LABEL`].
    Label,
    /// A rule.
    Rule(&'a Rule),
}

/// Why the container is exempt; none where it is not.
#[must_use]
pub fn find<'a>(metadata: &Metadata, rules: &'a [Rule]) -> Option<Exemption<'a>> {
    if metadata.labels.get(LABEL).is_some_and(|value| value == "true") {
        return Some(Exemption::Label);
    }
    rules.iter().find(|rule| rule.means(metadata)).map(Exemption::Rule)
}

impl Rule {
    /// Whether it means this container; what is not known matches no pattern.
    #[must_use]
    pub fn means(&self, metadata: &Metadata) -> bool {
        let is = |pattern: &GlobPattern, text: &Option<String>| text.as_ref().is_some_and(|text| pattern.matches(text));
        match self {
            Self::Command(pattern) => is(pattern, &metadata.command),
            Self::CommandInPod(pattern) => metadata.pod.is_some() && is(pattern, &metadata.command),
            Self::Image(pattern) => is(pattern, &metadata.image),
            Self::Name(pattern) => is(pattern, &metadata.name),
            Self::Pod(pattern) if pattern.has('/') => metadata.qualified_pod().is_some_and(|pod| pattern.matches(&pod)),
            Self::Pod(pattern) => is(pattern, &metadata.pod),
            Self::Namespace(pattern) => is(pattern, &metadata.namespace),
            Self::Annotation(key, pattern) => metadata.labels.get(key).is_some_and(|text| pattern.matches(text)),
            Self::StaticPod => {
                metadata.cgroup.as_deref().is_some_and(cgroup::is_static_pod)
                    || metadata.labels.get("kubernetes.io/config.source").is_some_and(|source| source != "api")
                    // What the API server shows of such a pod; admission lets nodes alone write it.
                    || metadata.labels.contains_key("kubernetes.io/config.mirror")
            }
        }
    }
}

impl FromStr for Rule {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wanted =
            "expected command:, image:, name:, pod: or namespace: and a pattern, annotation:KEY=PATTERN, or static-pod";
        if text == STATIC_POD {
            return Ok(Self::StaticPod);
        }
        let (what, text) = text.split_once(':').ok_or(wanted)?;
        // An empty pattern would match nothing, or the empty value of a label.
        let pattern = |text: &str| match text.trim() {
            "" => Err(wanted.to_owned()),
            text => Ok(GlobPattern::new(text)),
        };
        match what {
            "command" => pattern(text).map(Self::Command),
            "image" => pattern(text).map(Self::Image),
            "name" => pattern(text).map(Self::Name),
            "pod" => pattern(text).map(Self::Pod),
            "namespace" => pattern(text).map(Self::Namespace),
            "annotation" => {
                let (key, text) = text.split_once('=').ok_or(wanted)?;
                Ok(Self::Annotation(key.trim().to_owned(), pattern(text)?))
            }
            _ => Err(wanted.to_owned()),
        }
    }
}

const STATIC_POD: &str = "static-pod";

impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Command(pattern) => write!(f, "command:{pattern}"),
            Self::CommandInPod(pattern) => write!(f, "command:{pattern} in a pod"),
            Self::Image(pattern) => write!(f, "image:{pattern}"),
            Self::Name(pattern) => write!(f, "name:{pattern}"),
            Self::Pod(pattern) => write!(f, "pod:{pattern}"),
            Self::Namespace(pattern) => write!(f, "namespace:{pattern}"),
            Self::Annotation(key, pattern) => write!(f, "annotation:{key}={pattern}"),
            Self::StaticPod => f.write_str(STATIC_POD),
        }
    }
}

impl fmt::Display for Exemption<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Label => write!(f, "{LABEL}=true"),
            Self::Rule(rule) => rule.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::metadata::command;
    use super::*;

    fn starts(words: &[&str]) -> Metadata {
        Metadata { command: command(words), ..Metadata::default() }
    }

    fn in_pod(name: &str) -> Metadata {
        Metadata { pod: Some(name.to_owned()), ..Metadata::default() }
    }

    fn is_exempt(metadata: &Metadata) -> bool {
        find(metadata, &built_in()).is_some()
    }

    #[test]
    fn time_daemons_network_plugins_and_ourselves_are_exempt() {
        for words in [
            &["/usr/sbin/chronyd", "-d"][..],
            &["ntp-daemon"],
            &["/clockgate"],
            &["ptp4l"],
            &["statime", "-c", "x"],
            &["/sbin/docker-init", "--", "/usr/sbin/ptpd2"],
            &["tini", "-g", "sfptpd"],
        ] {
            assert!(is_exempt(&starts(words)), "{words:?}");
        }
        for pod in [
            "ebs-csi-node-q2m4k",
            "pdcsi-node-x",
            "nvidia-device-plugin-daemonset-8k",
            "calico-node-x7k2p",
            "kube-proxy-9",
            "aws-node-b",
            "multus-2x",
            "ovnkube-node-c",
        ] {
            assert!(is_exempt(&in_pod(pod)), "{pod}");
        }
        assert!(!is_exempt(&in_pod("calico-kube-controllers-x")));
        assert!(!is_exempt(&starts(&["/bin/sh", "-c", "chronyd"])) && !is_exempt(&starts(&["tini"])));
    }

    #[test]
    fn a_program_of_the_network_counts_in_a_pod_alone() {
        assert!(!is_exempt(&starts(&["flanneld"])) && !is_exempt(&starts(&["etcd"])));
        for program in ["flanneld", "etcd", "/usr/local/bin/kube-apiserver"] {
            assert!(is_exempt(&Metadata { pod: Some("x".to_owned()), ..starts(&[program]) }), "{program}");
        }
    }

    #[test]
    fn a_pattern_with_a_slash_has_the_namespace_too() {
        let pod = |namespace: &str, name: &str| Metadata { namespace: Some(namespace.to_owned()), ..in_pod(name) };
        assert!(is_exempt(&pod("longhorn-system", "instance-manager-9f1c")));
        assert!(!is_exempt(&pod("shop", "instance-manager-9f1c")) && !is_exempt(&in_pod("instance-manager-9f1c")));
        let rule: Rule = "pod:monitoring/*-agent-*".parse().unwrap();
        assert!(rule.means(&pod("monitoring", "node-agent-1")) && !rule.means(&pod("shop", "node-agent-1")));
        // One without takes the name alone.
        assert!(!"pod:shop*".parse::<Rule>().unwrap().means(&pod("shop", "web-1")));
    }

    #[test]
    fn static_pods_are_known_by_what_says_it() {
        let labelled = |key: &str, value: &str| Metadata {
            labels: [(key.to_owned(), value.to_owned())].into_iter().collect(),
            ..Metadata::default()
        };
        assert!(is_exempt(&labelled("kubernetes.io/config.source", "file")));
        assert!(is_exempt(&labelled("kubernetes.io/config.source", "http")));
        assert!(is_exempt(&labelled("kubernetes.io/config.mirror", "0c99364380848323a126fbf9d38a4e2e")));
        assert!(!is_exempt(&labelled("kubernetes.io/config.source", "api")));
        assert!(!is_exempt(&labelled("kubernetes.io/config.seen", "2026-11-29T17:00:00Z")));
    }

    #[test]
    fn the_kernel_keeps_fifteen_bytes_of_a_program_s_name() {
        assert_eq!(program("systemd-timesyn"), Some(("systemd-timesyncd", Duty::Clock)));
        assert_eq!(program("spiderpool-agen"), Some(("spiderpool-agent", Duty::Network)));
        assert_eq!(program("systemd-timesyncd"), None);
        assert_eq!(program("nginx"), None);
    }

    #[test]
    fn the_label_counts_when_it_is_true() {
        let with = |value: &str| Metadata {
            labels: [(LABEL.to_owned(), value.to_owned())].into_iter().collect(),
            ..Metadata::default()
        };
        assert_eq!(find(&with("true"), &[]).map(|e| e.to_string()).as_deref(), Some("clockgate.exempt=true"));
        assert!(find(&with("false"), &[]).is_none() && find(&with(""), &[]).is_none());
    }

    #[test]
    fn a_rule_prints_as_it_was_written_and_nonsense_is_refused() {
        for text in ["annotation:a.b=c*", "image:x/?hrony*", "static-pod", "namespace:kube-system"] {
            assert_eq!(text.parse::<Rule>().unwrap().to_string(), text);
        }
        for wrong in ["", "image:", "image", "annotation:key", "annotation:key=", "colour:blue", "name: "] {
            assert!(wrong.parse::<Rule>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn what_is_not_known_matches_no_rule() {
        let rules = ["image:*", "name:*", "pod:*", "namespace:*", "command:*"].map(|rule| rule.parse().unwrap());
        assert_eq!(find(&Metadata::default(), &rules), None);
    }
}

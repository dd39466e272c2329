//! What an engine wrote down about a container: in its bundle, and in files of its own beside it. Read from files, since an engine
//! that is asked may be waiting for its own container; what cannot be read is not known.

use std::collections::{BTreeMap, HashMap};
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};

use serde_json::Value;

use crate::sys::foreign;

/// More than any engine writes about one container, and than the list of a thousand takes.
const SIZE_MAX: u64 = 4 << 20;
/// The same of a file that is another user's: who wrote it may mean to fill our memory, and a value of two bytes takes 32 in it.
const FOREIGN_SIZE_MAX: u64 = 1 << 20;
/// No key or value that is looked at is longer.
const LABEL_MAX: usize = 1024;
/// The most bytes of labels that are kept of a container.
const LABELS_MAX: usize = 64 * 1024;
/// CRI-O keeps the labels and the annotations of a pod as text within two of them.
const OF_CRI_O: [&str; 2] = ["io.kubernetes.cri-o.Annotations", "io.kubernetes.cri-o.Labels"];

/// What starts a program in a container and stays its first process.
const INITS: [&str; 6] = ["catatonit", "docker-init", "dumb-init", "podman-init", "tini", "tini-static"];

/// What is known of a container beside its id and its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Its name.
    pub name: Option<String>,
    /// Its image.
    pub image: Option<String>,
    /// The file name of the program that it starts.
    pub command: Option<String>,
    /// The name of its pod.
    pub pod: Option<String>,
    /// The namespace of its pod.
    pub namespace: Option<String>,
    /// Its annotations, and its labels where no annotation has the same key.
    pub labels: BTreeMap<String, String>,
    /// Its cgroup, as its bundle or the tree has it.
    pub cgroup: Option<PathBuf>,
}

impl Metadata {
    /// What the bundle says that a runtime was given, and what its engine keeps beside it.
    #[must_use]
    pub fn of_bundle(bundle: &Path) -> Self {
        let Some(config) = json(&bundle.join("config.json")) else { return Self::default() };
        let mut metadata = Self::default();
        metadata.add_config(&config);
        let id = bundle.file_name().unwrap_or_default();
        if let Some(folder) = docker_folder(&config) {
            // Where containers share a host name, as those of a pod, it is the first one's folder that is mounted.
            let own = folder.with_file_name(id);
            metadata.add_docker(if own.is_dir() { &own } else { &folder });
        }
        if id == "userdata"
            && let Some((folder, list)) = bundle.parent().and_then(|folder| Some((folder, folder.parent()?)))
            && let Some(stored) = stored(list).remove(&*folder.file_name().unwrap_or_default().to_string_lossy())
        {
            metadata.add_stored(stored);
        }
        metadata.complete()
    }

    /// Adds annotations that came another way.
    #[must_use]
    pub fn with(mut self, annotations: BTreeMap<String, String>) -> Self {
        self.labels.extend(annotations);
        self.complete()
    }

    /// What to call the container beside its id.
    #[must_use]
    pub fn title(&self) -> Option<&str> {
        [&self.name, &self.image, &self.command].into_iter().find_map(Option::as_deref)
    }

    /// The namespace of its pod, a slash, and the pod's name.
    #[must_use]
    pub fn qualified_pod(&self) -> Option<String> {
        Some([self.namespace.as_deref()?, self.pod.as_deref()?].join("/"))
    }

    /// Adds what a bundle's configuration says.
    pub(super) fn add_config(&mut self, config: &Value) {
        let words = config["process"]["args"].as_array().into_iter().flatten();
        self.command = command(&words.filter_map(Value::as_str).collect::<Vec<_>>());
        self.cgroup = config["linux"]["cgroupsPath"].as_str().map(PathBuf::from);
        self.add_labels(&config["annotations"]);
        for within in OF_CRI_O {
            let text = config["annotations"][within].as_str().and_then(|text| serde_json::from_str(text).ok());
            self.add_labels(&text.unwrap_or_default());
        }
    }

    /// Adds what dockerd keeps in its folder for a container: labels get no further than that.
    pub(super) fn add_docker(&mut self, folder: &Path) {
        let Some(config) = json(&folder.join("config.v2.json")) else { return };
        let host = json(&folder.join("hostconfig.json")).unwrap_or_default();
        let words = config["Args"].as_array().into_iter().flatten().filter_map(Value::as_str);
        let words: Vec<&str> = config["Path"].as_str().into_iter().chain(words).collect();
        self.command = self.command.take().or_else(|| command(&words));
        self.name = config["Name"].as_str().map(|name| name.trim_start_matches('/').to_owned());
        self.image = config["Config"]["Image"].as_str().map(str::to_owned);
        self.add_labels(&host["Annotations"]);
        self.add_labels(&config["Config"]["Labels"]);
    }

    /// Adds what podman's storage knows.
    pub(super) fn add_stored(&mut self, stored: Stored) {
        let Stored { name, image } = stored;
        self.name = name;
        self.image = image;
    }

    /// What is too long to be looked at is left out, and what is too much altogether.
    fn add_labels(&mut self, map: &Value) {
        let mut kept: usize = self.labels.iter().map(|(key, value)| key.len() + value.len()).sum();
        for (key, value) in map.as_object().into_iter().flatten() {
            let Some(value) = value.as_str().filter(|value| key.len().max(value.len()) <= LABEL_MAX) else { continue };
            kept += key.len() + value.len();
            if kept > LABELS_MAX {
                return;
            }
            self.labels.entry(key.clone()).or_insert_with(|| value.to_owned());
        }
    }

    /// Takes what annotations and labels say where nothing else did: those of containerd for a kubelet, of CRI-O, of a kubelet
    /// above dockerd, of nerdctl.
    pub(super) fn complete(mut self) -> Self {
        let first = |keys: &[&str]| keys.iter().find_map(|key| self.labels.get(*key)).filter(|text| !text.is_empty());
        let name =
            first(&["nerdctl/name", "io.kubernetes.cri.container-name", "io.kubernetes.container.name"]).cloned();
        let image = first(&["io.kubernetes.cri.image-name", "io.kubernetes.cri-o.ImageName"]).cloned();
        let pod = first(&["io.kubernetes.cri.sandbox-name", "io.kubernetes.pod.name"]).cloned();
        let namespace = first(&["io.kubernetes.cri.sandbox-namespace", "io.kubernetes.pod.namespace"]).cloned();
        self.name = self.name.or(name);
        self.image = self.image.or(image);
        self.pod = self.pod.or(pod);
        self.namespace = self.namespace.or(namespace);
        self
    }
}

/// What the storage of podman keeps of a container in the list of all.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Stored {
    name: Option<String>,
    image: Option<String>,
}

/// The file name of the program that a container's words start, be it behind an init.
#[must_use]
pub fn command(words: &[&str]) -> Option<String> {
    let name = |word: &&str| word.rsplit('/').next().unwrap_or_default().to_owned();
    let first = name(words.first()?);
    if !INITS.contains(&first.as_str()) {
        return Some(first);
    }
    let after = words.iter().position(|word| *word == "--").unwrap_or_default();
    words.iter().skip(after + 1).find(|word| !word.starts_with('-')).map(name)
}

/// The lists in a folder of podman's storage, by the containers' ids.
pub(super) fn stored(folder: &Path) -> HashMap<String, Stored> {
    let lists =
        ["containers.json", "volatile-containers.json"].map(|list| json(&folder.join(list)).unwrap_or_default());
    let entry = |entry: &Value| {
        let within = entry["metadata"].as_str().and_then(|text| serde_json::from_str::<Value>(text).ok());
        let image = within.unwrap_or_default()["image-name"].as_str().map(str::to_owned);
        let name = entry["names"][0].as_str().map(str::to_owned);
        Some((entry["id"].as_str()?.to_owned(), Stored { name, image }))
    };
    lists.iter().filter_map(Value::as_array).flatten().filter_map(entry).collect()
}

/// dockerd mounts three files of its own folder for a container into it.
fn docker_folder(config: &Value) -> Option<PathBuf> {
    let mounts = config["mounts"].as_array()?;
    let source = mounts.iter().find(|mount| mount["destination"] == "/etc/hostname")?["source"].as_str()?;
    let folder = Path::new(source).parent()?;
    (folder.parent()?.file_name()? == "containers").then(|| folder.to_owned())
}

/// The value of a JSON file; none of one that is longer than its owner's may be.
pub(super) fn json(file: &Path) -> Option<Value> {
    let most = |file: &fs::Metadata| if file.uid() == 0 { SIZE_MAX } else { FOREIGN_SIZE_MAX };
    serde_json::from_slice(&foreign::read_by(file, most).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn put(path: &Path, value: &Value) {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, value.to_string()).unwrap();
    }

    fn of(config: &Value) -> Metadata {
        let bundle = tempfile::tempdir().unwrap();
        put(&bundle.path().join("config.json"), config);
        Metadata::of_bundle(bundle.path())
    }

    #[test]
    fn docker_s_labels_are_found_beside_the_mounted_hostname() {
        let data = tempfile::tempdir().unwrap();
        let docker = |id: &str, name: &str| {
            let labels = json!({ "io.kubernetes.pod.name": "dns-1" });
            let config = json!({ "Name": name, "Config": { "Image": "x/chrony:4", "Labels": labels } });
            put(&data.path().join("containers").join(id).join("config.v2.json"), &config);
        };
        docker("pause", "/pause");
        docker("ab", "/ntp");
        let source = |id: &str| json!(data.path().join("containers").join(id).join("hostname"));
        let bundle = |id: &str, of: &str| {
            let bundle = data.path().join("moby").join(id);
            let mounts = json!([{ "destination": "/etc/hostname", "source": source(of) }]);
            put(&bundle.join("config.json"), &json!({ "mounts": mounts, "annotations": null }));
            Metadata::of_bundle(&bundle)
        };
        let found = bundle("ab", "ab");
        assert_eq!((found.title(), found.image.as_deref()), (Some("ntp"), Some("x/chrony:4")));
        assert_eq!(found.pod.as_deref(), Some("dns-1"));
        assert_eq!(bundle("ab", "pause").title(), Some("ntp"), "the host name of a pod is its pause container's");
        assert_eq!(bundle("cd", "pause").title(), Some("pause"));
    }

    #[test]
    fn podman_s_name_and_image_are_found_in_the_storage_around_the_bundle() {
        let graph = tempfile::tempdir().unwrap();
        let folder = graph.path().join("overlay-containers");
        let metadata = json!({ "image-name": "docker.io/x/chrony:4" }).to_string();
        put(&folder.join("volatile-containers.json"), &json!([{ "id": "ab", "names": ["ntp"], "metadata": metadata }]));
        put(&folder.join("ab/userdata/config.json"), &json!({ "process": { "args": ["/bin/sh"] } }));
        let found = Metadata::of_bundle(&folder.join("ab/userdata"));
        assert_eq!((found.name.as_deref(), found.image.as_deref()), (Some("ntp"), Some("docker.io/x/chrony:4")));
        assert_eq!(found.command.as_deref(), Some("sh"));
    }

    #[test]
    fn pods_are_known_by_the_annotations_of_containerd_and_of_cri_o() {
        let containerd = of(&json!({ "annotations": {
            "io.kubernetes.cri.container-name": "agent",
            "io.kubernetes.cri.sandbox-name": "calico-node-1",
            "io.kubernetes.cri.sandbox-namespace": "kube-system",
        }}));
        assert_eq!((containerd.name.as_deref(), containerd.pod.as_deref()), (Some("agent"), Some("calico-node-1")));
        assert_eq!(containerd.namespace.as_deref(), Some("kube-system"));
        let labels = json!({ "io.kubernetes.pod.name": "multus-2x", "tier": "vpn" }).to_string();
        let crio = of(&json!({ "annotations": { "io.kubernetes.cri-o.Labels": labels, "tier": "own" } }));
        assert_eq!(crio.pod.as_deref(), Some("multus-2x"));
        assert_eq!(crio.labels.get("tier").map(String::as_str), Some("own"), "an annotation counts before a label");
    }

    #[test]
    fn what_others_write_takes_a_limited_memory() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.json");
        let put = |bytes: u64, uid: u32| {
            fs::write(&file, format!("[{}0]", "0,".repeat(bytes as usize / 2 - 1))).unwrap();
            std::os::unix::fs::chown(&file, Some(uid), None).is_ok()
        };
        assert!(put(FOREIGN_SIZE_MAX / 2, 0) || !nix::unistd::geteuid().is_root());
        assert!(json(&file).is_some());
        put(2 * SIZE_MAX, nix::unistd::geteuid().as_raw());
        assert!(json(&file).is_none(), "root's own has a limit too");
        if put(2 * FOREIGN_SIZE_MAX, 1000) {
            assert!(json(&file).is_none(), "another user's has a smaller one");
        }
        let long = "x".repeat(LABEL_MAX + 1);
        let mut labels: serde_json::Map<String, Value> =
            (0..10_000).map(|n| (format!("b{n}"), json!("0123456789"))).collect();
        labels.insert("a".to_owned(), json!(long));
        let labels = of(&json!({ "annotations": labels })).labels;
        assert!(labels.iter().map(|(key, value)| key.len() + value.len()).sum::<usize>() <= LABELS_MAX);
        assert!(!labels.is_empty() && !labels.contains_key("a"));
    }

    #[test]
    fn what_cannot_be_read_is_not_known_and_no_failure() {
        assert_eq!(Metadata::of_bundle(Path::new("/nowhere")), Metadata::default());
        for odd in [json!(7), json!({ "process": 7, "annotations": { "a": 7 }, "mounts": {} })] {
            assert_eq!(of(&odd), Metadata::default());
        }
    }
}

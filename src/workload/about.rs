//! What an engine wrote down about a container: its name, and its labels or annotations. Read from files, since an engine that
//! is asked may be waiting for its own container. Where the file is elsewhere, the container is known by its id and its cgroup.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::container::{Container, Engine};
use super::tree;
use crate::sys::foreign;

/// More than any engine writes about one container.
const SIZE_MAX: u64 = 8 << 20;
/// Podman's and CRI-O's storage drivers, by the folder in which each keeps its containers.
const STORAGE: [&str; 3] = ["overlay-containers", "vfs-containers", "btrfs-containers"];

/// What is known of a container beside its cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct About {
    /// Its name; none where the engine did not say.
    pub name: Option<String>,
    /// Its labels and annotations.
    pub labels: Vec<(String, String)>,
}

/// Looks containers up; what several of them share is read once.
#[derive(Debug)]
pub struct Lookup<'a> {
    root: &'a Path,
    docker: PathBuf,
    /// Names by id.
    podman: Option<HashMap<String, String>>,
}

impl<'a> Lookup<'a> {
    /// Looks below the root of the host's file system.
    #[must_use]
    pub fn new(root: &'a Path) -> Self {
        let moved = read(&root.join("etc/docker/daemon.json"));
        let moved = moved.as_ref().and_then(|daemon| daemon["data-root"].as_str());
        let docker = root.join(moved.unwrap_or("/var/lib/docker").trim_start_matches('/'));
        Self { root, docker, podman: None }
    }

    /// What is known of this one.
    pub fn about(&mut self, container: &Container) -> About {
        let id = &container.id;
        match container.engine {
            Engine::Docker => self.docker(id),
            Engine::Podman => {
                let root = self.root;
                let name = self.podman.get_or_insert_with(|| podman_names(root)).get(id).cloned();
                About { name, labels: annotations(stored(root, id, "var/lib/containers/storage")) }
            }
            Engine::Containerd | Engine::Kubernetes => {
                let bundle = tree::bundle(self.root, id).and_then(|bundle| read(&bundle.join("config.json")));
                let labels = annotations(bundle.or_else(|| stored(self.root, id, "run/containers/storage")));
                let named = ["nerdctl/name", "io.kubernetes.cri.container-name", "io.kubernetes.container.name"];
                let name = named.iter().find_map(|key| labels.iter().find(|(label, _)| label == key));
                About { name: name.map(|(_, name)| name.clone()), labels }
            }
            Engine::Lxc | Engine::Nspawn => About { name: Some(id.clone()), labels: vec![] },
        }
    }

    fn docker(&self, id: &str) -> About {
        let folder = self.docker.join("containers").join(id);
        let config = read(&folder.join("config.v2.json")).unwrap_or_default();
        let host = read(&folder.join("hostconfig.json")).unwrap_or_default();
        let mut labels = texts(&config["Config"]["Labels"]);
        labels.extend(texts(&host["Annotations"]));
        let name = config["Name"].as_str().map(|name| name.trim_start_matches('/').to_owned());
        About { name, labels }
    }
}

/// The names in the list that Podman's storage keeps of its containers.
fn podman_names(root: &Path) -> HashMap<String, String> {
    let lists = STORAGE.iter().flat_map(|driver| {
        ["containers.json", "volatile-containers.json"]
            .map(|list| read(&root.join("var/lib/containers/storage").join(driver).join(list)).unwrap_or_default())
    });
    let name = |entry: &Value| Some((entry["id"].as_str()?.to_owned(), entry["names"][0].as_str()?.to_owned()));
    lists.flat_map(|list| list.as_array().cloned().unwrap_or_default()).filter_map(|entry| name(&entry)).collect()
}

/// The bundle's configuration in Podman's or CRI-O's storage.
fn stored(root: &Path, id: &str, storage: &str) -> Option<Value> {
    STORAGE.iter().find_map(|driver| read(&root.join(storage).join(driver).join(id).join("userdata/config.json")))
}

/// The annotations of a bundle; CRI-O keeps the labels and the annotations of a pod as text within two of them.
fn annotations(bundle: Option<Value>) -> Vec<(String, String)> {
    let mut found = texts(&bundle.unwrap_or_default()["annotations"]);
    for within in ["io.kubernetes.cri-o.Labels", "io.kubernetes.cri-o.Annotations"] {
        let text = found.iter().find(|(key, _)| key == within).map(|(_, text)| text.clone());
        let value = text.and_then(|text| serde_json::from_str::<Value>(&text).ok());
        found.extend(texts(&value.unwrap_or_default()));
    }
    found
}

fn texts(map: &Value) -> Vec<(String, String)> {
    let texts = map.as_object().into_iter().flatten();
    texts.filter_map(|(key, value)| Some((key.clone(), value.as_str()?.to_owned()))).collect()
}

fn read(path: &Path) -> Option<Value> {
    serde_json::from_slice(&foreign::read(path, SIZE_MAX).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    fn about(engine: Engine, files: &[(&str, &str)]) -> About {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in files {
            let path = root.path().join(path.replace("ID", ID));
            std::fs::create_dir_all(path.parent().unwrap()).unwrap();
            std::fs::write(path, text.replace("ID", ID)).unwrap();
        }
        let container = Container { engine, id: ID.to_owned(), cgroup: PathBuf::new(), inode: 1 };
        Lookup::new(root.path()).about(&container)
    }

    fn known(name: &str, labels: &[(&str, &str)]) -> About {
        let labels = labels.iter().map(|(key, value)| ((*key).to_owned(), (*value).to_owned())).collect();
        About { name: Some(name.to_owned()), labels }
    }

    #[test]
    fn dockerd_s_containers_are_found_where_its_configuration_says() {
        let config = r#"{"Name": "/web", "Config": {"Labels": {"a": "1"}}, "ID": "ID"}"#;
        let host = r#"{"Annotations": {"b": "2"}}"#;
        let wanted = known("web", &[("a", "1"), ("b", "2")]);
        let usual = [
            ("var/lib/docker/containers/ID/config.v2.json", config),
            ("var/lib/docker/containers/ID/hostconfig.json", host),
        ];
        assert_eq!(about(Engine::Docker, &usual), wanted);
        let moved = [
            ("etc/docker/daemon.json", r#"{"data-root": "/srv/d"}"#),
            ("srv/d/containers/ID/config.v2.json", config),
            ("srv/d/containers/ID/hostconfig.json", host),
        ];
        assert_eq!(about(Engine::Docker, &moved), wanted);
    }

    #[test]
    fn podman_s_names_come_from_its_storage_and_annotations_from_the_bundle() {
        let files = [
            ("var/lib/containers/storage/overlay-containers/containers.json", r#"[{"id": "x", "names": ["other"]}]"#),
            (
                "var/lib/containers/storage/overlay-containers/volatile-containers.json",
                r#"[{"id": "ID", "names": ["web"]}]"#,
            ),
            ("var/lib/containers/storage/overlay-containers/ID/userdata/config.json", r#"{"annotations": {"a": "1"}}"#),
        ];
        assert_eq!(about(Engine::Podman, &files), known("web", &[("a", "1")]));
    }

    #[test]
    fn kubernetes_names_come_from_the_bundle_of_containerd_or_cri_o() {
        let containerd = [(
            "run/containerd/io.containerd.runtime.v2.task/k8s.io/ID/config.json",
            r#"{"annotations": {"io.kubernetes.cri.container-name": "dns"}}"#,
        )];
        assert_eq!(about(Engine::Kubernetes, &containerd).name.as_deref(), Some("dns"));
        let crio = [(
            "run/containers/storage/overlay-containers/ID/userdata/config.json",
            r#"{"annotations": {"io.kubernetes.container.name": "dns", "io.kubernetes.cri-o.Labels": "{\"tier\":\"vpn\"}"}}"#,
        )];
        let about = about(Engine::Kubernetes, &crio);
        assert_eq!(about.name.as_deref(), Some("dns"));
        assert!(about.labels.contains(&("tier".to_owned(), "vpn".to_owned())), "{about:?}");
    }

    #[test]
    fn what_cannot_be_read_is_not_known_and_no_failure() {
        for engine in Engine::ALL {
            let about = about(engine, &[("var/lib/docker/containers/ID/config.v2.json", "{")]);
            assert_eq!(about.name.is_some(), matches!(engine, Engine::Lxc | Engine::Nspawn), "{engine}");
            assert_eq!(about.labels, []);
        }
    }
}

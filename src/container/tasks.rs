//! What containerd runs now: the folders that its shims have, namespace by namespace.

use std::collections::HashMap;
use std::fs;
use std::path::{Path, PathBuf};

use super::{Engine, cgroup};

/// Below a state folder of containerd's, by the version of its shims.
const FOLDERS: [&str; 2] = ["io.containerd.runtime.v2.task", "io.containerd.runtime.v1.linux"];

/// The bundles of the running containers, by id: two namespaces may have the same one.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tasks(HashMap<String, Vec<PathBuf>>);

impl Tasks {
    /// Lists the running containers below some state folders.
    #[must_use]
    pub fn of(states: &[PathBuf]) -> Self {
        let below = |folder: PathBuf| fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
        let folders = states.iter().flat_map(|state| FOLDERS.map(|folder| state.join(folder)));
        let mut tasks: HashMap<String, Vec<PathBuf>> = HashMap::new();
        for bundle in folders.flat_map(below).flat_map(below) {
            let id = bundle.file_name().unwrap_or_default().to_string_lossy().into_owned();
            tasks.entry(id).or_default().push(bundle);
        }
        Self(tasks)
    }

    /// Whose a cgroup is that is called `name` and lies in one called `above`: containerd puts a container into a folder with the
    /// name of its namespace, unless it was given another; then only an id is no name that others have as well.
    #[must_use]
    pub fn engine_of(&self, above: &str, name: &str) -> Option<Engine> {
        let bundles = self.0.get(name)?;
        let namespace = bundles.iter().filter_map(|bundle| namespace(bundle));
        let namespace = namespace.into_iter().find(|namespace| *namespace == above || cgroup::is_id(name))?;
        Some(match namespace {
            "moby" => Engine::Docker,
            "k8s.io" => Engine::Kubernetes,
            _ => Engine::Containerd,
        })
    }

    /// The folder with a container's bundle; of two with the same id that which lies in `cgroup`'s namespace.
    #[must_use]
    pub fn bundle(&self, id: &str, cgroup: &Path) -> Option<&Path> {
        let bundles = self.0.get(id)?;
        let above = cgroup.parent().and_then(Path::file_name).and_then(|name| name.to_str());
        let own = bundles.iter().find(|bundle| namespace(bundle) == above);
        own.or(bundles.first()).map(PathBuf::as_path)
    }
}

fn namespace(bundle: &Path) -> Option<&str> {
    bundle.parent()?.file_name()?.to_str()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_container_where_containerd_says_so() {
        let state = tempfile::tempdir().unwrap();
        let id = "0123456789abcdef".repeat(4);
        for (folder, path) in [
            (0, format!("default/{id}")),
            (0, "openfaas-fn/figlet".to_owned()),
            (0, "default/figlet".to_owned()),
            (1, "k8s.io/old".to_owned()),
        ] {
            fs::create_dir_all(state.path().join(FOLDERS[folder]).join(path)).unwrap();
        }
        let tasks = Tasks::of(&[PathBuf::from("/nowhere"), state.path().to_owned()]);
        assert_eq!(tasks.engine_of("openfaas-fn", "figlet"), Some(Engine::Containerd));
        assert_eq!(tasks.engine_of("my-parent", &id), Some(Engine::Containerd));
        assert_eq!(tasks.engine_of("k8s.io", "old"), Some(Engine::Kubernetes));
        for (above, name) in [("system.slice", "figlet"), ("default", "redis")] {
            assert_eq!(tasks.engine_of(above, name), None, "{above}/{name}");
        }
        let bundle = |cgroup: &str| tasks.bundle("figlet", Path::new(cgroup)).unwrap().parent().unwrap().to_owned();
        assert!(bundle("openfaas-fn/figlet").ends_with("openfaas-fn") && bundle("default/figlet").ends_with("default"));
    }
}

//! What is known of a container that runs, found in the state folders of its engine by its id.

use std::collections::HashMap;
use std::path::PathBuf;

use super::metadata::{Stored, json, stored};
use super::{Container, Engine, Metadata, Places, Tasks};

/// The drivers of podman's and CRI-O's storage, by the folder in which each keeps its containers.
const DRIVERS: [&str; 4] = ["overlay-containers", "vfs-containers", "btrfs-containers", "zfs-containers"];

/// Looks containers up; what several of them share is read once.
#[derive(Debug)]
pub struct Lookup<'a> {
    places: &'a Places,
    tasks: Tasks,
    /// The lists of podman's storage, by their folders.
    stored: HashMap<PathBuf, HashMap<String, Stored>>,
}

impl<'a> Lookup<'a> {
    /// Looks in those places, and among what containerd runs now.
    #[must_use]
    pub fn new(places: &'a Places) -> Self {
        Self { places, tasks: Tasks::of(&places.containerd), stored: HashMap::new() }
    }

    /// What containerd runs.
    #[must_use]
    pub const fn tasks(&self) -> &Tasks {
        &self.tasks
    }

    /// What is known of this one.
    pub fn metadata(&mut self, container: &Container) -> Metadata {
        let mut metadata = Metadata::default();
        match container.engine {
            Engine::Docker => self.add_docker(&mut metadata, container),
            Engine::Podman => self.add_podman(&mut metadata, container),
            Engine::Containerd | Engine::Kubernetes => {
                let task = self.tasks.bundle(&container.id, &container.cgroup).map(|bundle| bundle.join("config.json"));
                if let Some(config) =
                    task.and_then(|file| json(&file)).or_else(|| bundle_in(&self.places.crio, &container.id))
                {
                    metadata.add_config(&config);
                }
                // A kubelet may stand above dockerd.
                self.add_docker(&mut metadata, container);
            }
            Engine::Lxc | Engine::Nspawn => metadata.name = Some(container.id.clone()),
        }
        metadata.cgroup = Some(container.cgroup.clone());
        metadata.complete()
    }

    fn add_docker(&self, metadata: &mut Metadata, container: &Container) {
        let mut folders = self.places.docker.iter().map(|containers| containers.join(&container.id));
        if let Some(folder) = folders.find(|folder| folder.is_dir()) {
            metadata.add_docker(&folder);
        }
    }

    fn add_podman(&mut self, metadata: &mut Metadata, container: &Container) {
        if let Some(config) = bundle_in(&self.places.podman, &container.id) {
            metadata.add_config(&config);
        }
        for folder in drivers(&self.places.podman) {
            let list = self.stored.entry(folder).or_insert_with_key(|folder| stored(folder));
            if let Some(stored) = list.get(&container.id) {
                return metadata.add_stored(stored.clone());
            }
        }
    }
}

/// The bundle's configuration in a storage of podman's or CRI-O's.
fn bundle_in(storages: &[PathBuf], id: &str) -> Option<serde_json::Value> {
    drivers(storages).find_map(|folder| json(&folder.join(id).join("userdata/config.json")))
}

fn drivers(storages: &[PathBuf]) -> impl Iterator<Item = PathBuf> {
    storages.iter().flat_map(|storage| DRIVERS.map(|driver| storage.join(driver)))
}

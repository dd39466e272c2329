//! Where the engines of a host keep what they know of their containers.

use std::path::{Path, PathBuf};

use super::{Root, containerd, crio, docker, podman};

/// The folders, as we reach them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Places {
    /// dockerd's, with a folder for each container.
    pub docker: Vec<PathBuf>,
    /// podman's storages.
    pub podman: Vec<PathBuf>,
    /// CRI-O's storages.
    pub crio: Vec<PathBuf>,
    /// containerd's states.
    pub containerd: Vec<PathBuf>,
}

/// containerd's own, those of distributions of Kubernetes, and one that dockerd starts by itself: where they usually are.
const STATES: [&str; 7] = [
    "run/containerd",
    "run/docker/containerd/daemon",
    "run/k3s/containerd",
    "run/k0s/containerd",
    "var/snap/microk8s/common/run/containerd",
    "run/snap.docker/containerd/daemon",
    "run/balena-engine/containerd/daemon",
];

impl Places {
    /// Those of the host below `folder`, as its engines' configuration has them.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let root = Root::new(folder);
        let mut containerd = STATES.map(|state| folder.join(state)).to_vec();
        containerd.extend(containerd::states(&root));
        containerd.sort();
        containerd.dedup();
        let (docker, podman, crio) =
            (docker::containers_folders(&root), podman::graph_roots(&root), crio::storages(&root));
        Self { docker, podman, crio, containerd }
    }
}

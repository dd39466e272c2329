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

impl Places {
    /// Those of the host below `folder`, as its engines' configuration has them.
    #[must_use]
    pub fn of(folder: &Path) -> Self {
        let root = Root::new(folder);
        Self {
            docker: docker::containers_folders(&root),
            podman: podman::graph_roots(&root),
            crio: crio::storages(&root),
            containerd: containerd::states(&root),
        }
    }
}

//! containerd: whose it is, which file it reads first, and where its state lies.

mod layout;
mod merged;

use std::path::PathBuf;

use super::Root;

pub use layout::{Layout, Writer, layouts};
pub use merged::{ContainerdRelease, ContainerdRuntime, File, Merged, files, patterns, readings};

/// The plugin for Kubernetes in containerd 1, and in a file of version 2.
pub const CRI_1: &str = "io.containerd.grpc.v1.cri";
/// Its half that starts containers in containerd 2.
pub const CRI_2: &str = "io.containerd.cri.v1.runtime";

/// The folders of state of every containerd of the host, as we reach them: what its command line or whose it is says, and what its
/// configuration does.
#[must_use]
pub fn states(root: &Root) -> Vec<PathBuf> {
    let configured = |layout: &Layout| {
        let files = files(root, &layout.config, ContainerdRelease::V2_1).ok()?;
        Merged::of(&files, ContainerdRelease::V2_1).folder("state")
    };
    let of = |layout: Layout| configured(&layout).into_iter().chain([layout.state]);
    layouts(root).into_iter().flat_map(of).map(|folder| root.at(&folder)).collect()
}

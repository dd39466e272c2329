//! containerd: whose it is, which file it reads first, and where its state lies.

mod layout;
mod merged;

pub use layout::{Layout, Writer, layouts};
pub use merged::{File, Merged, Reading, Runtime, files, patterns, readings};

/// The plugin for Kubernetes in containerd 1, and in a file of version 2.
pub const CRI_1: &str = "io.containerd.grpc.v1.cri";
/// Its half that starts containers in containerd 2.
pub const CRI_2: &str = "io.containerd.cri.v1.runtime";

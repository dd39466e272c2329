//! What is known of container engines: the one place that has their names. The start gate, the freezer and the installer ask here.
//!
//! ```text
//! cgroup      which cgroup is a container           metadata    what a bundle says of one: name, image, command, pod, labels
//! caller      which engine called the runtime       lookup      the same, found in the engine's state folders
//! tasks       what containerd runs now              places      where each engine keeps what it knows
//! exemption   which containers neither wait nor are frozen
//! runtime_list  what a runtime says by NRI: who is exempt
//! node_services  what a node of Kubernetes needs to run
//! guest       virtual machines in containers            desktop     virtual machines around containers
//! tolerance   how far off the clock may be for one
//! docker, podman, crio, containerd   what each engine reads, as it merges it, and where its state lies
//! ```

use std::fmt;
use std::path::PathBuf;

mod calling_engine;
pub mod cgroup;
pub mod containerd;
pub mod crio;
pub mod desktop;
pub mod docker;
pub mod exemption;
pub mod files;
mod lookup;
mod metadata;
mod node_services;
pub mod own_container;
mod places;
pub mod podman;
mod root;
pub mod runtime_list;
mod tasks;
pub mod tolerance;
mod toml;
mod unit;
pub mod unused_engines;
pub mod virtual_machine;

pub use calling_engine::Caller;
pub use lookup::Lookup;
pub use metadata::{Metadata, command};
pub use places::Places;
pub use root::Root;
pub use tasks::Tasks;

/// What a wrapper's file name begins with; the name of the runtime that it replaces follows.
pub const WRAPPER_PREFIX: &str = "clockgate-";

/// Where the programs of a host are, in the order in which they are looked for.
pub const PROGRAM_FOLDERS: [&str; 6] = ["/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"];

/// Who started a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// dockerd.
    Docker,
    /// Podman, rootless too, and Buildah.
    Podman,
    /// containerd without Kubernetes: nerdctl, ctr, faasd.
    Containerd,
    /// kubelet, through containerd, CRI-O or dockerd.
    Kubernetes,
    /// LXC, Incus, Proxmox, libvirt's LXC driver.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Docker, Self::Podman, Self::Containerd, Self::Kubernetes, Self::Lxc, Self::Nspawn];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Kubernetes => "kubernetes",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
        }
    }

    /// Whether it gives its containers ids of its own beside the names that their users choose.
    #[must_use]
    pub const fn has_ids(self) -> bool {
        match self {
            Self::Docker | Self::Podman | Self::Containerd | Self::Kubernetes => true,
            Self::Lxc | Self::Nspawn => false,
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A container as the tree of cgroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Who started it.
    pub engine: Engine,
    /// The engine's id of it; the name where the engine has no ids.
    pub id: String,
    /// Its cgroup, relative to the hierarchy.
    pub cgroup: PathBuf,
    /// The inode of its cgroup: another one with the same name has another.
    pub inode: u64,
}

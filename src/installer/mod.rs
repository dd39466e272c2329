//! The gate installed into container engines: what has to be written for each, and how it is restored to the byte.
//!
//! A target plans, and touches nothing; the record applies a plan and undoes it.

mod containerd;
mod crio;
mod diff;
mod docker;
mod host;
#[doc(hidden)]
pub mod json;
mod nri;
mod podman;
mod record;
mod runtime;
mod systemd_sleep;
#[doc(hidden)]
pub mod toml;

use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::container::files;

pub use diff::unified;
pub use host::Host;
pub use nri::connection as nri_connection;
pub use podman::hook as podman_hook;
pub use record::{Standing, apply, drift, forget, is_unused, standing, undo};

/// A program that starts containers, or sends the machine to sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    /// dockerd.
    Docker,
    /// podman, by its runtimes.
    Podman,
    /// podman, by a hook.
    PodmanHook,
    /// containerd.
    Containerd,
    /// CRI-O, by its runtimes.
    Crio,
    /// CRI-O, by a hook.
    CrioHook,
    /// containerd and CRI-O for Kubernetes, by their Node Resource Interface.
    Nri,
    /// systemd.
    SystemdSleep,
}

/// Why nothing was changed.
#[derive(Debug, thiserror::Error)]
pub enum InstallerError {
    /// A file says something that we do not understand, or that we must not change; or the file system refused.
    #[error(transparent)]
    File(#[from] files::FileError),
    /// Something has to be there first, or must not be.
    #[error("{0}")]
    Wrong(String),
    /// A file was changed by another program since.
    #[error(
        "{path} was changed since it was installed; nothing was touched. Remove clockgate's entries by hand ({lines}; `--dry-run` shows the previous content), then run `clockgate hooks remove {target}` again", path = path.display()
    )]
    Edited {
        /// The file.
        path: PathBuf,
        /// The lines in it that are ours, in words.
        lines: String,
        /// What is to be removed.
        target: &'static str,
    },
}

impl InstallerError {
    fn refused(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::File(files::FileError::refused(path, what))
    }

    fn io(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(std::io::Error) -> Self {
        let path = path.into();
        move |source| Self::File(files::FileError::Io { what, path, source })
    }
}

/// One file, as it is and as it is to be. Paths are the host's own, below its root.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Change {
    /// A file with content.
    File {
        /// Where.
        path: PathBuf,
        /// What it holds; none where it is not there.
        before: Option<String>,
        /// What it is to hold.
        after: String,
        /// Its mode if it is new.
        mode: u32,
    },
    /// A symbolic link, which stays for good: see the module `runtime`.
    Link {
        /// Where.
        path: PathBuf,
        /// To what.
        to: PathBuf,
    },
}

impl Change {
    /// A link that is not there, or is the same already.
    fn link(host: &Host, path: &Path, to: &Path) -> Result<Self, InstallerError> {
        let there = host.at(path);
        if there.symlink_metadata().is_ok() && !std::fs::read_link(&there).is_ok_and(|target| target == to) {
            return Err(InstallerError::refused(path, "already exists and points elsewhere"));
        }
        Ok(Self::Link { path: path.to_owned(), to: to.to_owned() })
    }

    /// A file that only clockgate writes: one that another program wrote is not overwritten.
    fn own_file(host: &Host, path: &Path, after: String, mode: u32) -> Result<Self, InstallerError> {
        host.is_ours_to_write(path)?;
        match host.read(path)? {
            Some(before) if before != after => Err(InstallerError::refused(path, "already exists with other content")),
            before => Ok(Self::File { path: path.to_owned(), before, after, mode }),
        }
    }
}

/// Everything that has to be written for a target.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    /// In the order of writing: a reader of the last one finds the others.
    pub changes: Vec<Change>,
    /// When it takes effect.
    pub afterwards: String,
    /// What else to know.
    pub notes: Vec<String>,
}

impl Target {
    /// All of them.
    pub const ALL: [Self; 8] = [
        Self::Docker,
        Self::Podman,
        Self::PodmanHook,
        Self::Containerd,
        Self::Crio,
        Self::CrioHook,
        Self::Nri,
        Self::SystemdSleep,
    ];

    /// What it is, and what is changed for it.
    #[must_use]
    pub const fn summary(self) -> &'static str {
        match self {
            Self::Docker => "dockerd: the default runtime in daemon.json",
            Self::Podman => "podman: the wrapper in front of crun and runc, in a drop-in of containers.conf",
            Self::PodmanHook => "podman: an OCI hook, for every runtime",
            Self::Containerd => "containerd for Kubernetes: the wrapper as the binary of its runtimes, in config.toml",
            Self::Crio => "CRI-O: the wrapper as the path of its runtimes, in a drop-in of crio.conf",
            Self::CrioHook => "CRI-O: an OCI hook, for every runtime",
            Self::Nri => "pods: a plugin of containerd's and CRI-O's Node Resource Interface, for every runtime",
            Self::SystemdSleep => "systemd: notify the agent before suspend and after resume",
        }
    }

    /// As it is typed.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::PodmanHook => "podman-hook",
            Self::Containerd => "containerd",
            Self::Crio => "crio",
            Self::CrioHook => "crio-hook",
            Self::Nri => "nri",
            Self::SystemdSleep => "systemd-sleep",
        }
    }

    /// The other way to hold the same containers: with both, they would be held twice.
    #[must_use]
    pub const fn instead(self) -> Option<Self> {
        match self {
            Self::Podman => Some(Self::PodmanHook),
            Self::PodmanHook => Some(Self::Podman),
            Self::Crio => Some(Self::CrioHook),
            Self::CrioHook => Some(Self::Crio),
            Self::Docker | Self::Containerd | Self::Nri | Self::SystemdSleep => None,
        }
    }

    /// A gate that holds an engine's pods as well; both together do no harm.
    #[must_use]
    pub const fn beside(self) -> Option<Self> {
        match self {
            Self::Containerd | Self::Crio | Self::CrioHook => Some(Self::Nri),
            Self::Docker | Self::Podman | Self::PodmanHook | Self::Nri | Self::SystemdSleep => None,
        }
    }

    /// Which containers it holds; none where it holds no starts.
    #[must_use]
    pub const fn holds(self) -> Option<&'static str> {
        match self {
            Self::Docker => Some("containers of dockerd's default runtime"),
            Self::Podman => Some("podman's containers that crun or runc starts"),
            Self::PodmanHook => Some("podman's containers, whatever runtime starts them"),
            Self::Containerd => Some("pods that runc or another binary starts, not those of Kata and gVisor"),
            Self::Crio => Some("CRI-O's containers that crun, runc or another binary starts, not those of Kata"),
            Self::CrioHook => Some("CRI-O's containers, whatever OCI runtime starts them"),
            Self::Nri => Some(
                "pods of containerd and CRI-O, whatever starts them; their containers are refused, and tried again by the kubelet",
            ),
            Self::SystemdSleep => None,
        }
    }

    /// Whether it is a gate of one engine's own.
    #[must_use]
    pub const fn is_an_engines(self) -> bool {
        match self {
            Self::Docker | Self::Podman | Self::PodmanHook | Self::Containerd | Self::Crio | Self::CrioHook => true,
            Self::Nri | Self::SystemdSleep => false,
        }
    }

    /// The programs of which one has to be there for this to be of use.
    #[must_use]
    pub const fn programs(self) -> &'static [&'static str] {
        match self {
            Self::Docker => &["dockerd"],
            Self::Podman | Self::PodmanHook => &["podman"],
            Self::Containerd => &["containerd"],
            Self::Crio | Self::CrioHook => &["crio"],
            Self::Nri => &["containerd", "crio"],
            Self::SystemdSleep => &["systemctl"],
        }
    }

    /// What has to be written, found out without touching anything.
    ///
    /// # Errors
    /// [`InstallerError`], where a file is not understood or something is missing.
    pub fn plan(self, host: &Host) -> Result<Plan, InstallerError> {
        match self {
            Self::Docker => docker::plan(host),
            Self::Podman => podman::plan(host),
            Self::PodmanHook => podman::plan_hook(host, podman::Manager::Podman),
            Self::Containerd => containerd::plan(host),
            Self::Crio => crio::plan(host),
            Self::CrioHook => podman::plan_hook(host, podman::Manager::Crio),
            Self::Nri => nri::plan(host),
            Self::SystemdSleep => systemd_sleep::plan(host),
        }
    }

    /// When it takes effect that it was taken back.
    #[must_use]
    pub fn afterwards(self, host: &Host) -> String {
        match self {
            Self::Docker => docker::removed(host),
            Self::Podman | Self::PodmanHook => podman::AFTERWARDS.to_owned(),
            Self::Containerd => containerd::removed(host),
            Self::Crio | Self::CrioHook => crio::afterwards(host),
            Self::Nri => nri::REMOVED.to_owned(),
            Self::SystemdSleep => systemd_sleep::AFTERWARDS.to_owned(),
        }
    }

    /// Why taking it back would do harm; none where it would not.
    ///
    /// # Errors
    /// [`InstallerError`] where that cannot be found out.
    pub fn needed_by(self, host: &Host) -> Result<Option<String>, InstallerError> {
        match self {
            Self::Docker => docker::needed_by(host),
            Self::Podman
            | Self::PodmanHook
            | Self::Containerd
            | Self::Crio
            | Self::CrioHook
            | Self::Nri
            | Self::SystemdSleep => Ok(None),
        }
    }
}

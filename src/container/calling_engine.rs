//! Which engine called an OCI runtime, by the folders that it names, or by what it wrote into the bundle.

use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use super::Metadata;

/// Who called.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Caller {
    /// dockerd.
    Docker,
    /// podman.
    Podman,
    /// CRI-O.
    Crio,
    /// containerd for a kubelet.
    Kubernetes,
    /// containerd for another client: nerdctl, ctr.
    Containerd,
    /// Another caller.
    Other,
}

impl Caller {
    /// By the runtime's folder of states (`--root`) and the container's bundle.
    #[must_use]
    pub fn of(root: Option<&Path>, bundle: Option<&Path>) -> Self {
        let last = |path: Option<&Path>, nth: usize| -> Vec<u8> {
            let part = path.iter().flat_map(|path| path.components().rev()).nth(nth);
            part.map(|part| part.as_os_str().as_bytes().to_vec()).unwrap_or_default()
        };
        // containerd's shim appends the namespace to the root; dockerd gives it a root of its own and the namespace `moby`.
        let (namespace, above) = (last(root, 0), last(root, 1));
        if above == b"runtime-runc" || namespace == b"moby" || namespace == b"plugins.moby" {
            Self::Docker
        } else if namespace == b"k8s.io" {
            Self::Kubernetes
        } else if bundle.is_some_and(is_shim_bundle) {
            Self::Containerd
        } else if last(bundle, 0) == b"userdata" {
            // The folder of containers/storage, which CRI-O has too; the container's annotations decide.
            Self::Podman
        } else {
            Self::Other
        }
    }

    /// Its name.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Crio => "cri-o",
            Self::Kubernetes => "kubernetes",
            Self::Containerd => "containerd",
            Self::Other => "runtime",
        }
    }

    /// By the annotation that podman and CRI-O leave for conmon; none where there is no such annotation.
    #[must_use]
    pub fn named_in(metadata: &Metadata) -> Option<Self> {
        match metadata.labels.get("io.container.manager").map(String::as_str) {
            Some("libpod") => Some(Self::Podman),
            Some("cri-o") => Some(Self::Crio),
            _ => None,
        }
    }
}

fn is_shim_bundle(bundle: &Path) -> bool {
    bundle.components().any(|part| part.as_os_str().as_bytes().starts_with(b"io.containerd.runtime"))
}

impl fmt::Display for Caller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

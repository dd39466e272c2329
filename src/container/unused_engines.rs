//! Which engines have started nothing since the wrapper was installed in their configuration: a file for each, which the first start
//! removes.

use std::fs;
use std::path::{Path, PathBuf};

use super::{Caller, Metadata};

/// What `clockgate hooks install` keeps, and the files that await a start beside it.
pub const FOLDER: &str = "/var/lib/clockgate/hooks";

/// The file for what was installed under this name.
#[must_use]
pub fn file(target: &str) -> PathBuf {
    Path::new(FOLDER).join(format!("{target}.unused"))
}

/// Whether nothing has come by since.
fn is_waited_for(target: &str) -> bool {
    file(target).exists()
}

/// A start came by the wrapper. What the folders of the call do not show, the bundle does; that is read where a caller waits for it.
pub fn came_by(caller: Caller, bundle: &Path) {
    match caller {
        Caller::Docker => take_away("docker"),
        Caller::Kubernetes => take_away("containerd"),
        Caller::Podman | Caller::Crio => {
            if ["podman", "crio"].into_iter().any(is_waited_for) {
                let is_crio = Caller::named_in(&Metadata::of_bundle(bundle)) == Some(Caller::Crio);
                take_away(if is_crio { "crio" } else { "podman" });
            }
        }
        Caller::Containerd | Caller::Other => {}
    }
}

/// A start came by the hook.
pub fn came_by_hook(caller: Caller) {
    match caller {
        Caller::Podman => take_away("podman-hook"),
        Caller::Crio => take_away("crio-hook"),
        Caller::Docker | Caller::Kubernetes | Caller::Containerd | Caller::Other => {}
    }
}

/// Where the file cannot be removed, that cannot be reported, and is no reason to fail.
fn take_away(target: &str) {
    let _ = fs::remove_file(file(target));
}

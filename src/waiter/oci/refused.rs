//! Starts that were refused, counted for the agent: each is a byte at the end of a file beside the folder of the page. Neither side waits
//! for the other. The folder is root's, so no other user can add to the file; a refusal by a process that is not root's, as the hook
//! of a rootless engine, is not counted.

use std::fs::{self, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::OpenOptionsExt as _;
use std::path::{Path, PathBuf};

/// What refuses a start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RefusedBy {
    /// The wrapping runtime.
    Wrapper,
    /// The OCI hook.
    Hook,
    /// The start gate of pods.
    Nri,
}

/// How many starts each has refused since the boot.
pub type RefusedStarts = [(RefusedBy, u64); 3];

impl RefusedBy {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Wrapper, Self::Hook, Self::Nri];

    /// Its name in metrics.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Wrapper => "oci",
            Self::Hook => "hook",
            Self::Nri => "nri",
        }
    }

    /// Its file, beside the folder of the page, which containers have mounted.
    fn file(self, page: &Path) -> PathBuf {
        page.with_file_name(match self {
            Self::Wrapper => "refused-by-wrapper",
            Self::Hook => "refused-by-hook",
            Self::Nri => "refused-by-nri",
        })
    }
}

/// Counts one more.
///
/// # Errors
/// What the file system said: a caller that is not root, or a host without an agent, which has no such folder.
pub fn count(page: &Path, by: RefusedBy) -> io::Result<()> {
    let mut options = OpenOptions::new();
    options.append(true).create(true).mode(0o600).custom_flags(libc::O_NOFOLLOW | libc::O_NONBLOCK);
    options.open(by.file(page))?.write_all(b".")
}

/// How many were counted.
#[must_use]
pub fn counted(page: &Path) -> RefusedStarts {
    let length = |by: RefusedBy| fs::symlink_metadata(by.file(page)).ok().filter(fs::Metadata::is_file);
    RefusedBy::ALL.map(|by| (by, length(by).map_or(0, |meta| meta.len())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::PermissionsExt as _;

    #[test]
    fn each_refusal_counts_once_and_for_root_alone() {
        let folder = tempfile::tempdir().unwrap();
        let page = folder.path().join("public");
        let numbers = || counted(&page).map(|(by, count)| (by.name(), count));
        assert_eq!(numbers(), [("oci", 0), ("hook", 0), ("nri", 0)]);
        count(&page, RefusedBy::Wrapper).unwrap();
        count(&page, RefusedBy::Wrapper).unwrap();
        count(&page, RefusedBy::Hook).unwrap();
        count(&page, RefusedBy::Nri).unwrap();
        count(&page, RefusedBy::Nri).unwrap();
        count(&page, RefusedBy::Nri).unwrap();
        assert_eq!(numbers(), [("oci", 2), ("hook", 1), ("nri", 3)]);
        assert!(count(&folder.path().join("no/public"), RefusedBy::Nri).is_err(), "a host without an agent");
        let file = RefusedBy::Hook.file(&page);
        assert_eq!(fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
        fs::remove_file(&file).unwrap();
        std::os::unix::fs::symlink(RefusedBy::Wrapper.file(&page), &file).unwrap();
        assert!(count(&page, RefusedBy::Hook).is_err(), "no link is followed");
        assert_eq!(numbers(), [("oci", 2), ("hook", 0), ("nri", 3)]);
    }
}

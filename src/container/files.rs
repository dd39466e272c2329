//! What engines' files say, and why they cannot be read.

use std::io;
use std::path::{Path, PathBuf};

use super::Root;
use crate::sys::foreign;

/// No configuration is larger.
pub const SIZE_MAX: u64 = 1 << 20;

/// Why an engine's configuration is not known.
#[derive(Debug, thiserror::Error)]
pub enum FileError {
    /// A file says something that the engine would not understand either, or that we do not.
    #[error("{path} {what}", path = path.display())]
    Refused {
        /// The file.
        path: PathBuf,
        /// Why, in words.
        what: String,
    },
    /// The file system refused.
    #[error("cannot {what} {path}", path = path.display())]
    Io {
        /// What was tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What it said.
        source: io::Error,
    },
}

impl FileError {
    /// A file that is not understood.
    pub fn refused(path: impl Into<PathBuf>, what: impl Into<String>) -> Self {
        Self::Refused { path: path.into(), what: what.into() }
    }
}

/// A value, and the file that has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FromFile<T> {
    /// What it says.
    pub value: T,
    /// Which file says it, as the host knows it.
    pub file: PathBuf,
}

/// The text of a file; none where it is not there, or is a link that leads nowhere.
///
/// # Errors
/// [`FileError`] where it is not a text file.
pub fn read(root: &Root, path: &Path) -> Result<Option<String>, FileError> {
    let is = |error: &io::Error, kind| error.kind() == kind;
    root.read(path).map_err(|source| match source {
        source if is(&source, io::ErrorKind::InvalidData) => FileError::refused(path, "is not UTF-8 text"),
        source if is(&source, io::ErrorKind::IsADirectory) => FileError::refused(path, "is not a regular file"),
        source => FileError::Io { what: "read", path: path.to_owned(), source },
    })
}

/// The text of a file that is a user's: who put it there may mean to keep us waiting. None where it cannot be read.
#[must_use]
pub fn read_foreign(root: &Root, path: &Path) -> Option<String> {
    String::from_utf8(foreign::read(&root.at(path), SIZE_MAX).ok()?).ok()
}

/// What a folder holds, by name; nothing where there is no such folder.
#[must_use]
pub fn list(root: &Root, folder: &Path) -> Vec<PathBuf> {
    root.glob(&folder.join("*"))
}

/// The home folders on this host: by its user database, and by /home. None that lies elsewhere than on this machine:
/// to look there may take for ever.
#[must_use]
pub fn homes(root: &Root) -> Vec<PathBuf> {
    let mounts = Mounts::read(root);
    let users = root.read(Path::new("/etc/passwd")).ok().flatten().unwrap_or_default();
    let named = users.lines().filter_map(|line| line.split(':').nth(5)).map(PathBuf::from);
    let usual = Path::new("/home");
    // By their names alone, before any of them is opened.
    let entries = (!mounts.may_wait(usual)).then(|| std::fs::read_dir(root.at(usual)).ok()).flatten();
    let usual = entries.into_iter().flatten().flatten().map(|entry| usual.join(entry.file_name()));
    let mut homes: Vec<PathBuf> =
        named.chain(usual).filter(|home| home.is_absolute() && home.parent().is_some()).collect();
    homes.retain(|home| !mounts.may_wait(home) && root.at(home).is_dir());
    homes.sort();
    homes.dedup();
    homes
}

/// Where which kind of file system is mounted.
struct Mounts(Vec<(PathBuf, String)>);

impl Mounts {
    fn read(root: &Root) -> Self {
        let text = root.read(Path::new("/proc/self/mounts")).ok().flatten().unwrap_or_default();
        // proc_mounts(5): what is mounted, where, of which kind.
        let mount = |line: &str| {
            let mut fields = line.split(' ').skip(1);
            Some((PathBuf::from(fields.next()?), fields.next()?.to_owned()))
        };
        Self(text.lines().filter_map(mount).collect())
    }

    /// Whether another machine, or a process, has to answer before a path can be read.
    fn may_wait(&self, path: &Path) -> bool {
        let over = self.0.iter().filter(|(at, _)| path.starts_with(at)).max_by_key(|(at, _)| at.components().count());
        over.is_some_and(|(_, kind)| {
            kind.starts_with("fuse")
                || kind.starts_with("nfs")
                || ["9p", "afs", "autofs", "ceph", "cifs", "smb3"].contains(&kind.as_str())
        })
    }
}

/// A host with these files, for as long as its folder is kept.
#[cfg(test)]
pub fn host(files: &[(&str, &str)]) -> (tempfile::TempDir, Root) {
    let folder = tempfile::tempdir().unwrap();
    for (path, text) in files {
        let path = folder.path().join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }
    let root = Root::new(folder.path());
    (folder, root)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_home_on_another_machine_is_not_read() {
        let mounts = "/dev/a / ext4 rw 0 0\nauto.home /home autofs rw 0 0\nsrv:/x /home/ann nfs4 rw 0 0\n/dev/b /home/bob ext4 rw 0 0\n";
        let users = "root:x:0:0::/root:/bin/sh\nann:x:1:1::/home/ann:\nbob:x:2:2::/home/bob:\ncid:x:3:3::/home/cid:\nnobody:x:9:9::/:\n";
        let files = [("root/x", ""), ("home/ann/x", ""), ("home/bob/x", ""), ("home/cid/x", ""), ("etc/passwd", users)];
        let (_folder, root) = host(&[&files[..], &[("proc/self/mounts", mounts)]].concat());
        assert_eq!(homes(&root), ["/home/bob", "/root"].map(PathBuf::from));
        let (_folder, root) = host(&files);
        assert_eq!(homes(&root), ["/home/ann", "/home/bob", "/home/cid", "/root"].map(PathBuf::from));
    }
}

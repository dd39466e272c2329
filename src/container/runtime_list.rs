//! What a container runtime said by its Node Resource Interface: that it is connected, and which of its containers are exempt.
//! containerd does not write a pod's own annotations into a bundle, so the freezer cannot find them elsewhere.
//!
//! `clockgate-nri` writes the file beside the folder of the page, which containers have mounted, and holds a lock on it for as long as
//! the runtime is connected. The first line is `1` and the runtime; each other one a container's id and why it is exempt.

use std::collections::{BTreeSet, HashMap};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{OpenOptionsExt as _, PermissionsExt as _};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use crate::sys::foreign::{self, shown};

/// The version of the file, its first word.
const VERSION: &str = "1";
/// More than a node's containers take, bytes.
const SIZE_MAX: u64 = 1 << 20;
/// So many are added to what the runtime listed; later ones are known by their bundles and cgroups alone.
const ADDED_MAX: usize = 4096;

/// The list, as its writer holds it.
#[derive(Debug)]
pub struct RuntimeList {
    file: Flock<File>,
    listed: BTreeSet<String>,
    added: usize,
}

/// The file, beside the folder of the page or the ledger.
#[must_use]
pub fn beside(path: &Path) -> PathBuf {
    path.with_file_name("nri")
}

impl RuntimeList {
    /// Publishes what this runtime listed, in place of what one before it did.
    ///
    /// # Errors
    /// What the file system said.
    pub fn publish(path: &Path, runtime: &str, exempt: &[(String, String)]) -> io::Result<Self> {
        let new = path.with_extension("new");
        // A reader finds the old one or the whole of the new one, with its lock.
        match fs::remove_file(&new) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            Ok(()) | Err(_) => {}
        }
        let file = OpenOptions::new().append(true).create_new(true).mode(0o600).open(&new)?;
        let file = Flock::lock(file, FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| io::Error::from(errno))?;
        file.set_permissions(fs::Permissions::from_mode(0o644))?;
        let mut list = Self { file, listed: BTreeSet::new(), added: 0 };
        list.write(&format!("{VERSION} {}\n", shown(runtime)))?;
        exempt.iter().try_for_each(|(id, why)| list.add(id, why))?;
        list.added = 0;
        fs::rename(&new, path)?;
        Ok(list)
    }

    /// One more container that is exempt.
    ///
    /// # Errors
    /// What the file system said.
    pub fn add(&mut self, id: &str, why: &str) -> io::Result<()> {
        if id.is_empty() || self.added >= ADDED_MAX || !self.listed.insert(id.to_owned()) {
            return Ok(());
        }
        self.added += 1;
        self.write(&format!("{} {}\n", shown(id), shown(why)))
    }

    /// In one piece: a reader never finds half of a line before the next one.
    fn write(&mut self, line: &str) -> io::Result<()> {
        self.file.write_all(line.as_bytes())
    }
}

/// The runtime that is connected now; none where none is.
#[must_use]
pub fn connected(path: &Path) -> Option<String> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOFOLLOW).open(path).ok()?;
    match Flock::lock(file, FlockArg::LockSharedNonblock) {
        Err((_, Errno::EWOULDBLOCK)) => lines(path).first().cloned(),
        Ok(_) | Err(_) => None,
    }
}

/// Why containers are exempt, by their ids. It holds without a connection too: what a container was made with does not change.
#[must_use]
pub fn exempt(path: &Path) -> HashMap<String, String> {
    let entry = |line: &String| line.split_once(' ').map(|(id, why)| (id.to_owned(), shown(why)));
    lines(path).iter().skip(1).filter_map(entry).collect()
}

/// Its whole lines, the runtime first; none of a file of another version.
fn lines(path: &Path) -> Vec<String> {
    let text = foreign::read(path, SIZE_MAX).unwrap_or_default();
    let text = String::from_utf8_lossy(&text);
    let Some(text) = text.strip_prefix(VERSION).and_then(|rest| rest.strip_prefix(' ')) else { return vec![] };
    let whole = text.split_inclusive('\n').filter_map(|line| line.strip_suffix('\n'));
    whole.map(str::to_owned).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_read_while_it_is_written_and_the_lock_says_that_a_runtime_is_connected() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("public"));
        assert!(connected(&path).is_none() && exempt(&path).is_empty());
        let entry = |id: &str, why: &str| (id.to_owned(), why.to_owned());
        let mut list = RuntimeList::publish(&path, "containerd v2.1.9", &[entry("ab", "static-pod")]).unwrap();
        list.add("cd", "clockgate.exempt=true").unwrap();
        list.add("cd", "another word").unwrap();
        assert_eq!(connected(&path).as_deref(), Some("containerd v2.1.9"));
        let expected = HashMap::from([entry("ab", "static-pod"), entry("cd", "clockgate.exempt=true")]);
        assert_eq!(exempt(&path), expected);
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o644);
        drop(list);
        assert!(connected(&path).is_none());
        assert_eq!(exempt(&path), expected, "a container stays what it is");
        // The next runtime has others.
        let _list = RuntimeList::publish(&path, "cri-o 1.33", &[]).unwrap();
        assert_eq!((connected(&path).as_deref(), exempt(&path).len()), (Some("cri-o 1.33"), 0));
    }

    #[test]
    fn half_a_line_and_another_version_say_nothing() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("public"));
        for (text, count) in [
            ("1 containerd\nab static-pod\ncd sta", 1),
            ("2 containerd\nab static-pod\n", 0),
            ("", 0),
            ("1 x\nab\n", 0),
        ] {
            fs::write(&path, text).unwrap();
            assert_eq!(exempt(&path).len(), count, "{text}");
        }
    }

    #[test]
    fn what_it_is_told_of_has_an_end() {
        let folder = tempfile::tempdir().unwrap();
        let path = beside(&folder.path().join("public"));
        let mut list = RuntimeList::publish(&path, "x", &[]).unwrap();
        (0..ADDED_MAX + 100).try_for_each(|id| list.add(&id.to_string(), "a")).unwrap();
        assert_eq!(exempt(&path).len(), ADDED_MAX);
    }
}

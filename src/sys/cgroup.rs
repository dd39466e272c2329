//! cgroup2 files: the freezer's mark and its confirmation (Linux 5.2, Documentation/admin-guide/cgroup-v2.rst).

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileExt, MetadataExt};
use std::path::{Component, Path, PathBuf};
use std::time::Duration;

use nix::errno::Errno;
use nix::fcntl::{OFlag, openat};
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::Mode;

/// A folder of the cgroup2 hierarchy, held open: what lies below is opened relative to it.
#[derive(Debug)]
pub struct Hierarchy {
    folder: File,
    path: PathBuf,
}

impl Hierarchy {
    /// Opens the folder.
    ///
    /// # Errors
    /// What open(2) said.
    pub fn open(path: &Path) -> io::Result<Self> {
        let flags = OFlag::O_PATH | OFlag::O_DIRECTORY | OFlag::O_CLOEXEC;
        let folder = nix::fcntl::open(path, flags, Mode::empty())?;
        Ok(Self { folder: folder.into(), path: path.to_owned() })
    }

    /// Where it lies.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The mark of a cgroup, named relative to this folder.
    ///
    /// # Errors
    /// What open(2) or fstat(2) said; [`is_gone`] is true where the cgroup was removed.
    pub fn mark(&self, cgroup: &Path) -> io::Result<CgroupMark> {
        let file = self.file(cgroup, "cgroup.freeze", OFlag::O_RDWR)?;
        let inode = file.metadata()?.ino();
        Ok(CgroupMark { file, inode })
    }

    /// The number of a cgroup's mark, if it is set: for callers that may read it and not write.
    ///
    /// # Errors
    /// As [`Self::mark`].
    pub fn set_mark(&self, cgroup: &Path) -> io::Result<Option<u64>> {
        let file = self.file(cgroup, "cgroup.freeze", OFlag::O_RDONLY)?;
        let inode = file.metadata()?.ino();
        Ok(CgroupMark { file, inode }.is_set()?.then_some(inode))
    }

    /// What the kernel says has become of a cgroup, named relative to this folder.
    ///
    /// # Errors
    /// As [`Self::mark`].
    pub fn events(&self, cgroup: &Path) -> io::Result<Events> {
        self.file(cgroup, "cgroup.events", OFlag::O_RDONLY).map(Events)
    }

    /// The processes in a cgroup itself, not in those below.
    ///
    /// # Errors
    /// As [`Self::mark`].
    pub fn processes(&self, cgroup: &Path) -> io::Result<Vec<u32>> {
        let text = io::read_to_string(self.file(cgroup, "cgroup.procs", OFlag::O_RDONLY)?)?;
        Ok(text.lines().filter_map(|line| line.parse().ok()).collect())
    }

    fn file(&self, cgroup: &Path, name: &str, flags: OFlag) -> io::Result<File> {
        // The names come from a ledger too: none may lead out of the folder.
        let mut parts = cgroup.components();
        if parts.clone().next().is_none() || !parts.all(|part| matches!(part, Component::Normal(_))) {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "not a path below the cgroup hierarchy"));
        }
        let flags = flags | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
        Ok(openat(self.folder.as_fd(), &cgroup.join(name), flags, Mode::empty())?.into())
    }
}

/// A cgroup's own mark, `cgroup.freeze`: whether a program asked to freeze it. A cgroup without one is frozen all the same
/// while one above it has one.
#[derive(Debug)]
pub struct CgroupMark {
    file: File,
    inode: u64,
}

impl CgroupMark {
    /// The number of the file: a cgroup that takes the place of another has a new one.
    #[must_use]
    pub const fn inode(&self) -> u64 {
        self.inode
    }

    /// Whether it is set.
    ///
    /// # Errors
    /// What read(2) said.
    pub fn is_set(&self) -> io::Result<bool> {
        let mut byte = [0];
        self.file.read_at(&mut byte, 0)?;
        Ok(byte == *b"1")
    }

    /// Sets it; the tasks stop one by one after that.
    ///
    /// # Errors
    /// What write(2) said.
    pub fn set(&self) -> io::Result<()> {
        self.file.write_all_at(b"1", 0)
    }

    /// Takes it away; the tasks go on at once, unless a cgroup above is frozen.
    ///
    /// # Errors
    /// What write(2) said.
    pub fn clear(&self) -> io::Result<()> {
        self.file.write_all_at(b"0", 0)
    }
}

/// Whether `cgroup.events` says this of its cgroup: `populated` or `frozen`. A line that is cut says nothing.
#[must_use]
pub fn is_said(events: &[u8], event: &str) -> bool {
    let says = |line: &[u8]| line.strip_suffix(b" 1\n").is_some_and(|name| name == event.as_bytes());
    events.split_inclusive(|byte| *byte == b'\n').any(says)
}

/// `cgroup.events`.
#[derive(Debug)]
pub struct Events(File);

impl Events {
    /// Whether every task below has stopped.
    ///
    /// # Errors
    /// What read(2) said.
    pub fn is_frozen(&self) -> io::Result<bool> {
        let mut bytes = [0; 64];
        let length = self.0.read_at(&mut bytes, 0)?;
        Ok(is_said(&bytes[..length], "frozen"))
    }

    /// Waits for every task below to stop, and says whether that came within `limit` of time awake.
    ///
    /// # Errors
    /// What read(2) or poll(2) said.
    pub fn wait_until_frozen(&self, limit: Duration) -> io::Result<bool> {
        let end = super::clock::monotonic_nanos().saturating_add(crate::decision::nanos_u64(limit));
        loop {
            // Reading arms the notification anew: what changes after this line ends the poll.
            if self.is_frozen()? {
                return Ok(true);
            }
            let left = end.saturating_sub(super::clock::monotonic_nanos());
            if left == 0 {
                return Ok(false);
            }
            // A millisecond too long rather than a busy loop.
            let left = PollTimeout::try_from(Duration::from_nanos(left).saturating_add(Duration::from_millis(1)));
            match poll(&mut [PollFd::new(self.0.as_fd(), PollFlags::POLLPRI)], left.unwrap_or(PollTimeout::MAX)) {
                Ok(_) | Err(Errno::EINTR) => {}
                Err(errno) => return Err(errno.into()),
            }
        }
    }
}

impl AsFd for Events {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}

/// Whether an error says that the cgroup was removed: before its file was opened, or while it was open.
#[must_use]
pub fn is_gone(error: &io::Error) -> bool {
    matches!(error.raw_os_error(), Some(libc::ENOENT | libc::ENODEV))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn folder() -> (tempfile::TempDir, Hierarchy) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("a")).unwrap();
        let hierarchy = Hierarchy::open(folder.path()).unwrap();
        (folder, hierarchy)
    }

    #[test]
    fn a_mark_is_set_and_cleared_and_belongs_to_one_cgroup() {
        let (folder, hierarchy) = folder();
        std::fs::write(folder.path().join("a/cgroup.freeze"), "0\n").unwrap();
        let mark = hierarchy.mark(Path::new("a")).unwrap();
        assert!(!mark.is_set().unwrap());
        mark.set().unwrap();
        assert!(mark.is_set().unwrap());
        assert_eq!(hierarchy.mark(Path::new("a")).unwrap().inode(), mark.inode());
        mark.clear().unwrap();
        assert!(!mark.is_set().unwrap());
        assert!(is_gone(&hierarchy.mark(Path::new("b")).unwrap_err()));
    }

    #[test]
    fn no_name_leads_out_of_the_hierarchy() {
        let (folder, _) = folder();
        std::fs::write(folder.path().join("cgroup.freeze"), "0\n").unwrap();
        let inner = Hierarchy::open(&folder.path().join("a")).unwrap();
        for name in ["", "..", "../a", "/a", "./a/.."] {
            assert_eq!(inner.mark(Path::new(name)).unwrap_err().kind(), io::ErrorKind::InvalidInput, "{name}");
        }
    }

    #[test]
    fn an_event_is_read_among_other_lines() {
        let (folder, hierarchy) = folder();
        for (text, is_frozen) in [
            ("populated 1\nfrozen 1\n", true),
            ("populated 0\nfrozen 0\n", false),
            ("populated 1\nfrozen 1", false),
            ("populated 1\nfrozen 10\n", false),
            ("", false),
        ] {
            std::fs::write(folder.path().join("a/cgroup.events"), text).unwrap();
            let events = hierarchy.events(Path::new("a")).unwrap();
            assert_eq!(events.is_frozen().unwrap(), is_frozen, "{text:?}");
        }
    }
}

//! What we froze and have to thaw, also after the agent was killed: a file in `/run`, written and synced before each freeze, gone with the
//! boot as the freezes are.
//!
//! It is only ever appended to, by the agent that freezes, the guard, and `clockgate thaw`, one write(2) at a time, and cut back
//! to nothing by the holder of its lock when nothing is frozen. What held a mark before us never gets a line. Everybody may read it, as the
//! tree of cgroups; the lock is a file of its own beside it, which only root may open: a user who may read a file may lock it.

use std::fs::{File, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use nix::errno::Errno;
use nix::fcntl::{Flock, FlockArg};

use super::WorkloadError;
use crate::decision::Boottime;
use crate::sys::public_files;

mod lines;

// For those who have a text and no file.
#[doc(hidden)]
pub use lines::{lines, parse};

/// Where it lies by default.
pub const PATH: &str = "/run/clockgate/ledger";

/// A cgroup that we froze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// Relative to the hierarchy.
    pub cgroup: PathBuf,
    /// The inode of its `cgroup.freeze`: a cgroup that took its place has another.
    pub inode: u64,
    /// The agent that froze it.
    pub session: u64,
    /// When, on CLOCK_BOOTTIME.
    pub since: Boottime,
}

impl Entry {
    /// What distinguishes it from others: a cgroup is frozen once by an agent.
    pub const fn key(&self) -> (u64, u64) {
        (self.session, self.inode)
    }
}

/// What is still to be thawed.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Contents {
    /// In the order of freezing.
    pub entries: Vec<Entry>,
    /// Lines that could not be read.
    pub damaged: usize,
    /// Lines of a later version, which only that can read.
    pub later: usize,
}

/// The ledger as those see it who thaw.
#[derive(Debug)]
pub struct Ledger {
    file: File,
    path: PathBuf,
    boot: String,
}

impl Ledger {
    /// Opens it; none where nothing was ever frozen.
    ///
    /// # Errors
    /// [`WorkloadError`] when it is there and cannot be opened.
    pub fn open(path: &Path, boot: &str) -> Result<Option<Self>, WorkloadError> {
        match options().open(path) {
            Ok(file) => Ok(Some(Self { file, path: path.to_owned(), boot: boot.to_owned() })),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(WorkloadError::from_io("open", path, error)),
        }
    }

    /// What is still to be thawed, for callers that may read it and not write; nothing where nothing was ever frozen.
    ///
    /// # Errors
    /// [`WorkloadError`] when it is there and cannot be read.
    pub fn look(path: &Path, boot: &str) -> Result<Contents, WorkloadError> {
        let options = OpenOptions::new().read(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC).to_owned();
        match options.open(path) {
            Ok(file) => Self { file, path: path.to_owned(), boot: boot.to_owned() }.read(),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(Contents::default()),
            Err(error) => Err(WorkloadError::from_io("open", path, error)),
        }
    }

    /// Opens it, or lays it there with the folder above it.
    ///
    /// # Errors
    /// [`WorkloadError`] when it cannot be opened or made.
    pub fn make(path: &Path, boot: &str) -> Result<Self, WorkloadError> {
        if let Some(folder) = path.parent() {
            public_files::folder(folder).map_err(|e| WorkloadError::from_io("make", folder, e))?;
        }
        let file =
            options().create(true).mode(0o644).open(path).map_err(|e| WorkloadError::from_io("make", path, e))?;
        // Every user may read it: `status` names what is frozen.
        public_files::file(&file).map_err(|e| WorkloadError::from_io("make readable", path, e))?;
        Ok(Self { file, path: path.to_owned(), boot: boot.to_owned() })
    }

    /// Everything that this boot has frozen and not thawed.
    ///
    /// # Errors
    /// [`WorkloadError`] when the file cannot be read.
    pub fn read(&self) -> Result<Contents, WorkloadError> {
        // Not from the file's position, which moves with what is written.
        let (mut bytes, mut part) = (vec![], vec![0; 1 << 16]);
        loop {
            match self.file.read_at(&mut part, bytes.len() as u64) {
                Ok(0) => break,
                Ok(length) => bytes.extend(&part[..length]),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(WorkloadError::from_io("read", &self.path, error)),
            }
        }
        Ok(parse(&bytes, &self.boot))
    }

    /// Notes what will be frozen; the caller freezes only after it returned.
    ///
    /// # Errors
    /// [`WorkloadError`] when the file cannot be written or synced: then nothing may be frozen.
    pub fn note_frozen(&self, entries: &[Entry]) -> Result<(), WorkloadError> {
        self.append(entries, "freeze")
    }

    /// Notes what was thawed.
    ///
    /// # Errors
    /// [`WorkloadError`] when the file cannot be written or synced: then it will be thawed again.
    pub fn note_thawed(&self, entries: &[Entry]) -> Result<(), WorkloadError> {
        self.append(entries, "thaw")
    }

    fn append(&self, entries: &[Entry], verb: &str) -> Result<(), WorkloadError> {
        let mut file = &self.file;
        file.write_all(&lines(entries, verb, &self.boot))
            .and_then(|()| self.file.sync_data())
            .map_err(|e| WorkloadError::from_io("write", &self.path, e))
    }

    /// Cuts it back to nothing, if nothing is frozen and no process that may freeze holds it.
    ///
    /// # Errors
    /// [`WorkloadError`] when it cannot be read or cut.
    pub fn tidy(self) -> Result<(), WorkloadError> {
        match LockedLedger::take(self) {
            Ok(held) => held.tidy(),
            // The agent tidies up by itself.
            Err(WorkloadError::Held(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }
}

/// The ledger as the agent sees it who freezes: one at a time, by a lock that ends with its process.
#[derive(Debug)]
pub struct LockedLedger {
    ledger: Ledger,
    _lock: Flock<File>,
}

impl LockedLedger {
    /// Takes the ledger for itself.
    ///
    /// # Errors
    /// [`WorkloadError::Held`] when another agent has it.
    pub fn take(ledger: Ledger) -> Result<Self, WorkloadError> {
        let path = ledger.path.with_extension("lock");
        let file =
            options().create(true).mode(0o600).open(&path).map_err(|e| WorkloadError::from_io("open", &path, e))?;
        match Flock::lock(file, FlockArg::LockExclusiveNonblock) {
            Ok(lock) => Ok(Self { ledger, _lock: lock }),
            Err((_, Errno::EWOULDBLOCK)) => Err(WorkloadError::Held(ledger.path)),
            Err((_, errno)) => Err(WorkloadError::from_io("lock", &ledger.path, errno.into())),
        }
    }

    /// Cuts it back to nothing, if nothing is frozen, by a later version neither.
    ///
    /// # Errors
    /// [`WorkloadError`] when it cannot be read or cut.
    pub fn tidy(&self) -> Result<(), WorkloadError> {
        let contents = self.ledger.read()?;
        if !contents.entries.is_empty() || contents.later > 0 {
            return Ok(());
        }
        self.ledger.file.set_len(0).map_err(|e| WorkloadError::from_io("cut", &self.ledger.path, e))
    }
}

impl std::ops::Deref for LockedLedger {
    type Target = Ledger;

    fn deref(&self) -> &Ledger {
        &self.ledger
    }
}

fn options() -> OpenOptions {
    let mut options = OpenOptions::new();
    options.read(true).append(true).custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC);
    options
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::fs;

    const BOOT: &str = "1b4e28ba-2fa1-11d2-883f-0016d3cca427";

    fn entry(cgroup: &str, inode: u64) -> Entry {
        Entry { cgroup: PathBuf::from(cgroup), inode, session: 7, since: Boottime::from_nanos(9) }
    }

    struct TestLedger(tempfile::TempDir);

    impl TestLedger {
        fn new() -> Self {
            Self(tempfile::tempdir().unwrap())
        }

        fn path(&self) -> PathBuf {
            self.0.path().join("run/ledger")
        }

        fn open(&self) -> Ledger {
            Ledger::make(&self.path(), BOOT).unwrap()
        }
    }

    #[test]
    fn what_was_frozen_is_read_back_and_what_was_thawed_is_done() {
        let test_ledger = TestLedger::new();
        assert!(Ledger::open(&test_ledger.path(), BOOT).unwrap().is_none());
        let ledger = test_ledger.open();
        let (a, b) = (entry("docker/a", 1), entry("machine.slice/with a blank.scope", 2));
        ledger.note_frozen(&[a.clone(), b.clone()]).unwrap();
        assert_eq!(
            test_ledger.open().read().unwrap(),
            Contents { entries: vec![a.clone(), b.clone()], damaged: 0, later: 0 }
        );
        ledger.note_thawed(&[b]).unwrap();
        assert_eq!(test_ledger.open().read().unwrap().entries, [a]);
    }

    #[test]
    fn a_thaw_is_for_the_cgroup_and_the_session_that_it_names() {
        let ledger = TestLedger::new().open();
        let frozen = entry("docker/a", 1);
        ledger.note_frozen(std::slice::from_ref(&frozen)).unwrap();
        ledger.note_thawed(&[Entry { session: 8, ..frozen.clone() }, Entry { inode: 2, ..frozen.clone() }]).unwrap();
        assert_eq!(ledger.read().unwrap().entries, std::slice::from_ref(&frozen));
        ledger.note_thawed(std::slice::from_ref(&frozen)).unwrap();
        ledger.note_frozen(std::slice::from_ref(&frozen)).unwrap();
        assert_eq!(ledger.read().unwrap().entries, [frozen], "frozen again after it was thawed");
    }

    #[test]
    fn another_boot_froze_nothing_of_this_one() {
        let test_ledger = TestLedger::new();
        test_ledger.open().note_frozen(&[entry("docker/a", 1)]).unwrap();
        let later = Ledger::open(&test_ledger.path(), "00000000-0000-0000-0000-000000000000").unwrap().unwrap();
        assert_eq!(later.read().unwrap(), Contents::default());
    }

    #[test]
    fn one_agent_at_a_time_freezes_and_tidies_up_only_when_nothing_is_frozen() {
        let test_ledger = TestLedger::new();
        let held = LockedLedger::take(test_ledger.open()).unwrap();
        assert!(matches!(LockedLedger::take(test_ledger.open()), Err(WorkloadError::Held(_))));
        let a = entry("docker/a", 1);
        held.note_frozen(std::slice::from_ref(&a)).unwrap();
        held.tidy().unwrap();
        assert_eq!(held.read().unwrap().entries, std::slice::from_ref(&a));
        test_ledger.open().note_thawed(&[a]).unwrap();
        test_ledger.open().tidy().unwrap();
        assert_ne!(fs::metadata(test_ledger.path()).unwrap().len(), 0, "not while another holds it");
        held.tidy().unwrap();
        assert_eq!(fs::metadata(test_ledger.path()).unwrap().len(), 0);
    }

    #[test]
    fn a_line_cut_short_takes_no_other_with_it() {
        let test_ledger = TestLedger::new();
        let (a, b, c) = (entry("docker/a", 1), entry("docker/b", 2), entry("docker/c", 3));
        test_ledger.open().note_frozen(&[a.clone(), b]).unwrap();
        let whole = fs::read(test_ledger.path()).unwrap();
        let file = OpenOptions::new().write(true).open(test_ledger.path()).unwrap();
        file.set_len(whole.len() as u64 - 4).unwrap();
        test_ledger.open().note_frozen(std::slice::from_ref(&c)).unwrap();
        assert_eq!(test_ledger.open().read().unwrap(), Contents { entries: vec![a, c], damaged: 1, later: 0 });
        // Without its end alone a line is whole.
        fs::write(test_ledger.path(), &whole[..whole.len() - 1]).unwrap();
        assert_eq!(test_ledger.open().read().unwrap().entries.len(), 2);
    }

    #[test]
    fn a_line_of_a_later_version_is_counted_and_never_cut_away() {
        let test_ledger = TestLedger::new();
        let held = LockedLedger::take(test_ledger.open()).unwrap();
        let a = entry("docker/a", 1);
        held.note_frozen(std::slice::from_ref(&a)).unwrap();
        let later = format!("freeze2 {BOOT} 7 1 9 runc docker/b");
        let mut file = OpenOptions::new().append(true).open(test_ledger.path()).unwrap();
        writeln!(file, "{:016x} {later}", lines::checksum(later.as_bytes())).unwrap();
        assert_eq!(held.read().unwrap(), Contents { entries: vec![a.clone()], damaged: 0, later: 1 });
        held.note_thawed(&[a]).unwrap();
        held.tidy().unwrap();
        assert_eq!(held.read().unwrap(), Contents { entries: vec![], damaged: 0, later: 1 });
    }

    proptest! {
        #[test]
        fn damage_anywhere_loses_the_lines_that_it_hits_and_no_other(
            names in proptest::collection::vec("[a-z]{1,8}( [a-z]{1,4})?", 1..20),
            damage in proptest::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        ) {
            let entries: Vec<Entry> = (1..).zip(&names).map(|(inode, name)| entry(name, inode)).collect();
            let whole = lines(&entries, "freeze", BOOT);
            let mut bytes = whole.clone();
            for (at, byte) in &damage {
                *at.get_mut(&mut bytes) = *byte;
            }
            let read = parse(&bytes, BOOT).entries;
            // A line survives whose bytes are what they were, with the ends of the lines beside it.
            let mut start = 1;
            for (line, entry) in whole[1..].split_inclusive(|byte| *byte == b'\n').zip(&entries) {
                let (from, to) = (start - 1, start + line.len());
                start = to;
                if whole[from..to] == bytes[from..to] {
                    prop_assert!(read.contains(entry), "{entry:?}");
                }
            }
            prop_assert!(read.iter().all(|entry| entries.contains(entry)), "nothing is read that was not written");
        }

        #[test]
        fn no_bytes_make_the_reader_fail(bytes in proptest::collection::vec(any::<u8>(), 0..400)) {
            let _ = parse(&bytes, BOOT);
        }
    }
}

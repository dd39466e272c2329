//! The gate page as its one writer sees it. The inode lives from boot to boot: it is never renamed and never removed, since
//! containers have it mounted and waiters sleep on it.

use std::fs::{File, OpenOptions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};

use crate::decision::{Epoch, Gate, Snapshot, nanos_u64};
use crate::page::{FILE, MAGIC, UNKNOWN, VERSION, WHY_LEN, at, boot_id};
use crate::sys::futex;
use crate::sys::mapping::{LEN, WritableMapping};

/// Why the page cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}", path = path.display())]
pub struct Error {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The page, locked against a second agent for as long as it lives.
#[derive(Debug)]
pub struct GatePage {
    mapping: WritableMapping,
    sequence: u32,
    _lock: nix::fcntl::Flock<File>,
}

impl GatePage {
    /// Opens the page in `directory`, or lays it there; shut, and with the epoch of the last agent of this boot.
    ///
    /// # Errors
    /// [`Error`], also when another agent holds the page.
    pub fn open(directory: &Path) -> Result<(Self, Epoch), Error> {
        let path = directory.join(FILE);
        let failed = |what| {
            let path = path.clone();
            move |source| Error { what, path, source }
        };
        // The lock is on a file of its own beside the folder: a container, which may open the page, could hold a lock on it.
        let lock_path = directory.with_extension("lock");
        make(directory).map_err(|source| Error { what: "make", path: directory.to_owned(), source })?;
        let lock = lock(&lock_path).map_err(|source| Error {
            what: "lock (is another agent running?)",
            path: lock_path,
            source,
        })?;
        let file = OpenOptions::new()
            .read(true)
            .write(true)
            .create(true)
            .mode(0o644)
            .custom_flags(libc::O_NOFOLLOW | libc::O_CLOEXEC)
            .open(&path)
            .map_err(failed("open"))?;
        // Readers are everybody, whatever the umask.
        file.set_permissions(PermissionsExt::from_mode(0o644)).map_err(failed("make readable"))?;
        if file.metadata().map_err(failed("look at"))?.len() != LEN as u64 {
            file.set_len(LEN as u64).map_err(failed("lay"))?;
        }
        let mapping = WritableMapping::new(&file).map_err(failed("map"))?;
        let mut page = Self { mapping, sequence: 0, _lock: lock };
        let epoch = page.adopt();
        Ok((page, epoch))
    }

    /// Publishes the snapshot: a gate that shuts is shut before anything else is written, one that opens is opened last.
    pub fn publish(&mut self, snapshot: &Snapshot) {
        let word = snapshot.gate as u32;
        let before = self.mapping.reader().load_u32(at::GATE);
        if snapshot.gate == Gate::Shut {
            self.mapping.store_u32(at::GATE, word);
        }
        self.write(|page| page.store_fields(snapshot));
        self.mapping.store_u32(at::GATE, word);
        if word != before {
            // Fails for no mapped word; and nobody sleeps for longer than it takes to look again.
            drop(futex::wake_all(&self.mapping, at::GATE));
        }
    }

    /// Takes over what the last agent left: repairs the lock, shuts the gate, continues the epoch of this boot.
    fn adopt(&mut self) -> Epoch {
        let (old_magic, old_epoch) =
            (self.mapping.reader().load_u64(at::MAGIC), self.mapping.reader().load_u64(at::EPOCH));
        let id = boot_id().unwrap_or_default();
        let same_boot = old_magic == MAGIC
            && self.words(at::BOOT_ID, &id).all(|(at, word)| self.mapping.reader().load_u64(at) == word);
        self.sequence = self.mapping.reader().load_u32(at::SEQUENCE) & !1;
        let epoch = Epoch::new(if same_boot { old_epoch } else { 0 });
        self.mapping.store_u32(at::GATE, Gate::Shut as u32);
        self.write(|page| {
            page.store_bytes(at::BOOT_ID, &id);
            page.store_fields(&Snapshot { epoch, why: "the agent is starting".to_owned(), ..Snapshot::default() });
            page.mapping.store_u32(at::SIZE, u32::try_from(at::END).unwrap_or(0));
            page.mapping.store_u32(at::VERSION, VERSION);
            page.mapping.store_u64(at::MAGIC, MAGIC);
        });
        drop(futex::wake_all(&self.mapping, at::GATE));
        epoch
    }

    /// Writes inside the sequence lock.
    fn write(&mut self, fields: impl FnOnce(&Self)) {
        self.mapping.store_u32(at::SEQUENCE, self.sequence.wrapping_add(1));
        fields(self);
        self.sequence = self.sequence.wrapping_add(2);
        self.mapping.store_u32(at::SEQUENCE, self.sequence);
    }

    fn store_fields(&self, snapshot: &Snapshot) {
        let page = &self.mapping;
        page.store_u64(at::EPOCH, snapshot.epoch.get());
        page.store_u32(at::STATE, snapshot.state);
        page.store_u32(at::CAUSE, snapshot.cause.code());
        page.store_u64(at::OFFSET, snapshot.offset.map_or(UNKNOWN, |offset| offset.as_nanos().cast_unsigned()));
        page.store_u64(at::BOUND, snapshot.bound.map_or(UNKNOWN, nanos_u64));
        page.store_u64(at::AS_OF, snapshot.as_of.as_nanos());
        page.store_u64(at::THRESHOLD, nanos_u64(snapshot.threshold));
        page.store_u64(at::VALID_UNTIL, snapshot.valid_until.as_nanos());
        page.store_u64(at::SINCE, snapshot.since.as_nanos());
        page.store_u64(at::DEADLINE, snapshot.deadline.as_nanos());
        page.store_u32(at::MAX_DRIFT, snapshot.max_drift_ppm);
        let mut why = [0; WHY_LEN];
        let text = &snapshot.why[..snapshot.why.floor_char_boundary(WHY_LEN)];
        why[..text.len()].copy_from_slice(text.as_bytes());
        self.store_bytes(at::WHY, &why);
    }

    fn store_bytes(&self, at: usize, bytes: &[u8]) {
        self.words(at, bytes).for_each(|(at, word)| self.mapping.store_u64(at, word));
    }

    /// `bytes`, a multiple of eight of them, as the words that stand from `at` on.
    fn words<'a>(&self, at: usize, bytes: &'a [u8]) -> impl Iterator<Item = (usize, u64)> + use<'a> {
        bytes.chunks_exact(8).enumerate().map(move |(i, chunk)| {
            let mut word = [0; 8];
            word.copy_from_slice(chunk);
            (at + i * 8, u64::from_ne_bytes(word))
        })
    }
}

/// Shuts the gate of an agent that is gone; nothing to do where it left no page.
///
/// # Errors
/// [`Error`], also when an agent is alive after all: its gate is its own.
pub fn shut(directory: &Path) -> Result<(), Error> {
    if directory.join(FILE).exists() { GatePage::open(directory).map(|_| ()) } else { Ok(()) }
}

fn make(directory: &Path) -> io::Result<()> {
    std::fs::DirBuilder::new().recursive(true).mode(0o755).create(directory)
}

fn lock(path: &Path) -> io::Result<nix::fcntl::Flock<File>> {
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .custom_flags(libc::O_NOFOLLOW)
        .open(path)?;
    nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusiveNonblock).map_err(|(_, errno)| errno.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Boottime, Cause, Offset};
    use crate::page::{self, Page};
    use crate::sys::clock::boottime;
    use std::time::Duration;

    fn proven() -> Snapshot {
        Snapshot {
            state: 4,
            gate: Gate::Proven,
            epoch: Epoch::new(7),
            cause: Cause::Resume { slept: Duration::from_secs(12) },
            offset: Some(Offset::from_nanos(-5)),
            bound: Some(Duration::from_millis(3)),
            as_of: boottime(),
            threshold: Duration::from_millis(200),
            valid_until: boottime() + Duration::from_secs(100),
            max_drift_ppm: 500,
            ..Snapshot::default()
        }
    }

    #[test]
    fn a_reader_sees_what_was_published() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let (mut writer, _) = GatePage::open(directory.path())?;
        writer.publish(&proven());
        let view = Page::open(directory.path())?.read();
        assert_eq!(
            (view.gate, view.epoch, view.cause_name(), view.state_name()),
            (Gate::Proven, 7, "resume", "Synchronized")
        );
        assert_eq!((view.offset, view.bound), (Some(Offset::from_nanos(-5)), Some(Duration::from_millis(3))));
        let why = "ä".repeat(WHY_LEN);
        writer.publish(&Snapshot { gate: Gate::Shut, why: why.clone(), ..proven() });
        let view = Page::open(directory.path())?.read();
        assert_eq!((view.gate, view.why), (Gate::Shut, why[..WHY_LEN].to_owned()));
        Ok(())
    }

    #[test]
    fn a_proof_that_has_expired_is_shut() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let (mut writer, _) = GatePage::open(directory.path())?;
        writer.publish(&Snapshot { valid_until: Boottime::from_nanos(1), ..proven() });
        assert_eq!(Page::open(directory.path())?.read().gate, Gate::Shut);
        Ok(())
    }

    #[test]
    fn a_starting_agent_shuts_repairs_and_continues_the_epoch() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let (mut writer, first) = GatePage::open(directory.path())?;
        assert_eq!(first, Epoch::new(0));
        writer.publish(&proven());
        // Killed inside the lock.
        writer.mapping.store_u32(at::SEQUENCE, writer.sequence + 1);
        let reader = Page::open(directory.path())?;
        assert_eq!(reader.read().gate, Gate::Shut);
        drop(writer);
        let (mut writer, epoch) = GatePage::open(directory.path())?;
        assert_eq!((epoch, reader.read().gate), (Epoch::new(7), Gate::Shut));
        writer.publish(&proven());
        assert_eq!(reader.read().gate, Gate::Proven, "the same inode");
        Ok(())
    }

    #[test]
    fn a_second_agent_is_refused() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let _first = GatePage::open(directory.path())?;
        assert!(GatePage::open(directory.path()).is_err_and(|e| e.to_string().contains("another agent")));
        Ok(())
    }

    #[test]
    fn foreign_short_and_absent_pages_are_told_apart() -> Result<(), Box<dyn std::error::Error>> {
        let directory = tempfile::tempdir()?;
        let open = || Page::open(directory.path());
        assert!(matches!(open(), Err(page::Error::Absent(_))));
        let path = directory.path().join(FILE);
        // An agent is about to begin: it has made the file, or has written all but the first word.
        std::fs::write(&path, "")?;
        assert!(matches!(open(), Err(page::Error::Absent(_))));
        let mut begun = [0; LEN];
        begun[8..12].copy_from_slice(&VERSION.to_ne_bytes());
        std::fs::write(&path, begun)?;
        assert!(matches!(open(), Err(page::Error::Absent(_))));
        std::fs::write(&path, "CLKGATE\0")?;
        assert!(matches!(open(), Err(page::Error::Foreign { .. })));
        std::fs::write(&path, [1; LEN])?;
        assert!(matches!(open(), Err(page::Error::Foreign { .. })));
        let mut later = [0; LEN];
        later[..8].copy_from_slice(&MAGIC.to_ne_bytes());
        later[8..12].copy_from_slice(&2_u32.to_ne_bytes());
        std::fs::write(&path, later)?;
        assert!(open().is_err_and(|e| e.to_string().contains("its version is 2")));
        // Of our version, and of another boot.
        later[8..12].copy_from_slice(&VERSION.to_ne_bytes());
        std::fs::write(&path, later)?;
        assert!(matches!(open(), Err(page::Error::Absent(_))));
        Ok(())
    }
}

//! The gate page as its one writer sees it. The inode lives from boot to boot: it is never renamed, and removed only where a lease
//! keeps us from opening it, since containers have it mounted and waiters sleep on it.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decision::{Boottime, ClockMeasurement, Differences, Epoch, Gate, LeapSecond, Offset, Snapshot, nanos_u64};
use crate::page::protocol::{Published, Writer};
use crate::page::sys::mapping::{LEN, WritableMapping};
use crate::page::{BY_AUTHENTICATED, BY_PLAIN, ENDED, FILE, MAGIC, UNKNOWN, VERSION, WHY_LEN, at, boot_id};
use crate::sys::clock::boottime;
use crate::sys::public_files;

/// An agent that starts says that it lives before that.
const STARTS_WITHIN: Duration = Duration::from_secs(30);

/// Why the page cannot be written.
#[derive(Debug, thiserror::Error)]
#[error("cannot {what} {path}", path = path.display())]
pub struct GatePageError {
    what: &'static str,
    path: PathBuf,
    source: io::Error,
}

/// The page, locked against a second agent for as long as it lives.
#[derive(Debug)]
pub struct GatePage {
    path: PathBuf,
    file: File,
    mapping: WritableMapping,
    writer: Writer,
    boot_id: [u8; 16],
    /// What was published last: a page that was removed is written anew from it.
    last: Snapshot,
    alive_until: Boottime,
    /// How many waiters the last publication woke.
    woken: u64,
    _lock: nix::fcntl::Flock<File>,
}

impl GatePage {
    /// Opens the page in `directory`, or lays it there; shut, and with the epoch of the last agent of this boot.
    ///
    /// # Errors
    /// [`GatePageError`], also when another agent holds the page.
    pub fn open(directory: &Path) -> Result<(Self, Epoch), GatePageError> {
        let mut page = Self::locked(directory)?;
        let epoch = page.adopt();
        Ok((page, epoch))
    }

    /// Publishes the snapshot: a gate that shuts is shut before anything else is written, one that opens is opened last.
    ///
    /// # Errors
    /// [`GatePageError`] where the page was removed and cannot be made anew.
    pub fn publish(&mut self, snapshot: &Snapshot) -> Result<(), GatePageError> {
        self.last.clone_from(snapshot);
        self.mend()?;
        let word = snapshot.gate as u32;
        // Who waits with a wider tolerance sleeps on the same word, which stays as it is.
        let wakes = self.mapping.reader().load_u64(at::MEASURED_BOUND) == UNKNOWN && snapshot.measured.is_some();
        let alive_until = self.alive_until;
        self.woken = self
            .writer
            .publish(&self.mapping, Published { word, wakes }, |page| store_fields(page, snapshot, alive_until));
        Ok(())
    }

    /// How many waiters slept at the page when it was published last, and were woken by that.
    #[must_use]
    pub const fn woken(&self) -> u64 {
        self.woken
    }

    /// Says that the agent lives, and will have said so again by `until`.
    ///
    /// # Errors
    /// As [`GatePage::publish`].
    pub fn alive(&mut self, until: Boottime) -> Result<(), GatePageError> {
        self.alive_until = until;
        if self.mend()? {
            return self.publish(&self.last.clone());
        }
        self.writer.write(&self.mapping, |page| page.store_u64(at::ALIVE_UNTIL, until.as_nanos()));
        Ok(())
    }

    /// The state in which the page is left when the agent ends: the gate is shut, and why.
    ///
    /// # Errors
    /// As [`GatePage::publish`].
    pub fn end(&mut self, why: &str) -> Result<(), GatePageError> {
        self.alive_until = boottime();
        let (valid_until, deadline, next) = (Boottime::default(), Boottime::default(), Boottime::default());
        let last = Snapshot {
            valid_until,
            deadline,
            next,
            state: ENDED,
            gate: Gate::Shut,
            measured: None,
            why: format!("the agent has ended: {why}").into(),
            ..self.last.clone()
        };
        self.publish(&last)
    }

    /// Opens or lays the page as the only one who writes it, and leaves it as it is.
    fn locked(directory: &Path) -> Result<Self, GatePageError> {
        // The lock is on a file of its own beside the folder: a container, which may open the page, could hold a lock on it.
        let lock_path = directory.with_extension("lock");
        public_files::folder(directory).map_err(|source| GatePageError {
            what: "make",
            path: directory.to_owned(),
            source,
        })?;
        let lock = lock(&lock_path).map_err(|source| GatePageError {
            what: "lock (is another agent running?)",
            path: lock_path,
            source,
        })?;
        let path = directory.join(FILE);
        let file = lay(&path)?;
        let mapping =
            WritableMapping::new(&file).map_err(|source| GatePageError { what: "map", path: path.clone(), source })?;
        let (boot_id, last, alive_until) = (boot_id().unwrap_or_default(), Snapshot::default(), Boottime::default());
        let writer = Writer::default();
        Ok(Self { path, file, mapping, writer, boot_id, last, alive_until, woken: 0, _lock: lock })
    }

    /// Takes over what the last agent left: repairs the lock, shuts the gate, continues the epoch of this boot.
    fn adopt(&mut self) -> Epoch {
        let epoch = if self.is_of_this_boot_and_version() { self.mapping.reader().load_u64(at::EPOCH) } else { 0 };
        let epoch = Epoch::new(epoch);
        self.last = Snapshot { epoch, why: "the agent is starting".into(), ..Snapshot::default() };
        self.alive_until = boottime() + STARTS_WITHIN;
        self.write_whole();
        epoch
    }

    /// Everything, the header last; the gate is shut.
    fn write_whole(&mut self) {
        let (boot_id, last, alive_until) = (&self.boot_id, &self.last, self.alive_until);
        self.writer.take_over(&self.mapping, |page| {
            store_bytes(page, at::BOOT_ID, boot_id);
            store_fields(page, last, alive_until);
            page.store_u32(at::SIZE, u32::try_from(at::END).unwrap_or(0));
            page.store_u32(at::VERSION, VERSION);
            page.store_u64(at::MAGIC, MAGIC);
        });
    }

    /// Whether the page had been truncated or removed; then there is a whole one again, shut.
    fn mend(&mut self) -> Result<bool, GatePageError> {
        let found = self.file.metadata();
        if found.is_ok_and(|found| found.len() >= LEN as u64 && found.nlink() > 0) {
            return Ok(false);
        }
        // Behind the end of a file that was cut short there is nothing to store into: the kernel would end us (SIGBUS).
        if let Some(directory) = self.path.parent() {
            public_files::folder(directory).map_err(|source| GatePageError {
                what: "make",
                path: directory.to_owned(),
                source,
            })?;
        }
        self.file = lay(&self.path)?;
        self.mapping = WritableMapping::new(&self.file).map_err(|source| GatePageError {
            what: "map",
            path: self.path.clone(),
            source,
        })?;
        self.write_whole();
        Ok(true)
    }

    /// Whether what is there can be taken over: where another version has an epoch or a state is not known.
    fn is_of_this_boot_and_version(&self) -> bool {
        let page = self.mapping.reader();
        page.load_u64(at::MAGIC) == MAGIC
            && page.load_u32(at::VERSION) == VERSION
            && words(at::BOOT_ID, &self.boot_id).all(|(at, word)| page.load_u64(at) == word)
    }
}

fn proven_by(snapshot: &Snapshot) -> u32 {
    match (snapshot.gate, snapshot.is_authenticated) {
        (Gate::Proven, true) => BY_AUTHENTICATED,
        (Gate::Proven, false) => BY_PLAIN,
        (Gate::Shut | Gate::Unproven, _) => 0,
    }
}

/// Shuts the gate of an agent that has ended, unless it has left its page shut itself; nothing to do where it left no page.
///
/// # Errors
/// [`GatePageError`], also when an agent is alive after all: its gate is its own.
pub fn shut(directory: &Path, why: &str) -> Result<(), GatePageError> {
    if !directory.join(FILE).exists() {
        return Ok(());
    }
    let mut page = GatePage::locked(directory)?;
    if page.is_of_this_boot_and_version() && page.mapping.reader().load_u32(at::STATE) == ENDED {
        return Ok(());
    }
    page.adopt();
    page.end(why)
}

/// The state in which the page is left by an agent that could not start.
///
/// # Errors
/// [`GatePageError`], also when another agent is alive: the page is its own.
pub fn last_words(directory: &Path, why: &str) -> Result<(), GatePageError> {
    let (mut page, _) = GatePage::open(directory)?;
    page.end(why)
}

fn store_fields(page: &WritableMapping, snapshot: &Snapshot, alive_until: Boottime) {
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
    page.store_u64(at::NEXT, snapshot.next.as_nanos());
    page.store_u32(at::MAX_DRIFT, snapshot.max_drift_ppm);
    page.store_u32(at::PROVEN_BY, proven_by(snapshot));
    page.store_u64(at::ALIVE_UNTIL, alive_until.as_nanos());
    let Differences { real_minus_boot, boot_minus_mono, mono_minus_raw } = snapshot.differences;
    page.store_u64(at::REAL_MINUS_BOOT, real_minus_boot.as_nanos().cast_unsigned());
    page.store_u64(at::BOOT_MINUS_MONO, nanos_u64(boot_minus_mono));
    page.store_u64(at::MONO_MINUS_RAW, mono_minus_raw.as_nanos().cast_unsigned());
    let none = LeapSecond { at: Boottime::default(), change: Offset::ZERO };
    let LeapSecond { at, change } = snapshot.leap_second.unwrap_or(none);
    page.store_u64(at::LEAP_AT, at.as_nanos());
    page.store_u64(at::LEAP, change.as_nanos().cast_unsigned());
    store_measured(page, snapshot.measured.as_ref(), snapshot.epoch);
    let mut why = [0; WHY_LEN];
    let text = snapshot.why.to_string();
    let text = &text[..text.floor_char_boundary(WHY_LEN)];
    why[..text.len()].copy_from_slice(text.as_bytes());
    store_bytes(page, at::WHY, &why);
}

/// What a waiter with a wider tolerance goes by, or that there is nothing.
fn store_measured(page: &WritableMapping, measured: Option<&ClockMeasurement>, epoch: Epoch) {
    let Some(measured) = measured else {
        page.store_u64(at::MEASURED_BOUND, UNKNOWN);
        return;
    };
    let differences = measured.differences.unwrap_or_default();
    page.store_u64(at::MEASURED_OFFSET, measured.offset.as_nanos().cast_unsigned());
    page.store_u64(at::MEASURED_BOUND, nanos_u64(measured.bound));
    page.store_u64(at::MEASURED_AS_OF, measured.as_of.as_nanos());
    page.store_u64(at::MEASURED_UNTIL, measured.valid_until.as_nanos());
    page.store_u64(at::MEASURED_EPOCH, epoch.get());
    page.store_u64(at::MEASURED_REAL_MINUS_BOOT, differences.real_minus_boot.as_nanos().cast_unsigned());
    page.store_u64(at::MEASURED_BOOT_MINUS_MONO, nanos_u64(differences.boot_minus_mono));
    page.store_u64(at::MEASURED_MONO_MINUS_RAW, differences.mono_minus_raw.as_nanos().cast_unsigned());
    page.store_u32(at::MEASURED_MAX_DRIFT, measured.max_drift_ppm);
}

fn store_bytes(page: &WritableMapping, at: usize, bytes: &[u8]) {
    words(at, bytes).for_each(|(at, word)| page.store_u64(at, word));
}

/// `bytes`, a multiple of eight of them, as the words that stand from `at` on.
fn words(at: usize, bytes: &[u8]) -> impl Iterator<Item = (usize, u64)> {
    bytes.chunks_exact(8).enumerate().map(move |(i, chunk)| {
        let mut word = [0; 8];
        word.copy_from_slice(chunk);
        (at + i * 8, u64::from_ne_bytes(word))
    })
}

/// The page as a file that has its memory: on a full /run, storing into a hole would end us, and every reader of it (SIGBUS).
fn lay(path: &Path) -> Result<File, GatePageError> {
    let failed = |what| move |source| GatePageError { what, path: path.to_owned(), source };
    let file = match open(path) {
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => replace(path),
        opened => opened,
    };
    let file = file.map_err(failed("open"))?;
    let found = file.metadata().map_err(failed("look at"))?;
    if !found.is_file() {
        let source = io::Error::other("the path of the page is not a regular file");
        return Err(failed("use")(source));
    }
    // Every user is a reader, whichever umask we have.
    public_files::file(&file).map_err(failed("make readable"))?;
    if found.len() != LEN as u64 {
        file.set_len(LEN as u64).map_err(failed("lay"))?;
    }
    match nix::fcntl::posix_fallocate(&file, 0, LEN as libc::off_t) {
        // Not every file system can; those that hold /run can.
        Ok(()) | Err(nix::errno::Errno::EOPNOTSUPP) => Ok(file),
        Err(errno) => Err(failed("allocate (is the file system full?)")(errno.into())),
    }
}

/// Another file in its place, a FIFO too, does not block us.
const NEVER_BLOCKS: i32 = libc::O_NOFOLLOW | libc::O_NONBLOCK | libc::O_CLOEXEC;

fn open(path: &Path) -> io::Result<File> {
    let mut options = OpenOptions::new();
    options.read(true).write(true).create(true).truncate(false).mode(0o644).custom_flags(NEVER_BLOCKS).open(path)
}

/// A new file with the contents of the one that a lease keeps us from opening. Root in a container, without a user namespace, may
/// take one once the agent is gone, and again whenever the kernel has broken it; on a file that is open for writing no process
/// can (fcntl(2), `F_SETLEASE`). What a write lease hides is lost, and the page begins anew.
fn replace(path: &Path) -> io::Result<File> {
    let mut left = vec![];
    match OpenOptions::new().read(true).custom_flags(NEVER_BLOCKS).open(path) {
        Ok(leased) => drop(leased.take(LEN as u64).read_to_end(&mut left)?),
        Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
        Err(error) => return Err(error),
    }
    fs::remove_file(path)?;
    let mut file = open(path)?;
    file.write_all(&left)?;
    Ok(file)
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
mod tests;

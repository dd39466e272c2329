//! ClockBound's page, `/run/clockbound/shm0`: programs that already ask ClockBound see our disruptions and our bound
//! without knowing of us. Off by default, and never where a ClockBound daemon runs.
//!
//! Version 2 of the layout (docs/PROTOCOL.md of aws/clock-bound and its crate clock-bound-shm), 80 bytes, native
//! endian:
//!
//! | at | | |
//! |---|---|---|
//! | 0 | u32, u32 | magic, 0x414D5A4E and 0x43420200 |
//! | 8 | u32 | size of the page |
//! | 12 | u16 | version of the layout |
//! | 14 | u16 | generation: odd while the page is being written, never 0 once it was |
//! | 16 | i64, i64 | `as_of`: seconds and nanoseconds of CLOCK_MONOTONIC_COARSE |
//! | 32 | i64, i64 | `void_after`: the same clock |
//! | 48 | i64 | the bound at `as_of`, nanoseconds |
//! | 56 | u64 | disruption marker: our epoch |
//! | 64 | u32 | rate the bound grows at, parts per billion |
//! | 68 | i32 | status: 0 unknown, 1 synchronized, 2 free running, 3 disrupted |
//! | 72 | u8 | whether clients are to read /dev/vmclock0 themselves and compare its marker with ours: no |
//! | 73 | 7 bytes | padding to a client, zero from a ClockBound daemon; ours says `clkgate`, so that we know our own |
//!
//! **No wake-ups for its sake.** A client trusts `Synchronized` for 5 s after `as_of` and then reads `FreeRunning` out
//! of it, until `void_after`; both mean that the bound holds, and the client grows it. We publish when something
//! changed, as the gate page does: clients see `Synchronized` for 5 s after each proof, `FreeRunning` until the next,
//! and a bound that is true all the while. A caller that wants `Synchronized` throughout publishes the same snapshot again
//! every few seconds.
//!
//! **Plain writes.** Clients map the file, we write it with pwrite(2): the page cache is the same memory, and two calls
//! on one file are in order for a reader that sees the second (both take the inode's lock). The kernel may copy two bytes one
//! by one, so the generation is only ever changed one byte a call, and its high byte only while its low byte is odd.

use std::fs::{File, OpenOptions, metadata, read_dir};
use std::io;
use std::os::unix::fs::{FileExt, MetadataExt as _, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::decision::{Epoch, Snapshot};
use crate::sys::process_status::ProcessStatus;
use crate::sys::{clock, foreign, public_files};

mod record;

use record::{RECORD_AT, RecordClocks, is_fresh, record};

const SIZE: usize = 80;
const MAGIC: [u32; 2] = [0x414D_5A4E, 0x4342_0200];
const VERSION: u16 = 2;
const GENERATION_AT: usize = 14;
const MARK_AT: usize = 73;
const MARK: &[u8; 7] = b"clkgate";

/// The daemon's process name (clock-bound-d 2 and 3 both build `clockbound`).
const DAEMON: &str = "clockbound";
/// A daemon writes every second; a record of another program that is younger than this has a writer.
const FRESH: Duration = Duration::from_secs(10);

/// Why the page is not ours to write, or could not be written.
#[derive(Debug, thiserror::Error)]
pub enum ClockBoundError {
    /// A ClockBound daemon runs on this host.
    #[error("a ClockBound daemon runs here (process {pid}) and {path} is its page: stop it, or leave `clockbound` off")]
    Daemon {
        /// Its process id.
        pid: u32,
        /// The page.
        path: PathBuf,
    },
    /// Another program writes the page.
    #[error("another program writes {path}: it has a foreign record no older than {} s", FRESH.as_secs())]
    Foreign {
        /// The page.
        path: PathBuf,
    },
    /// Something else is in its place.
    #[error("{path} is not a regular file")]
    NotAFile {
        /// The page.
        path: PathBuf,
    },
    /// The file system said no.
    #[error("cannot {what} {path}")]
    Io {
        /// What we tried.
        what: &'static str,
        /// On what.
        path: PathBuf,
        /// What the kernel said.
        source: io::Error,
    },
}

/// The page, open for writing, and ours as long as no other program writes it.
#[derive(Debug)]
pub struct ClockBoundPage {
    file: File,
    path: PathBuf,
    generation: u16,
    epoch: Epoch,
}

impl ClockBoundPage {
    /// Opens the page at `path`, or makes it; what it says is `Unknown` until the first [`Self::publish`] if it was not
    /// ours.
    ///
    /// It is a ClockBound daemon's, and refused, if a process of that name runs that is the host's (`root` is where `/proc` is
    /// looked for), or if the page has a record without our mark that is younger than ten seconds.
    ///
    /// # Errors
    /// [`ClockBoundError`].
    pub fn open(path: &Path, root: &Path) -> Result<Self, ClockBoundError> {
        if let Some(pid) = daemon(root, path) {
            return Err(ClockBoundError::Daemon { pid, path: path.into() });
        }
        let file = open_file(path)?;
        let mut page = Self { file, path: path.into(), generation: 0, epoch: Epoch::default() };
        let bytes = page.read()?;
        if is_page(&bytes) {
            if !is_ours(&bytes) && is_fresh(&bytes, clock::monotonic_coarse_nanos()) {
                return Err(ClockBoundError::Foreign { path: path.into() });
            }
            page.generation = generation(&bytes);
        }
        if !is_page(&bytes) || !is_ours(&bytes) {
            page.lay_out()?;
        }
        Ok(page)
    }

    /// Writes what the snapshot says as of now; writing the same snapshot again keeps clients from reading
    /// `FreeRunning`.
    ///
    /// # Errors
    /// [`ClockBoundError::Foreign`] once another program has written the page, which is then its own; [`ClockBoundError::Io`].
    pub fn publish(&mut self, snapshot: &Snapshot) -> Result<(), ClockBoundError> {
        let bytes = self.read()?;
        if !is_ours(&bytes) || generation(&bytes) != self.generation {
            return Err(ClockBoundError::Foreign { path: self.path.clone() });
        }
        self.epoch = snapshot.epoch;
        self.write_record(&record(snapshot, &RecordClocks::read()))
    }

    /// Publishes `Unknown` at the end: nothing keeps the bound from here on.
    ///
    /// # Errors
    /// As [`Self::publish`].
    pub fn retire(mut self) -> Result<(), ClockBoundError> {
        self.publish(&Snapshot { epoch: self.epoch, ..Snapshot::default() })
    }

    /// Lays out our page over the old content of the file. Readers take it once its generation is even and not zero.
    fn lay_out(&mut self) -> Result<(), ClockBoundError> {
        if self.generation == 0 {
            let mut header = [0; RECORD_AT];
            header[..4].copy_from_slice(&MAGIC[0].to_ne_bytes());
            header[4..8].copy_from_slice(&MAGIC[1].to_ne_bytes());
            header[8..12].copy_from_slice(&(SIZE as u32).to_ne_bytes());
            header[12..14].copy_from_slice(&VERSION.to_ne_bytes());
            self.write(&header, 0)?;
        }
        self.write_record(&record(&Snapshot::default(), &RecordClocks::read()))
    }

    fn write_record(&mut self, record: &[u8; SIZE - RECORD_AT]) -> Result<(), ClockBoundError> {
        // A writer that died in between left the generation odd.
        self.set_generation(self.generation | 1)?;
        self.write(record, RECORD_AT)?;
        // 0 would mean that the page was never written.
        self.set_generation(self.generation.checked_add(1).unwrap_or(2))
    }

    /// One byte a call, see above: a reader meets the old number, an odd one or the new one.
    fn set_generation(&mut self, generation: u16) -> Result<(), ClockBoundError> {
        let [low, high] = if cfg!(target_endian = "little") { [0, 1] } else { [1, 0] };
        let (old, new) = (self.generation.to_ne_bytes(), generation.to_ne_bytes());
        if old[high] != new[high] {
            self.write(&new[high..=high], GENERATION_AT + high)?;
        }
        self.write(&new[low..=low], GENERATION_AT + low)?;
        self.generation = generation;
        Ok(())
    }

    fn read(&self) -> Result<[u8; SIZE], ClockBoundError> {
        let mut bytes = [0; SIZE];
        self.file.read_exact_at(&mut bytes, 0).map_err(|source| self.io("read", source))?;
        Ok(bytes)
    }

    fn write(&self, bytes: &[u8], at: usize) -> Result<(), ClockBoundError> {
        self.file.write_all_at(bytes, at as u64).map_err(|source| self.io("write", source))
    }

    fn io(&self, what: &'static str, source: io::Error) -> ClockBoundError {
        ClockBoundError::Io { what, path: self.path.clone(), source }
    }
}

/// Says `Unknown` in the place of an agent that was killed; nothing to do where it left no page.
///
/// # Errors
/// [`ClockBoundError`].
pub fn shut(path: &Path, root: &Path) -> Result<(), ClockBoundError> {
    if path.exists() { ClockBoundPage::open(path, root)?.retire() } else { Ok(()) }
}

/// Opens the file and makes it as long as a page, never shorter: clients have it mapped.
fn open_file(path: &Path) -> Result<File, ClockBoundError> {
    let failed = |what| move |source| ClockBoundError::Io { what, path: path.into(), source };
    if let Some(folder) = path.parent() {
        public_files::folder(folder).map_err(failed("make the folder of"))?;
    }
    // The folder may be another user's, so no link is followed and no pipe waited for.
    let flags = libc::O_NOFOLLOW | libc::O_NONBLOCK;
    let options = OpenOptions::new().read(true).write(true).create(true).truncate(false).custom_flags(flags).clone();
    let file = options.open(path).map_err(failed("open"))?;
    let metadata = file.metadata().map_err(failed("look at"))?;
    if !metadata.is_file() {
        return Err(ClockBoundError::NotAFile { path: path.into() });
    }
    if metadata.len() < SIZE as u64 {
        file.set_len(SIZE as u64).map_err(failed("lengthen"))?;
        // Every user may read it, whichever umask we have.
        public_files::file(&file).map_err(failed("make readable"))?;
    }
    Ok(file)
}

/// Any user, and any container, can call a process so: it is root's, or of the user whose folder it is. One in a container is seen by
/// what it writes.
fn daemon(root: &Path, page: &Path) -> Option<u32> {
    let owner = page.parent().and_then(|folder| metadata(folder).ok()).map(|folder| folder.uid());
    let is_the_hosts = |process: &Path| {
        let status = ProcessStatus::read(process).unwrap_or_default();
        let is_of_the_folder = || owner.is_some() && status.user() == owner;
        !status.is_in_a_container() && (status.is_roots() || is_of_the_folder())
    };
    let processes = read_dir(root.join("proc")).ok()?;
    processes.filter_map(Result::ok).find_map(|process| {
        let pid = process.file_name().to_str()?.parse().ok()?;
        let name = foreign::text(&process.path().join("comm")).ok()?;
        (name.trim_end() == DAEMON && is_the_hosts(&process.path())).then_some(pid)
    })
}

fn is_page(bytes: &[u8; SIZE]) -> bool {
    bytes[..4] == MAGIC[0].to_ne_bytes()
        && bytes[4..8] == MAGIC[1].to_ne_bytes()
        && bytes[8..12] == (SIZE as u32).to_ne_bytes()
        && bytes[12..14] == VERSION.to_ne_bytes()
        && generation(bytes) != 0
}

fn is_ours(bytes: &[u8; SIZE]) -> bool {
    bytes[MARK_AT..] == *MARK
}

fn generation(bytes: &[u8; SIZE]) -> u16 {
    u16::from_ne_bytes([bytes[GENERATION_AT], bytes[GENERATION_AT + 1]])
}

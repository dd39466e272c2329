//! The journal of this machine, read by its own program: a static binary has no libsystemd.

use std::io::{self, BufRead as _, BufReader, Read as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::Duration;

use super::entry::JournalEntry;
use super::segment::Segment;
use crate::decision::Realtime;

/// The fields that are read; the two clocks and the boot are always there.
const FIELDS: &str = "--output-fields=_COMM,SYSLOG_IDENTIFIER,MESSAGE_ID,MESSAGE";
/// Longer than a journal of a million entries takes.
const LONGEST: Duration = Duration::from_secs(20);
/// A message may be long; what is read of a line.
const LINE_MAX: u64 = 64 * 1024;
/// Entries that are so near to each other, and report nothing, are one.
const SAMPLE_NANOS: i64 = 1_000_000_000;

/// Why the journal cannot be read.
#[derive(Debug, thiserror::Error)]
pub enum JournalError {
    /// There is no program that reads it.
    #[error("cannot run journalctl: it is not installed")]
    NotInstalled,
    /// It cannot be started or read.
    #[error("cannot run journalctl: {0}")]
    Io(io::Error),
    /// It says why not.
    #[error("cannot read the journal: {0}")]
    Failed(String),
    /// It takes too long.
    #[error("cannot read the journal: journalctl takes longer than 20 s")]
    TooLong,
}

/// What was read of a journal.
#[derive(Debug, Default)]
pub struct Journal {
    entries: Vec<JournalEntry>,
}

impl Journal {
    /// Reads the entries since this moment by the journal's own clock, of the system below this root.
    ///
    /// # Errors
    /// [`JournalError`]. Who may not read the system's journal gets the entries of its own: they show steps as well.
    pub fn read(
        root: &Path,
        since: Realtime,
        parse: impl Fn(&[u8]) -> Option<JournalEntry> + Send + 'static,
    ) -> Result<Self, JournalError> {
        let mut command = Command::new("journalctl");
        command.args(["--output=json", "--quiet", "--no-pager", FIELDS, &format!("--since=@{}", since.as_secs())]);
        if root != Path::new("/") {
            command.arg("--root").arg(root);
        }
        command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|error| {
            let is_installed = error.kind() != io::ErrorKind::NotFound;
            if is_installed { JournalError::Io(error) } else { JournalError::NotInstalled }
        })?;
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(JournalError::Failed("it has no output".to_owned()));
        };
        // Each of the two has its reader: a full pipe would hold journalctl.
        let said = thread::spawn(move || {
            let mut said = vec![];
            let _ = stderr.by_ref().take(LINE_MAX).read_to_end(&mut said);
            let _ = io::copy(&mut stderr, &mut io::sink());
            String::from_utf8_lossy(&said).into_owned()
        });
        let (done, is_done) = mpsc::sync_channel(1);
        thread::spawn(move || {
            let read = lines(BufReader::new(stdout), parse);
            let _ = done.send((read, said.join().unwrap_or_default()));
        });
        let read = is_done.recv_timeout(LONGEST);
        if read.is_err() {
            let _ = child.kill();
        }
        let status = child.wait().map_err(JournalError::Io)?;
        match read {
            Ok((Ok(journal), _)) if status.success() => Ok(journal),
            Ok((Ok(_), said)) => Err(JournalError::Failed(said.lines().next().unwrap_or("no reason").to_owned())),
            Ok((Err(error), _)) => Err(JournalError::Io(error)),
            Err(RecvTimeoutError::Timeout | RecvTimeoutError::Disconnected) => Err(JournalError::TooLong),
        }
    }

    /// Takes the next entry. One near the entry before it that reports nothing else is left out.
    pub fn push(&mut self, entry: JournalEntry) {
        let repeats = |before: &JournalEntry| {
            before.boot == entry.boot
                && (before.author == entry.author && before.event == entry.event)
                && entry.monotonic.saturating_sub(before.monotonic) < SAMPLE_NANOS
                && entry.difference().abs_diff(before.difference()) < 1_000_000
        };
        if !self.entries.last().is_some_and(repeats) {
            self.entries.push(entry);
        }
    }

    /// The times between steps.
    #[must_use]
    pub fn segments(&self) -> Vec<Segment> {
        Segment::all(&self.entries)
    }
}

fn lines(mut output: impl io::BufRead, parse: impl Fn(&[u8]) -> Option<JournalEntry>) -> io::Result<Journal> {
    let mut journal = Journal::default();
    let mut line = vec![];
    loop {
        line.clear();
        if output.by_ref().take(LINE_MAX).read_until(b'\n', &mut line)? == 0 {
            return Ok(journal);
        }
        if let Some(entry) = parse(&line) {
            journal.push(entry);
        }
    }
}

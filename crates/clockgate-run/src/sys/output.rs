//! Standard output and standard error, which may be closed, full, or a pipe without a reader. std's macros panic there, and a
//! panic ends the process; clippy forbids them.

use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::os::fd::AsFd as _;
use std::os::unix::fs::MetadataExt as _;

/// Prints a text on standard error, in one piece, so that lines of several processes do not mix. A standard error that cannot be written
/// is ignored: no other channel is left to report it.
pub fn say(text: &str) {
    let _ = io::stderr().write_all(text.as_bytes());
}

/// How grave a line is, as syslog(3) counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Priority {
    /// Something failed.
    Error = 3,
    /// Needs a person some time.
    Warning = 4,
    /// Is worth a look.
    Notice = 5,
    /// As it should be.
    Info = 6,
    /// For the search for a fault.
    Debug = 7,
}

/// One line to standard error. Its priority is for the journal, which reads it before the line (sd-daemon(3)), and not for a person.
pub fn log(priority: Priority, text: &str) {
    let prefix = if is_journal() { format!("<{}>", priority as u8) } else { String::new() };
    say(&format!("{prefix}{text}\n"));
}

/// Whether standard error is the stream that systemd made for the journal (`$JOURNAL_STREAM` of systemd.exec(5)).
#[must_use]
pub fn is_journal() -> bool {
    let announced = std::env::var("JOURNAL_STREAM").unwrap_or_default();
    let metadata = io::stderr().as_fd().try_clone_to_owned().and_then(|copy| File::from(copy).metadata());
    metadata.is_ok_and(|file| announced == format!("{}:{}", file.dev(), file.ino()))
}

/// Writes to standard output.
///
/// # Errors
/// What write(2) said; a reader that has stopped early is none.
pub fn print(text: &str) -> io::Result<()> {
    stream(|stdout| stdout.write_all(text.as_bytes()))
}

/// Writes to standard output what is too long to be in memory.
///
/// # Errors
/// What write(2) said; a reader that has stopped early is none.
pub fn stream(content: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let mut stdout = BufWriter::with_capacity(1 << 16, io::stdout().lock());
    match content(&mut stdout).and_then(|()| stdout.flush()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error),
        Ok(()) | Err(_) => Ok(()),
    }
}

/// The same, where it is to end once its reader has stopped.
///
/// # Errors
/// What write(2) said; [`io::ErrorKind::BrokenPipe`] where the reader has stopped.
pub fn print_to_a_reader(text: &str) -> io::Result<()> {
    let mut stdout = io::stdout().lock();
    stdout.write_all(text.as_bytes())?;
    stdout.flush()
}

//! Other people's files: who wrote them may mean to keep us waiting, to fill our memory, or to write on our terminal.

use std::fs::OpenOptions;
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// The first `at_most` bytes of a regular file. A FIFO in its place keeps nobody waiting; a file system of somebody else's (FUSE) can.
///
/// # Errors
/// What open(2) or read(2) said, and where it is no regular file.
pub fn read(path: &Path, at_most: u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    if !file.metadata()?.is_file() {
        return Err(io::Error::other("it is no regular file"));
    }
    let mut bytes = vec![];
    file.take(at_most).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// A text as it can be printed: on one line, and without what a terminal obeys or hides.
#[must_use]
pub fn shown(text: &str) -> String {
    let is_plain = |c: char| {
        !c.is_control() && !matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let each = text.chars().map(|c| if is_plain(c) { c.to_string() } else { c.escape_default().to_string() });
    each.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_hangs_nobody_and_no_more_is_read_than_asked_for() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("file");
        nix::unistd::mkfifo(&path, nix::sys::stat::Mode::S_IRWXU).unwrap();
        assert!(read(&path, 9).is_err());
        std::fs::remove_file(&path).unwrap();
        std::fs::write(&path, "a long story").unwrap();
        assert_eq!(read(&path, 6).unwrap(), b"a long");
        assert!(read(folder.path(), 9).is_err());
    }

    #[test]
    fn what_a_terminal_would_obey_is_written_out() {
        assert_eq!(shown("web \u{1b}[2J\nHeld: ä"), "web \\u{1b}[2J\\nHeld: ä");
        assert_eq!(shown("a\u{202e}b"), "a\\u{202e}b");
    }
}

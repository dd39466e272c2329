//! Other people's files: who wrote them may mean to keep us waiting, to fill our memory, or to write on our terminal.

use std::fs::{Metadata, OpenOptions};
use std::io::{self, Read};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

pub use clockgate_page::text::shown;

/// More than the kernel says of a process in any file that we read.
const TEXT_MAX: u64 = 64 * 1024;

/// The first `at_most` bytes of a regular file. A FIFO in its place does not block; a file system of another user (FUSE) can.
///
/// # Errors
/// What open(2) or read(2) said, and where it is not a regular file.
pub fn read(path: &Path, at_most: u64) -> io::Result<Vec<u8>> {
    read_by(path, |_| at_most)
}

/// The same, where it depends on the file how many.
///
/// # Errors
/// As [`read`].
pub fn read_by(path: &Path, at_most: impl FnOnce(&Metadata) -> u64) -> io::Result<Vec<u8>> {
    let file = OpenOptions::new().read(true).custom_flags(libc::O_NONBLOCK | libc::O_NOCTTY).open(path)?;
    let metadata = file.metadata()?;
    if !metadata.is_file() {
        return Err(io::Error::other("it is not a regular file"));
    }
    let mut bytes = vec![];
    file.take(at_most(&metadata)).read_to_end(&mut bytes)?;
    Ok(bytes)
}

/// What the kernel says in a file of a process that may be anybody's (`/proc/PID/comm`, `status`, `cgroup`): the first 64 KiB, and a
/// name that is no UTF-8 spoils nothing.
///
/// # Errors
/// As [`read`]; a process that has ended is [`io::ErrorKind::NotFound`], or ESRCH.
pub fn text(path: &Path) -> io::Result<String> {
    Ok(String::from_utf8_lossy(&read(path, TEXT_MAX)?).into_owned())
}

/// A path as it can be printed.
#[must_use]
pub fn shown_path(path: &Path) -> String {
    shown(&path.to_string_lossy())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fifo_blocks_no_read_and_a_read_is_limited() {
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
    fn a_path_is_printed_on_one_line() {
        assert_eq!(shown_path(Path::new("/docker/a\n<3>b")), "/docker/a\\n<3>b");
    }

    #[test]
    fn a_name_that_is_no_text_spoils_nothing_and_a_file_without_an_end_has_one() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("cgroup");
        std::fs::write(&path, b"3:x:/\xff\n0::/docker/x\n").unwrap();
        assert!(text(&path).unwrap().ends_with("\n0::/docker/x\n"));
        std::fs::write(&path, vec![b'x'; 1 << 20]).unwrap();
        assert_eq!(text(&path).unwrap().len() as u64, TEXT_MAX);
    }
}

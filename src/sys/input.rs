//! What standard input is, and whether a second reader would find what the first one did.
#![expect(unsafe_code, reason = "standard input is borrowed, and may be closed")]

use std::io::{Read as _, Write as _};
use std::os::fd::{AsRawFd as _, BorrowedFd};

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, lseek};

/// Standard input before a command was started that may read it.
#[derive(Debug)]
pub enum Input {
    /// A file, at this place: it can be read again from there.
    File(i64),
    /// A pipe: what was read cannot be read again, and the kernel reports whether anything was read.
    Pipe(ReadWatch),
    /// A socket, or a pipe of which the kernel does not tell: what was read is gone, and it may be that something was.
    Stream,
    /// A terminal, /dev/null, a pipe that has ended empty, or nothing at all: there is nothing that can be lost.
    Other,
}

impl Input {
    /// What it is now.
    #[must_use]
    pub fn now() -> Self {
        let input = standard_input();
        let Ok(stat) = fstat(input) else { return Self::Other };
        match SFlag::from_bits_truncate(stat.st_mode) & SFlag::S_IFMT {
            SFlag::S_IFREG => lseek(input, 0, Whence::SeekCur).map_or(Self::Other, Self::File),
            SFlag::S_IFIFO | SFlag::S_IFSOCK if has_ended(input) => Self::Other,
            SFlag::S_IFIFO => ReadWatch::begin(libc::STDIN_FILENO).map_or(Self::Stream, Self::Pipe),
            SFlag::S_IFSOCK => Self::Stream,
            _ => Self::Other,
        }
    }

    /// Makes it what it was; whether that can be done.
    #[must_use]
    pub fn rewind(&self) -> bool {
        match self {
            Self::File(place) => lseek(standard_input(), *place, Whence::SeekSet).is_ok(),
            Self::Pipe(watch) => watch.is_unread(),
            Self::Stream => false,
            Self::Other => true,
        }
    }
}

/// A watch for reads of a pipe (inotify(7)).
#[derive(Debug)]
pub struct ReadWatch(Inotify);

impl ReadWatch {
    /// Watches a pipe from here on; none where the kernel does not tell of pipes, which differs from version to version, or where
    /// there is no /proc.
    fn begin(pipe: i32) -> Option<Self> {
        let watch = Self(Inotify::init(InitFlags::IN_CLOEXEC | InitFlags::IN_NONBLOCK).ok()?);
        let (mut reader, mut writer) = std::io::pipe().ok()?;
        watch.add(reader.as_raw_fd())?;
        writer.write_all(b"x").ok()?;
        reader.read_exact(&mut [0]).ok()?;
        watch.0.read_events().ok()?;
        watch.add(pipe)?;
        Some(watch)
    }

    fn add(&self, pipe: i32) -> Option<()> {
        self.0.add_watch(format!("/proc/self/fd/{pipe}").as_str(), AddWatchFlags::IN_ACCESS).ok().map(drop)
    }

    /// Whether it has not been read since.
    fn is_unread(&self) -> bool {
        self.0.read_events().is_err_and(|errno| errno == Errno::EAGAIN)
    }
}

/// Whether nothing is in it and it has no writer any more.
fn has_ended(input: BorrowedFd<'_>) -> bool {
    let mut fds = [PollFd::new(input, PollFlags::POLLIN)];
    let asked = poll(&mut fds, PollTimeout::ZERO);
    let said = fds[0].revents().unwrap_or(PollFlags::empty());
    asked.is_ok() && said.contains(PollFlags::POLLHUP) && !said.contains(PollFlags::POLLIN)
}

fn standard_input() -> BorrowedFd<'static> {
    // SAFETY: calls on a descriptor that is closed fail with EBADF, and nothing here opens another in its place.
    unsafe { BorrowedFd::borrow_raw(libc::STDIN_FILENO) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pipe_is_unread_until_somebody_reads_it_and_more_that_is_written_is_no_reading() {
        let (mut reader, mut writer) = std::io::pipe().unwrap();
        let Some(watch) = ReadWatch::begin(reader.as_raw_fd()) else { return };
        writer.write_all(b"abc").unwrap();
        assert!(watch.is_unread());
        reader.read_exact(&mut [0]).unwrap();
        assert!(!watch.is_unread());
    }
}

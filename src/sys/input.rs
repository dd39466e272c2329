//! What standard input is, and whether a second reader would find what the first one did.
#![expect(unsafe_code, reason = "standard input is borrowed, and may be closed")]

use std::os::fd::BorrowedFd;

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::stat::{SFlag, fstat};
use nix::unistd::{Whence, lseek};

/// Standard input before a command was started that may read it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Input {
    /// A file, at this place: it can be read again from there.
    File(i64),
    /// A pipe or socket: what was read cannot be read again.
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
            SFlag::S_IFIFO | SFlag::S_IFSOCK if !has_ended(input) => Self::Stream,
            _ => Self::Other,
        }
    }

    /// Makes it what it was; whether that can be done.
    #[must_use]
    pub fn rewind(self) -> bool {
        match self {
            Self::File(place) => lseek(standard_input(), place, Whence::SeekSet).is_ok(),
            Self::Stream => false,
            Self::Other => true,
        }
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

//! The terminal that standard error is.
#![expect(unsafe_code, reason = "the width is an ioctl")]

use std::os::fd::AsRawFd;

/// How many columns it has now; 80 where it does not say.
#[must_use]
pub fn columns() -> usize {
    let mut size = libc::winsize { ws_row: 0, ws_col: 0, ws_xpixel: 0, ws_ypixel: 0 };
    // SAFETY: the kernel writes into `size`, which lives as long as the call (ioctl_tty(2)).
    let asked = unsafe { libc::ioctl(std::io::stderr().as_raw_fd(), libc::TIOCGWINSZ, &raw mut size) };
    if asked == 0 && size.ws_col > 0 { usize::from(size.ws_col) } else { 80 }
}

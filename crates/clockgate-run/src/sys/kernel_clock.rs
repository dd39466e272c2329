//! What the kernel says of its own clock: adjtimex(2) without modes, which needs no privilege and changes nothing.
#![expect(unsafe_code, reason = "adjtimex(2) is in no safe crate")]

use std::io;
use std::time::Duration;

/// The clock's state as adjtimex(2) returns it, and the numbers with it.
///
/// # Errors
/// What adjtimex(2) said: a seccomp filter can forbid it.
pub fn read() -> io::Result<(libc::c_int, libc::timex)> {
    // SAFETY: struct timex is plain numbers, for which all zero bits are a value (modes = 0: read only).
    let mut timex: libc::timex = unsafe { std::mem::zeroed() };
    // SAFETY: the pointer is to a whole struct timex that lives across the call.
    let state = unsafe { libc::adjtimex(&raw mut timex) };
    if state < 0 { Err(io::Error::last_os_error()) } else { Ok((state, timex)) }
}

/// Whether the clock is unsynchronised (TIME_ERROR: STA_UNSYNC, or a pulse-per-second signal gone bad).
#[must_use]
pub const fn is_unsynchronised(state: libc::c_int) -> bool {
    state == libc::TIME_ERROR
}

/// `maxerror`: the error that the time daemon claims, grown by 500 ppm since, at most 16 s.
#[must_use]
pub fn max_error(timex: &libc::timex) -> Duration {
    Duration::from_micros(u64::try_from(timex.maxerror).unwrap_or(0))
}

//! futex(2) on a word of a shared mapping: sleepers in any process, woken by one call.
#![expect(unsafe_code, reason = "futex(2) is in no crate that we have")]

use std::io;
use std::time::Duration;

use super::mapping::{Mapping, WritableMapping};

/// Sleeps while the word at `at` is `expected`, until the writer wakes the word's sleepers, a signal was handled, or `timeout`
/// of time awake has passed. It may return early: the caller looks again.
///
/// Works on a read-only mapping of a read-only mount: the kernel compares the word, it does not write it.
pub fn wait(mapping: &Mapping, at: usize, expected: u32, timeout: Duration) {
    let timeout = libc::timespec {
        tv_sec: i64::try_from(timeout.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: i64::from(timeout.subsec_nanos()),
    };
    let word = mapping.word_u32(at).as_ptr();
    // SAFETY: the word lies in a live mapping, the timeout lives across the call, and the kernel only reads both.
    unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAIT, expected, &raw const timeout) };
}

/// Wakes every reader that sleeps on the word at `at`, and returns their number.
///
/// # Errors
/// What futex(2) said; no error is known for a mapped word.
pub fn wake_all(mapping: &WritableMapping, at: usize) -> io::Result<u64> {
    let word = mapping.reader().word_u32(at).as_ptr();
    // SAFETY: the word lies in a live mapping.
    let woken = unsafe { libc::syscall(libc::SYS_futex, word, libc::FUTEX_WAKE, i32::MAX) };
    u64::try_from(woken).map_err(|_| io::Error::last_os_error())
}

//! File descriptors that the runtime waits on.
#![expect(unsafe_code, reason = "tokio asks for a promise that the descriptor is not closed under it")]

use std::fs::File;
use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use tokio::io::Interest;
use tokio::io::unix::AsyncFd;

use super::timerfd::{Alarm, ClockSetWatch};
use super::vmclock::VmClock;

/// What owns one descriptor from its making to its drop, and never replaces it.
pub trait Owner: AsRawFd {}

impl Owner for File {}
impl Owner for OwnedFd {}
impl Owner for VmClock {}
impl Owner for Alarm {}
impl Owner for ClockSetWatch {}

/// Registers a descriptor with the runtime, for reading.
///
/// # Errors
/// What epoll_ctl(2) said.
pub fn readable<T: Owner>(owner: T) -> io::Result<AsyncFd<T>> {
    // SAFETY: an `Owner` keeps its one descriptor open until it is dropped, and AsyncFd owns it from here on.
    Ok(unsafe { AsyncFd::register_with_interest(owner, Interest::READABLE) }?)
}

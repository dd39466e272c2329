//! The kernel made safe: the only `unsafe` blocks of the program are here.

pub mod adjtimex;
pub mod cgroup;
pub mod clock;
pub mod counter;
pub mod descriptors;
pub mod foreign;
pub mod nss;
pub mod output;
pub mod peer;
pub mod ptp;
pub mod public;
pub mod random;
pub mod readable;
pub mod signals;
pub mod step;
pub mod terminal;
pub mod time_namespace;
pub mod timerfd;
pub mod vmclock;
pub mod vsock;
pub mod zone;

/// Sleeps for so long of time awake, or until a signal was handled.
pub fn nap(length: std::time::Duration) {
    // poll(2) with nothing to poll; an interruption is an early end, which every caller allows for.
    let millis = nix::poll::PollTimeout::try_from(length).unwrap_or(nix::poll::PollTimeout::MAX);
    let _ = nix::poll::poll(&mut [], millis);
}

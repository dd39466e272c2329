//! The one door to the kernel's clocks, the doubtful one included.

pub use clockgate_page::sys::clock::{boottime, narrowest};
use clockgate_page::sys::clock::{clocks_of_the_host, nanos};
use clockgate_page::sys::time_namespace::Shift;

use crate::decision::{Clocks, Differences, Realtime};

/// `CLOCK_MONOTONIC`: nanoseconds since boot without the time asleep, at the rate of the slewed clock.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    nanos(libc::CLOCK_MONOTONIC).unsigned_abs()
}

/// `CLOCK_MONOTONIC_COARSE`: the same as of the last tick, up to 10 ms ago; what ClockBound's clients reckon by.
#[must_use]
pub fn monotonic_coarse_nanos() -> u64 {
    nanos(libc::CLOCK_MONOTONIC_COARSE).unsigned_abs()
}

/// `CLOCK_MONOTONIC_RAW`: nanoseconds at the hardware's own rate, which is not slewed.
#[must_use]
pub fn monotonic_raw_nanos() -> u64 {
    nanos(libc::CLOCK_MONOTONIC_RAW).unsigned_abs()
}

/// `CLOCK_REALTIME`: what the system believes, right or wrong.
#[must_use]
pub fn realtime() -> Realtime {
    Realtime::from_nanos(nanos(libc::CLOCK_REALTIME))
}

/// Every clock as if at once: the narrowest of several attempts, within a microsecond without an interruption.
#[must_use]
pub fn clocks() -> Clocks {
    clocks_of_the_host(Shift::default()).0
}

/// How the clocks stand to one another; none of this changes but by a step, a slew or a sleep.
#[must_use]
pub fn standing() -> Differences {
    clocks().differences()
}

//! The one door to the kernel's clocks, the doubtful one included.

use nix::time::{ClockId, clock_gettime};

use crate::decision::{Boottime, Realtime};

/// `CLOCK_BOOTTIME`: time since boot, asleep or awake.
#[must_use]
pub fn boottime() -> Boottime {
    Boottime::from_nanos(nanos(ClockId::CLOCK_BOOTTIME).unsigned_abs())
}

/// `CLOCK_MONOTONIC`: nanoseconds since boot without the time asleep, bent by whoever slews.
#[must_use]
pub fn monotonic_nanos() -> u64 {
    nanos(ClockId::CLOCK_MONOTONIC).unsigned_abs()
}

/// `CLOCK_MONOTONIC_RAW`: nanoseconds at the hardware's own rate, which nobody slews.
#[must_use]
pub fn monotonic_raw_nanos() -> u64 {
    nanos(ClockId::CLOCK_MONOTONIC_RAW).unsigned_abs()
}

/// `CLOCK_REALTIME`: what the system believes, right or wrong.
#[must_use]
pub fn realtime() -> Realtime {
    Realtime::from_nanos(nanos(ClockId::CLOCK_REALTIME))
}

fn nanos(clock: ClockId) -> i64 {
    // clock_gettime(2) fails only for a clock the kernel lacks; the four above are older than the kernels we run on.
    clock_gettime(clock).map_or(0, |t| t.tv_sec().saturating_mul(1_000_000_000).saturating_add(t.tv_nsec()))
}

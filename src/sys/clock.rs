//! The one door to the kernel's clocks, the doubtful one included.

use std::time::Duration;

use nix::time::{ClockId, clock_gettime};

use crate::decision::{Boottime, Clocks, Offset, Realtime};

/// The most attempts to read several clocks as if at once.
const ATTEMPTS: usize = 5;

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

/// `CLOCK_MONOTONIC_COARSE`: the same as of the last tick, up to 10 ms ago; what ClockBound's clients reckon by.
#[must_use]
pub fn monotonic_coarse_nanos() -> u64 {
    nanos(ClockId::CLOCK_MONOTONIC_COARSE).unsigned_abs()
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
    // clock_gettime(2) fails only for a clock the kernel lacks; the five above are older than the kernels we run on.
    clock_gettime(clock).map_or(0, |t| t.tv_sec().saturating_mul(1_000_000_000).saturating_add(t.tv_nsec()))
}

/// Every clock as if at once; MONOTONIC_RAW within a microsecond of the others where nobody interrupts.
#[must_use]
pub fn clocks() -> Clocks {
    let Standing { real_minus_boot, boot_minus_mono } = standing();
    let (boot, raw) = (boottime(), Duration::from_nanos(monotonic_raw_nanos()));
    let since_boot = i64::try_from(boot.as_nanos()).unwrap_or(i64::MAX);
    Clocks { boot, raw, asleep: boot_minus_mono, real: Realtime::from_nanos(since_boot) + real_minus_boot }
}

/// How the clocks stand to one another; none of this changes but by a step or a sleep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Standing {
    /// `REALTIME − BOOTTIME`: changed by whoever sets the clock, by nothing else.
    pub real_minus_boot: Offset,
    /// `BOOTTIME − MONOTONIC`: the time asleep since boot.
    pub boot_minus_mono: Duration,
}

/// Reads three clocks as if at once: within a microsecond where nobody interrupts.
#[must_use]
pub fn standing() -> Standing {
    narrowest(|| {
        let before = nanos(ClockId::CLOCK_MONOTONIC);
        let real = nanos(ClockId::CLOCK_REALTIME);
        let boot = nanos(ClockId::CLOCK_BOOTTIME);
        let after = nanos(ClockId::CLOCK_MONOTONIC);
        let middle = before + (after - before) / 2;
        let asleep = u64::try_from(boot - middle).unwrap_or(0);
        let standing = Standing {
            real_minus_boot: Offset::from_nanos(real - boot),
            boot_minus_mono: Duration::from_nanos(asleep),
        };
        (Duration::from_nanos((after - before).unsigned_abs()), standing)
    })
}

/// The narrowest of several attempts to read clocks as if at once, each with the time it took. Two that took about as long were
/// not interrupted, and there is no third: where the clocks are not read in the vDSO (vdso(7)) each costs a system call or two.
pub fn narrowest<T>(attempt: impl Fn() -> (Duration, T)) -> T {
    let mut best = attempt();
    for _ in 1..ATTEMPTS {
        let next = attempt();
        let differ = next.0.abs_diff(best.0);
        if next.0 < best.0 {
            best = next;
        }
        if differ <= best.0 / 4 {
            break;
        }
    }
    best.1
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn after_attempts_that_took(widths: &[u64]) -> (u64, usize) {
        let made = Cell::new(0);
        let least = narrowest(|| {
            let width = widths[made.replace(made.get() + 1)];
            (Duration::from_nanos(width), width)
        });
        (least, made.get())
    }

    #[test]
    fn an_attempt_that_was_interrupted_is_not_taken_and_two_alike_are_enough() {
        assert_eq!(after_attempts_that_took(&[60, 62]), (60, 2));
        assert_eq!(after_attempts_that_took(&[5_000_000, 60, 61]), (60, 3));
        assert_eq!(after_attempts_that_took(&[60, 5_000_000, 58]), (58, 3));
        assert_eq!(after_attempts_that_took(&[900, 700, 500, 300, 100]), (100, 5));
    }
}

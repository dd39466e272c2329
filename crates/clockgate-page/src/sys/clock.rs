//! The kernel's clocks, read together. The system clock among them is the doubtful one.
#![expect(unsafe_code, reason = "clock_gettime(2)")]

use std::time::Duration;

use super::time_namespace::Shift;
use crate::time::{Boottime, Clocks, Realtime};

/// Clocks that were read within so long were read at once.
const AT_ONCE: Duration = Duration::from_micros(1);
/// How often to try that.
const ATTEMPTS: u32 = 5;

/// `CLOCK_BOOTTIME` as this process has it: time since boot, asleep or awake.
#[must_use]
pub fn boottime() -> Boottime {
    Boottime::from_nanos(nanos(libc::CLOCK_BOOTTIME).unsigned_abs())
}

/// A clock's reading in nanoseconds, see clock_gettime(2).
#[must_use]
pub fn nanos(clock: libc::clockid_t) -> i64 {
    let mut now = libc::timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec, which is ours. It fails only for a clock that it lacks, and then writes nothing; those
    // read here are older than the kernels we run on.
    unsafe { libc::clock_gettime(clock, &raw mut now) };
    now.tv_sec.saturating_mul(1_000_000_000).saturating_add(now.tv_nsec)
}

/// Every clock as the host has it, seen from a time namespace that shifts them by `shift`; and how long it took to read them:
/// the differences between them are uncertain by so much.
#[must_use]
pub fn clocks_of_the_host(shift: Shift) -> (Clocks, Duration) {
    narrowest(|| attempt(shift))
}

/// The narrowest of several attempts to read clocks as if at once, with the time it took. One within a microsecond will do; and two
/// that took about as long were not interrupted, so that there is no third: where the clocks are not read in the vDSO (vdso(7))
/// each costs a system call.
pub fn narrowest<T>(attempt: impl Fn() -> (T, Duration)) -> (T, Duration) {
    let mut best = attempt();
    for _ in 1..ATTEMPTS {
        if best.1 <= AT_ONCE {
            break;
        }
        let next = attempt();
        let differ = next.1.abs_diff(best.1);
        if next.1 < best.1 {
            best = next;
        }
        if differ <= best.1 / 4 {
            break;
        }
    }
    best
}

fn attempt(shift: Shift) -> (Clocks, Duration) {
    let before = nanos(libc::CLOCK_MONOTONIC);
    let real = nanos(libc::CLOCK_REALTIME);
    let boot = nanos(libc::CLOCK_BOOTTIME) - shift.boot;
    // Shifted as MONOTONIC is (kernel/time/posix-timers.c, posix_get_monotonic_raw).
    let raw = nanos(libc::CLOCK_MONOTONIC_RAW) - shift.mono;
    let after = nanos(libc::CLOCK_MONOTONIC);
    let mono = before + (after - before) / 2 - shift.mono;
    let from_boot = |nanos: i64| Duration::from_nanos(u64::try_from(nanos).unwrap_or(0));
    let clocks = Clocks {
        boot: Boottime::default() + from_boot(boot),
        raw: from_boot(raw),
        asleep: from_boot(boot - mono),
        real: Realtime::from_nanos(real),
    };
    (clocks, Duration::from_nanos((after - before).unsigned_abs()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    fn after_attempts_that_took(widths: &[u64]) -> (u64, usize) {
        let made = Cell::new(0);
        let (least, _) = narrowest(|| {
            let width = widths[made.replace(made.get() + 1)];
            (width, Duration::from_nanos(width))
        });
        (least, made.get())
    }

    #[test]
    fn an_attempt_that_was_interrupted_is_not_taken_and_one_at_once_or_two_alike_are_enough() {
        assert_eq!(after_attempts_that_took(&[60]), (60, 1));
        assert_eq!(after_attempts_that_took(&[5_000_000, 60]), (60, 2));
        assert_eq!(after_attempts_that_took(&[45_000, 46_000]), (45_000, 2));
        assert_eq!(after_attempts_that_took(&[5_000_000, 46_000, 45_000]), (45_000, 3));
        assert_eq!(after_attempts_that_took(&[46_000, 5_000_000, 45_000]), (45_000, 3));
        assert_eq!(after_attempts_that_took(&[90_000, 70_000, 50_000, 30_000, 10_000]), (10_000, 5));
    }
}

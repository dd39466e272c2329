//! A leap second that is to come: a move of the clock that is no step, for the truth moves with it.

use std::time::Duration;

pub use clockgate_page::LeapSecond;

use super::reading::Leap;
use super::time::{Boottime, NOISE, Offset, Realtime, SECS_PER_DAY};

/// The kernel makes it at its next tick, and a change of the clock is only seen to so much.
pub(super) const SLACK: Duration = Duration::from_millis(50);
/// No question is asked so near to it: one server calls the second 59 again and another one 00 already.
const UNASKED: Duration = Duration::from_secs(2);

/// What a warning means to a clock that says `now` and is by `real_minus_boot` ahead of BOOTTIME: something on the last day of
/// a UTC month alone (RFC 5905 section 7.3), since servers may warn all month and the kernel leaps at the end of the day.
pub(super) fn flagged(leap: Leap, now: Realtime, real_minus_boot: Offset) -> Option<LeapSecond> {
    let (change, second) = match leap {
        Leap::None => return None,
        // kernel/time/ntp.c, second_overflow: 23:59:60 and 23:59:59 do not come.
        Leap::Insert => (Offset::from_secs(-1), 0),
        Leap::Delete => (Offset::from_secs(1), 1),
    };
    let midnight = Realtime::from_secs((now.as_secs().div_euclid(SECS_PER_DAY) + 1).saturating_mul(SECS_PER_DAY));
    let (_, _, day_of_month) = midnight.civil();
    let since_boot = midnight + -real_minus_boot + Offset::from_secs(-second);
    let at = Boottime::from_nanos(u64::try_from(since_boot.as_nanos()).ok()?);
    (day_of_month == 1).then_some(LeapSecond { at, change })
}

/// Whether `change`, seen at `now`, is the leap second.
pub(super) fn is_made_by(leap: LeapSecond, change: Offset, now: Boottime) -> bool {
    now + NOISE >= leap.at && (change - leap.change).abs() <= SLACK
}

/// When to ask what would be asked at `due`.
pub(super) fn keeps_clear(leap: LeapSecond, due: Boottime) -> Boottime {
    let after = leap.at + UNASKED;
    // At the latest then: a clock that did not leap is wrong.
    if due + UNASKED < leap.at { due } else { after }
}

/// From when on a clock that has not leapt is wrong: the truth has moved alone.
pub(super) fn missed_at(leap: LeapSecond) -> Boottime {
    leap.at + leap.named_twice() + SLACK
}

/// Whether a warning that is received now is still that of a leap second that was made at `made`.
pub(super) fn is_that_of(leap: LeapSecond, made: Boottime) -> bool {
    leap.at.since(made) <= UNASKED
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 2027-02-01 00:00:00 UTC.
    const MIDNIGHT: i64 = 1_801_440_000;
    const SECOND: Offset = Offset::from_secs(1);

    fn boot(secs: u64, millis: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000 + millis * 1_000_000)
    }

    /// Of a machine that was booted a thousand seconds before midnight.
    fn flagged(leap: Leap, before: i64) -> Option<LeapSecond> {
        let real_minus_boot = Offset::from_secs(MIDNIGHT - 1000);
        super::flagged(leap, Realtime::from_secs(MIDNIGHT - before), real_minus_boot)
    }

    #[test]
    fn a_warning_is_of_the_end_of_the_month_and_of_nothing_sooner() {
        let inserted = LeapSecond { at: boot(1000, 0), change: -SECOND };
        assert_eq!(flagged(Leap::Insert, 1), Some(inserted));
        assert_eq!(flagged(Leap::Insert, SECS_PER_DAY), Some(inserted));
        assert_eq!(flagged(Leap::Insert, SECS_PER_DAY + 1), None);
        assert_eq!(flagged(Leap::Insert, 0), None);
        assert_eq!(flagged(Leap::Delete, 10), Some(LeapSecond { at: boot(999, 0), change: SECOND }));
        assert_eq!(flagged(Leap::None, 10), None);
    }

    #[test]
    fn the_kernel_has_a_tick_to_make_it() {
        for (leap, at) in [(Leap::Insert, boot(1001, 50)), (Leap::Delete, boot(999, 50))] {
            assert_eq!(flagged(leap, 10).map(missed_at), Some(at));
        }
    }

    #[test]
    fn no_reference_is_asked_near_it_and_every_one_soon_after() {
        let Some(leap) = flagged(Leap::Insert, 10) else { panic!("none") };
        for (due, asked) in [(900, 900), (997, 997), (999, 1002), (1001, 1002), (1200, 1002)] {
            assert_eq!(keeps_clear(leap, boot(due, 0)), boot(asked, 0), "{due}");
        }
    }
}

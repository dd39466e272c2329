//! A leap second that is to come: a move of the clock that is no step, for the truth moves with it.

use std::time::Duration;

use crate::time::{Boottime, NOISE, Offset};

/// The leap second at the end of this UTC month.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LeapSecond {
    /// When the clock leaps.
    pub at: Boottime,
    /// By how much: a second back where one is inserted (23:59:59 comes twice), a second forward where one is left out.
    pub change: Offset,
}

impl LeapSecond {
    /// What of a change of `REALTIME − BOOTTIME` is not the leap second's, seen at `now`.
    #[must_use]
    pub fn taken_out(self, change: Offset, now: Boottime) -> Offset {
        let leapt = change - self.change;
        let is_to_come = now + NOISE < self.at;
        let may_be_to_come = now < self.at + self.named_twice() + NOISE && change.abs() < leapt.abs();
        if is_to_come || may_be_to_come { change } else { leapt }
    }

    /// A second that is inserted is the first of the next day too (POSIX), until the kernel leaps.
    #[must_use]
    pub fn named_twice(self) -> Duration {
        if self.change.is_backward() { self.change.abs() } else { Duration::ZERO }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Offset = Offset::from_secs(1);

    fn boot(secs: u64, millis: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000 + millis * 1_000_000)
    }

    #[test]
    fn a_second_back_is_the_leap_second_at_its_moment_and_a_step_before_it() {
        let leap = LeapSecond { at: boot(1000, 0), change: -SECOND };
        assert_eq!(leap.taken_out(-SECOND, boot(999, 500)), -SECOND);
        assert_eq!(leap.taken_out(Offset::ZERO, boot(999, 999)), Offset::ZERO);
        assert_eq!(leap.taken_out(-SECOND, boot(1000, 0)), Offset::ZERO);
        // Not made yet; and by then it has to be.
        assert_eq!(leap.taken_out(Offset::ZERO, boot(1000, 900)), Offset::ZERO);
        assert_eq!(leap.taken_out(Offset::ZERO, boot(1001, 1)), SECOND);
        let hour = Offset::from_secs(3600);
        assert_eq!(leap.taken_out(hour - SECOND, boot(1002, 0)), hour);
        assert_eq!(leap.taken_out(hour, boot(999, 0)), hour);
    }

    #[test]
    fn a_second_that_is_left_out_has_no_other_name() {
        let leap = LeapSecond { at: boot(999, 0), change: SECOND };
        assert_eq!(leap.taken_out(Offset::ZERO, boot(998, 900)), Offset::ZERO);
        assert_eq!(leap.taken_out(SECOND, boot(999, 0)), Offset::ZERO);
        assert_eq!(leap.taken_out(Offset::ZERO, boot(999, 2)), -SECOND);
    }
}

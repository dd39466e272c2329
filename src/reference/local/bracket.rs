//! A question to a clock of this machine's own: which moment its answer belongs to, and whether the system clock was not moved
//! meanwhile.

use std::time::Duration;

use crate::decision::{Boottime, Differences, Realtime};
use crate::sys::clock::{boottime, standing};
use crate::sys::step::NOISE;

/// A step or a sleep in the middle of it voids a question; another one comes too late for the next.
const ATTEMPTS: u32 = 3;

/// When a question was asked.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Moment {
    /// Taken before it was asked.
    pub as_of: Boottime,
    /// What the system clock said then.
    pub local: Realtime,
    /// How long the answer took.
    pub took: Duration,
}

/// Asks while the clock is not set and the machine does not sleep; none where every attempt was disturbed.
pub fn undisturbed<T>(ask: impl Fn() -> T) -> Option<(Moment, T)> {
    (0..ATTEMPTS).find_map(|_| {
        let before = standing();
        let as_of = boottime();
        let answer = ask();
        let took = boottime().since(as_of);
        let local = as_of.as_realtime() + before.real_minus_boot;
        is_same(before, standing()).then_some((Moment { as_of, local, took }, answer))
    })
}

fn is_same(before: Differences, after: Differences) -> bool {
    (after.real_minus_boot - before.real_minus_boot).abs() <= NOISE
        && after.boot_minus_mono.abs_diff(before.boot_minus_mono) <= NOISE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;
    use crate::sys::clock::realtime;

    #[test]
    fn the_local_time_of_a_moment_is_the_system_clocks() {
        let (moment, said) = undisturbed(realtime).unwrap();
        assert!((said - moment.local).abs() <= moment.took + NOISE, "{moment:?} {said:?}");
    }

    #[test]
    fn a_step_and_a_sleep_in_between_are_seen() {
        let before = standing();
        let stepped = Differences { real_minus_boot: before.real_minus_boot + Offset::from_secs(1), ..before };
        let slept = Differences { boot_minus_mono: before.boot_minus_mono + Duration::from_secs(1), ..before };
        assert!(is_same(before, before) && !is_same(before, stepped) && !is_same(before, slept));
    }
}

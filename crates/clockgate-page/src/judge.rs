//! What a measurement is worth to a reader, judged by the reader's own clocks: a step, a slew and a sleep since then are seen by every
//! reader, whether the agent lives or not. A proof is a measurement, and the gate's threshold a tolerance.

use std::fmt;
use std::time::Duration;

use crate::leap::LeapSecond;
use crate::time::{Boottime, Clocks, Differences, NOISE, Offset, drift, forward};

/// What was measured, as the page has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ClockMeasurement {
    /// Reference minus local at `as_of`.
    pub offset: Offset,
    /// The most the clock was wrong then.
    pub bound: Duration,
    /// The moment that both hold for.
    pub as_of: Boottime,
    /// When it is too old.
    pub valid_until: Boottime,
    /// Parts per million that the bound grows by.
    pub max_drift_ppm: u32,
    /// The differences of the clocks then; none on the page of an agent that wrote none.
    pub differences: Option<Differences>,
    /// The leap second that moves the truth with the clock.
    pub leap_second: Option<LeapSecond>,
}

/// Why a measurement is none to us.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Doubt {
    /// It has run out.
    Expired,
    /// The kernel counted a sleep since.
    Slept(Duration),
    /// A program set the clock, and moved it by so much.
    Stepped(Offset),
    /// A program slewed it by so much, beyond the rate that was known.
    Slewed(Offset),
    /// Its own clocks could not be read at once: it took so long.
    Vague(Duration),
}

impl ClockMeasurement {
    /// The most that the clock is wrong by these clocks, which were read at once; none where they cannot say.
    #[must_use]
    pub fn bound_at(&self, now: &Clocks) -> Option<Duration> {
        self.judge(Duration::MAX, now, Duration::ZERO).ok()
    }

    /// Reference minus local by these clocks, which were read at once: what was measured, but for the steps and slews since then. None
    /// where that cannot be known.
    #[must_use]
    pub fn offset_at(&self, now: &Clocks) -> Option<Offset> {
        self.judge(Duration::MAX, now, Duration::ZERO).ok()?;
        let moved = self.differences.map(|then| self.moved(&then, now));
        Some(moved.map_or(self.offset, |(stepped, slewed)| self.offset - stepped - slewed))
    }

    /// By how much the clock was stepped and slewed since then.
    fn moved(&self, then: &Differences, clocks: &Clocks) -> (Offset, Offset) {
        let growth = drift(clocks.boot.since(self.as_of), self.max_drift_ppm);
        let now = clocks.differences();
        let moved = now.real_minus_boot - then.real_minus_boot;
        let stepped = self.leap_second.map_or(moved, |leap| leap.taken_out(moved, clocks.boot));
        // Up to the known rate a bend is the crystal's correction, which moves the clock nowhere; beyond it is a slew, which does.
        (stepped, beyond(now.mono_minus_raw - then.mono_minus_raw, growth))
    }

    /// The most that the clock is wrong at `now`, which was read within `width`.
    ///
    /// # Errors
    /// [`Doubt`] where that is over the tolerance, or cannot be known.
    pub(crate) fn judge(&self, tolerance: Duration, now: &Clocks, width: Duration) -> Result<Duration, Doubt> {
        let growth = drift(now.boot.since(self.as_of), self.max_drift_ppm);
        if now.boot >= self.valid_until {
            return Err(Doubt::Expired);
        }
        let Some(then) = self.differences else { return Ok(self.bound.saturating_add(growth)) };
        let slept = now.differences().boot_minus_mono.abs_diff(then.boot_minus_mono);
        if slept > NOISE.max(width) {
            return Err(Doubt::Slept(slept));
        }
        let (stepped, slewed) = self.moved(&then, now);
        let offset = self.offset - stepped - slewed;
        let distance = self.bound.saturating_sub(self.offset.abs());
        let bound = offset.abs().saturating_add(distance).saturating_add(growth).saturating_add(width);
        if bound <= tolerance {
            Ok(bound)
        } else if stepped.abs() > NOISE.max(width) {
            Err(Doubt::Stepped(stepped))
        } else if slewed.abs() > NOISE.max(width) {
            Err(Doubt::Slewed(slewed))
        } else if width > NOISE {
            Err(Doubt::Vague(width))
        } else {
            Err(Doubt::Expired)
        }
    }
}

impl Doubt {
    /// Whether other clocks than the host's would give it.
    pub(crate) const fn is_of_our_clocks(self) -> bool {
        match self {
            Self::Expired | Self::Slept(_) | Self::Stepped(_) => true,
            Self::Slewed(_) | Self::Vague(_) => false,
        }
    }
}

impl fmt::Display for Doubt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let size = |by: &Offset| by.size_in_words();
        let side = |by: &Offset| if by.is_backward() { "back" } else { "forward" };
        match self {
            Self::Expired => f.write_str("the proof has expired and the agent has not renewed it"),
            Self::Slept(length) => {
                write!(f, "the machine slept for {} since the proof, and", size(&forward(*length)))?;
                f.write_str(" the clock was not measured again")
            }
            Self::Stepped(by) => {
                write!(f, "the clock was set {} by {} since the proof, and not measured again", side(by), size(by))
            }
            Self::Slewed(by) => {
                write!(f, "the clock was slewed {} by {} since the proof, and not measured again", side(by), size(by))
            }
            Self::Vague(width) => {
                write!(f, "the clocks of this machine cannot be read at once: it takes {}", size(&forward(*width)))
            }
        }
    }
}

/// What of `change` lies beyond `known`, in its own direction.
fn beyond(change: Offset, known: Duration) -> Offset {
    let excess = forward(change.abs().saturating_sub(known));
    if change.is_backward() { -excess } else { excess }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Realtime;

    const MS: i64 = 1_000_000;
    const THRESHOLD: Duration = Duration::from_millis(200);
    const WIDTH: Duration = Duration::from_nanos(300);

    /// The clocks so long after the proof, untouched.
    fn after(elapsed: Duration) -> Clocks {
        let boot = Boottime::from_nanos(5_000_000_000) + elapsed;
        let raw = Duration::from_secs(4) + elapsed;
        let real = Realtime::from_secs(1_800_000_000) + forward(elapsed);
        Clocks { boot, raw, asleep: Duration::from_secs(1), real }
    }

    fn proof(offset_ms: i64, bound_ms: u64) -> ClockMeasurement {
        let now = after(Duration::ZERO);
        ClockMeasurement {
            offset: Offset::from_nanos(offset_ms * MS),
            bound: Duration::from_millis(bound_ms),
            as_of: now.boot,
            valid_until: now.boot + Duration::from_secs(300),
            max_drift_ppm: 500,
            differences: Some(now.differences()),
            leap_second: None,
        }
    }

    /// A slew by `millis` bends MONOTONIC, and BOOTTIME and REALTIME with it.
    fn slewed(clocks: Clocks, millis: i64) -> Clocks {
        let by = Offset::from_nanos(millis * MS);
        let boot = clocks.boot.as_nanos().saturating_add_signed(by.as_nanos());
        Clocks { boot: Boottime::from_nanos(boot), real: clocks.real + by, ..clocks }
    }

    fn stepped(clocks: Clocks, by: Offset) -> Clocks {
        Clocks { real: clocks.real + by, ..clocks }
    }

    #[test]
    fn the_bound_grows_as_time_passes_and_the_proof_ends_with_it() {
        let at = |secs| proof(-1, 3).judge(THRESHOLD, &after(Duration::from_secs(secs)), WIDTH);
        assert_eq!(at(0), Ok(Duration::from_millis(3) + WIDTH));
        assert_eq!(at(100), Ok(Duration::from_millis(53) + WIDTH));
        assert_eq!(at(300), Err(Doubt::Expired));
    }

    #[test]
    fn a_step_is_seen_by_its_size_and_a_small_one_is_part_of_the_bound() {
        let now = after(Duration::from_secs(10));
        for secs in [-3600, 3600, 1, -1] {
            let by = Offset::from_secs(secs);
            assert_eq!(proof(-1, 3).judge(THRESHOLD, &stepped(now, by), WIDTH), Err(Doubt::Stepped(by)));
        }
        let small = stepped(now, Offset::from_nanos(100 * MS));
        assert_eq!(proof(-1, 3).judge(THRESHOLD, &small, WIDTH), Ok(Duration::from_millis(101 + 2 + 5) + WIDTH));
        // A step that makes the clock righter makes the bound smaller.
        let righter = stepped(now, Offset::from_nanos(100 * MS));
        assert_eq!(proof(100, 103).judge(THRESHOLD, &righter, WIDTH), Ok(Duration::from_millis(3 + 5) + WIDTH));
    }

    #[test]
    fn what_was_measured_is_still_known_after_a_step_and_not_after_a_sleep() {
        let now = after(Duration::from_secs(10));
        let hour = Offset::from_secs(3600);
        let offset = proof(-1, 3).offset;
        assert_eq!(proof(-1, 3).offset_at(&now), Some(offset));
        assert_eq!(proof(-1, 3).offset_at(&stepped(now, -hour)), Some(offset + hour));
        let asleep = Clocks { asleep: Duration::from_secs(13), ..after(Duration::from_secs(20)) };
        assert_eq!(proof(-1, 3).offset_at(&asleep), None);
        assert_eq!(proof(-1, 3).offset_at(&after(Duration::from_secs(300))), None);
    }

    #[test]
    fn a_leap_second_that_is_expected_is_no_step_and_one_that_does_not_come_is_the_clocks_fault() {
        let second = Offset::from_secs(-1);
        let leap = LeapSecond { at: after(Duration::from_secs(10)).boot, change: second };
        let expects = ClockMeasurement { leap_second: Some(leap), ..proof(-1, 3) };
        let (before, then, later) = (9, 10, 12);
        let at = |secs, by| expects.judge(THRESHOLD, &stepped(after(Duration::from_secs(secs)), by), WIDTH);
        assert!(at(before, Offset::ZERO).is_ok() && at(then, Offset::ZERO).is_ok());
        assert!(at(then, second).is_ok() && at(later, second).is_ok());
        assert_eq!(at(before, second), Err(Doubt::Stepped(second)));
        assert_eq!(at(later, Offset::ZERO), Err(Doubt::Stepped(-second)));
        assert_eq!(at(later, second + second), Err(Doubt::Stepped(second)));
        // A page that says nothing of it.
        assert_eq!(
            proof(-1, 3).judge(THRESHOLD, &stepped(after(Duration::from_secs(12)), second), WIDTH),
            Err(Doubt::Stepped(second))
        );
    }

    #[test]
    fn a_slew_counts_beyond_the_known_rate_and_in_its_own_direction() {
        let now = after(Duration::from_secs(10));
        // The crystal's correction.
        assert!(
            proof(-1, 3).judge(THRESHOLD, &slewed(now, 4), WIDTH).is_ok_and(|bound| bound < Duration::from_millis(9))
        );
        assert!(
            matches!(proof(-1, 3).judge(THRESHOLD, &slewed(now, 300), WIDTH), Err(Doubt::Slewed(by)) if !by.is_backward())
        );
        assert!(
            matches!(proof(-1, 3).judge(THRESHOLD, &slewed(now, -300), WIDTH), Err(Doubt::Slewed(by)) if by.is_backward())
        );
        // A daemon that slews off what the clock was wrong by makes it right.
        assert!(
            proof(150, 160)
                .judge(THRESHOLD, &slewed(now, 150), WIDTH)
                .is_ok_and(|bound| bound < Duration::from_millis(25))
        );
        assert!(proof(150, 160).judge(THRESHOLD, &slewed(now, -150), WIDTH).is_err());
    }

    #[test]
    fn a_sleep_that_the_kernel_counted_is_shut_however_well_it_ended() {
        let woken = Clocks { asleep: Duration::from_secs(13), ..after(Duration::from_secs(20)) };
        assert_eq!(proof(-1, 3).judge(THRESHOLD, &woken, WIDTH), Err(Doubt::Slept(Duration::from_secs(12))));
    }

    #[test]
    fn a_reader_that_was_interrupted_while_it_looked_claims_no_more_than_it_saw() {
        let now = after(Duration::from_secs(10));
        let wide = Duration::from_millis(20);
        assert_eq!(proof(-1, 3).judge(THRESHOLD, &now, wide), Ok(Duration::from_millis(8) + wide));
        let second = Duration::from_secs(1);
        assert_eq!(proof(-1, 3).judge(THRESHOLD, &now, second), Err(Doubt::Vague(second)));
    }

    #[test]
    fn without_differences_a_proof_is_what_it_was_to_older_readers() {
        let older = ClockMeasurement { differences: None, ..proof(-1, 3) };
        let hour_off = stepped(after(Duration::from_secs(10)), Offset::from_secs(3600));
        assert_eq!(older.judge(THRESHOLD, &hour_off, WIDTH), Ok(Duration::from_millis(8)));
        assert_eq!(older.judge(THRESHOLD, &after(Duration::from_secs(301)), WIDTH), Err(Doubt::Expired));
    }

    #[test]
    fn a_wider_tolerance_takes_a_wider_bound_and_every_step_counts_into_it() {
        let minute = Duration::from_secs(60);
        let now = after(Duration::from_secs(10));
        let off = proof(20_000, 20_003);
        assert!(off.judge(THRESHOLD, &now, WIDTH).is_err());
        assert_eq!(off.judge(minute, &now, WIDTH), Ok(Duration::from_millis(20_003 + 5) + WIDTH));
        // Another program has taken it further off, or made it right.
        assert!(off.judge(minute, &stepped(now, Offset::from_secs(-39)), WIDTH).is_ok());
        let further = Offset::from_secs(-40);
        assert_eq!(off.judge(minute, &stepped(now, further), WIDTH), Err(Doubt::Stepped(further)));
        let righter = stepped(now, Offset::from_secs(20));
        assert_eq!(off.judge(minute, &righter, WIDTH), Ok(Duration::from_millis(3 + 5) + WIDTH));
        assert_eq!(off.judge(minute, &after(Duration::from_secs(300)), WIDTH), Err(Doubt::Expired));
    }
}

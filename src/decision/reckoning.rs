//! Dead reckoning: what time it should be, from the last proof and from clocks that no program can set.

use std::time::Duration;

use super::time::{Boottime, Clocks, NOISE, Offset, Realtime, SECS_PER_DAY, drift, forward};

/// CLOCK_MONOTONIC_RAW's rate is the crystal's, or that of a guest's miscounted TSC: no further from the truth than this, parts per
/// million.
pub const RAW_RATE_PPM: u32 = 500;
/// What the kernel's count of a sleep can be wrong by, each: the RTC that it counts by shows whole seconds.
const SLEEP_WIDTH: Duration = Duration::from_secs(2);
/// Zones lie apart by quarters of an hour, and from UTC by 14 hours at most.
const ZONE_STEP: Duration = Duration::from_secs(900);
const ZONE_MOST: Duration = Duration::from_secs(15 * 3600);
/// A shift that is a zone's is one to so much.
const ZONE_SLACK: Duration = Duration::from_secs(5);

/// A moment whose true time was proven. CLOCK_MONOTONIC_RAW and the sleep that the kernel counted give the time from there on;
/// BOOTTIME would not do, since a slew changes its rate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reckoning {
    /// The clocks at that moment.
    pub at: Clocks,
    /// The true time then.
    pub truth: Realtime,
    /// The most that it may have been wrong.
    pub width: Duration,
    /// Sleeps that the kernel has counted since.
    pub sleeps: u32,
}

/// What reckoning says of a moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Reckoned {
    /// The time that it should be.
    pub time: Realtime,
    /// How far that may be from the truth.
    pub width: Duration,
    /// Whether the machine slept since: then it can support, and refutes nothing.
    pub slept: Duration,
    /// The time awake since, which is the least that has passed.
    pub awake: Duration,
}

impl Reckoning {
    /// What time it should be at `now`.
    #[must_use]
    pub fn reckon(&self, now: &Clocks) -> Reckoned {
        let awake = now.raw.saturating_sub(self.at.raw);
        let slept = now.asleep.saturating_sub(self.at.asleep);
        let slept = if slept <= NOISE { Duration::ZERO } else { slept };
        let sleeps = if slept.is_zero() { 0 } else { self.sleeps.max(1) };
        let time = self.truth + forward(awake) + forward(slept);
        let width = self
            .width
            .saturating_add(drift(awake, RAW_RATE_PPM))
            .saturating_add(drift(slept, RAW_RATE_PPM))
            .saturating_add(SLEEP_WIDTH.saturating_mul(sleeps))
            .saturating_add(leap_slack(self.truth, time));
        Reckoned { time, width, slept, awake }
    }

    /// The same reckoning for a moment on BOOTTIME that is near `now`: what was asked a moment ago.
    #[must_use]
    pub fn reckon_at(&self, moment: Boottime, now: &Clocks) -> Reckoned {
        let reckoned = self.reckon(now);
        let back = Offset::ZERO - forward(now.boot.since(moment));
        Reckoned { time: reckoned.time + back, ..reckoned }
    }

    /// The true time was moved under us: a leap second that was flagged.
    pub fn shift(&mut self, change: Offset) {
        self.truth = self.truth + change;
    }
}

/// Leap seconds come at the end of June and December, and not every source announces them.
fn leap_slack(from: Realtime, to: Realtime) -> Duration {
    let (first, last) = (from.as_secs().div_euclid(SECS_PER_DAY), to.as_secs().div_euclid(SECS_PER_DAY));
    // A reckoning of years is not worth looking at each of its midnights.
    let is_crossed = last - first > 366 || ((first + 1)..=last).any(begins_a_half_year);
    // The first day itself counts too, just after its midnight.
    if is_crossed || begins_a_half_year(first) { Duration::from_secs(1) } else { Duration::ZERO }
}

/// Whether this day, counted from 1970-01-01, is the first of January or July.
const fn begins_a_half_year(day: i64) -> bool {
    matches!(Realtime::from_secs(day.saturating_mul(SECS_PER_DAY)).civil(), (_, 1 | 7, 1))
}

/// The whole quarter hours that a shift is, where it is a zone's.
#[must_use]
pub fn zone_shift(shift: Offset) -> Option<Offset> {
    let step = i64::try_from(ZONE_STEP.as_nanos()).unwrap_or(i64::MAX);
    let quarters = (shift.as_nanos() + step / 2).div_euclid(step);
    let zone = Offset::from_nanos(quarters.saturating_mul(step));
    let is_zone = quarters != 0 && zone.abs() <= ZONE_MOST && (shift - zone).abs() <= ZONE_SLACK;
    is_zone.then_some(zone)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOON: i64 = 1_800_014_400;

    fn proven() -> Reckoning {
        Reckoning { at: clocks(1000, 0), truth: Realtime::from_secs(NOON), width: Duration::from_millis(5), sleeps: 0 }
    }

    fn clocks(raw: u64, asleep: u64) -> Clocks {
        Clocks {
            boot: Boottime::from_nanos((raw + asleep) * 1_000_000_000),
            raw: Duration::from_secs(raw),
            asleep: Duration::from_secs(asleep),
            real: Realtime::default(),
        }
    }

    #[test]
    fn awake_it_grows_by_the_crystals_rate_alone() {
        let reckoned = proven().reckon(&clocks(1100, 0));
        assert_eq!(reckoned.time, Realtime::from_secs(NOON + 100));
        assert_eq!(reckoned.width, Duration::from_millis(55));
        assert_eq!(reckoned.slept, Duration::ZERO);
    }

    #[test]
    fn slewing_changes_the_rate_of_boottime_and_not_the_reckoning() {
        let slewed = Clocks { boot: Boottime::from_nanos(1_108_000_000_000), ..clocks(1100, 0) };
        assert_eq!(proven().reckon(&slewed).time, Realtime::from_secs(NOON + 100));
    }

    #[test]
    fn each_counted_sleep_widens_it_by_two_seconds_and_its_own_drift() {
        let reckoned = Reckoning { sleeps: 2, ..proven() }.reckon(&clocks(1100, 1000));
        assert_eq!(reckoned.time, Realtime::from_secs(NOON + 1100));
        assert_eq!(reckoned.width, Duration::from_millis(55 + 500 + 4000));
        assert_eq!((reckoned.slept, reckoned.awake), (Duration::from_secs(1000), Duration::from_secs(100)));
    }

    #[test]
    fn over_the_end_of_june_and_december_there_is_a_second_of_slack() {
        // 2028-01-01, 2027-07-01, 2027-06-30 and 2027-03-01, in days since 1970.
        for (day, begins) in [(21_184, true), (21_000, true), (20_999, false), (20_878, false)] {
            assert_eq!(begins_a_half_year(day), begins, "{day}");
        }
        let late_in_june = Reckoning { truth: Realtime::from_secs(21_000 * SECS_PER_DAY - 10), ..proven() };
        assert_eq!(late_in_june.reckon(&clocks(1005, 0)).width, Duration::from_micros(7_500));
        assert_eq!(late_in_june.reckon(&clocks(1020, 0)).width, Duration::from_millis(1015));
    }

    #[test]
    fn whole_quarter_hours_are_a_zone() {
        assert_eq!(zone_shift(Offset::from_secs(-7201)), Some(Offset::from_secs(-7200)));
        assert_eq!(zone_shift(Offset::from_secs(20_700)), Some(Offset::from_secs(20_700)));
        assert_eq!(zone_shift(Offset::from_secs(400)), None);
        assert_eq!(zone_shift(Offset::from_secs(3)), None);
        assert_eq!(zone_shift(Offset::from_secs(86_400)), None);
    }
}

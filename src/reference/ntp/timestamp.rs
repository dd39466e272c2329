//! NTP's timestamps, whose counter begins again every 136 years (RFC 5905 section 6).

use std::time::Duration;

use crate::decision::Realtime;

/// Seconds from 1900, where NTP begins to count, to 1970.
const UNIX_EPOCH_SECS: i64 = 2_208_988_800;
/// Seconds after which NTP's counter begins again: the era of 1900 ends on 2036-02-07.
const ERA_SECS: i64 = 1 << 32;

/// A moment as NTP writes it: seconds since the beginning of an era that it does not name, and a binary fraction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Timestamp(pub u64);

impl Timestamp {
    /// The moment, in the era that brings it nearest to `pivot`.
    #[must_use]
    pub fn near(self, pivot: Realtime) -> Realtime {
        let secs = i64::try_from(self.0 >> 32).unwrap_or(0) - UNIX_EPOCH_SECS;
        let eras = (pivot.as_secs() - secs + ERA_SECS / 2).div_euclid(ERA_SECS);
        let nanos = ((self.0 & 0xffff_ffff) * 1_000_000_000) >> 32;
        let whole = Realtime::from_secs(secs + eras * ERA_SECS).as_nanos();
        Realtime::from_nanos(whole.saturating_add(i64::try_from(nanos).unwrap_or(0)))
    }

    /// Whether it has no fraction.
    #[must_use]
    pub const fn is_whole(self) -> bool {
        self.0 & 0xffff_ffff == 0
    }

    /// How long after `earlier` this is, in the same or the next era; nothing if it is before it.
    #[must_use]
    pub fn since(self, earlier: Self) -> Option<Duration> {
        let ticks = i64::from_ne_bytes(self.0.wrapping_sub(earlier.0).to_ne_bytes());
        u64::try_from(ticks).ok().map(|t| Duration::new(t >> 32, fraction_nanos(t)))
    }
}

fn fraction_nanos(ticks: u64) -> u32 {
    u32::try_from(((ticks & 0xffff_ffff) * 1_000_000_000) >> 32).unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const BUILT: Realtime = Realtime::from_secs(1_793_491_200);

    fn written(secs: i64) -> Timestamp {
        Timestamp(u64::try_from((secs + UNIX_EPOCH_SECS).rem_euclid(ERA_SECS)).unwrap() << 32)
    }

    #[test]
    fn the_counter_that_began_again_in_2036_is_read_right() {
        // 2036-02-07 06:28:16 is second 0 of the second era, a second before it the last one of the first.
        assert_eq!(written(2_085_978_495), Timestamp(0xffff_ffff << 32));
        assert_eq!(Timestamp(0xffff_ffff << 32).near(BUILT), Realtime::from_secs(2_085_978_495));
        assert_eq!(Timestamp(0).near(BUILT), Realtime::from_secs(2_085_978_496));
        let later = Realtime::from_secs(2_100_000_000);
        assert_eq!(Timestamp(0).near(later), Realtime::from_secs(2_085_978_496));
        assert_eq!(Timestamp(0xffff_ffff << 32).near(later), Realtime::from_secs(2_085_978_495));
    }

    #[test]
    fn sixty_eight_years_each_way_of_the_pivot_are_unambiguous() {
        let years = 68 * 365 * 86_400;
        for secs in [BUILT.as_secs() + years, BUILT.as_secs() - years, BUILT.as_secs(), 0] {
            assert_eq!(written(secs).near(BUILT), Realtime::from_secs(secs));
        }
    }

    #[test]
    fn the_fraction_is_binary() {
        let half = Timestamp(written(1_800_000_000).0 | 1 << 31);
        assert_eq!(half.near(BUILT), Realtime::from_nanos(1_800_000_000_500_000_000));
    }

    #[test]
    fn a_span_across_the_eras_is_short_and_one_backward_is_none() {
        let (before, after) = (Timestamp(0xffff_ffff_8000_0000), Timestamp(1 << 32));
        assert_eq!(after.since(before), Some(Duration::from_millis(1500)));
        assert_eq!(before.since(after), None);
        assert_eq!(before.since(before), Some(Duration::ZERO));
    }

    proptest! {
        #[test]
        fn the_era_chosen_is_the_nearest(ticks: u64, pivot in -2_000_000_000..7_000_000_000_i64) {
            let found = Timestamp(ticks).near(Realtime::from_secs(pivot)).as_secs();
            prop_assert!((found - pivot).abs() <= ERA_SECS / 2, "{found} for {pivot}");
            prop_assert_eq!((found + UNIX_EPOCH_SECS).rem_euclid(ERA_SECS), i64::try_from(ticks >> 32).unwrap());
        }
    }
}

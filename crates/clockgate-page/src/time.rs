//! The kinds of time clockgate calculates with; each type carries its unit. No I/O: the clocks are read in [`crate::sys::clock`].

use std::fmt;
use std::ops::{Add, Neg, Sub};
use std::time::Duration;

const NANOS_PER_SEC: i64 = 1_000_000_000;
/// Those of a day in UTC without a leap second.
pub const SECS_PER_DAY: i64 = 86_400;

/// Differences of clocks that were read one after the other are equal to so much.
pub const NOISE: Duration = Duration::from_millis(1);

/// What the clocks that begin at boot have in common.
macro_rules! since_boot {
    ($clock:ident) => {
        impl $clock {
            /// From nanoseconds since boot.
            #[must_use]
            pub const fn from_nanos(nanos: u64) -> Self {
                Self(nanos)
            }

            /// Nanoseconds since boot.
            #[must_use]
            pub const fn as_nanos(self) -> u64 {
                self.0
            }

            /// How long after `earlier` this is; zero if it is not after it.
            #[must_use]
            pub const fn since(self, earlier: Self) -> Duration {
                Duration::from_nanos(self.0.saturating_sub(earlier.0))
            }
        }

        impl Add<Duration> for $clock {
            type Output = Self;
            fn add(self, after: Duration) -> Self {
                Self(self.0.saturating_add(nanos_u64(after)))
            }
        }
    };
}

/// What a moment of UTC and an offset have in common: signed nanoseconds, which offsets are added to.
macro_rules! signed {
    ($kind:ident) => {
        impl $kind {
            /// From nanoseconds; a moment's are since 1970.
            #[must_use]
            pub const fn from_nanos(nanos: i64) -> Self {
                Self(nanos)
            }

            /// From whole seconds; a moment's are since 1970.
            #[must_use]
            pub const fn from_secs(secs: i64) -> Self {
                Self(secs.saturating_mul(NANOS_PER_SEC))
            }

            /// Nanoseconds; a moment's are since 1970.
            #[must_use]
            pub const fn as_nanos(self) -> i64 {
                self.0
            }
        }

        impl Add<Offset> for $kind {
            type Output = Self;
            fn add(self, offset: Offset) -> Self {
                Self(self.0.saturating_add(offset.0))
            }
        }

        impl Sub for $kind {
            type Output = Offset;
            fn sub(self, other: Self) -> Offset {
                Offset(self.0.saturating_sub(other.0))
            }
        }
    };
}

/// A moment on `CLOCK_BOOTTIME`: nanoseconds since boot, time asleep included.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Boottime(u64);

impl Boottime {
    /// The far end of time: a deadline that never comes.
    pub const NEVER: Self = Self(u64::MAX);

    /// The reading of a clock that said 1970 at boot: what `CLOCK_REALTIME` differs from by `real_minus_boot`.
    #[must_use]
    pub const fn as_realtime(self) -> Realtime {
        Realtime::from_nanos(if self.0 > i64::MAX as u64 { i64::MAX } else { self.0.cast_signed() })
    }
}

since_boot!(Boottime);

/// A moment on `CLOCK_MONOTONIC`: nanoseconds awake since boot, which stand still while the machine sleeps.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Awake(u64);

impl Awake {
    /// The far end of time.
    pub const NEVER: Self = Self(u64::MAX);

    /// The same on BOOTTIME, if the machine does not sleep meanwhile.
    #[must_use]
    pub fn on_boottime(self, now: &Clocks) -> Boottime {
        Boottime(self.0) + now.asleep
    }
}

since_boot!(Awake);

/// A moment on `CLOCK_REALTIME`, right or wrong: nanoseconds since 1970-01-01 UTC (until the year 2262).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Realtime(i64);

signed!(Realtime);

impl Realtime {
    /// Whole seconds since 1970, rounded down.
    #[must_use]
    pub const fn as_secs(self) -> i64 {
        self.0.div_euclid(NANOS_PER_SEC)
    }

    /// Day and minute in UTC, `2026-11-01 09:30 UTC`.
    #[must_use]
    pub fn minute(self) -> String {
        let minutes = self.as_secs().rem_euclid(SECS_PER_DAY) / 60;
        format!("{} {:02}:{:02} UTC", self.date(), minutes / 60, minutes % 60)
    }

    /// The day in UTC, `2026-11-01`.
    #[must_use]
    pub fn date(self) -> String {
        let (year, month, day) = self.civil();
        format!("{year:04}-{month:02}-{day:02}")
    }

    /// Year, month and day of the month in UTC (days to civil, Howard Hinnant's algorithm).
    #[must_use]
    pub const fn civil(self) -> (i64, i64, i64) {
        // Days since 0000-03-01 in the proleptic Gregorian calendar: a year that begins in March has its leap day at its end.
        let days = self.as_secs().div_euclid(SECS_PER_DAY) + 719_468;
        let (era, day) = (days.div_euclid(146_097), days.rem_euclid(146_097));
        let year = (day - day / 1460 + day / 36_524 - day / 146_096) / 365;
        let day = day - (365 * year + year / 4 - year / 100);
        let month = (5 * day + 2) / 153;
        let day = day - (153 * month + 2) / 5 + 1;
        if month < 10 { (era * 400 + year, month + 3, day) } else { (era * 400 + year + 1, month - 9, day) }
    }
}

/// A length of time in the units that people use: `1 h 0 min 12 s`, `3 d 4 h`, `12.5 s`, `340 ms`.
#[must_use]
pub fn size_in_words(size: Duration) -> String {
    let (secs, millis) = (size.as_secs(), size.subsec_millis());
    let (days, hours, minutes) = (secs / 86_400, secs % 86_400 / 3600, secs % 3600 / 60);
    match secs {
        0 if millis == 0 => format!("{} us", size.as_micros()),
        0 => format!("{millis} ms"),
        1..60 => format!("{secs}.{} s", millis / 100),
        60..3600 => format!("{minutes} min {} s", secs % 60),
        3600..86_400 => format!("{hours} h {minutes} min {} s", secs % 60),
        _ => format!("{days} d {hours} h"),
    }
}

/// A bound in the units that people use, to the microsecond where it is small: `1.320 ms`, `59 min 59 s`.
#[must_use]
pub fn bound_in_words(bound: Duration) -> String {
    if bound < Duration::from_secs(1) { format!("{:.3} ms", bound.as_secs_f64() * 1e3) } else { size_in_words(bound) }
}

/// Reference minus local, nanoseconds: positive means that our clock is behind and has to go forward.
///
/// The sign of RFC 5905 section 8.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Offset(i64);

signed!(Offset);

impl Offset {
    /// No difference at all.
    pub const ZERO: Self = Self(0);

    /// Its size without the sign.
    #[must_use]
    pub const fn abs(self) -> Duration {
        Duration::from_nanos(self.0.unsigned_abs())
    }

    /// Its size in the units that people use: `1 h 0 min 12 s`, `3 d 4 h`, `12.5 s`, `340 ms`.
    #[must_use]
    pub fn size_in_words(self) -> String {
        size_in_words(self.abs())
    }

    /// What it says of our clock, for people: `1 h 0 min 12 s behind`.
    #[must_use]
    pub fn in_words(self) -> String {
        let side = if self.is_backward() { "ahead" } else { "behind" };
        format!("{} {side}", self.size_in_words())
    }

    /// Whether our clock is ahead, so that a step would set it back.
    #[must_use]
    pub const fn is_backward(self) -> bool {
        self.0 < 0
    }
}

impl Neg for Offset {
    type Output = Self;
    fn neg(self) -> Self {
        Self(self.0.saturating_neg())
    }
}

impl fmt::Display for Offset {
    /// Seconds with a sign and as many digits as carry meaning: `+3600.001s`, `-0.000012s`.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.0 < 0 { '-' } else { '+' };
        let size = self.abs();
        write!(f, "{sign}{}.{:06}s", size.as_secs(), size.subsec_micros())
    }
}

/// All clocks of this machine as of one moment.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Clocks {
    /// `CLOCK_BOOTTIME`: bent by slewing, time asleep included.
    pub boot: Boottime,
    /// `CLOCK_MONOTONIC_RAW`: time awake since boot at the hardware's own rate, which is not slewed.
    pub raw: Duration,
    /// `BOOTTIME − MONOTONIC`: time asleep since boot, as the kernel counted it.
    pub asleep: Duration,
    /// `CLOCK_REALTIME`: what the system believes, right or wrong.
    pub real: Realtime,
}

/// How the clocks stand to one another: each difference moves for one reason alone, so that each of the three is a witness.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// `REALTIME − BOOTTIME`: moved by every step of the clock; a slew moves both alike.
    pub real_minus_boot: Offset,
    /// `BOOTTIME − MONOTONIC`: the time asleep since boot, as the kernel counted it.
    pub boot_minus_mono: Duration,
    /// `MONOTONIC − MONOTONIC_RAW`: what the clock's rate was bent by since boot, slews included.
    pub mono_minus_raw: Offset,
}

impl Clocks {
    /// How they stand to one another.
    #[must_use]
    pub fn differences(&self) -> Differences {
        let since_boot = self.boot.since(Boottime::default());
        Differences {
            real_minus_boot: self.real - self.boot.as_realtime(),
            boot_minus_mono: self.asleep,
            mono_minus_raw: forward(since_boot) - forward(self.asleep) - forward(self.raw),
        }
    }

    /// `CLOCK_MONOTONIC`: time awake since boot.
    #[must_use]
    pub fn awake(&self) -> Awake {
        Awake(self.boot.0.saturating_sub(nanos_u64(self.asleep)))
    }
}

/// What a clock can lose or win in `elapsed` at `ppm` parts per million.
#[must_use]
pub fn drift(elapsed: Duration, ppm: u32) -> Duration {
    let nanos = elapsed.as_nanos().saturating_mul(u128::from(ppm)) / 1_000_000;
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A duration in whole nanoseconds; 584 years and more become the largest number.
#[must_use]
pub fn nanos_u64(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

/// A duration as a signed offset in the forward direction; 292 years and more become the largest number.
#[must_use]
pub fn forward(duration: Duration) -> Offset {
    Offset(i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_offset_prints_its_sign_and_microseconds() {
        assert_eq!(Offset::from_nanos(3_600_001_000_000).to_string(), "+3600.001000s");
        assert_eq!(Offset::from_nanos(-12_345).to_string(), "-0.000012s");
    }

    #[test]
    fn people_read_days_hours_and_minutes() {
        let words = |millis: i64| Offset::from_nanos(millis * 1_000_000).in_words();
        assert_eq!(words(3_612_000), "1 h 0 min 12 s behind");
        assert_eq!(words(-340), "340 ms ahead");
        assert_eq!(words(1_250), "1.2 s behind");
        assert_eq!(words(-1_200_000), "20 min 0 s ahead");
        assert_eq!(words(273_600_000), "3 d 4 h behind");
        assert_eq!(Realtime::from_secs(1_793_491_200).date(), "2026-11-01");
        assert_eq!(Realtime::from_secs(951_782_400).date(), "2000-02-29");
        assert_eq!(Realtime::from_secs(1_793_491_200 + 34_230).minute(), "2026-11-01 09:30 UTC");
    }

    #[test]
    fn drift_of_a_second_at_500_ppm_is_half_a_millisecond() {
        assert_eq!(drift(Duration::from_secs(1), 500), Duration::from_micros(500));
        assert_eq!(drift(Duration::MAX, u32::MAX), Duration::from_nanos(u64::MAX));
    }
}

//! What several references say together: the interval that most of them share.

use std::time::Duration;

use super::reading::{Leap, Reading};
use super::time::{Boottime, Offset, Realtime};

/// What the references agree on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// Reference minus local: the middle of the shared interval.
    pub offset: Offset,
    /// Half the width of the shared interval, at `as_of`.
    pub root_distance: Duration,
    /// The moment that offset and distance hold for.
    pub as_of: Boottime,
    /// What the system clock said at `as_of`.
    pub local: Realtime,
    /// How many references share the interval.
    pub supporters: usize,
    /// Whether every supporter was authenticated.
    pub authenticated: bool,
    /// The leap second warning of the supporters; any warning counts.
    pub leap: Leap,
    /// Those whose interval lies elsewhere, by name.
    pub falsetickers: Vec<String>,
}

impl Agreement {
    /// The most the clock can be wrong, as of `as_of`.
    #[must_use]
    pub fn bound(&self) -> Duration {
        self.offset.abs().saturating_add(self.root_distance)
    }
}

/// Why the references together say nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// No reference answered.
    #[error("no reference answered")]
    Nobody,
    /// Fewer answered than the policy wants.
    #[error("{answered} reference(s) answered, {wanted} are wanted")]
    TooFew {
        /// How many answered.
        answered: usize,
        /// `min-references`.
        wanted: usize,
    },
    /// No majority shares an interval.
    #[error("{answered} references answered and at most {largest} of them agree")]
    NoMajority {
        /// How many answered.
        answered: usize,
        /// The largest group that shares an interval.
        largest: usize,
    },
}

/// Finds the interval that a majority of the readings share (Marzullo's algorithm, RFC 5905 section 11.2.1).
///
/// Each reading stands for `offset ± root distance` at `now`. With one reading that is the answer, if `wanted` is one.
///
/// # Errors
/// [`Disagreement`] when too few answered or no majority agrees.
pub fn agree(readings: &[Reading], now: Boottime, drift_ppm: u32, wanted: usize) -> Result<Agreement, Disagreement> {
    if readings.is_empty() {
        return Err(Disagreement::Nobody);
    }
    if readings.len() < wanted {
        return Err(Disagreement::TooFew { answered: readings.len(), wanted });
    }
    let intervals: Vec<(i128, i128)> = readings.iter().map(|r| interval(r, now, drift_ppm)).collect();
    let (low, high, largest) = most_shared(&intervals);
    if largest * 2 <= readings.len() {
        return Err(Disagreement::NoMajority { answered: readings.len(), largest });
    }
    let supports = |&(lo, hi): &(i128, i128)| lo <= low && hi >= high;
    let supporters: Vec<&Reading> =
        readings.iter().zip(&intervals).filter(|(_, i)| supports(i)).map(|(r, _)| r).collect();
    let falsetickers =
        readings.iter().zip(&intervals).filter(|(_, i)| !supports(i)).map(|(r, _)| r.source.clone()).collect();
    let newest = supporters.iter().max_by_key(|r| r.as_of).map_or((now, Realtime::default()), |r| (r.as_of, r.local));
    Ok(Agreement {
        offset: Offset::from_nanos(clamp_i64((low + high).div_euclid(2))),
        root_distance: Duration::from_nanos(u64::try_from((high - low + 1) / 2).unwrap_or(u64::MAX)),
        as_of: now,
        local: newest.1 + super::time::forward(now.since(newest.0)),
        supporters: supporters.len(),
        authenticated: supporters.iter().all(|r| r.authenticated),
        leap: supporters.iter().map(|r| r.leap).find(|l| *l != Leap::None).unwrap_or_default(),
        falsetickers,
    })
}

fn interval(reading: &Reading, now: Boottime, drift_ppm: u32) -> (i128, i128) {
    let middle = i128::from(reading.offset.as_nanos());
    let half = i128::try_from(reading.root_distance_at(now, drift_ppm).as_nanos()).unwrap_or(i128::MAX / 4);
    (middle - half, middle + half)
}

/// The narrowest stretch covered by the most intervals, and by how many.
fn most_shared(intervals: &[(i128, i128)]) -> (i128, i128, usize) {
    let mut best = (0, 0, 0);
    for &(low, _) in intervals {
        // The best stretch begins at the low edge of one of the intervals and ends at the nearest high edge.
        let covering: Vec<i128> =
            intervals.iter().filter(|(lo, hi)| *lo <= low && *hi >= low).map(|(_, hi)| *hi).collect();
        if covering.len() > best.2 {
            best = (low, covering.iter().copied().min().unwrap_or(low), covering.len());
        }
    }
    best
}

fn clamp_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::reading::{Kind, Voice};

    fn says(source: &str, offset_ms: i64, distance_ms: u64) -> Reading {
        Reading {
            source: source.to_owned(),
            voice: Voice::server(source),
            kind: Kind::Ntp,
            as_of: Boottime::from_nanos(1_000),
            local: Realtime::from_secs(1_800_000_000),
            offset: Offset::from_nanos(offset_ms * 1_000_000),
            root_distance: Duration::from_millis(distance_ms),
            authenticated: false,
            leap: Leap::None,
            stratum: Some(2),
            delay: None,
            upstream: None,
        }
    }

    fn agreed(readings: &[Reading]) -> Result<Agreement, Disagreement> {
        agree(readings, Boottime::from_nanos(1_000), 0, 1)
    }

    #[test]
    fn one_reference_is_taken_at_its_word() -> Result<(), Disagreement> {
        let all = agreed(&[says("a", 40, 5)])?;
        assert_eq!((all.offset.as_nanos(), all.root_distance), (40_000_000, Duration::from_millis(5)));
        Ok(())
    }

    #[test]
    fn two_of_three_lying_alike_win_and_two_lying_apart_do_not() -> Result<(), Disagreement> {
        let all = agreed(&[says("a", 0, 5), says("b", 3000, 5), says("c", 3002, 5)])?;
        assert_eq!(all.falsetickers, ["a"]);
        let apart = agreed(&[says("a", 0, 5), says("b", 3000, 5), says("c", -3000, 5)]);
        assert_eq!(apart, Err(Disagreement::NoMajority { answered: 3, largest: 1 }));
        Ok(())
    }

    #[test]
    fn one_against_one_is_no_majority() {
        assert!(matches!(agreed(&[says("a", 0, 5), says("b", 100, 5)]), Err(Disagreement::NoMajority { .. })));
    }

    #[test]
    fn the_shared_interval_is_narrower_than_each() -> Result<(), Disagreement> {
        let all = agreed(&[says("a", 0, 10), says("b", 15, 10)])?;
        assert_eq!((all.offset.as_nanos(), all.root_distance), (7_500_000, Duration::from_micros(2500)));
        Ok(())
    }
}

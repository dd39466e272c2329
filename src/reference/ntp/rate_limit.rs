//! How often one server may be asked: a bucket of questions that fills again. No I/O and no clock.

use std::time::Duration;

use crate::decision::{Boottime, nanos_u64};

/// Questions in a full bucket. So in any time `T` a server receives at most `8 + T / 2 s` of them, and two more for each
/// [`Bucket::replenish`].
pub const CAPACITY: u32 = 8;
/// One question more, as long as it is not full.
pub const EVERY: Duration = Duration::from_secs(2);
/// What a disruption that was real always has: its two exchanges.
const RESERVE: u32 = 2;

/// The questions that one server may still be asked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bucket {
    /// When it will be full again if no question is asked.
    full_at: Boottime,
}

impl Bucket {
    /// Takes a question out, if at least `kept` remain.
    ///
    /// # Errors
    /// When not: how long until it may.
    pub fn take(&mut self, now: Boottime, kept: u32) -> Result<(), Duration> {
        let full_at = self.full_at.max(now) + EVERY;
        let latest = now + EVERY * CAPACITY.saturating_sub(kept);
        if full_at > latest {
            return Err(full_at.since(latest));
        }
        self.full_at = full_at;
        Ok(())
    }

    /// Puts one back that was taken and could not be sent.
    pub fn give_back(&mut self) {
        self.full_at = Boottime::from_nanos(self.full_at.as_nanos().saturating_sub(nanos_u64(EVERY)));
    }

    /// Fills it so far that two questions are in it.
    pub fn replenish(&mut self, now: Boottime) {
        self.full_at = self.full_at.min(now + EVERY * (CAPACITY - RESERVE));
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_full(&self, now: Boottime) -> bool {
        self.full_at <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn at(millis: u64) -> Boottime {
        Boottime::from_nanos(millis * 1_000_000)
    }

    #[test]
    fn eight_questions_at_once_and_then_one_in_two_seconds() {
        let mut bucket = Bucket::default();
        assert_eq!((0..9).filter(|_| bucket.take(at(0), 0).is_ok()).count(), 8);
        bucket.give_back();
        assert_eq!((0..9).filter(|_| bucket.take(at(0), 0).is_ok()).count(), 1);
        assert_eq!(bucket.take(at(500), 0), Err(Duration::from_millis(1500)));
        assert_eq!((0..3).filter(|_| bucket.take(at(2000), 0).is_ok()).count(), 1);
        assert_eq!((0..9).filter(|_| bucket.take(at(18_000), 0).is_ok()).count(), 8);
    }

    #[test]
    fn a_repetition_leaves_four_and_a_real_sleep_has_two() {
        let mut bucket = Bucket::default();
        assert_eq!((0..9).filter(|_| bucket.take(at(0), 4).is_ok()).count(), 4);
        assert_eq!((0..9).filter(|_| bucket.take(at(0), 0).is_ok()).count(), 4);
        bucket.replenish(at(0));
        bucket.replenish(at(0));
        assert_eq!((0..9).filter(|_| bucket.take(at(0), 0).is_ok()).count(), 2);
        let mut full = Bucket::default();
        full.replenish(at(0));
        assert!(full.is_full(at(0)), "no server loses by it");
    }

    proptest! {
        #[test]
        fn in_any_time_a_server_receives_eight_questions_and_one_for_each_two_seconds(
            gaps in proptest::collection::vec((0_u64..5000, 0_u32..6), 1..200),
        ) {
            let (mut bucket, mut now, mut received) = (Bucket::default(), 0, vec![]);
            for (gap, kept) in gaps {
                now += gap;
                if bucket.take(at(now), kept).is_ok() {
                    received.push(now);
                }
            }
            for (first, from) in received.iter().enumerate() {
                for (last, until) in received.iter().enumerate().skip(first) {
                    prop_assert!((last - first + 1) as u64 <= 8 + (until - from) / 2000);
                }
            }
        }
    }
}

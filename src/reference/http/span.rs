//! What several answers say together. An answer made between two moments carries the second in which it was made; around a second's
//! edge the next one distinguishes the two halves of what is left.

use std::time::Duration;

use crate::decision::{Boottime, SERVERS_OWN_ERROR, nanos_u64};

const SECOND: i64 = 1_000_000_000;

/// One answer: between which two moments it was made, and the second that it names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DatedAnswer {
    /// Before the request was sent.
    pub sent: Boottime,
    /// After its first byte was received.
    pub received: Boottime,
    /// Seconds since 1970.
    pub date: i64,
}

/// Where the server's time minus BOOTTIME lies, in nanoseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Span {
    least: i64,
    most: i64,
}

/// Answers of one name that do not go together: its machines have clocks of their own, or one answer is old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("its answers contradict each other by {0:?}: they come from caches, or from machines whose clocks differ")]
pub struct AnswersApart(Duration);

impl DatedAnswer {
    /// The round trip.
    #[must_use]
    pub fn delay(&self) -> Duration {
        self.received.since(self.sent)
    }

    /// What it says: the true time was within [date, date + 1 s) at some moment between the two.
    #[must_use]
    pub fn span(&self) -> Span {
        let date = self.date.saturating_mul(SECOND);
        Span {
            least: date.saturating_sub(self.received.as_nanos().cast_signed()),
            most: date.saturating_add(SECOND).saturating_sub(self.sent.as_nanos().cast_signed()),
        }
    }
}

impl Span {
    /// Both together. Where they do not meet by less than a server's own error, the machines behind one name differ by so little, and
    /// what lies between them belongs to it.
    ///
    /// # Errors
    /// [`AnswersApart`].
    pub fn and(self, other: Self) -> Result<Self, AnswersApart> {
        let (least, most) = (self.least.max(other.least), self.most.min(other.most));
        if least <= most {
            return Ok(Self { least, most });
        }
        let apart = Duration::from_nanos((least - most).unsigned_abs());
        if apart < SERVERS_OWN_ERROR { Ok(Self { least: most, most: least }) } else { Err(AnswersApart(apart)) }
    }

    /// Half its width: how far its middle may be from the server's time.
    #[must_use]
    pub fn half(self) -> Duration {
        Duration::from_nanos((self.most - self.least).unsigned_abs().div_ceil(2))
    }

    /// The server's time minus BOOTTIME, nanoseconds.
    #[must_use]
    pub const fn middle(self) -> i64 {
        self.least + (self.most - self.least) / 2
    }

    /// When to send, not before `from`, so that an answer made half a round trip later falls on the edge of a second by the middle of
    /// what is known: whichever second it names, half of that is out.
    #[must_use]
    pub fn edge(self, from: Boottime, delay: Duration) -> Boottime {
        let half_way = nanos_u64(delay / 2);
        let made_at = from.as_nanos().saturating_add(half_way).cast_signed().saturating_add(self.middle());
        let wait = SECOND - 1 - (made_at - 1).rem_euclid(SECOND);
        from + Duration::from_nanos(wait.unsigned_abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const NOON: i64 = 1_800_014_400;

    fn boot(nanos: i64) -> Boottime {
        Boottime::from_nanos(nanos.unsigned_abs())
    }

    /// A server whose time is BOOTTIME + `truth`, and that answers `there` after a question that takes `delay` in all.
    fn answer(truth: i64, sent: i64, there: i64, delay: i64) -> DatedAnswer {
        DatedAnswer { sent: boot(sent), received: boot(sent + delay), date: (sent + there + truth).div_euclid(SECOND) }
    }

    #[test]
    fn one_answer_knows_the_time_to_half_a_second_and_half_the_round_trip() {
        let one = answer(NOON * SECOND, 5 * SECOND, 10_000_000, 40_000_000).span();
        assert_eq!(one.half(), Duration::from_millis(520));
        assert!(one.least <= NOON * SECOND && NOON * SECOND <= one.most);
    }

    #[test]
    fn answers_that_contradict_by_more_than_a_servers_error_are_refused() {
        let now = answer(NOON * SECOND, 5 * SECOND, 0, 1_000_000).span();
        let cached = answer((NOON - 60) * SECOND, 6 * SECOND, 0, 1_000_000).span();
        assert!(now.and(cached).is_err());
        // The second machine behind a name is 20 ms behind the first: what is between them stays.
        let left = Span { least: 0, most: 10_000_000 }.and(Span { least: 30_000_000, most: 900_000_000 }).unwrap();
        assert_eq!(left, Span { least: 10_000_000, most: 30_000_000 });
    }

    proptest! {
        /// Whatever the server's time and the delays: the truth is within, and few questions around the edge bring 0.2 s.
        #[test]
        fn the_truth_is_within_and_four_more_answers_bring_it_below_a_tenth(
            fraction in 0..SECOND,
            delays in proptest::collection::vec((1_000_000..60_000_000_i64, 0..100_i64), 5),
        ) {
            let truth = NOON * SECOND + fraction;
            let mut at = 5 * SECOND;
            let mut known: Option<Span> = None;
            for (delay, share) in delays {
                let one = answer(truth, at, delay * share / 100, delay);
                let span = match known {
                    None => one.span(),
                    Some(before) => before.and(one.span()).unwrap(),
                };
                prop_assert!(span.least <= truth && truth <= span.most);
                let next = span.edge(one.received, Duration::from_nanos(delay.unsigned_abs()));
                prop_assert!(next.since(one.received) < Duration::from_secs(1));
                at = next.as_nanos().cast_signed();
                known = Some(span);
            }
            let half = known.map(Span::half).unwrap_or_default();
            prop_assert!(half <= Duration::from_millis(100), "{half:?}");
        }
    }
}

//! What one exchange says of our clock: offset, delay, root distance (RFC 5905 section 8).

use std::time::Duration;

use super::packet::Reply;
use crate::decision::{Offset, RAW_RATE_PPM, Realtime, drift};

/// Our side of an exchange. The time of the answer is not asked of CLOCK_REALTIME, which a daemon can bend by 8 % or set
/// meanwhile: it is the time of the question and what CLOCK_MONOTONIC_RAW counted since.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sent {
    /// What our clock said just before the question left (T1).
    pub local: Realtime,
    /// How long the answer took (T4 − T1).
    pub elapsed: Duration,
    /// How far the two clocks may have been read apart.
    pub uncertainty: Duration,
}

/// What the exchange says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Sample {
    /// Reference minus local, at the time of the question.
    pub offset: Offset,
    /// The round trip without the server's own share.
    pub delay: Duration,
    /// delay/2 + root delay/2 + root dispersion + precision, and what our own clocks leave open.
    pub root_distance: Duration,
}

/// Reckons an exchange; the server's timestamps lie in the era nearest to `pivot`.
#[must_use]
pub fn reckon(sent: &Sent, reply: &Reply, pivot: Realtime) -> Sample {
    let elapsed = nanos(sent.elapsed);
    let t1 = i128::from(sent.local.as_nanos());
    let t4 = t1 + elapsed;
    let t2 = i128::from(reply.receive.near(pivot).as_nanos());
    let served = nanos(reply.transmit.since(reply.receive).unwrap_or_default());
    let t3 = t2 + served;
    let offset = ((t2 - t1) + (t3 - t4)).div_euclid(2);
    // A server that says it held the question for longer than it was away has a clock that moved: what is too much goes
    // into the distance, since the middle of such an exchange can be anywhere in it.
    let delay = Duration::from_nanos(clamp_u64(elapsed - served));
    let excess = Duration::from_nanos(clamp_u64(served - elapsed));
    let root_distance = (delay / 2)
        .saturating_add(excess)
        .saturating_add(reply.root_delay / 2)
        .saturating_add(reply.root_dispersion)
        .saturating_add(reply.precision)
        .saturating_add(sent.uncertainty)
        .saturating_add(drift(sent.elapsed, RAW_RATE_PPM) / 2)
        .saturating_add(ROUNDING);
    Sample { offset: Offset::from_nanos(clamp_i64(offset)), delay, root_distance }
}

/// What whole nanoseconds and halves of them can lose.
const ROUNDING: Duration = Duration::from_nanos(3);

fn nanos(duration: Duration) -> i128 {
    i128::try_from(duration.as_nanos()).unwrap_or(i128::MAX / 4)
}

fn clamp_u64(value: i128) -> u64 {
    u64::try_from(value.max(0)).unwrap_or(u64::MAX)
}

fn clamp_i64(value: i128) -> i64 {
    i64::try_from(value).unwrap_or(if value < 0 { i64::MIN } else { i64::MAX })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ntp::fake::{FakeAnswer, written};
    use crate::reference::ntp::packet::{Nonce, parse, request};
    use proptest::prelude::*;

    const PIVOT: Realtime = Realtime::from_secs(1_793_491_200);

    /// A question that left at `local`, took `there`, was held for `held` and took `back`, by a clock `ahead` of the local one.
    struct Trip {
        local: Realtime,
        ahead: Offset,
        there: u64,
        held: u64,
        back: u64,
    }

    fn sampled(trip: &Trip, answer: impl Fn(FakeAnswer) -> FakeAnswer) -> Sample {
        let after = |nanos: u64| Offset::from_nanos(i64::try_from(nanos).unwrap());
        let came = trip.local + trip.ahead + after(trip.there);
        let question = request(Nonce(9));
        let packet = answer(FakeAnswer {
            receive: written(came),
            transmit: written(came + after(trip.held)),
            ..FakeAnswer::to(&question)
        });
        let sent = Sent {
            local: trip.local,
            elapsed: Duration::from_nanos(trip.there + trip.held + trip.back),
            uncertainty: Duration::ZERO,
        };
        reckon(&sent, &parse(&packet.bytes(), &[Nonce(9)]).unwrap(), PIVOT)
    }

    fn near(offset: Offset, nanos: i64) -> bool {
        (offset - Offset::from_nanos(nanos)).abs() <= Duration::from_nanos(2)
    }

    const TRIP: Trip = Trip {
        local: Realtime::from_secs(1_800_000_000),
        ahead: Offset::ZERO,
        there: 1_000_000,
        held: 0,
        back: 1_000_000,
    };

    #[test]
    fn a_reference_ahead_of_us_is_a_positive_offset() {
        let behind = sampled(&Trip { ahead: Offset::from_secs(3600), ..TRIP }, |a| a);
        assert!(near(behind.offset, 3_600_000_000_000), "{behind:?}");
        assert_eq!(behind.delay, Duration::from_millis(2));
        let ahead = sampled(&Trip { ahead: Offset::from_secs(-5), ..TRIP }, |a| a);
        assert!(near(ahead.offset, -5_000_000_000), "{ahead:?}");
    }

    #[test]
    fn the_root_distance_has_every_part() {
        let plain = sampled(&TRIP, |a| a).root_distance;
        let worse = sampled(&TRIP, |a| FakeAnswer { root_delay: 0x8000, root_dispersion: 0x8000, precision: -1, ..a });
        let more = worse.root_distance - plain;
        assert!((more.as_millis()).abs_diff(250 + 500 + 500) <= 1, "{more:?}");
        assert!(plain >= Duration::from_millis(1) && plain < Duration::from_micros(1_010), "{plain:?}");
    }

    #[test]
    fn a_clock_of_1970_and_one_of_the_next_era_are_measured() {
        let stuck = Trip { local: Realtime::from_secs(100), ahead: Offset::from_secs(1_800_000_000), ..TRIP };
        assert!(near(sampled(&stuck, |a| a).offset, 1_800_000_000_000_000_000));
        let future = Trip { local: Realtime::from_secs(1_800_000_000), ahead: Offset::from_secs(400_000_000), ..TRIP };
        assert!(near(sampled(&future, |a| a).offset, 400_000_000_000_000_000));
        let back = Trip { local: Realtime::from_secs(2_200_000_000), ahead: Offset::from_secs(-400_000_000), ..TRIP };
        assert!(near(sampled(&back, |a| a).offset, -400_000_000_000_000_000));
    }

    #[test]
    fn the_last_second_of_the_first_era_and_the_first_of_the_second_make_one_exchange() {
        let local = Realtime::from_nanos(2_085_978_495_999_500_000);
        let sample = sampled(&Trip { local, held: 300_000, ..TRIP }, |a| a);
        assert!(near(sample.offset, 0), "{sample:?}");
    }

    #[test]
    fn a_server_that_held_the_question_longer_than_it_was_away_proves_less() {
        let trip = Trip { there: 0, back: 0, held: 1_000_000, ..TRIP };
        let sample = sampled(&trip, |a| FakeAnswer { transmit: a.transmit + (1 << 31), ..a });
        assert_eq!(sample.delay, Duration::ZERO);
        assert!(sample.root_distance >= Duration::from_millis(500), "{sample:?}");
    }

    proptest! {
        #[test]
        fn the_truth_lies_within_the_root_distance(
            ahead in -4_000_000_000_000_000_i64..4_000_000_000_000_000,
            there in 0..3_000_000_000_u64,
            held in 0..100_000_000_u64,
            back in 0..3_000_000_000_u64,
        ) {
            let sample = sampled(&Trip { ahead: Offset::from_nanos(ahead), there, held, back, ..TRIP }, |a| a);
            let error = (sample.offset - Offset::from_nanos(ahead)).abs();
            prop_assert!(error <= sample.root_distance, "{error:?} > {sample:?}");
        }

        #[test]
        fn no_answer_that_passes_the_checks_breaks_the_reckoning(
            bytes in proptest::collection::vec(any::<u8>(), 48),
            local: i64,
            elapsed: u64,
        ) {
            let mut packet = bytes;
            packet[0] = 0x24;
            packet[1] = 1;
            packet[3] = 0xe0;
            packet[4..12].fill(0);
            packet[24..32].copy_from_slice(&9_u64.to_be_bytes());
            if let Ok(reply) = parse(&packet, &[Nonce(9)]) {
                let sent = Sent {
                    local: Realtime::from_nanos(local),
                    elapsed: Duration::from_nanos(elapsed),
                    uncertainty: Duration::ZERO,
                };
                let sample = reckon(&sent, &reply, PIVOT);
                prop_assert!(sample.delay <= sent.elapsed);
            }
        }
    }
}

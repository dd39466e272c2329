//! What is known of one address that is asked: how it answered, how often it may be asked, whether it wants to be. No I/O and
//! no clock.

use std::collections::VecDeque;
use std::time::Duration;

use super::packet::Kiss;
use super::rate_limit::Bucket;
use crate::decision::{Boottime, Gate};

/// As many delays and outcomes are remembered; NTP's reach has eight as well (RFC 5905 section 9.2).
const REMEMBERED: usize = 8;
/// How long a server that never answered is waited for.
const PATIENCE_UNHEARD: Duration = Duration::from_secs(1);
/// After so many waits in vain it is taken for dead and no longer for far; if it answers late, its delay is known all the same.
const ENOUGH_IN_VAIN: u8 = 3;
/// The least wait for a server: one on the same desk can lose a packet's worth of time to its scheduler.
const PATIENCE_LEAST: Duration = Duration::from_millis(300);
/// The wait is this many times the largest delay remembered.
const PATIENCE_FACTOR: u32 = 3;
/// What has to remain in the bucket after a question is repeated.
const KEPT_BY_REPETITION: u32 = 4;
/// The least pause after RATE.
const SHORTEST_PAUSE: Duration = Duration::from_secs(2);
/// The longest pause after RATE while the gate is shut: 2^3 s, what chronyd as a server wants by default (chrony.conf(5),
/// `ratelimit interval`).
const LONGEST_PAUSE_SHUT: Duration = Duration::from_secs(8);
/// The longest pause after RATE: 2^10 s, the longest poll of NTP's daemons by default (chrony.conf(5), `maxpoll`).
const LONGEST_PAUSE: Duration = Duration::from_secs(1024);

/// One address that is asked.
#[derive(Clone, Debug, Default)]
pub struct Address {
    bucket: Bucket,
    /// How long its last answers took.
    delays: VecDeque<Duration>,
    /// How often it was waited for in vain while others answered, since its delays were void.
    in_vain: u8,
    /// Whether it answered, the last times that it was waited for.
    outcomes: VecDeque<bool>,
    /// When it sent RATE, and the pause that it wants.
    pause: Option<(Boottime, Duration)>,
    /// It does not want to be asked at all.
    refused: Option<Kiss>,
}

impl Address {
    /// Takes the first question of an exchange out of the bucket.
    ///
    /// # Errors
    /// Why it is not asked now, in words.
    pub fn ask(&mut self, now: Boottime, gate: Gate) -> Result<(), String> {
        if let Some(kiss) = self.refused {
            return Err(format!("it refuses to answer (kiss code {kiss})"));
        }
        let left = self.pause_until(gate).since(now);
        if !left.is_zero() {
            return Err(format!("asked too often (kiss code RATE); not asked for {} s more", ceil(left)));
        }
        self.bucket
            .take(now, 0)
            .map_err(|due| format!("asked 8 times in the last 16 s; the next question is due in {} s", ceil(due)))
    }

    /// Takes a repetition out of the bucket, if enough remains for exchanges to come.
    pub fn repeat(&mut self, now: Boottime) -> bool {
        self.bucket.take(now, KEPT_BY_REPETITION).is_ok()
    }

    /// How long it is waited for: three times the largest of its last eight delays, 300 ms at least; 1 s if it never answered,
    /// until that was in vain three times while others answered.
    #[must_use]
    pub fn patience(&self) -> Duration {
        match self.delays.iter().max() {
            Some(largest) => (*largest * PATIENCE_FACTOR).max(PATIENCE_LEAST),
            None if self.in_vain < ENOUGH_IN_VAIN => PATIENCE_UNHEARD,
            None => PATIENCE_LEAST,
        }
    }

    /// When a question can be taken for lost: half of its delay after it ought to have been answered.
    #[must_use]
    pub fn lost_after(&self) -> Duration {
        self.delays.iter().max().map_or(Duration::ZERO, |largest| *largest * 3 / 2)
    }

    /// It answered well after `took`. A kiss that it sent before is forgotten.
    pub fn answered(&mut self, took: Duration) {
        push(&mut self.delays, took);
        push(&mut self.outcomes, true);
        self.pause = None;
    }

    /// It did not answer in its time, or not well.
    pub fn failed(&mut self) {
        push(&mut self.outcomes, false);
    }

    /// It did not answer in its time, and another server did: the network is there.
    pub fn failed_beside_others(&mut self) {
        self.in_vain = self.in_vain.saturating_add(1);
        self.failed();
    }

    /// The question that was taken for it could not be sent: it has not received it.
    pub fn unsent(&mut self) {
        self.bucket.give_back();
        self.failed();
    }

    /// It answered after its time, of which we said that it failed.
    pub fn answered_late(&mut self, took: Duration) {
        self.outcomes.pop_back();
        self.answered(took);
    }

    /// How often it answered of the last times that it was waited for, eight at most.
    #[must_use]
    pub fn reach(&self) -> (usize, usize) {
        (self.outcomes.iter().filter(|answered| **answered).count(), self.outcomes.len())
    }

    /// Heeds a kiss of death.
    pub fn heed(&mut self, kiss: Kiss, now: Boottime) {
        match kiss {
            Kiss::Rate { poll } => self.pause = Some((now, poll.clamp(SHORTEST_PAUSE, LONGEST_PAUSE))),
            Kiss::Deny | Kiss::Restricted => self.refused = Some(kiss),
            Kiss::Other(_) => {}
        }
    }

    /// Who refused us is asked anew.
    pub fn forgive(&mut self) {
        self.refused = None;
    }

    /// The road may be another: what is known of its length is void.
    pub fn void_delays(&mut self) {
        self.delays.clear();
        self.in_vain = 0;
    }

    /// Two questions may be asked, regardless of earlier ones.
    pub fn replenish(&mut self, now: Boottime) {
        self.bucket.replenish(now);
    }

    /// Whether forgetting it would let us ask it sooner than remembering.
    #[must_use]
    pub fn is_restrained(&self, now: Boottime) -> bool {
        !self.bucket.is_full(now) || self.pause_until(Gate::Proven) > now
    }

    fn pause_until(&self, gate: Gate) -> Boottime {
        let longest = match gate {
            Gate::Shut => LONGEST_PAUSE_SHUT,
            Gate::Proven | Gate::Unproven => LONGEST_PAUSE,
        };
        self.pause.map_or(Boottime::default(), |(since, pause)| since + pause.min(longest))
    }
}

fn push<T>(last: &mut VecDeque<T>, item: T) {
    if last.len() == REMEMBERED {
        last.pop_front();
    }
    last.push_back(item);
}

/// Whole seconds, rounded up.
fn ceil(duration: Duration) -> u64 {
    duration.as_secs() + u64::from(duration.subsec_nanos() > 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000)
    }

    const fn millis(millis: u64) -> Duration {
        Duration::from_millis(millis)
    }

    fn rate(poll: u64) -> Kiss {
        Kiss::Rate { poll: Duration::from_secs(poll) }
    }

    #[test]
    fn patience_is_three_times_the_largest_of_eight_delays_and_a_second_for_a_server_that_never_answered() {
        let mut address = Address::default();
        assert_eq!(address.patience(), millis(1000));
        address.answered(millis(10));
        assert_eq!(address.patience(), millis(300));
        address.answered_late(millis(1500));
        assert_eq!(address.patience(), millis(4500));
        for _ in 0..8 {
            address.answered(millis(150));
        }
        assert_eq!(address.patience(), millis(450));
        address.void_delays();
        assert_eq!(address.patience(), millis(1000));
    }

    #[test]
    fn who_was_waited_for_in_vain_three_times_while_others_answered_costs_300_ms_from_then_on() {
        let mut address = Address::default();
        (0..9).for_each(|_| address.failed());
        assert_eq!(address.patience(), millis(1000), "a dead network says nothing of a server");
        (0..3).for_each(|_| {
            assert_eq!(address.patience(), millis(1000));
            address.failed_beside_others();
        });
        assert_eq!(address.patience(), millis(300));
        address.answered_late(millis(700));
        assert_eq!(address.patience(), millis(2100), "it is only far");
        address.void_delays();
        assert_eq!(address.patience(), millis(1000), "another network");
    }

    #[test]
    fn reach_has_the_last_eight_outcomes_and_a_late_answer_mends_one() {
        let mut address = Address::default();
        address.failed();
        assert_eq!(address.reach(), (0, 1));
        address.answered_late(millis(400));
        assert_eq!(address.reach(), (1, 1));
        (0..9).for_each(|_| address.failed());
        assert_eq!(address.reach(), (0, 8));
    }

    #[test]
    fn rate_is_heeded_for_the_poll_interval_and_for_eight_seconds_at_most_while_the_gate_is_shut() {
        for (poll, shut, open) in [(0, 2, 2), (4, 4, 4), (64, 8, 64), (100_000, 8, 1024)] {
            for (gate, pause) in [(Gate::Shut, shut), (Gate::Proven, open), (Gate::Unproven, open)] {
                let mut address = Address::default();
                address.heed(rate(poll), at(100));
                let why = address.ask(at(100 + pause - 1), gate).unwrap_err();
                assert!(why.contains("RATE") && why.contains("for 1 s more"), "{why}");
                assert_eq!(address.ask(at(100 + pause), gate), Ok(()));
            }
        }
    }

    #[test]
    fn deny_and_restr_are_heeded_until_forgiven_and_other_kisses_ask_nothing_of_us() {
        for kiss in [Kiss::Deny, Kiss::Restricted] {
            let mut address = Address::default();
            address.heed(kiss, at(0));
            assert!(address.ask(at(1_000_000), Gate::Shut).is_err());
            address.forgive();
            assert_eq!(address.ask(at(0), Gate::Shut), Ok(()));
            address.heed(Kiss::Other(*b"INIT"), at(0));
            assert_eq!(address.ask(at(0), Gate::Shut), Ok(()));
        }
    }

    #[test]
    fn an_empty_bucket_says_when_the_next_question_is_due() {
        let mut address = Address::default();
        (0..8).for_each(|_| assert_eq!(address.ask(at(0), Gate::Shut), Ok(())));
        assert_eq!(
            address.ask(at(1), Gate::Shut),
            Err("asked 8 times in the last 16 s; the next question is due in 1 s".to_owned())
        );
        address.replenish(at(1));
        assert_eq!(address.ask(at(1), Gate::Shut), Ok(()));
        assert!(!address.repeat(at(1)), "exchanges come before repetitions");
    }
}

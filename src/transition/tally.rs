//! What an agent has counted since its start, and what it knows of those it asked: what metrics are made of.

use std::collections::BTreeMap;
use std::time::Duration;

use super::{Occurrence, ReceivedAnswer};
use crate::decision::{Boottime, Cause, DaemonVerdict, Event, Gate, Measurement, Offset, Snapshot, Warning};

/// The upper ends of the classes of [`Tally::shut`], milliseconds.
pub const SHUT_MS: [u64; 14] =
    [10, 50, 100, 250, 500, 1000, 2500, 5000, 10_000, 30_000, 60_000, 120_000, 180_000, 300_000];
/// A program that has not set the clock for so long counts no more.
const SETS_WITHIN: Duration = Duration::from_secs(3600);

/// What is counted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tally {
    /// Disruptions by the code of their cause; every cause has its count.
    pub disruptions: BTreeMap<u32, u64>,
    /// When the question behind the last proof was asked; none before the first.
    pub proven: Option<Boottime>,
    /// Steps of the agent's own, forward and backward.
    pub steps: StepCounts,
    /// How long the gate was shut, each time that it opened.
    pub shut: ShutTimes,
    /// How many containers are frozen.
    pub frozen: u64,
    /// Whether the time daemon agreed when it was asked last; none before that.
    pub daemon_agrees: Option<bool>,
    /// When another program was last seen to set the clock again and again.
    set_by_others: Option<Boottime>,
    /// Who was asked last, by the names that are configured: of the addresses of one name, the best answer.
    pub references: BTreeMap<String, KnownReference>,
}

impl Default for Tally {
    fn default() -> Self {
        Self {
            disruptions: causes().map(|code| (code, 0)).collect(),
            proven: None,
            steps: StepCounts::default(),
            shut: ShutTimes::default(),
            frozen: 0,
            daemon_agrees: None,
            set_by_others: None,
            references: BTreeMap::new(),
        }
    }
}

/// One that was asked.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct KnownReference {
    /// What it said; none where it was silent.
    pub answer: Option<ReceivedAnswer>,
    /// Whether its last answer was authenticated.
    pub authenticated: bool,
}

/// Steps that were made.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct StepCounts {
    /// How many went forward.
    pub forward: u64,
    /// How many went backward.
    pub backward: u64,
    /// How far they went in all.
    pub size: Duration,
}

/// Times for which the gate was shut, in classes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct ShutTimes {
    /// How many there were up to each end of [`SHUT_MS`], those of the lower classes among them.
    pub up_to: [u64; SHUT_MS.len()],
    /// How many there were.
    pub count: u64,
    /// How long they were together.
    pub sum: Duration,
    since: Option<Boottime>,
}

impl Tally {
    /// Whether another program sets the clock again and again.
    #[must_use]
    pub fn is_set_by_others(&self, now: Boottime) -> bool {
        self.set_by_others.is_some_and(|seen| now.since(seen) < SETS_WITHIN)
    }

    /// Counts what an event and its publication are.
    pub(super) fn count(&mut self, event: &Event, before: &Snapshot, after: &Snapshot, now: Boottime) {
        if before.epoch != after.epoch && after.repeats.is_none() {
            *self.disruptions.entry(after.cause.code()).or_default() += 1;
        }
        if after.gate == Gate::Proven {
            self.proven = Some(after.as_of);
        }
        self.shut.follow(after.gate, now);
        self.hear(event);
    }

    /// Counts a record.
    pub(super) fn note(&mut self, what: &Occurrence, now: Boottime) {
        if matches!(what, Occurrence::Warned(Warning::SetByOthers(_))) {
            self.set_by_others = Some(now);
        }
    }

    fn hear(&mut self, event: &Event) {
        match event {
            Event::Stepped(_, Ok(moved)) => self.steps.add(*moved),
            Event::Frozen(_, outcome) => self.frozen = outcome.frozen.count() as u64,
            Event::Thawed(_, Ok(())) => self.frozen = 0,
            Event::CarriersThawed(_, Ok(run)) | Event::TolerantThawed(_, Ok(run)) => {
                self.frozen = self.frozen.saturating_sub(run.count() as u64);
            }
            Event::DaemonAsked(_, DaemonVerdict::Agrees { .. }) => self.daemon_agrees = Some(true),
            Event::DaemonAsked(_, DaemonVerdict::Disagrees { .. }) => self.daemon_agrees = Some(false),
            Event::Measured(_, _, measurement) => self.note_references(measurement),
            Event::Stepped(_, Err(_))
            | Event::Thawed(_, Err(_))
            | Event::DaemonAsked(_, DaemonVerdict::NotYet | DaemonVerdict::Silent(_))
            | Event::Started
            | Event::Disrupted(_)
            | Event::Sleeping(_)
            | Event::Woken(_)
            | Event::Forgotten(..)
            | Event::Hinted(..)
            | Event::Dated(..)
            | Event::HandedOver(..)
            | Event::CarriersThawed(_, Err(_))
            | Event::TolerantThawed(_, Err(_))
            | Event::NetworkChanged
            | Event::Accepted
            | Event::Reckon
            | Event::StepByDate(_)
            | Event::KernelFlagged(_)
            | Event::SourceLost(_)
            | Event::Unseen(_)
            | Event::Alarm => {}
        }
    }

    /// Of a round that has ended; a question that was withheld says nothing of whom it was for.
    fn note_references(&mut self, measurement: &Measurement) {
        let asked = || measurement.failures.iter().filter(|failure| failure.asked);
        if !measurement.waiting.is_empty() || (measurement.readings.is_empty() && asked().next().is_none()) {
            return;
        }
        let mut before = std::mem::take(&mut self.references);
        // A failure without a voice belongs to no reference.
        for voice in asked().filter_map(|failure| failure.voice.as_ref()) {
            let authenticated = before.remove(&voice.operator).is_some_and(|known| known.authenticated);
            let silent = KnownReference { answer: None, authenticated };
            self.references.entry(voice.operator.clone()).or_insert(silent);
        }
        for reading in &measurement.readings {
            let known = self.references.entry(reading.voice.operator.clone()).or_default();
            if known.answer.as_ref().is_none_or(|best| reading.root_distance < best.root_distance) {
                *known = KnownReference {
                    answer: Some(ReceivedAnswer::from(reading)),
                    authenticated: reading.authenticated,
                };
            }
        }
    }
}

impl StepCounts {
    fn add(&mut self, moved: Offset) {
        if moved.as_nanos() < 0 {
            self.backward += 1
        } else {
            self.forward += 1
        }
        self.size = self.size.saturating_add(Duration::from_nanos(moved.as_nanos().unsigned_abs()));
    }
}

impl ShutTimes {
    fn follow(&mut self, gate: Gate, now: Boottime) {
        match (gate, self.since) {
            (Gate::Shut, None) => self.since = Some(now),
            (Gate::Proven | Gate::Unproven, Some(since)) => {
                self.since = None;
                self.add(now.since(since));
            }
            (Gate::Shut, Some(_)) | (Gate::Proven | Gate::Unproven, None) => {}
        }
    }

    fn add(&mut self, time: Duration) {
        for (count, end) in self.up_to.iter_mut().zip(SHUT_MS) {
            *count += u64::from(time <= Duration::from_millis(end));
        }
        self.count += 1;
        self.sum = self.sum.saturating_add(time);
    }
}

/// The codes of all causes; the one after the last has no name.
fn causes() -> impl Iterator<Item = u32> {
    let last = Cause::Pause { lost: Duration::ZERO }.code();
    0..=last
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Failure, Leap, Reading, Realtime, ReferenceKind, Voice};

    #[test]
    fn a_shut_gate_is_counted_once_it_opens_in_every_class_that_holds_it() {
        let mut shut = ShutTimes::default();
        let at = |ms: u64| Boottime::from_nanos(ms * 1_000_000);
        for (gate, ms) in [(Gate::Shut, 1000), (Gate::Shut, 1050), (Gate::Proven, 1200), (Gate::Unproven, 9000)] {
            shut.follow(gate, at(ms));
        }
        assert_eq!((shut.count, shut.sum), (1, Duration::from_millis(200)));
        assert_eq!(shut.up_to.map(|count| count.to_string()).concat(), "00011111111111");
        shut.follow(Gate::Shut, at(10_000));
        shut.follow(Gate::Unproven, at(1_000_000));
        assert_eq!((shut.count, shut.up_to[13], shut.sum), (2, 1, Duration::from_millis(990_200)));
    }

    #[test]
    fn the_addresses_of_one_name_are_one_reference_with_their_best_answer() {
        let reading = |address: &str, millis| Reading {
            source: format!("{address} (pool.example)"),
            voice: Voice::of_pool(address, "pool.example"),
            kind: ReferenceKind::Ntp,
            as_of: Boottime::default(),
            local: Realtime::from_nanos(0),
            offset: Offset::ZERO,
            root_distance: Duration::from_millis(millis),
            authenticated: false,
            leap: Leap::None,
            stratum: None,
            delay: None,
            upstream: None,
        };
        let failure = |voice: Voice, asked| Failure {
            source: voice.name.clone(),
            voice: Some(voice),
            asked,
            why: "no answer".to_owned(),
        };
        let measurement = Measurement {
            readings: vec![reading("192.0.2.1:123", 9), reading("192.0.2.2:123", 3), reading("192.0.2.3:123", 5)],
            failures: vec![
                failure(Voice::of_pool("192.0.2.4:123", "pool.example"), true),
                failure(Voice::server("silent.example"), true),
                failure(Voice::server("withheld.example"), false),
                Failure::remark("the hypervisor", "has no clock"),
            ],
            ..Measurement::default()
        };
        let mut tally = Tally::default();
        tally.note_references(&measurement);
        let found: Vec<_> = tally
            .references
            .iter()
            .map(|(name, known)| (name.as_str(), known.answer.as_ref().map(|best| best.root_distance.as_millis())))
            .collect();
        assert_eq!(found, [("pool.example", Some(3)), ("silent.example", None)]);
    }

    #[test]
    fn steps_are_counted_by_their_direction_and_every_cause_has_a_name() {
        let mut steps = StepCounts::default();
        [5, -7, 2].into_iter().for_each(|secs| steps.add(Offset::from_secs(secs)));
        assert_eq!(steps, StepCounts { forward: 2, backward: 1, size: Duration::from_secs(14) });
        let codes: Vec<u32> = causes().collect();
        assert!(codes.iter().all(|code| Cause::name_of(*code) != "unknown"));
        assert_eq!(Cause::name_of(codes.len().try_into().unwrap()), "unknown", "a cause without a count");
    }
}

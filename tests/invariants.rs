//! The machine's four invariants, on walks that nobody thought of: random events, answers in any order, late, lost or lying.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is not counted has nothing to be counted by")]

use std::time::Duration;

use clockgate::decision::{
    Action, AtDeadline, Boottime, Cause, DaemonVerdict, Epoch, Event, Forgotten, Frozen, Gate, Kind, Leap, Machine,
    Measurement, Notifier, Offset, Policy, Reading, Realtime, Round, State, StepError, Voice,
};
use proptest::prelude::*;

const MS: u64 = 1_000_000;
const TRUTH: i64 = 1_800_014_400;

/// One thing that happens to the machine; `Answer` settles the oldest open question.
#[derive(Clone, Debug)]
enum Happening {
    Disrupted(Cause),
    Sleeping,
    Woken,
    NetworkChanged,
    /// Time passes, and the alarm rings if it was due.
    Pass(u64),
    Answer(Answer),
    /// An answer to a question of an older epoch.
    Stale(Answer),
}

#[derive(Clone, Debug)]
enum Answer {
    Truth { offset_ms: i64, distance_ms: u64 },
    Nobody,
    TwoAgainstTwo,
    Refused,
    Superseded,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => (prop_oneof![Just(0_i64), -300..300_i64, -7_200_000..7_200_000_i64], 1..400_u64)
            .prop_map(|(offset_ms, distance_ms)| Answer::Truth { offset_ms, distance_ms }),
        2 => Just(Answer::Nobody),
        1 => Just(Answer::TwoAgainstTwo),
        1 => Just(Answer::Refused),
        1 => Just(Answer::Superseded),
    ]
}

fn happening() -> impl Strategy<Value = Happening> {
    let cause = prop_oneof![
        (0..100_000_u64).prop_map(|s| Cause::Resume { slept: Duration::from_secs(s) }),
        (-7200..7200_i64).prop_map(|s| Cause::ForeignStep { change: Offset::from_secs(s) }),
        (0..100_000_u64).prop_map(|s| Cause::Pause { lost: Duration::from_secs(s) }),
        Just(Cause::Restore),
        Just(Cause::Requested),
        Just(Cause::Snapshot),
    ];
    prop_oneof![
        2 => cause.prop_map(Happening::Disrupted),
        1 => Just(Happening::Sleeping),
        1 => Just(Happening::Woken),
        1 => Just(Happening::NetworkChanged),
        4 => (0..200_000_u64).prop_map(Happening::Pass),
        8 => answer().prop_map(Happening::Answer),
        2 => answer().prop_map(Happening::Stale),
    ]
}

fn reading(now: Boottime, offset_ms: i64, distance_ms: u64) -> Reading {
    Reading {
        source: format!("server {offset_ms}"),
        voice: Voice::server(format!("server {offset_ms}")),
        kind: Kind::Ntp,
        as_of: now,
        local: Realtime::from_secs(TRUTH) + Offset::from_nanos(now.as_nanos().cast_signed()),
        offset: Offset::from_nanos(offset_ms * MS.cast_signed()),
        root_distance: Duration::from_millis(distance_ms),
        authenticated: false,
        leap: Leap::None,
        stratum: Some(2),
        delay: None,
        upstream: None,
    }
}

/// The event that answers `question` in the way of `answer`; none where they do not go together.
fn answered(question: &Action, answer: &Answer, now: Boottime) -> Option<Event> {
    let readings = match answer {
        Answer::Truth { offset_ms, distance_ms } => vec![reading(now, *offset_ms, *distance_ms)],
        Answer::TwoAgainstTwo => [0, 5, 9000, 9005].map(|ms| reading(now, ms, 20)).to_vec(),
        Answer::Nobody | Answer::Refused | Answer::Superseded => vec![],
    };
    Some(match question {
        Action::Forget(epoch) => {
            Event::Forgotten(*epoch, Forgotten { daemon: Some("chronyd".into()), ..Forgotten::default() })
        }
        Action::Measure(epoch, round, _) => {
            Event::Measured(*epoch, *round, Measurement { readings, ..Measurement::default() })
        }
        Action::Step { epoch, offset, .. } => Event::Stepped(
            *epoch,
            match answer {
                Answer::Refused => Err(StepError::NotPermitted("no CAP_SYS_TIME".into())),
                Answer::Superseded => Err(StepError::Superseded { change: Offset::from_secs(1) }),
                Answer::Truth { .. } | Answer::Nobody | Answer::TwoAgainstTwo => Ok(*offset),
            },
        ),
        Action::HandOver(epoch) => Event::HandedOver(*epoch, Ok(())),
        Action::AskDaemon(epoch) => Event::DaemonAsked(
            *epoch,
            match answer {
                Answer::Truth { offset_ms, .. } if offset_ms.abs() > 200 => {
                    DaemonVerdict::Disagrees { offset: Offset::from_nanos(offset_ms * MS.cast_signed()) }
                }
                _ => DaemonVerdict::Agrees { offset: Offset::ZERO },
            },
        ),
        Action::Freeze(epoch) => Event::Frozen(*epoch, Frozen::default()),
        Action::Thaw(epoch) => Event::Thawed(
            *epoch,
            if matches!(answer, Answer::Refused) { Err("cgroup.freeze: Input/output error".into()) } else { Ok(()) },
        ),
        Action::LetSleep | Action::Complain(_) => return None,
    })
}

/// The machine with the world around it, and what the invariants need to remember.
struct World {
    machine: Machine,
    now: Boottime,
    open: Vec<Action>,
    policy: Policy,
    /// Good measurements since the epoch began or the clock was last stepped, and measurements since the epoch began.
    good: u32,
    asked: u32,
    /// Who asked to sleep, and was not let go yet.
    sleeper: Option<Boottime>,
    /// Since when something is frozen in this epoch.
    frozen_since: Option<Boottime>,
    /// Since when the machine has been on its way to a proof or to its policy for failures.
    undecided_since: Boottime,
}

impl World {
    fn new(policy: Policy) -> Self {
        let machine = Machine::new(policy.clone(), Epoch::default());
        let mut world = Self {
            machine,
            now: Boottime::from_nanos(1),
            open: vec![],
            policy,
            good: 0,
            asked: 0,
            sleeper: None,
            frozen_since: None,
            undecided_since: Boottime::from_nanos(1),
        };
        world.take(Event::Started);
        world
    }

    fn take(&mut self, event: Event) {
        let before = self.machine.snapshot();
        self.remember(&event);
        let sleeps = matches!(event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot));
        let actions = self.machine.step(event.clone(), self.now);
        let after = self.machine.snapshot();
        if after.epoch != before.epoch {
            (self.good, self.asked) = (0, 0);
        }
        if after.epoch != before.epoch || !matches!(self.machine.state(), State::Disrupted | State::Settling) {
            self.undecided_since = self.now;
        }
        if sleeps {
            self.sleeper = Some(self.now);
        }
        if actions.iter().any(|a| matches!(a, Action::LetSleep)) {
            assert!(self.sleeper.take().is_some(), "nobody asked to sleep");
            assert!(after.gate == Gate::Shut || !sleeps, "nobody sleeps before the gate is shut");
        }
        assert!(
            self.sleeper.is_none() || self.policy.freeze.is_some(),
            "nothing to freeze, and the sleep is held back"
        );
        self.watch_ice(&event, &actions, after.epoch != before.epoch);
        assert!(self.frozen_since.is_none() || after.gate == Gate::Shut, "frozen behind an open gate");
        if after.gate == Gate::Proven {
            assert!(
                self.good >= 1 && self.asked >= 2,
                "opened by {event:?} after {} good of {}",
                self.good,
                self.asked
            );
            assert!(after.valid_until > after.as_of, "a proof that ends before it begins");
        }
        if after.gate == Gate::Unproven {
            assert_eq!(self.machine.state(), State::GaveUp(AtDeadline::Open));
        }
        self.open.extend(actions);
    }

    fn watch_ice(&mut self, event: &Event, actions: &[Action], is_new_epoch: bool) {
        if is_new_epoch && self.frozen_since.is_some() || matches!(event, Event::Thawed(_, Err(_))) {
            self.frozen_since = Some(self.now);
        }
        for action in actions {
            match action {
                Action::Freeze(_) => self.frozen_since = Some(self.frozen_since.unwrap_or(self.now)),
                Action::Thaw(_) => self.frozen_since = None,
                _ => {}
            }
        }
        assert_eq!(self.frozen_since.is_some(), self.machine.is_frozen());
    }

    fn remember(&mut self, event: &Event) {
        match event {
            Event::Measured(epoch, _, m) if *epoch == self.machine.epoch() => {
                self.asked += 1;
                let good = m.readings.len() == 1 && m.readings[0].bound_at(self.now, 500) <= self.policy.threshold;
                self.good += u32::from(good);
            }
            Event::Stepped(epoch, Ok(_)) if *epoch == self.machine.epoch() => self.good = 0,
            _ => {}
        }
    }

    fn pass(&mut self, millis: u64) {
        let end = self.now + Duration::from_millis(millis);
        // The alarm rings as often as it is due; a machine that sets it again and again in the past would ring for ever.
        for _ in 0..200 {
            let due = self.machine.alarm();
            if due > end {
                break;
            }
            self.now = self.now.max(due);
            self.take(Event::Alarm);
        }
        assert!(self.machine.alarm() > end, "the alarm rings without end");
        self.now = end;
        if !matches!(self.machine.state(), State::Disrupted | State::Settling) {
            self.undecided_since = self.now;
        }
        let waited = self.now.since(self.undecided_since);
        assert!(waited <= self.policy.deadline.max(Duration::from_secs(60)), "undecided for {waited:?}");
        let held = self.sleeper.map_or(Duration::ZERO, |since| self.now.since(since));
        assert!(held <= Duration::from_secs(4), "a sleep was held back for {held:?}");
        if let (Some(since), Some(max), false) =
            (self.frozen_since, self.policy.freeze, self.machine.state() == State::Suspended)
        {
            assert!(self.now.since(since) <= max, "frozen for {:?}", self.now.since(since));
        }
        let snapshot = self.machine.snapshot();
        assert!(snapshot.gate != Gate::Proven || snapshot.valid_until > self.now, "open beyond the end of the proof");
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Disrupted(cause) => self.take(Event::Disrupted(cause)),
            Happening::Sleeping => self.take(Event::Sleeping(Notifier::Logind)),
            Happening::Woken => self.take(Event::Woken(Notifier::Logind)),
            Happening::NetworkChanged => self.take(Event::NetworkChanged),
            Happening::Pass(millis) => self.pass(millis),
            Happening::Answer(answer) => {
                if let Some(event) = self.next_question().and_then(|q| answered(&q, &answer, self.now)) {
                    self.take(event);
                }
            }
            Happening::Stale(answer) => {
                let stale = Epoch::new(self.machine.epoch().get() - 1);
                let before = (self.machine.snapshot(), self.machine.alarm());
                for question in [Action::Forget(stale), Action::HandOver(stale), Action::AskDaemon(stale)] {
                    self.stale(&question, &answer);
                }
                self.stale(&Action::Measure(stale, Round::default(), clockgate::decision::Way::Own), &answer);
                assert_eq!(before, (self.machine.snapshot(), self.machine.alarm()), "an answer from an older epoch");
            }
        }
    }

    fn stale(&mut self, question: &Action, answer: &Answer) {
        if let Some(event) = answered(question, answer, self.now) {
            assert!(self.machine.step(event, self.now).is_empty());
        }
    }

    fn next_question(&mut self) -> Option<Action> {
        while !self.open.is_empty() {
            let action = self.open.remove(0);
            if !matches!(action, Action::LetSleep | Action::Complain(_)) {
                return Some(action);
            }
        }
        None
    }
}

fn policy() -> impl Strategy<Value = Policy> {
    let at_deadline = || prop_oneof![Just(AtDeadline::Hold), Just(AtDeadline::Open)];
    let freeze = prop_oneof![Just(None), (1..60_u64).prop_map(|secs| Some(Duration::from_secs(secs)))];
    (at_deadline(), at_deadline(), 1..400_u64, freeze).prop_map(
        |(nobody_to_ask, asked_and_wrong, threshold, freeze)| Policy {
            freeze,
            nobody_to_ask,
            asked_and_wrong,
            threshold: Duration::from_millis(threshold),
            ..Policy::default()
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn whatever_happens_the_invariants_hold(
        policy in policy(),
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let mut world = World::new(policy);
        for happening in happenings {
            world.happen(happening);
        }
    }

    #[test]
    fn whatever_happened_honest_answers_open_the_gate(happenings in prop::collection::vec(happening(), 1..40)) {
        let mut world = World::new(Policy::default());
        for happening in happenings {
            world.happen(happening);
        }
        world.take(Event::Woken(Notifier::Logind));
        for _ in 0..200 {
            if world.machine.state() == State::Synchronized {
                return Ok(());
            }
            match world.next_question() {
                Some(question) => {
                    let honest = Answer::Truth { offset_ms: 0, distance_ms: 2 };
                    if let Some(event) = answered(&question, &honest, world.now) {
                        world.take(event);
                    }
                }
                None => world.pass(61_000),
            }
        }
        prop_assert!(false, "still {:?}: {}", world.machine.state(), world.machine.snapshot().why);
    }
}

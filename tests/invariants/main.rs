//! The machine's invariants, on walks that nobody thought of: random events, answers in any order, late, lost or lying.

#![allow(clippy::wildcard_enum_match_arm, reason = "what is not counted has nothing to be counted by")]

use std::time::Duration;

use clockgate::decision::{
    Action, AtDeadline, Authority, AwaitedSource, Awake, Boottime, Cause, ClockMeasurement, Clocks, ContainerList,
    Correction, DaemonVerdict, DatePlan, Epoch, Event, Evidence, Failure, Forgotten, FreezeOutcome, Gate, HttpDate,
    Leap, Machine, Measurement, NamedContainer, Notifier, Offset, OrderId, PeerCheck, Policy, Reading, Realtime,
    ReferenceKind, Round, Samples, Snapshot, State, StepBy, StepError, Voice, forward,
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
    Unseen,
    /// Time passes, and the alarm rings if it was due.
    Pass(u64),
    Answer(Answer),
    /// An operator's word.
    Accepted,
    Reckon,
    /// An HTTP server's `Date` says that the clock is so many milliseconds off.
    Dated(i64),
    /// An operator names such a server.
    StepByDate(i64, PeerCheck),
    /// The oldest open question is overtaken by the others.
    Overtaken,
    /// An answer to a question of an older epoch.
    Stale(Answer),
}

#[derive(Clone, Debug)]
enum Answer {
    Truth {
        offset_ms: i64,
        distance_ms: u64,
    },
    Nobody,
    /// Two references that agree, of which one may still be on its way.
    TwoAgree {
        offset_ms: i64,
        first_alone: bool,
    },
    TwoAgainstTwo,
    /// The daemon's sources turn out to be authenticated.
    Authenticated,
    Refused,
    Superseded,
}

fn answer() -> impl Strategy<Value = Answer> {
    prop_oneof![
        6 => (prop_oneof![Just(0_i64), -300..300_i64, -7_200_000..7_200_000_i64], 1..400_u64)
            .prop_map(|(offset_ms, distance_ms)| Answer::Truth { offset_ms, distance_ms }),
        2 => Just(Answer::Nobody),
        2 => (prop_oneof![Just(0_i64), -7_200_000..7_200_000_i64], any::<bool>())
            .prop_map(|(offset_ms, first_alone)| Answer::TwoAgree { offset_ms, first_alone }),
        1 => Just(Answer::Authenticated),
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
        1 => Just(Happening::Unseen),
        4 => (0..200_000_u64).prop_map(Happening::Pass),
        8 => answer().prop_map(Happening::Answer),
        1 => prop_oneof![Just(Happening::Accepted), Just(Happening::Reckon)],
        2 => prop_oneof![Just(0_i64), -7_200_000..7_200_000_i64].prop_map(Happening::Dated),
        2 => (
            prop_oneof![Just(0_i64), -7_200_000..7_200_000_i64, Just(-400_000_000_000_i64)],
            prop_oneof![Just(PeerCheck::Verified), Just(PeerCheck::Unverified)],
        )
            .prop_map(|(offset_ms, peer)| Happening::StepByDate(offset_ms, peer)),
        1 => Just(Happening::Overtaken),
        2 => answer().prop_map(Happening::Stale),
    ]
}

fn http_date(now: &Clocks, offset_ms: i64) -> HttpDate {
    HttpDate {
        source: "https://sts.example".to_owned(),
        peer: PeerCheck::Verified,
        as_of: now.boot,
        local: now.real,
        offset: Offset::from_nanos(offset_ms * MS.cast_signed()),
        measured: Duration::from_millis(1),
        delay: Duration::from_millis(1),
        answers: 6,
    }
}

/// What a server says of a clock that stands so at `now`.
fn reading(source: &str, now: &Clocks, offset_ms: i64, distance_ms: u64) -> Reading {
    Reading {
        source: source.to_owned(),
        voice: Voice::server(source),
        kind: ReferenceKind::Ntp,
        as_of: now.boot,
        local: now.real,
        offset: Offset::from_nanos(offset_ms * MS.cast_signed()),
        root_distance: Duration::from_millis(distance_ms),
        authenticated: false,
        leap: Leap::None,
        stratum: Some(2),
        delay: None,
        upstream: None,
    }
}

/// What comes back of a question.
fn measurement(answer: &Answer, way: StepBy, now: &Clocks) -> Measurement {
    let mut m = Measurement::default();
    let silent = |name: &str| Failure { voice: Some(Voice::server(name)), ..Failure::remark(name, "no answer") };
    match answer {
        Answer::Truth { offset_ms, distance_ms } => m.readings.push(reading("one", now, *offset_ms, *distance_ms)),
        Answer::TwoAgree { offset_ms, first_alone } => {
            m.readings.push(reading("one", now, *offset_ms, 5));
            if *first_alone {
                m.waiting.push(AwaitedSource { source: "two".to_owned(), voice: Voice::server("two") });
            } else {
                m.readings.push(reading("two", now, *offset_ms + 3, 9));
            }
        }
        Answer::TwoAgainstTwo => {
            let names = ["one", "two", "three", "four"];
            m.readings.extend(names.iter().zip([0, 5, 9000, 9005]).map(|(n, ms)| reading(n, now, ms, 20)));
        }
        Answer::Nobody | Answer::Refused | Answer::Superseded | Answer::Authenticated => {
            m.failures.extend(["one", "two"].map(silent));
        }
    }
    if way == StepBy::Daemon {
        // It speaks with one voice.
        m.readings.truncate(1);
        m.waiting.clear();
        m.readings.iter_mut().for_each(|r| (r.kind, r.authenticated) = (ReferenceKind::Daemon, true));
    }
    m
}

/// The event that answers `question` in the way of `answer`; none where they do not go together.
fn answered(question: &Action, answer: &Answer, now: &Clocks) -> Option<Event> {
    Some(match question {
        Action::ResetDaemon(epoch, _) => {
            let authority = matches!(answer, Answer::Authenticated).then(Authority::default);
            Event::Forgotten(*epoch, Forgotten { daemon: Some("chronyd".into()), authority, ..Forgotten::default() })
        }
        Action::Measure(epoch, round, way) => Event::Measured(*epoch, *round, measurement(answer, *way, now)),
        Action::Step { epoch, offset, .. } => Event::Stepped(
            *epoch,
            match answer {
                Answer::Refused => Err(StepError::NotPermitted("no CAP_SYS_TIME".into())),
                Answer::Superseded => Err(StepError::Superseded { change: Offset::from_secs(1) }),
                _ => Ok(*offset),
            },
        ),
        Action::ResyncDaemon(epoch) => Event::HandedOver(*epoch, Ok(())),
        Action::AskDaemon(epoch) => Event::DaemonAsked(
            *epoch,
            match answer {
                Answer::Truth { offset_ms, .. } if offset_ms.abs() > 200 => {
                    DaemonVerdict::Disagrees { offset: Offset::from_nanos(offset_ms * MS.cast_signed()) }
                }
                _ => DaemonVerdict::Agrees { offset: Offset::ZERO },
            },
        ),
        Action::Freeze(order, _) => Event::Frozen(*order, FreezeOutcome::default()),
        Action::ThawCarriers(order) => {
            let run = if matches!(answer, Answer::Nobody) { ContainerList::default() } else { vpn() };
            Event::CarriersThawed(*order, Ok(run))
        }
        Action::Thaw(order) => Event::Thawed(
            *order,
            if matches!(answer, Answer::Refused | Answer::TwoAgainstTwo | Answer::Nobody) {
                Err("cgroup.freeze: Input/output error".into())
            } else {
                Ok(())
            },
        ),
        Action::Prolong(..) | Action::AllowSleep | Action::Warn(_) => return None,
    })
}

/// What the orders and their answers say of the containers, as a witness would have it who trusts nobody.
#[derive(Debug, Default)]
struct Containers {
    /// Every freeze and thaw that was ordered; the last is the one that counts.
    orders: Vec<Action>,
    /// Whether the last one was answered, and well.
    answered: Option<bool>,
    /// When the guard thaws.
    guarded: Awake,
    /// From when the limit counts: the first freeze, until an open gate or a counted sleep.
    counts_from: Option<Awake>,
    /// When the last thaw was ordered, if nothing was frozen since.
    thaw_ordered: Option<Boottime>,
}

impl Containers {
    fn are_frozen(&self) -> bool {
        matches!(self.orders.last(), Some(Action::Freeze(..)))
    }

    fn last(&self) -> Option<OrderId> {
        self.orders.last().and_then(order)
    }

    /// The last of them are known to run.
    fn are_known_to_run(&self) -> bool {
        !self.are_frozen() && (self.orders.is_empty() || self.answered == Some(true))
    }
}

fn vpn() -> ContainerList {
    NamedContainer::new("docker", "3f2a8c01d9e2", Some("vpn")).into()
}

fn order(action: &Action) -> Option<OrderId> {
    match action {
        Action::Freeze(order, _) | Action::Thaw(order) => Some(*order),
        _ => None,
    }
}

/// What was proven, as the world has it: the clocks then, and the true time.
#[derive(Clone, Copy, Debug)]
struct Proven {
    at: Clocks,
    truth: Realtime,
}

/// The machine with the world around it, and what the invariants need to remember.
struct World {
    machine: Machine,
    now: Boottime,
    asleep: Duration,
    /// How far the clock was moved, by anybody.
    moved: Offset,
    open: Vec<Action>,
    policy: Policy,
    /// Good answers since the epoch began or the clock was last stepped, and answers since the epoch began.
    good: u32,
    asked: u32,
    /// Whether plain answers do not count in this epoch, and whether the daemon has answered since.
    outranked: bool,
    daemon_answered: bool,
    /// Voices that agreed in the answers of this epoch, at the most.
    agreed: usize,
    /// The last supported proof, or the first since the machine stood still.
    anchor: Option<Proven>,
    /// Whether an operator has said that the time is meant, or to be reckoned.
    by_order: bool,
    /// Who asked to sleep, and was not let go yet.
    sleeper: Option<Boottime>,
    containers: Containers,
    /// Since when the machine has been on its way to a proof or to its policy for failures.
    undecided_since: Boottime,
    /// Time that passed while every clock stood still.
    lost: Duration,
    /// Whether all references say the truth, so that what is served can be compared with it.
    is_honest: bool,
    /// How often a tolerance could be served.
    served: u32,
}

impl World {
    fn new(policy: Policy) -> Self {
        let machine = Machine::new(policy.clone(), Epoch::default());
        let mut world = Self {
            machine,
            now: Boottime::from_nanos(1),
            asleep: Duration::ZERO,
            moved: Offset::ZERO,
            open: vec![],
            policy,
            good: 0,
            asked: 0,
            outranked: false,
            daemon_answered: false,
            agreed: 0,
            anchor: None,
            by_order: false,
            sleeper: None,
            containers: Containers::default(),
            undecided_since: Boottime::from_nanos(1),
            lost: Duration::ZERO,
            is_honest: false,
            served: 0,
        };
        world.take(Event::Started);
        world
    }

    fn clocks(&self) -> Clocks {
        let raw = self.now.since(Boottime::default()).saturating_sub(self.asleep);
        let real = Realtime::from_secs(TRUTH) + forward(self.now.since(Boottime::default())) + self.moved;
        Clocks { boot: self.now, raw, asleep: self.asleep, real }
    }

    fn take(&mut self, event: Event) {
        // Nothing happens at the same moment as something else.
        self.now = self.now + Duration::from_nanos(1);
        let before = self.machine.snapshot();
        self.world_moves(&event);
        // Until the agent has heard of it, readers judge by their own clocks; a pause is what they cannot see.
        if !matches!(event, Event::Disrupted(Cause::Pause { .. } | Cause::Restore)) {
            self.judge_tolerance(&before);
        }
        let sleeps = matches!(event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot));
        let actions = self.machine.step(event.clone(), self.clocks());
        let after = self.machine.snapshot();
        let is_new_epoch = after.epoch != before.epoch;
        if is_new_epoch {
            (self.good, self.asked, self.agreed) = (0, 0, 0);
            (self.outranked, self.daemon_answered) = (false, false);
        }
        self.remember(&event);
        if is_new_epoch || !matches!(self.machine.state(), State::Disrupted | State::Settling) {
            self.undecided_since = self.now;
        }
        if sleeps {
            // Whoever asked first is let go first.
            self.sleeper.get_or_insert(self.now);
        }
        self.watch_containers(&event, &actions);
        if actions.iter().any(|a| matches!(a, Action::AllowSleep)) {
            let asked = self.sleeper.take();
            let waited = asked.map(|since| self.now.since(since));
            assert!(waited.is_some(), "nobody asked to sleep");
            let is_frozen = self.containers.are_frozen() && self.containers.answered.is_some();
            let is_over = waited >= Some(Duration::from_secs(4)) || !self.containers.are_frozen();
            assert!(self.policy.freeze.is_none() || is_frozen || is_over, "asleep with nothing frozen: {event:?}");
            assert!(after.gate == Gate::Shut || !sleeps, "nobody sleeps before the gate is shut");
        }
        assert!(
            self.sleeper.is_none() || self.policy.freeze.is_some(),
            "nothing to freeze, and the sleep is held back"
        );
        assert!(!self.containers.are_frozen() || after.gate == Gate::Shut, "frozen behind an open gate");
        self.judge_tolerance(&after);
        self.judge_measurement(&after);
        let is_new_proof = after.gate == Gate::Proven && (before.gate != Gate::Proven || after.as_of != before.as_of);
        if after.gate == Gate::Proven {
            assert!(after.valid_until > after.as_of, "a proof that ends before it begins");
            // What readers compare their own clocks with: no step or sleep since is hidden from them, and none is made up.
            assert_eq!(after.differences, self.clocks().differences(), "after {event:?}");
            if before.gate != Gate::Proven {
                assert!(
                    self.good >= 1 && self.asked >= 2,
                    "opened by {event:?} after {} good of {}",
                    self.good,
                    self.asked
                );
                assert!(!self.outranked || self.daemon_answered, "a plain voice over an authenticated one");
            }
        }
        if matches!(event, Event::Dated(..)) {
            assert!(!is_new_proof && after.is_supported == before.is_supported, "a Date is no voice");
            assert!(actions.iter().all(|a| !matches!(a, Action::Step { .. })), "a Date steps nothing by itself");
        }
        if matches!(event, Event::StepByDate(_)) {
            assert!(after.gate == before.gate || after.gate == Gate::Shut, "a Date opened the gate");
            assert!(!is_new_proof, "a Date proves nothing");
            assert!(before.is_supported || !after.is_supported, "a Date supports nothing");
            assert!(after.gate == Gate::Shut || actions.is_empty(), "a step behind an open gate");
        }
        if is_new_proof && matches!(event, Event::Measured(..)) {
            self.judge_proof();
        }
        if after.gate == Gate::Unproven && before.gate != Gate::Unproven {
            self.judge_opening(&event);
        }
        self.open.extend(actions);
        self.now = self.now + Duration::from_nanos(1);
    }

    /// What serves a wider tolerance is of this epoch, of two exchanges, and nothing that is known says otherwise.
    fn judge_measurement(&self, after: &Snapshot) {
        let Some(measured) = after.measured else { return };
        assert_ne!(after.gate, Gate::Proven, "beside a proof");
        assert!(measured.as_of > after.since, "older than the disruption");
        assert!(self.asked >= 2, "after {} exchanges", self.asked);
        assert!(!self.outranked || self.daemon_answered, "a plain voice over an authenticated one");
        assert_eq!(measured.differences, Some(self.clocks().differences()), "the clock has moved since");
        let bound = self.bound_to_a_reader(&measured).unwrap_or(Duration::MAX);
        let found = self.machine.evidence().contradicts(&self.clocks(), &self.policy.floor, bound);
        assert!(found.is_none(), "a tolerance of {bound:?} is served although {found:?}");
    }

    /// No tolerance is served while the clock is further off.
    fn judge_tolerance(&mut self, published: &Snapshot) {
        let Some(bound) = published.measured.and_then(|measured| self.bound_to_a_reader(&measured)) else { return };
        self.served += 1;
        let error = self.error().abs();
        assert!(!self.is_honest || error <= bound, "off by {error:?}, and a tolerance of {bound:?} is served");
    }

    /// As a reader of the page judges it by the clocks: none after a sleep, or when it is too old.
    fn bound_to_a_reader(&self, measured: &ClockMeasurement) -> Option<Duration> {
        let (now, then) = (self.clocks(), measured.differences.unwrap_or_default());
        if now.asleep != then.boot_minus_mono || now.boot >= measured.valid_until {
            return None;
        }
        let stepped = now.differences().real_minus_boot - then.real_minus_boot;
        let distance = measured.bound.saturating_sub(measured.offset.abs());
        let grown = clockgate::decision::drift(now.boot.since(measured.as_of), measured.max_drift_ppm);
        Some((measured.offset - stepped).abs() + distance + grown)
    }

    /// The true time minus the clock's.
    fn error(&self) -> Offset {
        forward(self.lost) - self.moved
    }

    /// The answer as honest references would give it, who know the time as finely as it says.
    fn honest(&self, answer: Answer) -> Answer {
        let off = self.error().as_nanos() / MS.cast_signed();
        match answer {
            Answer::Truth { offset_ms, distance_ms } => {
                let within = offset_ms.rem_euclid(distance_ms.cast_signed());
                Answer::Truth { offset_ms: off + within - distance_ms.cast_signed() / 2, distance_ms }
            }
            Answer::TwoAgree { first_alone, .. } => Answer::TwoAgree { offset_ms: off, first_alone },
            Answer::TwoAgainstTwo => Answer::Nobody,
            Answer::Nobody | Answer::Authenticated | Answer::Refused | Answer::Superseded => answer,
        }
    }

    /// Never proven against reckoning without the support that a step would need.
    fn judge_proof(&mut self) {
        let (now, snapshot) = (self.clocks(), self.machine.snapshot());
        let truth = now.real + snapshot.offset.unwrap_or_default();
        assert!(!snapshot.is_supported || self.agreed >= 2 || self.daemon_answered, "supported by one voice");
        if let (Some(anchor), false) = (self.anchor, snapshot.is_supported) {
            let awake = now.raw - anchor.at.raw;
            let change = truth - (anchor.truth + forward(awake));
            let slack = Duration::from_secs(2) + clockgate::decision::drift(awake, 1000);
            let limit = if change.is_backward() { self.policy.max_backward } else { self.policy.max_unexplained };
            assert!(change.abs() <= limit + slack, "one voice has moved the clock by {change}");
        }
        if snapshot.is_supported || self.anchor.is_none() {
            self.anchor = Some(Proven { at: now, truth });
        }
        self.by_order = false;
    }

    /// Open without a proof: not before a whole exchange has ended, and not while evidence says that the clock is wrong.
    fn judge_opening(&self, event: &Event) {
        assert_eq!(self.machine.state(), State::GaveUp(AtDeadline::Open));
        if matches!(event, Event::Accepted) || self.by_order {
            return;
        }
        assert!(self.asked >= 1 || matches!(event, Event::Alarm), "a policy before an exchange has ended: {event:?}");
        let evidence = self.machine.evidence();
        let found = evidence.contradicts(&self.clocks(), &self.policy.floor, self.policy.threshold);
        assert!(found.is_none() || self.policy.wrong == AtDeadline::Open, "open although {found:?}");
    }

    /// What an event does to the clocks, before the machine hears of it.
    fn world_moves(&mut self, event: &Event) {
        match event {
            Event::Disrupted(Cause::Resume { slept }) => {
                self.asleep += *slept;
                self.now = self.now + *slept;
                if !slept.is_zero() {
                    self.anchor = None;
                }
            }
            Event::Disrupted(Cause::Restore) => {
                (self.anchor, self.lost) = (None, self.lost + Duration::from_secs(7777))
            }
            Event::Disrupted(Cause::Pause { lost }) => (self.anchor, self.lost) = (None, self.lost + *lost),
            Event::Disrupted(Cause::ForeignStep { change }) => self.moved = self.moved + *change,
            Event::Stepped(_, Ok(by)) => self.moved = self.moved + *by,
            Event::Accepted => (self.anchor, self.by_order) = (None, true),
            Event::Reckon => self.by_order = true,
            _ => {}
        }
    }

    fn watch_containers(&mut self, event: &Event, actions: &[Action]) {
        let begins_anew = match event {
            Event::Disrupted(Cause::Resume { slept }) => !slept.is_zero(),
            Event::Disrupted(Cause::Restore | Cause::Pause { .. }) => true,
            // An image taken frozen is taken for restored when nobody says so.
            Event::Alarm => {
                self.machine.snapshot().cause == Cause::Restore && self.machine.snapshot().since == self.now
            }
            _ => false,
        };
        let (now, awake) = (self.now, self.clocks().awake());
        let max = self.policy.freeze.unwrap_or_default();
        let containers = &mut self.containers;
        if begins_anew {
            containers.counts_from = containers.are_frozen().then_some(awake);
        }
        match event {
            Event::Frozen(order, _) if Some(*order) == containers.last() => containers.answered = Some(true),
            Event::Thawed(order, outcome) if Some(*order) == containers.last() && containers.answered.is_none() => {
                containers.answered = Some(outcome.is_ok());
            }
            _ => {}
        }
        let was_being_frozen = containers.are_frozen() && containers.answered.is_none();
        for action in actions {
            match action {
                Action::Freeze(order, until) => {
                    assert!(Some(*order) != containers.last(), "an order of its own");
                    if !containers.are_frozen() {
                        let is_for_sleep = matches!(event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot));
                        let from = containers.counts_from.filter(|_| !is_for_sleep).unwrap_or(awake);
                        containers.counts_from = Some(from);
                    }
                    (containers.guarded, containers.answered, containers.thaw_ordered) = (*until, None, None);
                    containers.orders.push(action.clone());
                }
                Action::Prolong(order, until) => {
                    assert_eq!(Some(*order), containers.last(), "of the freeze that is");
                    assert_ne!(*until, containers.guarded, "no news");
                    containers.guarded = *until;
                }
                Action::Thaw(_) => {
                    let soonest = Duration::from_secs(1);
                    let hot = containers.thaw_ordered.is_some_and(|at| now.since(at) < soonest);
                    assert!(!hot, "tried again without a pause");
                    (containers.answered, containers.thaw_ordered) = (None, Some(now));
                    containers.orders.push(action.clone());
                }
                _ => {}
            }
        }
        if let (true, Some(from)) = (containers.are_frozen(), containers.counts_from) {
            assert_eq!(containers.guarded, from + max, "the machine's limit, and the guard knows it");
        }
        if self.machine.state().gate() != Gate::Shut {
            containers.counts_from = None;
        }
        // A container that could not be thawed, or a thaw that is under way, is no reason to sleep without a freeze.
        if let (Event::Sleeping(_), Some(_)) = (event, self.policy.freeze) {
            assert!(containers.are_frozen(), "a sleep with nothing frozen");
            assert!(containers.answered.is_none() || was_being_frozen, "a sleep without a freeze of its own");
        }
        assert_eq!(self.machine.may_be_frozen(), !containers.are_known_to_run(), "{:?}", containers.orders.last());
    }

    fn remember(&mut self, event: &Event) {
        match event {
            Event::Measured(epoch, _, m) if *epoch == self.machine.epoch() => {
                self.asked += 1;
                // Another one's answer may narrow it.
                let good = |r: &Reading| {
                    let is_precise =
                        r.root_distance_at(self.now, 500) <= self.policy.threshold + Duration::from_millis(1);
                    is_precise
                        && r.offset.abs() <= self.policy.threshold.max(r.root_distance) + Duration::from_millis(9)
                };
                self.good += u32::from(m.readings.iter().any(good));
                self.daemon_answered |= m.readings.iter().any(|r| r.kind == ReferenceKind::Daemon);
                self.agreed = self.agreed.max(m.readings.len());
            }
            Event::Stepped(epoch, Ok(_)) if *epoch == self.machine.epoch() => self.good = 0,
            Event::Forgotten(epoch, what) if *epoch == self.machine.epoch() => {
                self.outranked = what.authority.is_some()
            }
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
        assert!(waited <= self.policy.deadline + Duration::from_secs(125), "undecided for {waited:?}");
        let held = self.sleeper.map_or(Duration::ZERO, |since| self.now.since(since));
        assert!(held <= Duration::from_secs(4), "a sleep was held back for {held:?}");
        if self.containers.are_frozen() {
            assert!(self.clocks().awake() < self.containers.guarded, "frozen beyond the guard's end");
        }
        let snapshot = self.machine.snapshot();
        assert!(snapshot.gate != Gate::Proven || snapshot.valid_until > self.now, "open beyond the end of the proof");
        let is_planned = snapshot.next != Boottime::default();
        assert!(snapshot.gate != Gate::Proven || is_planned, "proven, and never measured again");
        assert!(self.machine.state() != State::Suspended || !is_planned, "measured while the machine is to sleep");
    }

    fn happen(&mut self, happening: Happening) {
        match happening {
            Happening::Disrupted(cause) => self.take(Event::Disrupted(cause)),
            Happening::Sleeping => self.take(Event::Sleeping(Notifier::Logind)),
            Happening::Woken => self.take(Event::Woken(Notifier::Logind)),
            Happening::NetworkChanged => self.take(Event::NetworkChanged),
            Happening::Unseen => self.take(Event::Unseen("vmgenid")),
            Happening::Pass(millis) => self.pass(millis),
            Happening::Answer(answer) => {
                if let Some(event) = self.next_question().and_then(|q| answered(&q, &answer, &self.clocks())) {
                    self.take(event);
                }
            }
            Happening::Overtaken => {
                if !self.open.is_empty() {
                    self.open.rotate_left(1);
                }
            }
            Happening::Dated(offset_ms) => {
                let evidence = self.machine.evidence().clone();
                self.take(Event::Dated(self.machine.epoch(), http_date(&self.clocks(), offset_ms)));
                let after = Evidence { http_date: evidence.http_date.clone(), ..self.machine.evidence().clone() };
                assert_eq!(after, evidence, "what was proven is not touched by a Date");
            }
            Happening::StepByDate(offset_ms, peer) => self.step_by_date(offset_ms, peer),
            Happening::Accepted => self.take(Event::Accepted),
            Happening::Reckon => self.take(Event::Reckon),
            Happening::Stale(answer) => {
                let stale = Epoch::new(self.machine.epoch().get() - 1);
                let before = (self.machine.snapshot(), self.machine.alarm(), self.machine.may_be_frozen());
                for question in
                    [Action::ResetDaemon(stale, Samples::Void), Action::ResyncDaemon(stale), Action::AskDaemon(stale)]
                {
                    self.stale(&question, &answer);
                }
                self.stale(&Action::Measure(stale, Round::default(), StepBy::Own), &answer);
                self.stale_orders();
                let after = (self.machine.snapshot(), self.machine.alarm(), self.machine.may_be_frozen());
                assert_eq!(before, after, "an answer from an older epoch, or to an older order");
            }
        }
    }

    /// The clock moves as the plan says and by that much, or nothing changes; what was proven stays so.
    fn step_by_date(&mut self, offset_ms: i64, peer: PeerCheck) {
        let date = HttpDate { peer, ..http_date(&self.clocks(), offset_ms) };
        let evidence = self.machine.evidence().clone();
        let plan = date.plan(&evidence, &self.clocks(), &self.policy);
        let refused = self.machine.refuses_date(&date, &self.clocks());
        assert!(plan == DatePlan::Step || refused.is_some(), "{plan:?} and not refused");
        let (before, orders) = (self.machine.snapshot(), self.open.len());
        self.take(Event::StepByDate(date.clone()));
        let steps = self.open[orders..].iter().filter_map(|action| match action {
            Action::Step { offset, .. } => Some(*offset),
            _ => None,
        });
        assert!(steps.clone().count() <= 1 && steps.clone().all(|offset| offset == date.offset), "another step");
        if refused.is_some() {
            assert_eq!(self.open.len(), orders, "refused and acted upon: {refused:?}");
            assert_eq!(self.machine.snapshot(), before, "refused and not without effect: {refused:?}");
        } else {
            assert_eq!(self.machine.snapshot().gate, Gate::Shut);
        }
        let known = |evidence: &Evidence| (evidence.last, evidence.anchor);
        assert_eq!(known(self.machine.evidence()), known(&evidence), "what was proven is not touched by a Date");
    }

    /// The same where all references say the truth, to the second where they are web servers.
    fn happen_honestly(&mut self, happening: Happening) {
        self.happen(match happening {
            Happening::Answer(answer) => Happening::Answer(self.honest(answer)),
            Happening::Dated(_) => Happening::Dated(self.error().as_nanos() / MS.cast_signed()),
            other => other,
        });
    }

    fn stale(&mut self, question: &Action, answer: &Answer) {
        if let Some(event) = answered(question, answer, &self.clocks()) {
            assert!(self.machine.step(event, self.clocks()).is_empty());
        }
    }

    /// What comes back of a freeze or a thaw that another one overtook, well or badly.
    fn stale_orders(&mut self) {
        let last = self.containers.last();
        let old: Vec<OrderId> = self.containers.orders.iter().rev().filter_map(order).take(4).collect();
        for order in old.into_iter().filter(|order| Some(*order) != last) {
            for event in [
                Event::Frozen(order, FreezeOutcome::default()),
                Event::Thawed(order, Ok(())),
                Event::Thawed(order, Err("cgroup.freeze: Input/output error".into())),
                Event::CarriersThawed(order, Ok(vpn())),
            ] {
                assert!(self.machine.step(event, self.clocks()).is_empty());
            }
        }
    }

    fn next_question(&mut self) -> Option<Action> {
        while !self.open.is_empty() {
            let action = self.open.remove(0);
            if !matches!(action, Action::Prolong(..) | Action::AllowSleep | Action::Warn(_)) {
                return Some(action);
            }
        }
        None
    }
}

/// How many walks: 1000, and more for the night (`CLOCKGATE_WALKS`).
fn walks() -> u32 {
    std::env::var("CLOCKGATE_WALKS").ok().and_then(|walks| walks.parse().ok()).unwrap_or(1000)
}

fn policy() -> impl Strategy<Value = Policy> {
    let at_deadline = || prop_oneof![Just(AtDeadline::Hold), Just(AtDeadline::Open)];
    let freeze = prop_oneof![Just(None), (1..60_u64).prop_map(|secs| Some(Duration::from_secs(secs)))];
    (at_deadline(), at_deadline(), 1..400_u64, freeze).prop_map(|(unreachable, wrong, threshold, freeze)| Policy {
        freeze,
        unreachable,
        imprecise: unreachable,
        wrong,
        threshold: Duration::from_millis(threshold),
        ..Policy::default()
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: walks(), failure_persistence: None, ..ProptestConfig::default() })]

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
    fn whatever_happened_two_honest_references_open_the_gate(happenings in prop::collection::vec(happening(), 1..40)) {
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
                    let offset_ms = -world.moved.as_nanos() / MS.cast_signed();
                    let honest = Answer::TwoAgree { offset_ms, first_alone: false };
                    if let Some(event) = answered(&question, &honest, &world.clocks()) {
                        world.take(event);
                    }
                }
                None => world.pass(61_000),
            }
        }
        prop_assert!(false, "still {:?}: {}", world.machine.state(), world.machine.snapshot().why);
    }

    /// Beside lies that the rules allow: here nobody lies.
    #[test]
    fn no_tolerance_is_served_while_the_clock_is_further_off(
        policy in policy(),
        corrects in prop_oneof![Just(Correction::None), Just(Correction::Auto), Just(Correction::Daemon)],
        happenings in prop::collection::vec(happening(), 1..80),
    ) {
        let mut world = World::new(Policy { correction: corrects, ..policy });
        world.is_honest = true;
        for happening in happenings {
            world.happen_honestly(happening);
        }
    }

    /// Where nothing may correct the clock, two honest exchanges serve each tolerance that is wider than what they measure.
    #[test]
    fn two_exchanges_after_a_disruption_serve_a_tolerance(
        happenings in prop::collection::vec(happening(), 1..20),
        off_by in 1..3000_i64,
    ) {
        let mut world = World::new(Policy { correction: Correction::None, ..Policy::default() });
        world.is_honest = true;
        for happening in happenings {
            world.happen_honestly(happening);
        }
        world.take(Event::Woken(Notifier::Logind));
        world.take(Event::Disrupted(Cause::ForeignStep { change: Offset::from_secs(off_by) }));
        let already = world.served;
        for _ in 0..20 {
            match world.next_question() {
                Some(question) => {
                    let honest = world.honest(Answer::TwoAgree { offset_ms: 0, first_alone: false });
                    if let Some(event) = answered(&question, &honest, &world.clocks()) {
                        world.take(event);
                    }
                }
                None => world.pass(2100),
            }
        }
        let is_right = world.error().abs() < Duration::from_millis(200);
        prop_assert!(world.served > already || is_right, "{:?}: {}", world.error(), world.machine.snapshot().why);
    }

    /// To know that answers agree with the clock, however vaguely, is better than to know nothing: it never ends worse.
    #[test]
    fn an_answer_that_agrees_with_the_clock_never_ends_worse_than_none(
        distance_ms in 1..3000_u64,
        offset_share in -100..=100_i64,
        is_foreign_step in any::<bool>(),
    ) {
        let offset_ms = distance_ms.cast_signed() * offset_share / 100;
        let ends = |answers: bool| {
            let mut world = World::new(Policy::default());
            if is_foreign_step {
                world.happen(Happening::Disrupted(Cause::ForeignStep { change: Offset::ZERO }));
            }
            // A bound just below the threshold is proven again and again: it is looked at when it is decided.
            let is_decided = |state| !matches!(state, State::Unknown | State::Disrupted | State::Settling);
            for n in 0..600 {
                if n > 60 && is_decided(world.machine.state()) {
                    break;
                }
                match world.next_question() {
                    Some(question) => {
                        let offset_ms = offset_ms - world.moved.as_nanos() / MS.cast_signed();
                        let answer = if answers { Answer::Truth { offset_ms, distance_ms } } else { Answer::Nobody };
                        if let Some(event) = answered(&question, &answer, &world.clocks()) {
                            world.take(event);
                        }
                    }
                    None => world.pass(1000),
                }
            }
            world.machine.state().gate()
        };
        let rank = |gate| match gate {
            Gate::Shut => 0,
            Gate::Unproven => 1,
            Gate::Proven => 2,
        };
        let (nothing, something) = (ends(false), ends(true));
        prop_assert!(rank(something) >= rank(nothing), "{nothing} without an answer, {something} with one");
    }
}

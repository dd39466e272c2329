//! The machine with the world around it: what its orders do, what it is told, and the laws that hold after every event. A walk and a
//! search both live here (`tests/invariants`, `crates/clockgate-model/tests/model/`).

#![allow(clippy::wildcard_enum_match_arm, reason = "what is not counted has nothing to be counted by")]
#![allow(dead_code, reason = "a walk and a search use their own parts of it")]

mod answers;
mod containers;
mod orders;
mod patience;
mod subject;
mod tolerance;

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use clockgate::decision::{
    Action, AtDeadline, Boottime, Cause, Clocks, Epoch, Event, FreezeOutcome, Gate, Machine, Offset, OrderId,
    PeerCheck, Policy, Reading, Realtime, ReferenceKind, Round, Samples, Snapshot, State, StepBy, StepError, forward,
};

pub use self::answers::{Answer, MS, answered, http_date, vpn};
use self::containers::{Containers, Deed};
use self::orders::UnderWay;
use self::patience::Patience;
pub use self::subject::Subject;

/// The true time at boot.
const TRUTH: i64 = 1_800_014_400;
/// A sleep that was announced is allowed after so long, whatever is frozen.
const LET_SLEEP_AFTER: Duration = Duration::from_secs(4);

/// An order that waits for its answer, and when it was given: the clocks then, and the true time.
#[derive(Clone, Debug)]
pub struct Question {
    pub action: Action,
    pub asked: Clocks,
    pub truth: Realtime,
}

/// What was proven, as the world has it: the clocks then, and the true time.
#[derive(Clone, Copy, Debug)]
struct Proven {
    at: Clocks,
    truth: Realtime,
}

/// The rules in force, which the machine shows already.
#[derive(Clone)]
pub struct Rules(pub Arc<Policy>);

impl fmt::Debug for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Rules")
    }
}

/// The machine with the world around it, and what the laws need to remember.
#[derive(Clone, Debug)]
pub struct World<S> {
    pub subject: S,
    pub now: Boottime,
    pub asleep: Duration,
    /// How far the clock was moved by anybody.
    pub moved: Offset,
    /// Time that passed while every clock stood still.
    pub lost: Duration,
    pub open: Vec<Question>,
    rules: Rules,
    /// Good answers since the epoch began or the clock was last stepped, and answers since the epoch began; two are many.
    good: u32,
    asked: u32,
    /// Verified `Date`s of web servers since then; two are many.
    dated: u32,
    /// When what was known was last voided, by whatever should void it.
    voided: Boottime,
    /// Whether plain answers do not count in this epoch, and whether the daemon has answered since.
    outranked: bool,
    daemon_answered: bool,
    /// Voices that agreed in the answers of this epoch, at the most.
    agreed: usize,
    /// The last supported proof, or the first since the machine stood still.
    anchor: Option<Proven>,
    /// Whether an operator has said that the time is meant, or to be reckoned.
    by_order: bool,
    /// Whether a server has said what is not true.
    pub was_lied_to: bool,
    /// Whether a web server has.
    pub was_misdated: bool,
    /// Who asked to sleep, and was not let go yet.
    sleeper: Option<Boottime>,
    pub containers: Containers,
    patience: Patience,
    under_way: UnderWay,
}

impl<S: Subject> World<S> {
    /// A world in which the agent has just begun, at `now`.
    pub fn new(subject: S, policy: Policy, now: Boottime) -> Self {
        let mut world = Self {
            subject,
            now,
            asleep: Duration::ZERO,
            moved: Offset::ZERO,
            lost: Duration::ZERO,
            open: vec![],
            rules: Rules(Arc::new(policy)),
            good: 0,
            asked: 0,
            dated: 0,
            voided: now,
            outranked: false,
            daemon_answered: false,
            agreed: 0,
            anchor: None,
            by_order: false,
            was_lied_to: false,
            was_misdated: false,
            sleeper: None,
            containers: Containers::default(),
            patience: Patience::default(),
            under_way: UnderWay::default(),
        };
        world.take(Event::Started);
        world
    }

    pub fn machine(&self) -> &Machine {
        self.subject.machine()
    }

    pub fn policy(&self) -> &Policy {
        &self.rules.0
    }

    pub fn clocks(&self) -> Clocks {
        let raw = self.now.since(Boottime::default()).saturating_sub(self.asleep);
        let real = self.truth() + -self.error();
        Clocks { boot: self.now, raw, asleep: self.asleep, real }
    }

    /// The true time.
    pub fn truth(&self) -> Realtime {
        Realtime::from_secs(TRUTH) + forward(self.now.since(Boottime::default()) + self.lost)
    }

    /// The number of the last order to step, freeze or thaw.
    pub fn orders(&self) -> u32 {
        self.under_way.orders
    }

    /// Something happens; what it leads to is judged.
    pub fn take(&mut self, event: Event) {
        let before = self.subject.snapshot();
        self.world_moves(&event);
        // Until the agent has heard of it, readers judge by their own clocks; a pause is what they cannot see.
        if !matches!(event, Event::Disrupted(Cause::Pause { .. } | Cause::Restore(_))) {
            self.judge_tolerance(&before);
        }
        let now = self.clocks();
        let actions = self.subject.step(event.clone(), now);
        let after = self.subject.snapshot();
        self.judge_epoch(&event, &before, &after);
        if after.epoch != before.epoch {
            (self.good, self.asked, self.agreed, self.dated) = (0, 0, 0, 0);
            (self.outranked, self.daemon_answered) = (false, false);
        }
        self.remember(&event);
        let deadline = self.policy().deadline;
        self.patience.steps_instead(&event, &actions, now.boot);
        self.patience.watch(&event, self.subject.machine(), deadline, &now);
        self.under_way.watch(&event, &actions, &after, now.boot);
        let max = self.policy().freeze;
        self.containers.watch(&Deed { event: &event, actions: &actions, after: &after, now: &now, max });
        self.watch_sleep(&event, &actions, &after);
        assert_eq!(self.machine().may_be_frozen(), !self.containers.are_known_to_run(), "after {event:?}");
        self.judge_tolerance(&after);
        self.judge_measurement(&after);
        self.judge_tolerant_thaws(&actions, &after);
        self.judge_gate(&event, &before, &after);
        if matches!(event, Event::Dated(..)) {
            assert!(actions.iter().all(|a| !matches!(a, Action::Step { .. })), "a Date steps nothing by itself");
        }
        if matches!(event, Event::StepByDate(_)) {
            assert!(after.gate == Gate::Shut || actions.is_empty(), "a step behind an open gate");
        }
        if let Event::Alarm = event {
            assert!(self.sleeper.is_none_or(|since| now.boot.since(since) < LET_SLEEP_AFTER), "a sleep is held back");
        }
        let truth = self.truth();
        self.open.extend(actions.into_iter().map(|action| Question { action, asked: now, truth }));
    }

    /// The agent is killed, its guard thaws, and the next agent begins.
    pub fn crash(&mut self) {
        self.subject = self.subject.restarted(self.policy().clone());
        self.open.clear();
        (self.containers, self.sleeper) = (Containers::default(), None);
        self.take(Event::Started);
    }

    /// The configuration is read anew.
    pub fn reload(&mut self, policy: Policy) {
        self.subject.set_policy(policy.clone());
        self.rules = Rules(Arc::new(policy));
    }

    /// The epoch only grows, and grows with everything that voids what was known: then the gate is shut.
    fn judge_epoch(&mut self, event: &Event, before: &Snapshot, after: &Snapshot) {
        assert!(after.epoch >= before.epoch && after.epoch >= self.under_way.epoch, "the epoch went back");
        let is_void = match event {
            Event::Started | Event::Sleeping(_) => true,
            Event::Disrupted(Cause::ForeignStep { change }) => {
                before.state != State::Suspended.code() && change.abs() > self.policy().threshold
            }
            Event::Disrupted(Cause::Requested) => before.state != State::Suspended.code(),
            Event::Disrupted(_) => true,
            _ => false,
        };
        if is_void {
            // A new agent knows the number from the page.
            assert!(after.epoch > before.epoch.max(self.under_way.epoch), "{event:?} begins no epoch");
            assert!(after.gate == Gate::Shut, "{event:?} leaves the gate {}", after.gate);
            self.voided = self.now;
        }
    }

    fn watch_sleep(&mut self, event: &Event, actions: &[Action], after: &Snapshot) {
        let sleeps = matches!(event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot));
        if sleeps {
            // Whoever asked first is let go first.
            self.sleeper.get_or_insert(self.now);
        }
        if actions.iter().any(|a| matches!(a, Action::AllowSleep)) {
            let asked = self.sleeper.take();
            let waited = asked.map(|since| self.now.since(since));
            assert!(waited.is_some(), "nobody asked to sleep");
            let is_over = waited >= Some(LET_SLEEP_AFTER) || !self.containers.are_frozen();
            let may = self.policy().freeze.is_none() || self.containers.have_been_frozen() || is_over;
            assert!(may, "asleep with nothing frozen: {event:?}");
            assert!(after.gate == Gate::Shut || !sleeps, "nobody sleeps before the gate is shut");
        }
        let may_wait = self.policy().freeze.is_some() || self.machine().may_be_frozen();
        assert!(self.sleeper.is_none() || may_wait, "nothing to freeze, and the sleep is held back");
    }

    fn judge_gate(&mut self, event: &Event, before: &Snapshot, after: &Snapshot) {
        let is_new_proof = after.gate == Gate::Proven && (before.gate != Gate::Proven || after.as_of != before.as_of);
        if after.gate == Gate::Proven {
            let proves = matches!(self.machine().state(), State::Synchronized | State::FreeRunning);
            assert!(proves, "proven while {}", self.machine().state());
            assert!(after.as_of >= self.voided, "a proof from before the last disruption");
            assert!(after.valid_until > after.as_of, "a proof that ends before it begins");
            // What readers compare their own clocks with: no step or sleep since is hidden from them, and none is made up.
            assert_eq!(after.differences, self.clocks().differences(), "after {event:?}");
            let is_over = matches!(event, Event::Alarm) && after.valid_until <= self.now;
            assert!(!is_over, "open beyond the end of the proof");
            let is_right = self.error().abs() <= self.policy().threshold;
            assert!(is_right || self.was_lied_to, "proven by honest servers, and off by {}", self.error());
            if before.gate != Gate::Proven {
                let (good, asked) = (self.good, self.asked);
                assert!(good >= 1 && asked >= 2, "opened by {event:?} after {good} good of {asked}");
                assert!(!self.outranked || self.daemon_answered, "a plain voice over an authenticated one");
            }
        }
        if matches!(event, Event::Dated(..)) {
            assert!(!is_new_proof && after.is_supported == before.is_supported, "a Date is no voice");
        }
        if matches!(event, Event::StepByDate(_)) {
            assert!(after.gate == before.gate || after.gate == Gate::Shut, "a Date opened the gate");
            assert!(!is_new_proof, "a Date proves nothing");
            assert!(before.is_supported || !after.is_supported, "a Date supports nothing");
        }
        if is_new_proof && matches!(event, Event::Measured(..)) {
            self.judge_proof();
        }
        if after.gate == Gate::Unproven && before.gate != Gate::Unproven {
            self.judge_opening(event);
        }
    }

    /// Never proven against reckoning without the support that a step would need.
    fn judge_proof(&mut self) {
        let (now, snapshot) = (self.clocks(), self.subject.snapshot());
        let truth = now.real + snapshot.offset.unwrap_or_default();
        assert!(!snapshot.is_supported || self.agreed >= 2 || self.daemon_answered, "supported by one voice");
        if let (Some(anchor), false) = (self.anchor, snapshot.is_supported) {
            let awake = now.raw - anchor.at.raw;
            let change = truth - (anchor.truth + forward(awake));
            let slack = Duration::from_secs(2) + clockgate::decision::drift(awake, 1000);
            let policy = self.policy();
            let limit = if change.is_backward() { policy.max_backward } else { policy.max_unexplained };
            assert!(change.abs() <= limit + slack, "one voice has moved the clock by {change}");
        }
        if snapshot.is_supported || self.anchor.is_none() {
            self.anchor = Some(Proven { at: now, truth });
        }
        self.by_order = false;
    }

    /// Open without a proof: not before a whole exchange has ended, and not while evidence says that the clock is wrong.
    fn judge_opening(&self, event: &Event) {
        assert_eq!(self.machine().state(), State::GaveUp(AtDeadline::Open));
        if matches!(event, Event::Accepted) || self.by_order {
            return;
        }
        assert!(self.asked >= 1 || matches!(event, Event::Alarm), "a policy before an exchange has ended: {event:?}");
        let evidence = self.machine().evidence();
        let found = evidence.contradicts(&self.clocks(), &self.policy().floor, self.policy().threshold);
        assert!(found.is_none() || self.policy().wrong == AtDeadline::Open, "open although {found:?}");
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
            Event::Disrupted(Cause::Pause { lost }) => {
                self.lost += *lost;
                self.anchor = None;
            }
            Event::Disrupted(Cause::Restore(_)) => self.anchor = None,
            Event::Disrupted(Cause::ForeignStep { change }) => self.moved = self.moved + *change,
            Event::Stepped(_, Ok(by)) => self.moved = self.moved + *by,
            Event::Accepted => (self.anchor, self.by_order) = (None, true),
            Event::Reckon => self.by_order = true,
            _ => {}
        }
    }

    fn remember(&mut self, event: &Event) {
        match event {
            Event::Measured(epoch, _, m) if *epoch == self.machine().epoch() => {
                self.asked = (self.asked + 1).min(2);
                // Another one's answer may narrow it.
                let threshold = self.policy().threshold;
                let good = |r: &Reading| {
                    let is_precise = r.root_distance_at(self.now, 500) <= threshold + Duration::from_millis(1);
                    let is_small = r.offset.abs() <= threshold.max(r.root_distance) + Duration::from_millis(9);
                    is_precise && is_small && r.as_of >= self.voided
                };
                self.good = (self.good + u32::from(m.readings.iter().any(good))).min(2);
                self.daemon_answered |= m.readings.iter().any(|r| r.kind == ReferenceKind::Daemon);
                self.agreed = self.agreed.max(m.readings.len());
            }
            Event::Stepped(order, Ok(_)) if order.epoch == self.machine().epoch() => (self.good, self.dated) = (0, 0),
            Event::Dated(epoch, date) if *epoch == self.machine().epoch() => {
                let said = (date.offset - self.error()).abs() <= date.width_at(date.as_of, 0);
                self.was_misdated |= !said;
                self.dated = (self.dated + u32::from(date.peer == PeerCheck::Verified)).min(2);
            }
            Event::Forgotten(epoch, what) if *epoch == self.machine().epoch() => {
                self.outranked = what.authority.is_some();
            }
            _ => {}
        }
    }

    /// What was asked in an older epoch, and orders that were overtaken: no answer to them changes anything.
    pub fn stale_answers_change_nothing(&self, answer: &Answer) {
        let now = self.clocks();
        if self.subject.alarm() <= now.boot {
            return;
        }
        let mut subject = self.subject.clone();
        // Something that means nothing, so that both were looked at now.
        assert!(subject.step(Event::SourceLost("test"), now).is_empty(), "an alarm was missed");
        let before = format!("{subject:?}");
        let epoch = Epoch::new(self.machine().epoch().get().saturating_sub(1));
        let questions = [
            Action::ResetDaemon(epoch, Samples::Void),
            Action::ResyncDaemon(epoch),
            Action::AskDaemon(epoch),
            Action::Measure(epoch, Round::default(), StepBy::Own),
            Action::Measure(epoch, self.machine().round(), StepBy::Daemon),
        ];
        let answers = questions.iter().filter_map(|question| answered(question, answer, &now));
        let orders = self.containers.overtaken().into_iter().flat_map(|order| {
            [
                Event::Frozen(order, FreezeOutcome::default()),
                Event::Thawed(order, Ok(())),
                Event::Thawed(order, Err("cgroup.freeze: Input/output error".into())),
                Event::CarriersThawed(order, Ok(vpn())),
                Event::TolerantThawed(order, Ok(vpn())),
                Event::TolerantThawed(order, Err("cgroup.freeze: Input/output error".into())),
            ]
        });
        let not_stepped = Event::Stepped(OrderId { epoch, number: 0 }, Err(StepError::Failed("no".to_owned())));
        for event in answers.chain(orders).chain([not_stepped]) {
            assert!(subject.step(event.clone(), now).is_empty(), "a stale answer has a consequence: {event:?}");
        }
        assert_eq!(format!("{subject:?}"), before, "an answer from an older epoch, or to an older order");
    }

    /// Nothing waits without an end: what a state waits for is an alarm that comes in time.
    pub fn everything_waited_for_has_an_end(&self) {
        let (now, snapshot, alarm) = (self.clocks(), self.subject.snapshot(), self.subject.alarm());
        let is_planned = snapshot.next != Boottime::default();
        if let Some(end) = self.containers.guarded() {
            assert!(alarm <= end.on_boottime(&now).max(now.boot), "a freeze without a thaw");
        }
        if snapshot.gate == Gate::Proven {
            assert!(alarm <= snapshot.valid_until, "a proof without an end");
            assert!(is_planned, "proven, and never measured again");
        }
        assert!(self.machine().state() != State::Suspended || !is_planned, "measured while the machine is to sleep");
        if let Some(since) = self.sleeper {
            assert!(alarm <= since + LET_SLEEP_AFTER, "a sleep is held back without an end");
        }
        self.patience.has_an_end(self.machine(), alarm, &now);
    }
}

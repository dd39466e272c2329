//! The machine: what happened goes in, what is to be done comes out.

use std::time::Duration;

use super::action::{Action, Way};
use super::agreement::{Agreement, agree};
use super::event::{Cause, DaemonVerdict, Event, Forgotten, Notifier, StepError};
use super::guard::{Evidence, Fix, judge};
use super::ice::Ice;
use super::policy::{AtDeadline, Correction, Policy};
use super::reading::Measurement;
use super::snapshot::Snapshot;
use super::state::{State, Trouble};
use super::time::{Boottime, Epoch, Offset, Round, drift, nanos_u64};

/// Retries grow from the first to the last of these; while the gate is shut and nobody has given up, only to the middle one.
const RETRY_FIRST: Duration = Duration::from_secs(1);
const RETRY_SHUT: Duration = Duration::from_secs(4);
const RETRY_LAST: Duration = Duration::from_secs(60);
/// Steps that may follow one another without a wait: more, and somebody else is setting the clock as well.
const HASTY_STEPS: u32 = 4;
/// How often a gate held shut past its deadline says so.
const LOUD_EVERY: Duration = Duration::from_secs(60);
/// When the daemon is asked whether it agrees: chronyd needs 4.2 s for three samples.
const DAEMON_ASKED_AFTER: Duration = Duration::from_secs(6);
const DAEMON_ASKED_TIMES: u32 = 10;

/// What stands between the state and a proof.
#[derive(Clone, Debug)]
struct Pursuit {
    /// Whether an answer is on its way; nothing is asked twice.
    asking: bool,
    /// Failed attempts in a row.
    attempts: u32,
    /// Steps ordered since the last wait.
    steps: u32,
    /// Why there is no proof yet.
    trouble: Trouble,
    /// When to try again.
    retry: Boottime,
    /// When the policy for failures applies.
    deadline: Boottime,
    /// In `GaveUp(Open)`: a first exchange was good, the second is under way.
    confirming: bool,
}

/// A proof: an agreement under the threshold, and how long it lasts.
#[derive(Clone, Copy, Debug)]
struct Proof {
    bound: Duration,
    as_of: Boottime,
    drift_ppm: u32,
    valid_until: Boottime,
    remeasure: Boottime,
}

/// The pure machine. Time comes in as an argument; nothing is read and nothing is done here.
#[derive(Clone, Debug)]
pub struct Machine {
    policy: Policy,
    state: State,
    epoch: Epoch,
    round: Round,
    cause: Cause,
    since: Boottime,
    way: Way,
    daemon: Option<String>,
    pursuit: Pursuit,
    latest: Option<(Offset, Duration, Boottime)>,
    proof: Option<Proof>,
    evidence: Evidence,
    falsetickers: Vec<String>,
    ask_daemon: Boottime,
    daemon_asked: u32,
    ice: Ice,
}

impl Machine {
    /// A machine that continues counting after `epoch`, the last one that was published in this boot.
    #[must_use]
    pub fn new(policy: Policy, epoch: Epoch) -> Self {
        let pursuit = Pursuit::new(Boottime::default(), &policy);
        Self {
            policy,
            state: State::Unknown,
            epoch,
            round: Round::default(),
            cause: Cause::Started,
            since: Boottime::default(),
            way: Way::Own,
            daemon: None,
            pursuit,
            latest: None,
            proof: None,
            evidence: Evidence::default(),
            falsetickers: vec![],
            ask_daemon: Boottime::NEVER,
            daemon_asked: 0,
            ice: Ice::new(),
        }
    }

    /// Whether what runs is to be frozen when the time comes.
    #[must_use]
    pub const fn freezes(&self) -> bool {
        self.policy.freeze.is_some()
    }

    /// Whether what runs is frozen, or about to be.
    #[must_use]
    pub const fn is_frozen(&self) -> bool {
        self.ice.is_frozen()
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The round of questions that was asked last.
    #[must_use]
    pub const fn round(&self) -> Round {
        self.round
    }

    /// What stood between the state and a proof at the last attempt.
    #[must_use]
    pub const fn trouble(&self) -> &Trouble {
        &self.pursuit.trouble
    }

    /// The daemon that was found when this epoch began.
    #[must_use]
    pub fn daemon(&self) -> Option<&str> {
        self.daemon.as_deref()
    }

    /// The references that the last agreement left out.
    #[must_use]
    pub fn falsetickers(&self) -> &[String] {
        &self.falsetickers
    }

    /// Takes new rules (the configuration was read again); they apply from the next answer on.
    pub fn set_policy(&mut self, policy: Policy) {
        self.policy = policy;
    }

    /// When [`Event::Alarm`] is due; [`Boottime::NEVER`] when nothing is waited for.
    #[must_use]
    pub fn alarm(&self) -> Boottime {
        self.walk_alarm().min(self.ice.alarm())
    }

    fn walk_alarm(&self) -> Boottime {
        let retry = if self.pursuit.asking { Boottime::NEVER } else { self.pursuit.retry };
        match self.state {
            State::Unknown => Boottime::NEVER,
            State::Suspended => self.pursuit.deadline,
            State::Disrupted | State::Settling | State::GaveUp(_) => retry.min(self.pursuit.deadline),
            State::Synchronized | State::FreeRunning => {
                let proof = self.proof.map_or(Boottime::NEVER, |p| p.valid_until.min(p.remeasure));
                if self.pursuit.asking {
                    self.proof.map_or(Boottime::NEVER, |p| p.valid_until).min(self.ask_daemon)
                } else {
                    proof.min(self.ask_daemon)
                }
            }
        }
    }

    /// What is published of the machine.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let waits = matches!(self.state, State::Disrupted | State::Settling | State::Suspended);
        Snapshot {
            state: self.state.code(),
            gate: self.state.gate(),
            epoch: self.epoch,
            cause: self.cause,
            since: self.since,
            offset: self.latest.map(|l| l.0),
            bound: self.latest.map(|l| l.1),
            as_of: self.latest.map_or(Boottime::default(), |l| l.2),
            threshold: self.policy.threshold,
            valid_until: self.proof.map_or(Boottime::default(), |p| p.valid_until),
            deadline: if waits { self.pursuit.deadline } else { Boottime::default() },
            max_drift_ppm: self.proof.map_or(self.policy.max_drift_ppm, |p| p.drift_ppm),
            why: self.why(),
        }
    }

    /// Takes one event and says what is to be done about it.
    pub fn step(&mut self, event: Event, now: Boottime) -> Vec<Action> {
        let mut actions = self.walk(event, now);
        actions.extend(self.ice.settle(self.state, self.epoch, now));
        actions
    }

    fn walk(&mut self, event: Event, now: Boottime) -> Vec<Action> {
        match (self.state, event) {
            (_, Event::Started) => self.disrupt(Cause::Started, now),
            (_, Event::Sleeping(_)) => self.fall_asleep(Cause::Sleep, now),
            (_, Event::Disrupted(Cause::Snapshot)) => self.fall_asleep(Cause::Snapshot, now),
            (State::Suspended, Event::Woken(_)) => self.disrupt(Cause::Resume { slept: Duration::ZERO }, now),
            // The kernel told us of this wake-up before logind or the hook did.
            (_, Event::Woken(Notifier::Logind)) => vec![],
            (_, Event::Woken(Notifier::Notify)) if matches!(self.cause, Cause::Resume { .. }) => vec![],
            (_, Event::Woken(Notifier::Notify)) => self.disrupt(Cause::Resume { slept: Duration::ZERO }, now),
            // What happens between the announcement and the sleep is measured after the wake-up.
            (State::Suspended, Event::Disrupted(Cause::ForeignStep { .. } | Cause::Requested)) => vec![],
            (_, Event::Disrupted(cause)) => self.disrupt(cause, now),

            (State::Disrupted, Event::Forgotten(epoch, what)) if epoch == self.epoch => self.forgotten(what),
            (State::Settling, Event::HandedOver(epoch, _)) if epoch == self.epoch => self.measure(),
            (state, Event::Measured(epoch, _, m)) if epoch == self.epoch => self.measured(state, &m, now),
            (State::Disrupted, Event::Stepped(epoch, outcome)) if epoch == self.epoch => self.stepped(outcome, now),
            (State::Synchronized | State::FreeRunning, Event::DaemonAsked(epoch, verdict)) if epoch == self.epoch => {
                self.daemon_says(verdict, now)
            }
            // The deadline overtook the walk; it goes on from a measurement.
            (State::GaveUp(_), Event::Forgotten(epoch, _) | Event::HandedOver(epoch, _) | Event::Stepped(epoch, _))
                if epoch == self.epoch =>
            {
                self.measure()
            }
            // An answer from an older epoch, or to a question that an event overtook, changes nothing.
            (
                _,
                Event::Forgotten(..)
                | Event::HandedOver(..)
                | Event::Measured(..)
                | Event::Stepped(..)
                | Event::DaemonAsked(..),
            ) => vec![],

            (State::Disrupted | State::Settling | State::GaveUp(_) | State::FreeRunning, Event::NetworkChanged) => {
                self.try_again()
            }
            (State::Unknown | State::Suspended | State::Synchronized, Event::NetworkChanged) => vec![],
            (_, Event::Frozen(epoch, _)) => self.ice.answered(epoch),
            (_, Event::Thawed(_, Ok(()))) => vec![],
            (_, Event::Thawed(_, Err(_))) => {
                self.ice.thaw_failed(now);
                vec![]
            }
            (_, Event::SourceLost(_)) => vec![],
            (state, Event::Alarm) => self.rung(state, now),
        }
    }

    /// Shut, nothing under way, until the machine wakes up or the image is restored.
    fn fall_asleep(&mut self, cause: Cause, now: Boottime) -> Vec<Action> {
        self.begin_epoch(cause, now);
        self.state = State::Suspended;
        self.pursuit.deadline = now + self.policy.sleep_deadline;
        self.ice.before_sleep(self.epoch, self.policy.freeze, now)
    }

    /// What we knew is void: shut, forget, measure.
    fn disrupt(&mut self, cause: Cause, now: Boottime) -> Vec<Action> {
        self.begin_epoch(cause, now);
        self.state = State::Disrupted;
        if let Cause::Resume { slept } = cause {
            self.evidence.slept = self.evidence.slept.saturating_add(slept);
        }
        self.evidence.restored |= matches!(cause, Cause::Restore | Cause::Pause { .. });
        if self.policy.correction == Correction::None {
            return self.measure();
        }
        self.pursuit.asking = true;
        vec![Action::Forget(self.epoch)]
    }

    fn begin_epoch(&mut self, cause: Cause, now: Boottime) {
        self.epoch = self.epoch.next();
        self.cause = cause;
        self.since = now;
        self.proof = None;
        self.latest = None;
        self.ask_daemon = Boottime::NEVER;
        self.daemon_asked = 0;
        self.pursuit = Pursuit::new(now, &self.policy);
        self.ice.begin_epoch(self.policy.freeze, now);
    }

    fn forgotten(&mut self, what: Forgotten) -> Vec<Action> {
        self.way = match self.policy.correction {
            Correction::Daemon => Way::Daemon,
            Correction::Auto if what.authority.is_some() => Way::Daemon,
            Correction::Auto | Correction::Clockgate | Correction::None => Way::Own,
        };
        self.daemon = what.daemon;
        self.evidence.rtc = what.rtc;
        self.measure()
    }

    fn measure(&mut self) -> Vec<Action> {
        self.pursuit.asking = true;
        self.round = self.round.next();
        vec![Action::Measure(self.epoch, self.round, self.way)]
    }

    fn measured(&mut self, state: State, measurement: &Measurement, now: Boottime) -> Vec<Action> {
        self.pursuit.asking = false;
        let drift_ppm = self.policy.max_drift_ppm.max(measurement.rate_ppm);
        let agreement = match agree(&measurement.readings, now, drift_ppm, self.policy.min_references) {
            Ok(agreement) => agreement,
            Err(why) => return self.failed(state, why.into(), now),
        };
        self.falsetickers.clone_from(&agreement.falsetickers);
        let right = self.is_under(agreement.bound(), drift_ppm);
        match state {
            State::Unknown | State::Suspended => vec![],
            State::Synchronized | State::FreeRunning if right => self.prove(&agreement, drift_ppm, now),
            State::Synchronized | State::FreeRunning => self.doubt(&agreement, now),
            State::Settling if right => self.prove(&agreement, drift_ppm, now),
            State::Disrupted | State::GaveUp(AtDeadline::Hold) if right => self.settle(&agreement),
            State::GaveUp(AtDeadline::Open) if right && self.pursuit.confirming => {
                self.prove(&agreement, drift_ppm, now)
            }
            State::GaveUp(AtDeadline::Open) if right => {
                self.note(&agreement);
                self.pursuit.confirming = true;
                self.measure()
            }
            State::GaveUp(AtDeadline::Open) => {
                // A reference disagrees: shut again, and the deadline counts anew.
                self.pursuit = Pursuit::new(now, &self.policy);
                self.correct(&agreement, drift_ppm, now)
            }
            State::Disrupted | State::Settling | State::GaveUp(AtDeadline::Hold) => {
                self.correct(&agreement, drift_ppm, now)
            }
        }
    }

    /// Whether the bound is under the threshold, and stays there for long enough to be worth a proof.
    fn is_under(&self, bound: Duration, drift_ppm: u32) -> bool {
        bound.saturating_add(drift(RETRY_FIRST, drift_ppm)) <= self.policy.threshold
    }

    /// The clock is wrong, or its error not known well enough: step it if that helps and the guards agree.
    fn correct(&mut self, agreement: &Agreement, drift_ppm: u32, now: Boottime) -> Vec<Action> {
        self.note(agreement);
        if !matches!(self.state, State::GaveUp(AtDeadline::Hold)) {
            self.state = State::Disrupted;
        }
        let (offset, distance) = (agreement.offset, agreement.root_distance);
        if offset.abs() <= distance && !self.is_under(distance, drift_ppm) {
            let why = format!("the references know the time only to ±{} ms", distance.as_millis());
            return self.failed(self.state, Trouble::AskedAndWrong(why), now);
        }
        if self.policy.correction == Correction::None {
            let why = format!("the clock is off by {offset} and the configuration says `correction: none`");
            return self.failed(self.state, Trouble::AskedAndWrong(why), now);
        }
        if self.pursuit.steps >= HASTY_STEPS {
            let why = format!("{} steps did not make the clock right: another program sets it too", self.pursuit.steps);
            return self.failed(self.state, Trouble::AskedAndWrong(why), now);
        }
        if let Err(refusal) = judge(agreement, &self.evidence, &self.policy) {
            return self.failed(self.state, Trouble::AskedAndWrong(refusal.to_string()), now);
        }
        self.state = State::Disrupted;
        self.pursuit.asking = true;
        self.pursuit.steps += 1;
        self.pursuit.trouble = Trouble::AskedAndWrong(format!("the clock is off by {offset}"));
        let (as_of, local) = (agreement.as_of, agreement.local);
        let step = Action::Step { epoch: self.epoch, way: self.way, offset, as_of, local };
        self.ice.before_step(step, self.epoch, self.policy.freeze, now)
    }

    fn stepped(&mut self, outcome: Result<Offset, StepError>, now: Boottime) -> Vec<Action> {
        self.pursuit.asking = false;
        match outcome {
            Ok(_) => self.settle_after_step(),
            Err(StepError::Superseded { .. }) => self.measure(),
            Err(error @ (StepError::NotPermitted(_) | StepError::Failed(_))) => {
                self.failed(State::Disrupted, Trouble::AskedAndWrong(error.to_string()), now)
            }
        }
    }

    /// The first exchange found the clock right: one exchange never opens the gate.
    fn settle(&mut self, agreement: &Agreement) -> Vec<Action> {
        self.note(agreement);
        self.settle_after_step()
    }

    fn settle_after_step(&mut self) -> Vec<Action> {
        self.state = State::Settling;
        self.pursuit.asking = true;
        match self.way {
            Way::Own if self.policy.correction != Correction::None => vec![Action::HandOver(self.epoch)],
            // Made to forget once more, the daemon would throw away what it has just learned.
            Way::Own | Way::Daemon => self.measure(),
        }
    }

    /// A second, fresh exchange is under the threshold: open.
    fn prove(&mut self, agreement: &Agreement, drift_ppm: u32, now: Boottime) -> Vec<Action> {
        let first = self.proof.is_none();
        self.note(agreement);
        self.state = State::Synchronized;
        let bound = agreement.bound();
        let lasts = lasting(self.policy.threshold.saturating_sub(bound), drift_ppm);
        let pause = (lasts / 2).clamp(self.policy.remeasure_min, self.policy.remeasure_max).min(lasts / 4 * 3);
        self.proof = Some(Proof {
            bound,
            as_of: agreement.as_of,
            drift_ppm,
            valid_until: agreement.as_of + lasts,
            remeasure: (agreement.as_of + pause).max(now + RETRY_FIRST),
        });
        self.evidence = Evidence {
            last: Some(Fix { at: agreement.as_of, truth: agreement.local + agreement.offset }),
            ..Evidence::default()
        };
        self.pursuit = Pursuit::new(now, &self.policy);
        if first && self.way == Way::Own && self.daemon.is_some() {
            self.ask_daemon = now + DAEMON_ASKED_AFTER;
        }
        vec![]
    }

    /// A later measurement is over the threshold: either it knows too little to renew the proof, or the clock is wrong.
    fn doubt(&mut self, agreement: &Agreement, now: Boottime) -> Vec<Action> {
        let known = self.proof.map_or(Duration::ZERO, |p| p.bound_at(now));
        if agreement.offset.abs() <= agreement.root_distance.saturating_add(known) {
            let why = format!("the references know the time only to ±{} ms", agreement.root_distance.as_millis());
            return self.failed(self.state, Trouble::AskedAndWrong(why), now);
        }
        self.disrupt(Cause::Drifted, now)
    }

    /// No answer, or no good one: try again later, and leave the state as it is.
    fn failed(&mut self, state: State, trouble: Trouble, now: Boottime) -> Vec<Action> {
        let longest = if matches!(state, State::Disrupted | State::Settling) { RETRY_SHUT } else { RETRY_LAST };
        let pause = RETRY_FIRST.saturating_mul(1 << self.pursuit.attempts.min(6)).min(longest);
        self.pursuit.attempts += 1;
        self.pursuit.steps = 0;
        self.pursuit.asking = false;
        self.pursuit.confirming = false;
        self.pursuit.retry = now + pause;
        // Who has answered once stays asked, until somebody begins a new epoch.
        if !matches!((&self.pursuit.trouble, &trouble), (Trouble::AskedAndWrong(_), Trouble::NobodyToAsk)) {
            self.pursuit.trouble = trouble;
        }
        if matches!(state, State::Synchronized | State::FreeRunning) {
            self.state = State::FreeRunning;
            if let Some(proof) = &mut self.proof {
                proof.remeasure = now + pause;
            }
        }
        vec![]
    }

    fn daemon_says(&mut self, verdict: DaemonVerdict, now: Boottime) -> Vec<Action> {
        self.daemon_asked += 1;
        match verdict {
            DaemonVerdict::NotYet if self.daemon_asked < DAEMON_ASKED_TIMES => {
                self.ask_daemon = now + DAEMON_ASKED_AFTER;
                vec![]
            }
            // Measured anew it disagrees again: then it has other sources than we, and the log has said so.
            DaemonVerdict::Disagrees { .. } if self.cause != Cause::DaemonDisagrees => {
                self.disrupt(Cause::DaemonDisagrees, now)
            }
            DaemonVerdict::NotYet
            | DaemonVerdict::Disagrees { .. }
            | DaemonVerdict::Agrees { .. }
            | DaemonVerdict::Silent(_) => vec![],
        }
    }

    fn try_again(&mut self) -> Vec<Action> {
        if self.pursuit.asking || self.pursuit.attempts == 0 {
            return vec![];
        }
        self.measure()
    }

    fn rung(&mut self, state: State, now: Boottime) -> Vec<Action> {
        match state {
            State::Unknown => vec![],
            // An image taken frozen may wake up a year later, and nobody may say so.
            State::Suspended if now >= self.pursuit.deadline && self.cause == Cause::Snapshot => {
                self.disrupt(Cause::Restore, now)
            }
            State::Suspended if now >= self.pursuit.deadline => {
                self.disrupt(Cause::Resume { slept: Duration::ZERO }, now)
            }
            State::Disrupted | State::Settling if now >= self.pursuit.deadline => self.give_up(now),
            State::GaveUp(_) if now >= self.pursuit.deadline => {
                self.pursuit.deadline = now + LOUD_EVERY;
                vec![Action::Complain(self.why())]
            }
            State::Synchronized | State::FreeRunning if self.proof.is_none_or(|p| now >= p.valid_until) => {
                self.disrupt(Cause::Expired, now)
            }
            State::Synchronized | State::FreeRunning if now >= self.ask_daemon => {
                self.ask_daemon = Boottime::NEVER;
                vec![Action::AskDaemon(self.epoch)]
            }
            State::Synchronized | State::FreeRunning
                if !self.pursuit.asking && self.proof.is_some_and(|p| now >= p.remeasure) =>
            {
                self.measure()
            }
            State::Disrupted | State::Settling | State::GaveUp(_)
                if !self.pursuit.asking && now >= self.pursuit.retry =>
            {
                self.measure()
            }
            State::Suspended
            | State::Disrupted
            | State::Settling
            | State::GaveUp(_)
            | State::Synchronized
            | State::FreeRunning => vec![],
        }
    }

    fn give_up(&mut self, now: Boottime) -> Vec<Action> {
        let policy = match self.pursuit.trouble {
            Trouble::NobodyToAsk => self.policy.nobody_to_ask,
            Trouble::AskedAndWrong(_) => self.policy.asked_and_wrong,
        };
        self.state = State::GaveUp(policy);
        self.pursuit.deadline = now + LOUD_EVERY;
        // From here on less and less often, and not at once.
        self.pursuit.attempts = self.pursuit.attempts.min(1);
        vec![Action::Complain(self.why())]
    }

    fn note(&mut self, agreement: &Agreement) {
        self.latest = Some((agreement.offset, agreement.bound(), agreement.as_of));
    }

    fn why(&self) -> String {
        match self.state {
            State::Unknown => "nothing was measured yet".to_owned(),
            State::Suspended if self.cause == Cause::Snapshot => "a snapshot is being taken".to_owned(),
            State::Suspended => "the machine is going to sleep".to_owned(),
            State::Disrupted if self.pursuit.attempts == 0 && self.latest.is_none() => {
                format!("{}: measuring", self.cause)
            }
            State::Disrupted => format!("{}: {}", self.cause, self.pursuit.trouble),
            State::Settling => format!("{}: verifying with a second exchange", self.cause),
            State::Synchronized => String::new(),
            State::FreeRunning => format!("could not measure again: {}", self.pursuit.trouble),
            State::GaveUp(AtDeadline::Hold) => format!("held shut past the deadline: {}", self.pursuit.trouble),
            State::GaveUp(AtDeadline::Open) => format!("opened without a proof: {}", self.pursuit.trouble),
        }
    }
}

impl Pursuit {
    fn new(now: Boottime, policy: &Policy) -> Self {
        Self {
            asking: false,
            attempts: 0,
            steps: 0,
            trouble: Trouble::NobodyToAsk,
            retry: Boottime::NEVER,
            deadline: now + policy.deadline,
            confirming: false,
        }
    }
}

impl Proof {
    fn bound_at(&self, now: Boottime) -> Duration {
        self.bound.saturating_add(drift(now.since(self.as_of), self.drift_ppm))
    }
}

/// How long a bound that may grow by `room` lasts at `drift_ppm`.
fn lasting(room: Duration, drift_ppm: u32) -> Duration {
    Duration::from_nanos(nanos_u64(room).saturating_mul(1_000_000 / u64::from(drift_ppm.max(1))))
}

//! What happens when time passes: retries, deadlines, and what an operator or the configuration orders then.

use std::time::Duration;

use super::super::action::{Action, StepBy, Warning};
use super::super::date_plan::DatePlan;
use super::super::event::{Cause, RestoreSign};
use super::super::evidence::{ClockContradiction, Witness};
use super::super::failure_class::{Class, Trouble};
use super::super::http_date::HttpDate;
use super::super::leap;
use super::super::policy::{AtDeadline, Correction};
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Offset};
use super::Machine;
use super::attempt::{Attempt, Busy, Deadline, Purpose, Reason};
use super::questions::Step;

/// How often a gate that is open without a proof is reported.
const REMIND_INTERVAL: Duration = Duration::from_secs(60);

/// What a state waits for: each has one moment, which is an alarm and decides what the alarm does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    /// A sleep or a snapshot is over, though no notice reported it.
    WakeUp,
    /// The deadline.
    Deadline,
    /// A gate that is not open on a proof is logged again.
    Reminder,
    /// The proof ends, or a leap second was not made.
    Expiry,
    /// The daemon is asked whether it agrees.
    DaemonsVerdict,
    /// An open gate is measured again.
    Remeasurement,
    /// The next attempt at a proof, or an answer that was lost.
    Attempt,
}

impl Machine {
    /// When [`super::super::Event::Alarm`] is due; [`Boottime::NEVER`] when nothing is waited for.
    #[must_use]
    pub fn alarm(&self) -> Boottime {
        let first = self.waits_for().into_iter().map(|(_, at)| at).min();
        first.unwrap_or(Boottime::NEVER).min(self.freezing.alarm(&self.clocks))
    }

    /// What the state waits for, and until when; what comes first is done first where several are due.
    fn waits_for(&self) -> Vec<(Due, Boottime)> {
        let attempt = (Due::Attempt, self.attempt.alarm());
        match self.state {
            State::Unknown => vec![],
            State::Suspended => vec![(Due::WakeUp, self.asleep_until)],
            State::Disrupted | State::Settling if self.attempt.ended == 0 => vec![attempt],
            State::Disrupted | State::Settling => {
                vec![(Due::Deadline, self.deadline.on_boottime(&self.clocks)), attempt]
            }
            State::GaveUp(_) => vec![(Due::Reminder, self.deadline.on_boottime(&self.clocks)), attempt],
            State::Synchronized | State::FreeRunning => {
                let valid_until = self.proof.map_or(Boottime::NEVER, |p| p.valid_until);
                let missed = self.leap_second.map_or(Boottime::NEVER, leap::missed_at);
                let next = if self.attempt.is_idle() { (Due::Remeasurement, self.remeasure()) } else { attempt };
                vec![(Due::Expiry, valid_until.min(missed)), (Due::DaemonsVerdict, self.ask_daemon), next]
            }
        }
    }

    /// When an open gate is measured again: before the proof ends, or because something may have been missed.
    fn remeasure(&self) -> Boottime {
        let due = self.proof.map_or(Boottime::NEVER, |p| p.remeasure).min(self.second_look.due);
        self.leap_second.map_or(due, |leap| leap::keeps_clear(leap, due))
    }

    /// What the page says of the deadline; zero when nothing waits for it.
    pub(super) fn published_deadline(&self) -> Boottime {
        match self.state {
            State::Suspended => self.asleep_until,
            State::Disrupted | State::Settling => self.deadline.on_boottime(&self.clocks),
            State::Unknown | State::Synchronized | State::FreeRunning | State::GaveUp(_) => Boottime::default(),
        }
    }

    /// What the page says of the next measurement; zero where none is planned.
    pub(super) fn next_measurement(&self) -> Boottime {
        let planned = match self.state {
            State::Unknown | State::Suspended => Boottime::NEVER,
            State::Disrupted | State::Settling | State::GaveUp(_) => self.attempt.retry,
            State::Synchronized | State::FreeRunning => self.remeasure(),
        };
        if planned == Boottime::NEVER { Boottime::default() } else { planned }
    }

    pub(super) fn on_alarm(&mut self, now: &Clocks) -> Vec<Action> {
        let due = self.waits_for().into_iter().find(|(_, at)| now.boot >= *at);
        match due.map(|(due, _)| due) {
            None => vec![],
            // An image that was taken frozen may be resumed a year later, without any notice.
            Some(Due::WakeUp) if self.cause == Cause::Snapshot => {
                self.disrupt(Cause::Restore(RestoreSign::Timeout), now)
            }
            Some(Due::WakeUp) => self.disrupt(Cause::Resume { slept: Duration::ZERO }, now),
            Some(Due::Deadline) => self.give_up(now),
            Some(Due::Reminder) => {
                self.deadline = Deadline::after(REMIND_INTERVAL, now);
                let mut actions = vec![Action::Warn(Warning::NoProof(self.why()))];
                actions.extend(self.look_again(now));
                actions
            }
            Some(Due::Expiry) => self.disrupt(Cause::Expired, now),
            Some(Due::DaemonsVerdict) => {
                self.ask_daemon = Boottime::NEVER;
                vec![Action::AskDaemon(self.epoch)]
            }
            Some(Due::Remeasurement) => {
                self.second_look.done();
                self.ask_anew(now)
            }
            Some(Due::Attempt) => self.look_again(now),
        }
    }

    /// Tries again when it is time, and gives up an answer that was lost.
    fn look_again(&mut self, now: &Clocks) -> Vec<Action> {
        if now.boot < self.attempt.alarm() {
            return vec![];
        }
        match self.attempt.busy {
            Busy::No if matches!(self.state, State::Synchronized | State::FreeRunning | State::Suspended) => vec![],
            Busy::No => self.ask_anew(now),
            Busy::Asking(_) | Busy::Stepping(..) => {
                self.attempt.ended += 1;
                // Who was to say whether plain answers count has said nothing: then it is as it was.
                let way = if self.authority.is_some() { StepBy::Daemon } else { StepBy::Own };
                self.way.get_or_insert(way);
                self.unanswered("an answer was lost".to_owned(), now)
            }
        }
    }

    /// The deadline has passed: what is known decides the class, and the class the gate.
    pub(super) fn give_up(&mut self, now: &Clocks) -> Vec<Action> {
        if let Some(found) = self.contradiction(now) {
            let text = self.what_helps(&found);
            if !self.reason.trouble.is_wrong() {
                self.reason.shown(Trouble::wrong(text), found.witness);
            }
        }
        self.state = State::GaveUp(self.policy.at_deadline(self.reason.trouble.class));
        self.attempt.confirming = false;
        self.deadline = Deadline::after(REMIND_INTERVAL, now);
        // From here on less and less often, and not at once.
        self.attempt.failures = self.attempt.failures.min(1);
        vec![Action::Warn(Warning::NoProof(self.why()))]
    }

    /// What is known without asking says that the clock is wrong.
    pub(super) fn contradiction(&self, now: &Clocks) -> Option<ClockContradiction> {
        self.evidence.contradicts(now, &self.policy.floor, self.policy.threshold)
    }

    /// An HTTP server's `Date`: it proves nothing, so it opens no gate on a proof. Where it shows that the clock is wrong, a gate that
    /// is open without a proof is shut, and the deadline begins anew; where it no longer shows that, the earlier result is discarded.
    pub(super) fn dated(&mut self, state: State, date: HttpDate, now: &Clocks) -> Vec<Action> {
        self.evidence.http_date = Some(date.clone());
        self.weigh_date(&date, now);
        let contradiction = self.contradiction(now);
        let is_over = contradiction.is_none() && self.reason.is_by_date();
        if is_over {
            self.reason = Reason::unknown();
        }
        match (state, contradiction) {
            (State::GaveUp(AtDeadline::Open), Some(found)) if matches!(found.witness, Witness::HttpDate(_)) => {
                self.reason.shown(Trouble::wrong(self.what_helps(&found)), found.witness);
                self.deadline = Deadline::after(self.policy.deadline, now);
                (self.attempt.confirming, self.attempt.order) = (false, None);
                self.state = State::Disrupted;
                vec![]
            }
            // What it said was a reason only when the deadline had passed: that is applied anew, once an exchange has ended in this epoch.
            (State::Disrupted | State::GaveUp(AtDeadline::Hold), None) if is_over => {
                self.deadline = Deadline::after(Duration::ZERO, now);
                self.state = State::Disrupted;
                vec![]
            }
            (
                State::Unknown
                | State::Suspended
                | State::Disrupted
                | State::Settling
                | State::Synchronized
                | State::FreeRunning
                | State::GaveUp(AtDeadline::Open | AtDeadline::Hold),
                _,
            ) => vec![],
        }
    }

    /// Open, but on no proof: by an operator's word.
    pub(super) fn open_unproven(&mut self, order: String, now: &Clocks) -> Vec<Action> {
        self.reason = Reason::unknown();
        self.attempt = Attempt { failures: 1, order: Some(order), ..Attempt::new() };
        self.attempt.retry = now.boot + super::attempt::RETRY_SHUT;
        self.state = State::GaveUp(AtDeadline::Open);
        self.deadline = Deadline::after(REMIND_INTERVAL, now);
        vec![Action::Warn(Warning::NoProof(self.why()))]
    }

    /// An operator wants the clock as reckoning has it.
    pub(super) fn reckon_by_order(&mut self, now: &Clocks) -> Vec<Action> {
        if self.evidence.last.is_none() {
            return vec![Action::Warn(Warning::CannotReckon(
                "dead reckoning needs a proof in this boot, and there is none",
            ))];
        }
        if matches!(self.attempt.busy, Busy::Stepping(..)) {
            return vec![];
        }
        let mut actions = self.disrupt_by_order(now);
        match self.reckoned_step(now) {
            Some(step) => actions.extend(self.order_step(Purpose::Reckoning, step, now)),
            None => {
                actions.push(Action::Warn(Warning::CannotReckon("the configuration says `correction: none`")));
                actions.extend(self.measure(now));
            }
        }
        actions
    }

    /// Why the clock is not stepped by a `Date` now; none where it is. Who asks has judged it by the same rules, and by less knowledge.
    #[must_use]
    pub fn refuses_date(&self, date: &HttpDate, now: &Clocks) -> Option<String> {
        if self.state == State::Suspended {
            return Some("the machine is about to sleep".to_owned());
        }
        let is_stepping = matches!(self.attempt.busy, Busy::Stepping(..));
        match date.plan(&self.evidence, now, &self.policy) {
            DatePlan::Step => is_stepping.then(|| "the clock is being stepped already".to_owned()),
            DatePlan::Keep => Some("the clock is as right as a Date can tell".to_owned()),
            DatePlan::Refused(refusal) => Some(refusal.to_string()),
        }
    }

    /// An operator names a web server: a coarse step, if the guards allow it, and the gate is shut until a reference proves it.
    pub(super) fn step_by_date(&mut self, date: &HttpDate, now: &Clocks) -> Vec<Action> {
        if self.refuses_date(date, now).is_some() {
            return vec![];
        }
        if matches!(self.state, State::GaveUp(_)) {
            self.deadline = Deadline::after(self.policy.deadline, now);
            (self.attempt.confirming, self.attempt.order) = (false, None);
        }
        let mut actions = self.disrupt_by_order(now);
        let step = Step { offset: date.offset, as_of: date.as_of, local: date.local };
        actions.extend(self.order_step(Purpose::HttpDate, step, now));
        actions
    }

    fn disrupt_by_order(&mut self, now: &Clocks) -> Vec<Action> {
        if matches!(self.state, State::Disrupted | State::GaveUp(_)) {
            self.state = State::Disrupted;
            return vec![];
        }
        // Its daemon is not reset: nothing is measured before the clock is set.
        self.disrupt(Cause::Requested, now).into_iter().filter(|a| !matches!(a, Action::Measure(..))).collect()
    }

    /// Undoes a stranger's step by reckoning, where the configuration wants it and the last proof would still be valid.
    pub(super) fn undo_foreign_step(&mut self, now: &Clocks) -> Option<Vec<Action>> {
        let is_wanted = self.policy.undo_foreign_steps
            && matches!(self.cause, Cause::ForeignStep { .. })
            && self.reason.trouble.class == Class::Unreachable
            && now.boot < self.proof_would_last();
        let known = self.evidence.contradicts(now, &self.policy.floor, self.policy.threshold);
        let step = self.reckoned_step(now).filter(|_| is_wanted && known.is_some())?;
        Some(self.order_step(Purpose::Reckoning, step, now))
    }

    /// A clock below the floor is certainly wrong, and no reference has said by how much: step it to the floor, once in an epoch.
    pub(super) fn raise_to_floor(&mut self, now: &Clocks) -> Option<Vec<Action>> {
        let may = self.policy.correction != Correction::None && !self.attempt.raised;
        let no_answer = self.reason.trouble.class == Class::Unreachable;
        let offset = self.policy.floor.highest() - now.real;
        if !may || !no_answer || offset <= Offset::ZERO {
            return None;
        }
        self.attempt.raised = true;
        let step = Step { offset, as_of: now.boot, local: now.real };
        Some(self.order_step(Purpose::Floor, step, now))
    }
}

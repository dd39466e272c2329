//! What happens when time passes: retries, deadlines, and what an operator or the configuration orders then.

use std::time::Duration;

use super::super::action::{Action, StepBy};
use super::super::event::Cause;
use super::super::evidence::ClockContradiction;
use super::super::leap;
use super::super::policy::{AtDeadline, Correction};
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Offset};
use super::super::trouble::{Class, Trouble};
use super::attempt::{Attempt, Busy, Deadline, Purpose};
use super::{Machine, Step};

/// How often a gate that stands other than on a proof says so.
const REMIND_EVERY: Duration = Duration::from_secs(60);

impl Machine {
    /// When [`super::super::Event::Alarm`] is due; [`Boottime::NEVER`] when nothing is waited for.
    #[must_use]
    pub fn alarm(&self) -> Boottime {
        self.walk_alarm().min(self.ice.alarm(&self.clocks))
    }

    fn walk_alarm(&self) -> Boottime {
        match self.state {
            State::Unknown => Boottime::NEVER,
            State::Suspended => self.asleep_until,
            State::Disrupted | State::Settling => {
                let deadline =
                    if self.attempt.ended > 0 { self.deadline.on_boottime(&self.clocks) } else { Boottime::NEVER };
                self.attempt.alarm().min(deadline)
            }
            State::GaveUp(_) => self.attempt.alarm().min(self.deadline.on_boottime(&self.clocks)),
            State::Synchronized | State::FreeRunning => {
                let valid_until = self.proof.map_or(Boottime::NEVER, |p| p.valid_until);
                let next = match self.attempt.busy {
                    Busy::No => self.remeasure(),
                    Busy::Asking(_) | Busy::Stepping(..) => self.attempt.alarm(),
                };
                let missed = self.leap_second.map_or(Boottime::NEVER, leap::missed_at);
                valid_until.min(next).min(self.ask_daemon).min(missed)
            }
        }
    }

    /// When an open gate is measured again: before the proof ends, or because something may have gone unseen.
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

    pub(super) fn on_alarm(&mut self, state: State, now: &Clocks) -> Vec<Action> {
        match state {
            State::Unknown => vec![],
            // An image taken frozen may wake up a year later, and nobody may say so.
            State::Suspended if now.boot >= self.asleep_until && self.cause == Cause::Snapshot => {
                self.disrupt(Cause::Restore, now)
            }
            State::Suspended if now.boot >= self.asleep_until => {
                self.disrupt(Cause::Resume { slept: Duration::ZERO }, now)
            }
            State::Disrupted | State::Settling if self.attempt.ended > 0 && self.deadline.has_passed(now) => {
                self.give_up(now)
            }
            State::GaveUp(_) if self.deadline.has_passed(now) => {
                self.deadline = Deadline::after(REMIND_EVERY, now);
                let mut actions = vec![Action::Warn(self.why())];
                actions.extend(self.look_again(now));
                actions
            }
            State::Synchronized | State::FreeRunning
                if self.proof.is_none_or(|p| now.boot >= p.valid_until)
                    || self.leap_second.is_some_and(|leap| now.boot >= leap::missed_at(leap)) =>
            {
                self.disrupt(Cause::Expired, now)
            }
            State::Synchronized | State::FreeRunning if now.boot >= self.ask_daemon => {
                self.ask_daemon = Boottime::NEVER;
                vec![Action::AskDaemon(self.epoch)]
            }
            State::Synchronized | State::FreeRunning if self.attempt.is_idle() && now.boot >= self.remeasure() => {
                self.second_look.done();
                self.ask_anew(now)
            }
            State::Suspended
            | State::Disrupted
            | State::Settling
            | State::GaveUp(_)
            | State::Synchronized
            | State::FreeRunning => self.look_again(now),
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
                self.reason.answered(Trouble::wrong(text), false);
            }
        }
        self.state = State::GaveUp(self.policy.at_deadline(self.reason.trouble.class));
        self.attempt.confirming = false;
        self.deadline = Deadline::after(REMIND_EVERY, now);
        // From here on less and less often, and not at once.
        self.attempt.failures = self.attempt.failures.min(1);
        vec![Action::Warn(self.why())]
    }

    /// What is known without asking says that the clock is wrong.
    pub(super) fn contradiction(&self, now: &Clocks) -> Option<ClockContradiction> {
        self.evidence.contradicts(now, &self.policy.floor, self.policy.threshold)
    }

    /// Open, but on no proof: by an operator's word.
    pub(super) fn open_unproven(&mut self, order: String, now: &Clocks) -> Vec<Action> {
        self.reason = super::attempt::Reason::unknown();
        self.attempt = Attempt { failures: 1, order: Some(order), ..Attempt::new() };
        self.attempt.retry = now.boot + super::attempt::RETRY_SHUT;
        self.state = State::GaveUp(AtDeadline::Open);
        self.deadline = Deadline::after(REMIND_EVERY, now);
        vec![Action::Warn(self.why())]
    }

    /// An operator wants the clock as reckoning has it.
    pub(super) fn reckon_by_order(&mut self, now: &Clocks) -> Vec<Action> {
        if self.evidence.last.is_none() {
            return vec![Action::Warn("dead reckoning needs a proof in this boot, and there is none".to_owned())];
        }
        if matches!(self.attempt.busy, Busy::Stepping(..)) {
            return vec![];
        }
        let mut actions = self.disrupt_for_reckoning(now);
        match self.reckoned_step(now) {
            Some(step) => actions.extend(self.order_step(Purpose::Reckoning, step, now)),
            None => {
                actions.push(Action::Warn("the configuration says `correction: none`".to_owned()));
                actions.extend(self.measure(now));
            }
        }
        actions
    }

    fn disrupt_for_reckoning(&mut self, now: &Clocks) -> Vec<Action> {
        if matches!(self.state, State::Disrupted | State::GaveUp(_)) {
            self.state = State::Disrupted;
            return vec![];
        }
        // Its daemon is left alone: nothing is measured before the clock is set.
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

    /// A clock below the floor is certainly wrong, and nobody has said by how much: bring it up to the floor, once in an epoch.
    pub(super) fn raise_to_floor(&mut self, now: &Clocks) -> Option<Vec<Action>> {
        let may = self.policy.correction != Correction::None && !self.attempt.raised;
        let nobody_says = self.reason.trouble.class == Class::Unreachable;
        let offset = self.policy.floor.highest() - now.real;
        if !may || !nobody_says || offset <= Offset::ZERO {
            return None;
        }
        self.attempt.raised = true;
        let step = Step { offset, as_of: now.boot, local: now.real };
        Some(self.order_step(Purpose::Floor, step, now))
    }
}

//! Questions and steps: what is ordered in an attempt, and what comes of a step.

use super::super::action::{Action, StepBy};
use super::super::event::StepError;
use super::super::failure_class::Trouble;
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Offset, Realtime};
use super::Machine;
use super::attempt::{Busy, LOST_AFTER, Purpose, Reason};

/// A step to be made: an offset, and the moment and local time that it is true for.
#[derive(Clone, Copy, Debug)]
pub(super) struct Step {
    pub(super) offset: Offset,
    pub(super) as_of: Boottime,
    pub(super) local: Realtime,
}

impl Machine {
    /// Asks every reference once more.
    pub(super) fn measure(&mut self, now: &Clocks) -> Vec<Action> {
        self.round = self.round.next();
        self.exchange.ask();
        self.tolerance.ask();
        self.attempt.busy = self.asking(now);
        vec![Action::Measure(self.epoch, self.round, self.way.unwrap_or(StepBy::Own))]
    }

    pub(super) fn asking(&self, now: &Clocks) -> Busy {
        Busy::Asking(now.boot + LOST_AFTER + self.only_source.unwrap_or_default())
    }

    /// Moves the clock; the running containers are frozen first, if that is configured.
    pub(super) fn order_step(&mut self, purpose: Purpose, step: Step, now: &Clocks) -> Vec<Action> {
        let order = self.freezing.next(self.epoch);
        self.attempt.busy = Busy::Stepping(order, now.boot, purpose);
        let way = match purpose {
            Purpose::Offset => self.way.unwrap_or(StepBy::Own),
            // The daemon knows of none of them.
            Purpose::Floor | Purpose::Reckoning | Purpose::HttpDate => StepBy::Own,
        };
        let Step { offset, as_of, local } = step;
        let step = Action::Step { order, way, offset, as_of, local };
        self.freezing.before_step(step, self.epoch, self.policy.freeze, now)
    }

    /// A step that an event overtook was made all the same: what was asked before describes another clock. A first exchange that found
    /// the clock right is no first half of a proof any more.
    pub(super) fn moved_meanwhile(&mut self, change: Offset, now: &Clocks) -> Vec<Action> {
        self.exchange.stepped(now.boot, change);
        if self.state == State::Settling {
            self.state = State::Disrupted;
        } else if !std::mem::take(&mut self.attempt.confirming) {
            return vec![];
        }
        self.ask_anew(now)
    }

    /// What the step that is under way for this purpose came to.
    pub(super) fn stepped(
        &mut self,
        purpose: Purpose,
        outcome: Result<Offset, StepError>,
        now: &Clocks,
    ) -> Vec<Action> {
        self.attempt.busy = Busy::No;
        match outcome {
            Ok(by) => {
                self.exchange.stepped(now.boot, by);
                self.tolerance.stepped(now, by);
                match purpose {
                    Purpose::Offset => self.verify(now),
                    // Asked anew: servers that require an approximately right time may answer now.
                    Purpose::Floor => self.ask_anew(now),
                    Purpose::HttpDate => {
                        // What was said of the clock before is over.
                        self.evidence.http_date = None;
                        self.reason = Reason::unknown();
                        let mut actions = vec![Action::ResyncDaemon(self.epoch)];
                        actions.extend(self.ask_anew(now));
                        actions
                    }
                    Purpose::Reckoning => {
                        let mut actions = vec![Action::ResyncDaemon(self.epoch)];
                        actions
                            .extend(self.open_unproven("set by dead reckoning, which proves nothing".to_owned(), now));
                        actions
                    }
                }
            }
            Err(StepError::Superseded { .. }) => {
                self.tolerance.forget();
                self.ask_anew(now)
            }
            Err(error @ (StepError::NotPermitted(_) | StepError::Failed(_))) if purpose == Purpose::Floor => {
                let known =
                    self.contradiction(now).map_or(self.reason.trouble.to_string(), |found| self.what_helps(&found));
                self.answered(Trouble::wrong(format!("{known}; cannot set it to that time: {error}")), false, now)
            }
            Err(error @ (StepError::NotPermitted(_) | StepError::Failed(_))) => {
                self.answered(Trouble::wrong(error.to_string()), false, now)
            }
        }
    }
}

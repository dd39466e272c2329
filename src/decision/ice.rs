//! Whether what runs is frozen: before the machine sleeps, before a snapshot, and before the clock is stepped. Every freeze has
//! its thaw: when the gate opens, when the machine gives up, and after `freeze.max` of time awake at the latest. That limit counts
//! from the first freeze; an open gate and a sleep that the kernel counted begin it anew, a notice does not.

use std::time::Duration;

use super::action::Action;
use super::attempt::Deadline;
use super::state::State;
use super::time::{Boottime, Clocks, Epoch};

/// Who holds a sleep back lets go after so long, frozen or not: logind's patience ends at 5 s.
const LET_SLEEP_AFTER: Duration = Duration::from_secs(4);
/// A thaw that failed is tried again.
const THAW_AGAIN: Duration = Duration::from_secs(1);

/// How often the containers that carry the network are looked for in one freeze.
const LOOK_FOR_CARRIERS_EVERY: Duration = Duration::from_secs(4);

const TOO_LONG: &str =
    "what runs was frozen for freeze.max and the clock is not proven yet: thawed, on a clock that may be wrong";

/// What is known of the freezing.
#[derive(Clone, Debug)]
pub(super) struct Ice {
    /// Whether a freeze was ordered and no thaw after it.
    frozen: bool,
    /// The epoch of a freeze that was not answered yet.
    asked: Option<Epoch>,
    /// Until when a sleep is held back for it; never when none is.
    sleep_by: Boottime,
    /// The step that waits for it.
    step: Option<Action>,
    /// When everything is thawed, proven or not; kept when that has happened, until something begins it anew.
    thaw_by: Deadline,
    /// When a thaw that failed is tried again; never when none has.
    thaw_again: Boottime,
    /// The containers that carry the network and run again, though the others do not.
    carriers: Vec<String>,
    /// When they were looked for last in this freeze; none before.
    looked_for_carriers: Option<Boottime>,
    /// Whether this epoch has had its freeze: nobody is frozen twice for one disruption.
    spent: bool,
}

impl Ice {
    pub(super) const fn new() -> Self {
        Self {
            frozen: false,
            asked: None,
            sleep_by: Boottime::NEVER,
            step: None,
            thaw_by: Deadline::Off,
            thaw_again: Boottime::NEVER,
            carriers: vec![],
            looked_for_carriers: None,
            spent: false,
        }
    }

    /// Whether anything is frozen, or about to be.
    pub(super) const fn is_frozen(&self) -> bool {
        self.frozen
    }

    /// A new epoch: the step of the old one is void. `anew` is given where the limit begins anew: after a sleep that was counted.
    pub(super) fn begin_epoch(&mut self, anew: Option<Duration>, now: &Clocks) {
        self.step = None;
        self.spent = false;
        if let Some(max) = anew {
            self.thaw_by = if self.frozen { Deadline::after(max, now) } else { Deadline::Off };
        }
    }

    /// A sleep or a snapshot comes: freeze first, then let it.
    pub(super) fn before_sleep(&mut self, epoch: Epoch, max: Option<Duration>, now: &Clocks) -> Vec<Action> {
        let Some(max) = max else { return vec![Action::LetSleep] };
        if self.frozen && self.asked.is_none() {
            // Whoever else waits is let go with it.
            self.sleep_by = Boottime::NEVER;
            return vec![Action::LetSleep];
        }
        // Whoever asked first is let go first.
        self.sleep_by = self.sleep_by.min(now.boot + LET_SLEEP_AFTER);
        // A sleep that comes is worth a freeze of its own, however much of the limit is used up.
        if !self.frozen {
            self.thaw_by = Deadline::after(max, now);
        }
        self.order(epoch)
    }

    /// The clock is wrong and is about to be stepped: freeze first, then step.
    pub(super) fn before_step(
        &mut self,
        step: Action,
        epoch: Epoch,
        max: Option<Duration>,
        now: &Clocks,
    ) -> Vec<Action> {
        match max {
            Some(max) if !self.frozen && !self.spent && !self.thaw_by.has_passed(now) => {
                if self.thaw_by == Deadline::Off {
                    self.thaw_by = Deadline::after(max, now);
                }
                self.step = Some(step);
                self.order(epoch)
            }
            _ if self.asked.is_some() => {
                self.step = Some(step);
                vec![]
            }
            _ => vec![step],
        }
    }

    /// Whether the containers that carry the network are to be looked for and thawed: there may have been no route the last time.
    pub(super) fn thaws_carriers(&mut self, now: Boottime) -> bool {
        let is_soon = self.looked_for_carriers.is_some_and(|at| now.since(at) < LOOK_FOR_CARRIERS_EVERY);
        let thaws = self.frozen && self.carriers.is_empty() && !is_soon;
        if thaws {
            self.looked_for_carriers = Some(now);
        }
        thaws
    }

    /// These run again.
    pub(super) fn carriers_run(&mut self, names: Vec<String>) {
        self.carriers = names;
    }

    /// The containers that run again though the others are frozen.
    pub(super) fn carriers(&self) -> &[String] {
        if self.frozen { &self.carriers } else { &[] }
    }

    fn order(&mut self, epoch: Epoch) -> Vec<Action> {
        self.carriers.clear();
        self.looked_for_carriers = None;
        (self.frozen, self.spent, self.asked) = (true, true, Some(epoch));
        vec![Action::Freeze(epoch)]
    }

    /// What could be frozen is.
    pub(super) fn answered(&mut self, epoch: Epoch) -> Vec<Action> {
        if self.asked != Some(epoch) {
            return vec![];
        }
        self.asked = None;
        let sleep = (self.sleep_by != Boottime::NEVER).then_some(Action::LetSleep);
        self.sleep_by = Boottime::NEVER;
        sleep.into_iter().chain(self.step.take()).collect()
    }

    /// A thaw failed, in part at least.
    pub(super) fn thaw_failed(&mut self, now: Boottime) {
        self.frozen = true;
        self.thaw_again = now + THAW_AGAIN;
    }

    /// What the state asks for, whatever led to it.
    pub(super) fn settle(&mut self, state: State, epoch: Epoch, now: &Clocks) -> Vec<Action> {
        let mut actions = vec![];
        if now.boot >= self.sleep_by {
            self.sleep_by = Boottime::NEVER;
            actions.push(Action::LetSleep);
        }
        let is_decided = match state {
            State::Synchronized | State::FreeRunning | State::GaveUp(_) => true,
            State::Unknown | State::Suspended | State::Disrupted | State::Settling => false,
        };
        let tries_again = self.thaw_again != Boottime::NEVER;
        let is_late = if tries_again { now.boot >= self.thaw_again } else { self.thaw_by.has_passed(now) };
        if self.frozen && is_late && !is_decided && !tries_again {
            actions.push(Action::Complain(TOO_LONG.to_owned()));
        }
        if is_decided && !self.frozen {
            self.thaw_by = Deadline::Off;
        }
        if self.frozen && ((is_decided && !tries_again) || is_late) {
            (self.frozen, self.asked, self.thaw_again) = (false, None, Boottime::NEVER);
            // A sleep does not wait for what is thawed instead.
            if self.sleep_by != Boottime::NEVER {
                self.sleep_by = Boottime::NEVER;
                actions.push(Action::LetSleep);
            }
            if is_decided {
                self.thaw_by = Deadline::Off;
            }
            actions.push(Action::Thaw(epoch));
            // The step that waited does not wait for those who run again; a proven clock wants none.
            let step = self.step.take();
            if !matches!(state, State::Synchronized | State::FreeRunning) {
                actions.extend(step);
            }
        }
        actions
    }

    /// When [`Self::settle`] has something to do without an event.
    pub(super) fn alarm(&self, now: &Clocks) -> Boottime {
        let thaw = if self.thaw_again == Boottime::NEVER { self.thaw_by.on_boottime(now) } else { self.thaw_again };
        if self.frozen { thaw.min(self.sleep_by) } else { self.sleep_by }
    }
}

//! What is missing for a proof: what is under way, what failed, and when the deadline is.

use std::time::Duration;

use super::super::action::OrderId;
use super::super::evidence::Witness;
use super::super::failure_class::Trouble;
use super::super::time::{Awake, Boottime, Clocks};

/// Retries grow from the first to the last of these; while the gate is shut and before the deadline, only to the middle one: as
/// often as a server may be asked for long, and as the shortest pause that one asks for by the kiss code RATE.
pub(super) const RETRY_FIRST: Duration = Duration::from_secs(1);
pub(super) const RETRY_SHUT: Duration = Duration::from_secs(2);
pub(super) const RETRY_LAST: Duration = Duration::from_secs(60);
/// An answer that has not come by then was lost on its way to us; every question has an end of its own before that, but for one to
/// a daemon with reference clocks alone.
pub(super) const LOST_AFTER: Duration = Duration::from_secs(60);

/// What a step is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Purpose {
    /// What the references say.
    Offset,
    /// Up to a time that has certainly passed: it proves nothing, but certificates can be checked.
    Floor,
    /// Back to what reckoning says: it proves nothing.
    Reckoning,
    /// To what a web server's `Date` says, by an operator's word: it proves nothing.
    HttpDate,
}

/// What is under way; nothing is begun twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Busy {
    /// Nothing.
    No,
    /// A question, whose answer is lost if it has not come by then.
    Asking(Boottime),
    /// This step, since then.
    Stepping(OrderId, Boottime, Purpose),
}

/// The attempt at a proof in this epoch.
#[derive(Clone, Debug)]
pub(super) struct Attempt {
    pub(super) busy: Busy,
    /// Failed attempts in a row.
    pub(super) failures: u32,
    /// Exchanges that have ended in this epoch, with any result: no policy applies before the first.
    pub(super) ended: u32,
    /// Steps ordered since the last wait.
    pub(super) steps: u32,
    /// When to try again.
    pub(super) retry: Boottime,
    /// In `GaveUp(Open)`: a first exchange was good, the second is under way.
    pub(super) confirming: bool,
    /// The clock was brought up to the floor in this epoch, or cannot be.
    pub(super) raised: bool,
    /// Why it is open without a proof, where an operator ordered that.
    pub(super) order: Option<String>,
}

impl Attempt {
    pub(super) const fn new() -> Self {
        Self {
            busy: Busy::No,
            failures: 0,
            ended: 0,
            steps: 0,
            retry: Boottime::NEVER,
            confirming: false,
            raised: false,
            order: None,
        }
    }

    pub(super) const fn is_idle(&self) -> bool {
        matches!(self.busy, Busy::No)
    }

    /// The step was ordered; what it waited for the containers to freeze is no part of its time.
    pub(super) const fn step_begins(&mut self, now: Boottime) {
        if let Busy::Stepping(_, since, _) = &mut self.busy {
            *since = now;
        }
    }

    /// What the step of this order is for, if it is under way.
    pub(super) fn step_under_way(&self, order: OrderId) -> Option<Purpose> {
        match self.busy {
            Busy::Stepping(under_way, _, purpose) if under_way == order => Some(purpose),
            Busy::No | Busy::Asking(_) | Busy::Stepping(..) => None,
        }
    }

    /// When to look again if nothing comes: to try again, or because an answer was lost.
    pub(super) fn alarm(&self) -> Boottime {
        match self.busy {
            Busy::No => self.retry,
            Busy::Asking(until) => until,
            Busy::Stepping(_, since, _) => since + LOST_AFTER,
        }
    }
}

/// The deadline: it counts time awake with the gate shut, so that neither a sleep nor many disruptions renew or use it up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Deadline {
    /// Nothing is waited for.
    Off,
    /// Ends then.
    At(Awake),
    /// So much is left, when the machine wakes up.
    Paused(Duration),
}

impl Deadline {
    pub(super) fn after(patience: Duration, now: &Clocks) -> Self {
        Self::At(now.awake() + patience)
    }

    pub(super) fn pause(&mut self, now: &Clocks) {
        if let Self::At(end) = *self {
            *self = Self::Paused(end.since(now.awake()));
        }
    }

    pub(super) fn go_on(&mut self, now: &Clocks) {
        if let Self::Paused(left) = *self {
            *self = Self::after(left, now);
        }
    }

    pub(super) fn has_passed(&self, now: &Clocks) -> bool {
        matches!(self, Self::At(end) if now.awake() >= *end)
    }

    /// The same on BOOTTIME, if the machine does not sleep meanwhile.
    pub(super) fn on_boottime(&self, now: &Clocks) -> Boottime {
        match self {
            Self::At(end) => end.on_boottime(now),
            Self::Off | Self::Paused(_) => Boottime::NEVER,
        }
    }
}

/// Why there is no proof, over epochs: "wrong" is left by an answer, by new evidence, or by a sleep or a restore.
#[derive(Clone, Debug)]
pub(super) struct Reason {
    pub(super) trouble: Trouble,
    /// Whether one plain voice alone said that the clock is wrong, and nothing else supports it.
    pub(super) is_hearsay: bool,
    /// Whose evidence it is, where no reference says it.
    pub(super) witness: Option<Witness>,
    /// Exchanges since then that no reference answered.
    unanswered: u32,
}

/// One plain voice that no other one repeats is discarded after so many exchanges without an answer.
const UNREPEATED_LASTS: u32 = 3;

impl Reason {
    pub(super) fn unknown() -> Self {
        Self { trouble: Trouble::unreachable(String::new()), is_hearsay: false, witness: None, unanswered: 0 }
    }

    /// An answer came, and this is what it means.
    pub(super) fn answered(&mut self, trouble: Trouble, is_hearsay: bool) {
        *self = Self { trouble, is_hearsay, witness: None, unanswered: 0 };
    }

    /// No reference says it, and evidence does.
    pub(super) fn shown(&mut self, trouble: Trouble, witness: Witness) {
        *self = Self { trouble, is_hearsay: false, witness: Some(witness), unanswered: 0 };
    }

    /// Whether only an HTTP server's `Date` shows it.
    pub(super) const fn is_by_date(&self) -> bool {
        matches!(self.witness, Some(Witness::HttpDate(_)))
    }

    /// No reference answered.
    pub(super) fn unanswered(&mut self, trouble: Trouble) {
        self.unanswered += 1;
        let is_over = self.is_hearsay && self.unanswered >= UNREPEATED_LASTS;
        if !self.trouble.is_wrong() || is_over {
            *self = Self { trouble, is_hearsay: false, witness: None, unanswered: 0 };
        }
    }
}

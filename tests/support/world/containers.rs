//! The laws of freezing, by a witness that trusts nobody: it knows the orders, their answers and the time.

use std::time::Duration;

use clockgate::decision::{Action, Awake, Boottime, Cause, Clocks, Event, Gate, OrderId, Snapshot};

/// A thaw that was not answered may be ordered again after so long.
const LOST_AFTER: Duration = Duration::from_secs(60);

/// What the orders and their answers say of the containers.
#[derive(Clone, Debug, Default)]
pub struct Containers {
    /// The newest freezes and thaws that were ordered; the last is the one that counts.
    ordered: Vec<Action>,
    /// Whether the last one was answered, and well.
    answered: Option<bool>,
    /// When the guard thaws.
    guarded: Awake,
    /// From when the limit counts: the first freeze, until an open gate or a counted sleep.
    counts_from: Option<Awake>,
    /// When the last thaw was ordered, if nothing was frozen since.
    thaw_ordered: Option<Boottime>,
}

/// What one event has done.
#[derive(Debug)]
pub struct Deed<'a> {
    pub event: &'a Event,
    pub actions: &'a [Action],
    pub after: &'a Snapshot,
    pub now: &'a Clocks,
    /// `freeze.max`; none where nothing is frozen.
    pub max: Option<Duration>,
}

impl Containers {
    /// Whether a freeze was ordered last.
    pub fn are_frozen(&self) -> bool {
        matches!(self.ordered.last(), Some(Action::Freeze(..)))
    }

    /// Whether a freeze was ordered last, and all that could be frozen is.
    pub fn have_been_frozen(&self) -> bool {
        self.are_frozen() && self.answered.is_some()
    }

    /// The last order.
    pub fn last(&self) -> Option<OrderId> {
        self.ordered.last().and_then(order)
    }

    /// Orders that a later one overtook.
    pub fn overtaken(&self) -> Vec<OrderId> {
        let last = self.last();
        self.ordered.iter().rev().filter_map(order).filter(|order| Some(*order) != last).collect()
    }

    /// Whether all of them are known to run.
    pub fn are_known_to_run(&self) -> bool {
        !self.are_frozen() && (self.ordered.is_empty() || self.answered == Some(true))
    }

    /// When the guard thaws; none where nothing is frozen.
    pub fn guarded(&self) -> Option<Awake> {
        self.are_frozen().then_some(self.guarded)
    }

    /// Takes what has happened, and judges it.
    pub fn watch(&mut self, deed: &Deed) {
        let awake = deed.now.awake();
        if begins_anew(deed) {
            self.counts_from = self.are_frozen().then_some(awake);
        }
        match deed.event {
            Event::Frozen(order, _) if Some(*order) == self.last() => self.answered = Some(true),
            Event::Thawed(order, outcome) if Some(*order) == self.last() && self.answered.is_none() => {
                self.answered = Some(outcome.is_ok());
            }
            _ => {}
        }
        let was_being_frozen = self.are_frozen() && self.answered.is_none();
        for action in deed.actions {
            self.take_order(action, deed);
        }
        if let (Some(guarded), Some(from)) = (self.guarded(), self.counts_from) {
            assert_eq!(guarded, from + deed.max_or_zero(), "the machine's limit, and the guard knows it");
        }
        if deed.after.gate != Gate::Shut {
            self.counts_from = None;
        }
        assert!(!self.are_frozen() || deed.after.gate == Gate::Shut, "frozen behind an open gate");
        if let (Event::Alarm, Some(end)) = (deed.event, self.guarded()) {
            assert!(awake < end, "frozen beyond the guard's end");
        }
        // A container that could not be thawed, or a thaw that is under way, is no reason to sleep without a freeze.
        if let (Event::Sleeping(_), Some(_)) = (deed.event, deed.max) {
            assert!(self.are_frozen(), "a sleep with nothing frozen");
            assert!(self.answered.is_none() || was_being_frozen, "a sleep without a freeze of its own");
        }
    }

    fn take_order(&mut self, action: &Action, deed: &Deed) {
        let (now, awake) = (deed.now.boot, deed.now.awake());
        match action {
            Action::Freeze(order, until) => {
                assert!(Some(*order) != self.last(), "an order of its own");
                assert!(!self.are_frozen() || self.answered.is_some(), "frozen again while that is under way");
                if !self.are_frozen() {
                    let is_for_sleep = matches!(deed.event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot));
                    let from = self.counts_from.filter(|_| !is_for_sleep).unwrap_or(awake);
                    self.counts_from = Some(from);
                }
                (self.guarded, self.answered, self.thaw_ordered) = (*until, None, None);
                self.keep(action);
            }
            Action::Prolong(order, until) => {
                assert_eq!(Some(*order), self.last(), "of the freeze that is");
                assert_ne!(*until, self.guarded, "no news");
                self.guarded = *until;
            }
            Action::Thaw(_) => {
                let ago = self.thaw_ordered.map(|at| now.since(at));
                assert!(ago.is_none_or(|ago| ago >= Duration::from_secs(1)), "thawed again without a pause");
                let is_answered = self.answered.is_some();
                assert!(is_answered || ago.is_none_or(|ago| ago >= LOST_AFTER), "thawed again while that is under way");
                (self.answered, self.thaw_ordered) = (None, Some(now));
                self.keep(action);
            }
            _ => {}
        }
    }

    fn keep(&mut self, action: &Action) {
        self.ordered.push(action.clone());
        let surplus = self.ordered.len().saturating_sub(3);
        self.ordered.drain(..surplus);
    }
}

impl Deed<'_> {
    fn max_or_zero(&self) -> Duration {
        self.max.unwrap_or_default()
    }
}

/// Whether the limit of a freeze counts from now on.
fn begins_anew(deed: &Deed) -> bool {
    match deed.event {
        Event::Disrupted(Cause::Resume { slept }) => !slept.is_zero(),
        Event::Started | Event::Disrupted(Cause::Restore(_) | Cause::Pause { .. }) => true,
        // An image taken frozen is taken for restored when nobody says so.
        Event::Alarm => matches!(deed.after.cause, Cause::Restore(_)) && deed.after.since == deed.now.boot,
        _ => false,
    }
}

fn order(action: &Action) -> Option<OrderId> {
    match action {
        Action::Freeze(order, _) | Action::Thaw(order) => Some(*order),
        _ => None,
    }
}

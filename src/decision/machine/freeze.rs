//! Whether the running containers are frozen: before the machine sleeps, before a snapshot, and before the clock is stepped. Every freeze
//! has its thaw: when the gate opens, when the machine gives up, and after `freeze.max` of time awake at the latest. That limit counts
//! from the first freeze; an open gate and a sleep that the kernel counted begin it anew, a notice does not.
//!
//! ```text
//!            order                answer                 decided, or the limit            answer
//!  Thawed ----------> Freezing ----------> Frozen -----------------------> Thawing ---------------> Thawed
//!                        ^                    | a sleep                       |  ^ \
//!                        +--------------------+                       failure |  |  another freeze: Freezing
//!                        ^                                                    v  | after a pause
//!                        +---------------------------------------------- PartlyThawed
//! ```
//!
//! A state says no more than what was answered, and only the answer to the last order counts.

use std::time::Duration;

use super::super::action::{Action, OrderId, Warning};
use super::super::containers::{ContainerList, ContainerText};
use super::super::published::Gate;
use super::super::state::State;
use super::super::time::{Awake, Boottime, Clocks, Epoch};

/// A sleep that waits for us is allowed after so long, frozen or not: logind waits 5 s at most.
const LET_SLEEP_AFTER: Duration = Duration::from_secs(4);
/// A thaw that failed is tried again after the first of these, then after twice as long, up to the last.
const THAW_AGAIN_FIRST: Duration = Duration::from_secs(1);
const THAW_AGAIN_LAST: Duration = Duration::from_secs(60);
/// A thaw that was not answered by then is ordered again; one in waves continues where it was.
const LOST_AFTER: Duration = Duration::from_secs(60);
/// How often the containers that carry the network are looked for in one freeze.
const LOOK_FOR_CARRIERS_EVERY: Duration = Duration::from_secs(4);
/// A thaw by a container's own tolerance that failed is tried again after so long.
const THAW_TOLERANT_AGAIN: Duration = Duration::from_secs(4);

#[derive(Clone, Debug)]
enum Phase {
    /// We have frozen nothing.
    Thawed,
    /// Being frozen; who waits for that.
    Freezing {
        order: OrderId,
        until: Awake,
        /// Until when a sleep is held back; never when none is.
        sleep_by: Boottime,
        /// The step that is made then.
        step: Option<Action>,
    },
    /// All that could be frozen is, and is thawed then, proven or not.
    Frozen { order: OrderId, until: Awake, carriers: Carriers, tolerant: Tolerant },
    /// Being thawed; ordered again if there is no answer by then.
    Thawing { order: OrderId, again: Boottime, failures: u32 },
    /// Some could not be thawed; tried again then.
    PartlyThawed { again: Boottime, failures: u32 },
}

/// The containers that carry the network and run again, though the others do not.
#[derive(Clone, Debug, Default)]
struct Carriers {
    run: ContainerList,
    /// When they were looked for last in this freeze; none before.
    looked_for: Option<Boottime>,
}

/// The containers that asked to be thawed when the clock is known to be within their own tolerance.
#[derive(Clone, Debug, Default)]
struct Tolerant {
    /// The tolerances of those that are frozen still.
    waiting: Vec<Duration>,
    /// The tolerances of those that are being thawed.
    ordered: Vec<Duration>,
    /// When it is tried again, after a failure.
    again: Boottime,
}

/// What is known of the freezing.
#[derive(Clone, Debug)]
pub(super) struct Freezing {
    phase: Phase,
    /// How many freezes and thaws were ordered.
    orders: u32,
    /// When the guard thaws, as it was ordered last.
    guarded: Awake,
    /// The end of the limit, kept after the thaw until something begins it anew.
    kept: Option<Awake>,
    /// Whether this epoch has had its freeze: no container is frozen twice for one disruption.
    spent: bool,
}

impl Freezing {
    pub(super) const fn new() -> Self {
        Self { phase: Phase::Thawed, orders: 0, guarded: Awake::NEVER, kept: None, spent: false }
    }

    /// Whether anything may be frozen: all but "thawed" is that.
    pub(super) const fn may_be_frozen(&self) -> bool {
        match self.phase {
            Phase::Thawed => false,
            Phase::Freezing { .. } | Phase::Frozen { .. } | Phase::Thawing { .. } | Phase::PartlyThawed { .. } => true,
        }
    }

    /// A new epoch: the step of the old one is void. `anew` is given where the limit begins anew: after a sleep that was counted.
    pub(super) fn begin_epoch(&mut self, anew: Option<Duration>, now: &Clocks) {
        self.spent = false;
        if let Phase::Freezing { step, .. } = &mut self.phase {
            *step = None;
        }
        let Some(max) = anew else { return };
        self.kept = None;
        match &mut self.phase {
            Phase::Freezing { until, .. } | Phase::Frozen { until, .. } => *until = now.awake() + max,
            Phase::Thawed | Phase::Thawing { .. } | Phase::PartlyThawed { .. } => {}
        }
    }

    /// A sleep or a snapshot comes: freeze first, then let it. What is frozen is frozen again: something may have been started or
    /// thawed since.
    pub(super) fn before_sleep(&mut self, epoch: Epoch, max: Option<Duration>, now: &Clocks) -> Vec<Action> {
        let sleep_by = now.boot + LET_SLEEP_AFTER;
        match (&mut self.phase, max) {
            (Phase::Freezing { sleep_by: by, .. }, Some(_)) => {
                // The first deadline to be asked for is the one that counts.
                *by = sleep_by.min(*by);
                vec![]
            }
            (Phase::Frozen { until, .. }, Some(_)) => {
                let until = *until;
                self.freeze(epoch, until, FreezeWaiter { sleep_by, step: None })
            }
            // A sleep that comes is worth a freeze of its own, however much of the limit is used up.
            (Phase::Thawed | Phase::Thawing { .. } | Phase::PartlyThawed { .. }, Some(max)) => {
                self.freeze(epoch, now.awake() + max, FreezeWaiter { sleep_by, step: None })
            }
            (phase, None) => {
                // Every other caller that waits is answered with it.
                if let Phase::Freezing { sleep_by, .. } = phase {
                    *sleep_by = Boottime::NEVER;
                }
                vec![Action::AllowSleep]
            }
        }
    }

    /// The clock is wrong and is about to be stepped: freeze first, then step.
    pub(super) fn before_step(
        &mut self,
        step: Action,
        epoch: Epoch,
        max: Option<Duration>,
        now: &Clocks,
    ) -> Vec<Action> {
        match &mut self.phase {
            Phase::Freezing { step: waiting, .. } => {
                *waiting = Some(step);
                vec![]
            }
            Phase::Frozen { .. } => vec![step],
            Phase::Thawed | Phase::Thawing { .. } | Phase::PartlyThawed { .. } => {
                let until = max.map(|max| self.kept.unwrap_or(now.awake() + max));
                match until {
                    Some(until) if !self.spent && now.awake() < until => {
                        self.freeze(epoch, until, FreezeWaiter { sleep_by: Boottime::NEVER, step: Some(step) })
                    }
                    Some(_) | None => vec![step],
                }
            }
        }
    }

    fn freeze(&mut self, epoch: Epoch, until: Awake, waiting: FreezeWaiter) -> Vec<Action> {
        let order = self.next(epoch);
        let FreezeWaiter { sleep_by, step } = waiting;
        self.phase = Phase::Freezing { order, until, sleep_by, step };
        (self.spent, self.guarded) = (true, until);
        vec![Action::Freeze(order, until)]
    }

    /// The identity of the next step, freeze or thaw.
    pub(super) fn next(&mut self, epoch: Epoch) -> OrderId {
        self.orders = self.orders.saturating_add(1);
        OrderId { epoch, number: self.orders }
    }

    /// Whether the containers that carry the network are to be looked for and thawed, and in which freeze: there may have been no
    /// route the last time.
    pub(super) fn thaws_carriers(&mut self, now: Boottime) -> Option<OrderId> {
        let Phase::Frozen { order, carriers, .. } = &mut self.phase else { return None };
        let is_soon = carriers.looked_for.is_some_and(|at| now.since(at) < LOOK_FOR_CARRIERS_EVERY);
        if is_soon || !carriers.run.is_empty() {
            return None;
        }
        carriers.looked_for = Some(now);
        Some(*order)
    }

    /// These run again; says whether that is so still, and news.
    #[must_use]
    pub(super) fn carriers_run(&mut self, answered: OrderId, run: ContainerList) -> bool {
        match &mut self.phase {
            Phase::Frozen { order, carriers, .. } if *order == answered && !run.is_empty() => {
                carriers.run = run;
                true
            }
            Phase::Thawed
            | Phase::Freezing { .. }
            | Phase::Frozen { .. }
            | Phase::Thawing { .. }
            | Phase::PartlyThawed { .. } => false,
        }
    }

    /// The containers that run again though the others are frozen; none where none do.
    pub(super) fn carriers(&self) -> Option<&ContainerList> {
        match &self.phase {
            Phase::Frozen { carriers, .. } => Some(&carriers.run).filter(|run| !run.is_empty()),
            Phase::Thawed | Phase::Freezing { .. } | Phase::Thawing { .. } | Phase::PartlyThawed { .. } => None,
        }
    }

    /// Whether those are to be thawed whose tolerance is served, if there are such.
    pub(super) fn thaws_tolerant(&mut self, is_served: impl Fn(Duration) -> bool, now: Boottime) -> Option<Action> {
        let Phase::Frozen { order, tolerant, .. } = &mut self.phase else { return None };
        if !tolerant.ordered.is_empty() || now < tolerant.again {
            return None;
        }
        let (served, waiting) = std::mem::take(&mut tolerant.waiting).into_iter().partition(|one| is_served(*one));
        (tolerant.ordered, tolerant.waiting) = (served, waiting);
        let narrowest = tolerant.ordered.iter().min()?;
        Some(Action::ThawTolerant(*order, *narrowest))
    }

    /// Those run again; or do not, and it is tried again.
    pub(super) fn tolerant_run(&mut self, answered: OrderId, is_done: bool, now: Boottime) {
        let Phase::Frozen { order, tolerant, .. } = &mut self.phase else { return };
        if *order != answered {
            return;
        }
        let ordered = std::mem::take(&mut tolerant.ordered);
        if !is_done {
            tolerant.waiting.extend(ordered);
            tolerant.again = now + THAW_TOLERANT_AGAIN;
        }
    }

    /// What could be frozen is, and some of it asks to be thawed by these tolerances.
    pub(super) fn frozen(&mut self, answered: OrderId, tolerances: Vec<Duration>) -> Vec<Action> {
        let Phase::Freezing { order, until, sleep_by, step } = &mut self.phase else { return vec![] };
        if *order != answered {
            return vec![];
        }
        let sleep = (*sleep_by != Boottime::NEVER).then_some(Action::AllowSleep);
        let actions = sleep.into_iter().chain(step.take()).collect();
        let tolerant = Tolerant { waiting: tolerances, ..Tolerant::default() };
        self.phase = Phase::Frozen { order: *order, until: *until, carriers: Carriers::default(), tolerant };
        actions
    }

    /// What was frozen runs again, or not all of it.
    pub(super) fn thawed(&mut self, answered: OrderId, outcome: Result<(), ContainerText>, now: Boottime) {
        let Phase::Thawing { order, failures, .. } = self.phase else { return };
        if order != answered {
            return;
        }
        self.phase = match outcome {
            Ok(()) => Phase::Thawed,
            Err(_) => {
                let pause = THAW_AGAIN_FIRST.saturating_mul(1 << failures.min(6)).min(THAW_AGAIN_LAST);
                Phase::PartlyThawed { again: now + pause, failures: failures.saturating_add(1) }
            }
        };
    }

    /// What the state asks for, independent of the path to it.
    pub(super) fn settle(&mut self, state: State, epoch: Epoch, now: &Clocks) -> Vec<Action> {
        let is_decided = match state {
            State::Synchronized | State::FreeRunning | State::GaveUp(_) => true,
            State::Unknown | State::Suspended | State::Disrupted | State::Settling => false,
        };
        let mut actions = vec![];
        match &mut self.phase {
            Phase::Freezing { until, sleep_by, step, .. } => {
                let is_over = is_decided || now.awake() >= *until;
                // A sleep does not wait for what is thawed instead.
                if *sleep_by != Boottime::NEVER && (is_over || now.boot >= *sleep_by) {
                    *sleep_by = Boottime::NEVER;
                    actions.push(Action::AllowSleep);
                }
                if is_over {
                    let (until, step) = (*until, step.take());
                    actions.extend(self.end(until, is_decided, epoch, now));
                    // The step that waited does not wait for those who run again; a proven clock wants none.
                    let is_proven = state.gate() == Gate::Proven;
                    actions.extend(step.filter(|_| !is_proven));
                }
            }
            Phase::Frozen { until, .. } if is_decided || now.awake() >= *until => {
                let until = *until;
                actions.extend(self.end(until, is_decided, epoch, now));
            }
            Phase::Thawing { again, failures, .. } | Phase::PartlyThawed { again, failures } if now.boot >= *again => {
                let failures = *failures;
                actions.push(self.thaw(failures, epoch, now));
            }
            Phase::Thawed | Phase::Frozen { .. } | Phase::Thawing { .. } | Phase::PartlyThawed { .. } => {}
        }
        if state.gate() != Gate::Shut {
            self.kept = None;
        }
        actions.extend(self.update_guard());
        actions
    }

    /// The freeze is over; the limit lasts on.
    fn end(&mut self, until: Awake, is_decided: bool, epoch: Epoch, now: &Clocks) -> Vec<Action> {
        self.kept = Some(until);
        let complaint = (!is_decided).then_some(Action::Warn(Warning::FrozenTooLong));
        complaint.into_iter().chain([self.thaw(0, epoch, now)]).collect()
    }

    fn thaw(&mut self, failures: u32, epoch: Epoch, now: &Clocks) -> Action {
        let order = self.next(epoch);
        self.phase = Phase::Thawing { order, again: now.boot + LOST_AFTER, failures };
        Action::Thaw(order)
    }

    /// The guard thaws when the machine would have: every change is sent to it.
    fn update_guard(&mut self) -> Option<Action> {
        let (Phase::Freezing { order, until, .. } | Phase::Frozen { order, until, .. }) = self.phase else {
            return None;
        };
        let is_news = self.guarded != until;
        self.guarded = until;
        is_news.then_some(Action::Prolong(order, until))
    }

    /// When [`Self::settle`] has something to do without an event.
    pub(super) fn alarm(&self, now: &Clocks) -> Boottime {
        match self.phase {
            Phase::Thawed => Boottime::NEVER,
            Phase::Freezing { until, sleep_by, .. } => until.on_boottime(now).min(sleep_by),
            Phase::Frozen { until, ref tolerant, .. } => {
                let is_waiting = !tolerant.waiting.is_empty() && tolerant.again > now.boot;
                let again = if is_waiting { tolerant.again } else { Boottime::NEVER };
                until.on_boottime(now).min(again)
            }
            Phase::Thawing { again, .. } | Phase::PartlyThawed { again, .. } => again,
        }
    }
}

/// Who waits for a freeze.
struct FreezeWaiter {
    sleep_by: Boottime,
    step: Option<Action>,
}

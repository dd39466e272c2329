//! Machines with one fault each. The search has to find every one of them, and by the law that the fault breaks: a law that nothing can
//! break would be none.

#![allow(clippy::wildcard_enum_match_arm, reason = "a fault is in what it names")]

use clockgate::decision::{
    Action, Boottime, Cause, Clocks, Differences, Epoch, Event, Gate, Machine, OrderId, Policy, RestoreSign, Snapshot,
    State,
};

use crate::world::Subject;

/// What is wrong with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is published as proven while nothing is known.
    ProvenWhileDisrupted,
    /// It is published as proven after the first exchange.
    OpenEarly,
    /// The proof is one from before the disruption.
    OldProof,
    /// A step by another program leaves the proof as it is.
    ProofKept,
    /// Readers compare their clocks with those of another moment.
    OldDifferences,
    /// A thaw is not ordered.
    ThawDropped,
    /// A disruption begins the limit of a freeze anew, and the deadline with it.
    LimitRenewed,
    /// The guard is given longer than the limit.
    GuardLate,
    /// No alarm is set while somebody waits.
    AlarmLost,
    /// No alarm is set for the end of a proof.
    ProofWithoutEnd,
    /// The policy applies long after the deadline that was promised.
    DeadlineLate,
    /// An answer is taken for one of this epoch.
    EpochIgnored,
    /// The answer to an older order is taken for one to the last.
    OrderIgnored,
    /// The answer to an older step is taken for one to the step that is under way.
    StepIgnored,
    /// A machine that was killed counts from the beginning.
    EpochForgotten,
    /// What is published is of the epoch before.
    EpochBack,
    /// A step is ordered twice.
    SteppedTwice,
    /// References are asked twice.
    AskedTwice,
    /// The daemon is reset twice.
    ResetTwice,
    /// The daemon is asked twice.
    DaemonAskedTwice,
    /// A freeze is ordered twice.
    FrozenTwice,
    /// A thaw is ordered twice.
    ThawedTwice,
    /// A sleep is allowed twice.
    AllowedTwice,
    /// A machine may sleep before anything is frozen.
    AsleepUnfrozen,
    /// Nothing is frozen before a sleep.
    FreezeDropped,
    /// A sleep is never allowed.
    SleepHeld,
}

/// Each with what the law says that finds it.
pub const FAULTS: [(Fault, &str); 26] = [
    (Fault::ProvenWhileDisrupted, "Started leaves the gate open"),
    (Fault::OpenEarly, "proven while Settling"),
    (Fault::OldProof, "a proof from before the last disruption"),
    (Fault::ProofKept, "begins no epoch"),
    (Fault::OldDifferences, "after Measured"),
    (Fault::ThawDropped, "frozen beyond the guard's end"),
    (Fault::LimitRenewed, "the machine's limit, and the guard knows it"),
    (Fault::GuardLate, "the machine's limit, and the guard knows it"),
    (Fault::AlarmLost, "whoever waits is told nothing"),
    (Fault::ProofWithoutEnd, "a proof without an end"),
    (Fault::DeadlineLate, "nobody was told at the deadline"),
    (Fault::EpochIgnored, "an answer from an older epoch, or to an older order"),
    (Fault::OrderIgnored, "an answer from an older epoch, or to an older order"),
    (Fault::StepIgnored, "an answer from an older epoch, or to an older order"),
    (Fault::EpochForgotten, "begins no epoch"),
    (Fault::EpochBack, "the epoch went back"),
    (Fault::SteppedTwice, "stepped again while that is under way"),
    (Fault::AskedTwice, "asked twice at once"),
    (Fault::ResetTwice, "reset twice in an epoch"),
    (Fault::DaemonAskedTwice, "the daemon is asked again meanwhile"),
    (Fault::FrozenTwice, "an order of its own"),
    (Fault::ThawedTwice, "thawed again without a pause"),
    (Fault::AllowedTwice, "allowed twice at once"),
    (Fault::AsleepUnfrozen, "asleep with nothing frozen"),
    (Fault::FreezeDropped, "a sleep with nothing frozen"),
    (Fault::SleepHeld, "a sleep is held back"),
];

#[derive(Clone, Debug)]
pub struct Mutant {
    pub machine: Machine,
    fault: Fault,
    /// The last freeze or thaw, and the last step.
    last: Option<OrderId>,
    step: Option<OrderId>,
}

impl Mutant {
    /// A machine that has not begun.
    pub fn new(policy: Policy, fault: Fault) -> Self {
        Self { machine: Machine::new(mistaken_policy(policy, fault), Epoch::default()), fault, last: None, step: None }
    }

    fn mistaken(&self, event: Event) -> Event {
        match (self.fault, event) {
            (Fault::EpochIgnored, Event::Measured(_, _, m)) => {
                Event::Measured(self.machine.epoch(), self.machine.round(), m)
            }
            (Fault::ProofKept, Event::Disrupted(Cause::ForeignStep { .. })) => Event::SourceLost("fault"),
            (Fault::LimitRenewed, Event::Disrupted(Cause::ForeignStep { .. } | Cause::Requested)) => {
                Event::Disrupted(Cause::Restore(RestoreSign::Notice))
            }
            (Fault::OrderIgnored, Event::Thawed(order, outcome)) => Event::Thawed(self.last.unwrap_or(order), outcome),
            (Fault::StepIgnored, Event::Stepped(order, outcome)) => Event::Stepped(self.step.unwrap_or(order), outcome),
            (_, event) => event,
        }
    }

    /// Which order is given twice, or not at all.
    fn mistaken_orders(&self, actions: &mut Vec<Action>) {
        let of: fn(&Action) -> bool = match self.fault {
            Fault::SteppedTwice => |action| matches!(action, Action::Step { .. }),
            Fault::AskedTwice => |action| matches!(action, Action::Measure(..)),
            Fault::ResetTwice => |action| matches!(action, Action::ResetDaemon(..)),
            Fault::DaemonAskedTwice => |action| matches!(action, Action::AskDaemon(_)),
            Fault::FrozenTwice | Fault::FreezeDropped | Fault::GuardLate => {
                |action| matches!(action, Action::Freeze(..))
            }
            Fault::ThawedTwice | Fault::ThawDropped => |action| matches!(action, Action::Thaw(_)),
            Fault::AllowedTwice | Fault::SleepHeld => |action| matches!(action, Action::AllowSleep),
            _ => return,
        };
        match self.fault {
            Fault::FreezeDropped | Fault::ThawDropped | Fault::SleepHeld => actions.retain(|action| !of(action)),
            Fault::GuardLate => actions.iter_mut().for_each(|action| {
                if let Action::Freeze(_, until) = action {
                    *until = *until + SECOND;
                }
            }),
            _ => actions.extend(actions.iter().filter(|action| of(action)).cloned().collect::<Vec<_>>()),
        }
    }
}

const SECOND: std::time::Duration = std::time::Duration::from_secs(1);

/// The rules as a machine with this fault has them.
fn mistaken_policy(policy: Policy, fault: Fault) -> Policy {
    let deadline = if fault == Fault::DeadlineLate { policy.deadline + 3600 * SECOND } else { policy.deadline };
    Policy { deadline, ..policy }
}

impl Subject for Mutant {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn step(&mut self, event: Event, now: Clocks) -> Vec<Action> {
        let is_sleep = matches!(event, Event::Sleeping(_));
        let event = self.mistaken(event);
        let mut actions = Machine::step(&mut self.machine, event, now);
        for action in &actions {
            match action {
                Action::Freeze(order, _) | Action::Thaw(order) => self.last = Some(*order),
                Action::Step { order, .. } => self.step = Some(*order),
                _ => {}
            }
        }
        self.mistaken_orders(&mut actions);
        if self.fault == Fault::AsleepUnfrozen && is_sleep {
            actions.push(Action::AllowSleep);
        }
        actions
    }

    fn snapshot(&self) -> Snapshot {
        let snapshot = self.machine.snapshot();
        match (self.fault, self.machine.state()) {
            (Fault::ProvenWhileDisrupted, State::Disrupted) | (Fault::OpenEarly, State::Settling) => {
                Snapshot { gate: Gate::Proven, ..snapshot }
            }
            (Fault::OldProof, State::Synchronized) => Snapshot { as_of: Boottime::from_nanos(1), ..snapshot },
            (Fault::OldDifferences, State::Synchronized) => {
                Snapshot { differences: Differences::default(), ..snapshot }
            }
            (Fault::EpochBack, State::Synchronized) => {
                Snapshot { epoch: Epoch::new(snapshot.epoch.get().saturating_sub(1)), ..snapshot }
            }
            _ => snapshot,
        }
    }

    fn alarm(&self) -> Boottime {
        match (self.fault, self.machine.state()) {
            (Fault::AlarmLost, State::Disrupted) | (Fault::ProofWithoutEnd, State::Synchronized) => Boottime::NEVER,
            _ => self.machine.alarm(),
        }
    }

    fn set_policy(&mut self, policy: Policy) {
        self.machine.set_policy(mistaken_policy(policy, self.fault));
    }

    fn restarted(&self, policy: Policy) -> Self {
        let epoch = if self.fault == Fault::EpochForgotten { Epoch::default() } else { self.machine.epoch() };
        let machine = Machine::new(mistaken_policy(policy, self.fault), epoch).knowing(self.machine.evidence().clone());
        Self { machine, fault: self.fault, last: None, step: None }
    }
}

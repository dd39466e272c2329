//! Machines with one fault each. The search has to find every one of them: a law that nothing can break would be none.

use clockgate::decision::{Action, Boottime, Cause, Clocks, Epoch, Event, Gate, Machine, Policy, Snapshot, State};

use crate::world::Subject;

/// What is wrong with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// An answer is taken for one of this epoch.
    EpochIgnored,
    /// A machine that was killed counts from the beginning.
    EpochForgotten,
    /// It is published as proven after the first exchange.
    OpenEarly,
    /// A step by another program leaves the proof as it is.
    ProofKept,
    /// A thaw is not ordered.
    ThawDropped,
    /// A disruption begins the limit of a freeze anew, and the deadline with it.
    LimitRenewed,
    /// Whoever waits is told nothing.
    AlarmLost,
    /// A step is ordered twice.
    SteppedTwice,
    /// A machine may sleep before anything is frozen.
    AsleepUnfrozen,
}

pub const FAULTS: [Fault; 9] = [
    Fault::EpochIgnored,
    Fault::EpochForgotten,
    Fault::OpenEarly,
    Fault::ProofKept,
    Fault::ThawDropped,
    Fault::LimitRenewed,
    Fault::AlarmLost,
    Fault::SteppedTwice,
    Fault::AsleepUnfrozen,
];

#[derive(Clone, Debug)]
pub struct Mutant {
    pub machine: Machine,
    pub fault: Fault,
}

impl Mutant {
    fn mistaken(&self, event: Event) -> Event {
        match (self.fault, event) {
            (Fault::EpochIgnored, Event::Measured(_, _, m)) => {
                Event::Measured(self.machine.epoch(), self.machine.round(), m)
            }
            (Fault::ProofKept, Event::Disrupted(Cause::ForeignStep { .. })) => Event::SourceLost("fault"),
            (Fault::LimitRenewed, Event::Disrupted(Cause::ForeignStep { .. } | Cause::Requested)) => {
                Event::Disrupted(Cause::Restore)
            }
            (_, event) => event,
        }
    }
}

impl Subject for Mutant {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn step(&mut self, event: Event, now: Clocks) -> Vec<Action> {
        let is_sleep = matches!(event, Event::Sleeping(_));
        let event = self.mistaken(event);
        let mut actions = Machine::step(&mut self.machine, event, now);
        if self.fault == Fault::ThawDropped {
            actions.retain(|action| !matches!(action, Action::Thaw(_)));
        }
        if self.fault == Fault::SteppedTwice {
            let steps: Vec<Action> = actions.iter().filter(|a| matches!(a, Action::Step { .. })).cloned().collect();
            actions.extend(steps);
        }
        if self.fault == Fault::AsleepUnfrozen && is_sleep {
            actions.push(Action::AllowSleep);
        }
        actions
    }

    fn snapshot(&self) -> Snapshot {
        let snapshot = self.machine.snapshot();
        if self.fault == Fault::OpenEarly && self.machine.state() == State::Settling {
            return Snapshot { gate: Gate::Proven, ..snapshot };
        }
        snapshot
    }

    fn alarm(&self) -> Boottime {
        if self.fault == Fault::AlarmLost && self.machine.state() == State::Disrupted {
            return Boottime::NEVER;
        }
        self.machine.alarm()
    }

    fn set_policy(&mut self, policy: Policy) {
        self.machine.set_policy(policy);
    }

    fn restarted(&self, policy: Policy) -> Self {
        let epoch = if self.fault == Fault::EpochForgotten { Epoch::default() } else { self.machine.epoch() };
        let machine = Machine::new(policy, epoch).knowing(self.machine.evidence().clone());
        Self { machine, fault: self.fault }
    }
}

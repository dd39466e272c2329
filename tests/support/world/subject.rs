//! What is judged: the machine, or one that a test broke.

use std::fmt::Debug;

use clockgate::decision::{Action, Boottime, Clocks, Event, Machine, Policy, Snapshot};

/// A machine as its surroundings know it.
pub trait Subject: Clone + Debug {
    /// The machine in it.
    fn machine(&self) -> &Machine;
    /// Takes one event.
    fn step(&mut self, event: Event, now: Clocks) -> Vec<Action>;
    /// What it publishes.
    fn snapshot(&self) -> Snapshot;
    /// When its alarm is due.
    fn alarm(&self) -> Boottime;
    /// New rules.
    fn set_policy(&mut self, policy: Policy);
    /// What the next agent begins with, after this one was killed: the page's epoch and the evidence of the file.
    fn restarted(&self, policy: Policy) -> Self;
}

impl Subject for Machine {
    fn machine(&self) -> &Machine {
        self
    }

    fn step(&mut self, event: Event, now: Clocks) -> Vec<Action> {
        Self::step(self, event, now)
    }

    fn snapshot(&self) -> Snapshot {
        Self::snapshot(self)
    }

    fn alarm(&self) -> Boottime {
        Self::alarm(self)
    }

    fn set_policy(&mut self, policy: Policy) {
        Self::set_policy(self, policy);
    }

    fn restarted(&self, policy: Policy) -> Self {
        Self::new(policy, self.epoch()).knowing(self.evidence().clone())
    }
}

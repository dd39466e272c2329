//! What is searched: rules, and how often the letters of each group may come.

use std::time::Duration;

use clockgate::decision::{AtDeadline, Correction, Epoch, Machine, Policy};

use crate::node::{Budget, Node};

/// A search, by what it is about.
#[derive(Clone, Copy, Debug)]
pub struct Scope {
    pub name: &'static str,
    pub policy: fn() -> Policy,
    /// Disruptions, sleeps, faults, words of an operator, notices, lives of the agent.
    pub budget: Budget,
    /// Its part of all states: one with a small budget goes deep, the others wide.
    pub share: usize,
}

pub const SCOPES: [Scope; 11] = [
    Scope { name: "answers that come or are lost", policy: freezing, budget: [0, 0, 0, 0, 0, 0], share: 1 },
    Scope { name: "killed, or configured anew", policy: freezing, budget: [0, 0, 0, 0, 0, 1], share: 4 },
    Scope { name: "a disruption", policy: freezing, budget: [1, 0, 0, 0, 0, 0], share: 3 },
    Scope { name: "disruptions and bad answers", policy: Policy::default, budget: [1, 0, 2, 0, 0, 0], share: 2 },
    Scope { name: "disruptions on disruptions", policy: freezing, budget: [3, 0, 0, 0, 0, 0], share: 2 },
    Scope { name: "sleep, frozen", policy: freezing, budget: [0, 2, 1, 0, 0, 0], share: 2 },
    Scope { name: "killed while frozen", policy: freezing, budget: [1, 1, 0, 0, 0, 1], share: 2 },
    Scope { name: "an operator's word", policy: holding, budget: [1, 0, 0, 1, 1, 0], share: 2 },
    Scope { name: "killed and configured anew", policy: holding, budget: [1, 0, 1, 0, 0, 1], share: 2 },
    Scope {
        name: "a tolerance, while nothing is corrected",
        policy: uncorrected,
        budget: [1, 1, 2, 0, 0, 0],
        share: 1,
    },
    Scope { name: "the Date of a web server", policy: freezing, budget: [1, 1, 1, 1, 2, 0], share: 1 },
];

/// All the shares.
pub fn shares() -> usize {
    SCOPES.iter().map(|scope| scope.share).sum()
}

impl Scope {
    pub fn root(&self) -> Node<Machine> {
        let policy = (self.policy)();
        Node::new(Machine::new(policy.clone(), Epoch::default()), policy, self.budget)
    }
}

pub fn freezing() -> Policy {
    Policy { freeze: Some(Duration::from_secs(10)), ..Policy::default() }
}

fn holding() -> Policy {
    Policy { unreachable: AtDeadline::Hold, ..freezing() }
}

/// Nobody may step the clock: what is off stays off, and who tolerates that goes on.
pub fn uncorrected() -> Policy {
    Policy { correction: Correction::None, ..freezing() }
}

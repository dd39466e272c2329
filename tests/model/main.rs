//! The machine, searched breadth first: the orders in which its surroundings can answer, disrupt, kill and configure it, by the letters
//! of `alphabet.rs`, within the bounds that `scopes.rs` names, on the real `Machine`. The laws are those of `tests/support/world`.
//!
//! `CLOCKGATE_MODEL_STATES` and `CLOCKGATE_MODEL_SECONDS` say how far each search goes (`make model`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a search that cannot begin has failed, and a broken law is a panic"
)]

mod alphabet;
mod fingerprint;
mod mutants;
mod node;
mod scopes;
mod search;
#[path = "../support/world/mod.rs"]
mod world;

use std::fmt::Write as _;
use std::time::Duration;

use clockgate::decision::{Epoch, Machine};
use clockgate::sys::clock::boottime;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::mutants::{FAULTS, Fault, Mutant};
use crate::node::{Node, Told};
use crate::scopes::{SCOPES, Scope, freezing};
use crate::search::{Limits, Violation, search};
use crate::world::Subject;

/// No path is searched further than so many letters.
const DEPTH: usize = 64;

fn main() -> std::process::ExitCode {
    println!("{}", alphabet::printed());
    // A broken law is reported with its path.
    std::panic::set_hook(Box::new(|_| {}));
    let scopes = SCOPES.iter().map(|scope| Trial::test(format!("the laws hold: {}", scope.name), || laws_hold(scope)));
    let faults = FAULTS.iter().map(|fault| Trial::test(format!("a fault is found: {fault:?}"), || is_found(*fault)));
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, scopes.chain(faults).collect()).exit_code()
}

/// What the environment says, or the default of `make test`.
fn limits() -> Limits {
    let number = |name: &str| std::env::var(name).ok().and_then(|number| number.parse().ok());
    Limits {
        depth: DEPTH,
        states: number("CLOCKGATE_MODEL_STATES").unwrap_or(3000),
        time: Duration::from_secs(number("CLOCKGATE_MODEL_SECONDS").unwrap_or(600) as u64),
    }
}

fn laws_hold(scope: &Scope) -> Result<(), Failed> {
    let began = boottime();
    let root = scope.root();
    let found = search(&root, &limits());
    println!(
        "model: {}: {} states, {} letters deep{}, {} s",
        scope.name,
        found.states,
        found.depth,
        if found.is_whole { ", all there are" } else { "" },
        boottime().since(began).as_secs()
    );
    found.violation.map_or(Ok(()), |violation| Err(told(&root, &violation)))
}

/// The path that leads to a broken law: letters, then each event with its boottime.
fn told<S: Subject>(root: &Node<S>, violation: &Violation) -> Failed {
    let mut text = format!("{}\n{:?}\n", violation.law, violation.path);
    let mut node = root.clone();
    for letter in &violation.path {
        let mut tell = |at: clockgate::decision::Boottime, what: Told| {
            let at = at.as_nanos() as f64 / 1e9;
            let _ = match what {
                Told::Event(event) => writeln!(text, "{at:.6} {event:?}"),
                Told::Crash => writeln!(text, "{at:.6} killed, and begun anew"),
                Told::Reload => writeln!(text, "{at:.6} configured anew"),
            };
        };
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| node.after(*letter, &mut tell)));
        let Ok(Some(next)) = next else { break };
        node = next;
    }
    text.into()
}

fn is_found(fault: Fault) -> Result<(), Failed> {
    let policy = freezing();
    let machine = Machine::new(policy.clone(), Epoch::default());
    let root = Node::new(Mutant { machine, fault }, policy, [2, 1, 0, 0, 0, 1]);
    let found = search(&root, &Limits { states: 20_000, ..limits() });
    let violation = found.violation.ok_or_else(|| format!("not found in {} states", found.states))?;
    println!("{fault:?}: {} after {:?}", violation.law.lines().next().unwrap_or_default(), violation.path);
    Ok(())
}

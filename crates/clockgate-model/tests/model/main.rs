//! The machine, searched breadth first: the orders in which its surroundings can answer, disrupt, kill and configure it, by the letters
//! of `alphabet.rs`, within the bounds that `scopes.rs` names, on the real `Machine`. The laws are those of `tests/support/world`.
//!
//! `CLOCKGATE_MODEL_STATES` and `CLOCKGATE_MODEL_SECONDS` say how far they go together (`make model`).

#![allow(
    clippy::unwrap_used,
    clippy::panic,
    reason = "a search that cannot begin has failed, and a broken law is a panic"
)]

// The machine's own source, in a package that is built with optimisation; see there.
extern crate clockgate_model as clockgate;

mod alphabet;
mod arrows;
mod fingerprint;
mod mutants;
mod node;
mod scopes;
mod search;
#[path = "../../../../tests/support/world/mod.rs"]
mod world;

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::sync::OnceLock;
use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use libtest_mimic::{Arguments, Failed, Trial};

use crate::arrows::Arrow;
use crate::mutants::{FAULTS, Fault, Mutant};
use crate::node::{Node, Told};
use crate::scopes::{SCOPES, shares};
use crate::search::{Found, Limits, Violation, judged, search};
use crate::world::Subject;

/// No path is searched further than so many letters.
const DEPTH: usize = 64;

/// What was found in each scope, which two tests look at.
static FOUND: [OnceLock<Found>; SCOPES.len()] = [const { OnceLock::new() }; SCOPES.len()];

fn main() -> std::process::ExitCode {
    println!("{}", alphabet::printed());
    // A broken law is reported with its path.
    std::panic::set_hook(Box::new(|_| {}));
    let scopes = (0..SCOPES.len())
        .map(|scope| Trial::test(format!("the laws hold: {}", SCOPES[scope].name), move || laws_hold(scope)));
    let arrows = Trial::test("the laws hold: the states and arrows are those that are drawn", arrows_are_drawn);
    let letters = Trial::test("the laws hold: for the letters that are written down", arrows::letters_are_written);
    let faults =
        FAULTS.iter().map(|(fault, law)| Trial::test(format!("a fault is found: {fault:?}"), || is_found(*fault, law)));
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, scopes.chain([arrows, letters]).chain(faults).collect()).exit_code()
}

/// How many states `make test` looks at.
const STATES: usize = 1_050_000;

fn number(name: &str) -> Option<usize> {
    std::env::var(name).ok()?.parse().ok()
}

/// What the environment says of all scopes together, or the default of `make test`, by this share of it.
fn limits(share: usize) -> Limits {
    let states = number("CLOCKGATE_MODEL_STATES").unwrap_or(STATES);
    let seconds = number("CLOCKGATE_MODEL_SECONDS").unwrap_or(3600);
    Limits {
        depth: DEPTH,
        states: states * share / shares(),
        time: Duration::from_secs((seconds * share / shares()) as u64),
    }
}

fn searched(scope: usize) -> &'static Found {
    FOUND[scope].get_or_init(|| {
        let (scope, began) = (&SCOPES[scope], boottime());
        let found = search(&scope.root(), &limits(scope.share));
        println!(
            "model: {}: {} states, {} letters deep{}, {} s",
            scope.name,
            found.states,
            found.depth,
            if found.is_whole { ", all there are" } else { "" },
            boottime().since(began).as_secs()
        );
        found
    })
}

fn laws_hold(scope: usize) -> Result<(), Failed> {
    searched(scope).violation.as_ref().map_or(Ok(()), |violation| Err(told(&SCOPES[scope].root(), violation)))
}

/// What is reached and not drawn in docs/states.md, or drawn and not reached, is named.
fn arrows_are_drawn() -> Result<(), Failed> {
    let reached: BTreeSet<Arrow> = (0..SCOPES.len()).flat_map(|scope| searched(scope).arrows.iter().copied()).collect();
    let states: usize = (0..SCOPES.len()).map(|scope| searched(scope).states).sum();
    println!("model: together {states} states, {} arrows", reached.len());
    arrows::are_drawn(&reached, number("CLOCKGATE_MODEL_STATES").is_some_and(|states| states > STATES))
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
                Told::Arrow((from, _, to)) => writeln!(text, "{at:.6} {from} --> {to}"),
            };
        };
        let next = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| node.after(*letter, &mut tell)));
        let Ok(Some(next)) = next else { break };
        node = next;
    }
    text.into()
}

/// The fault breaks this law before it breaks any other.
fn is_found(fault: Fault, law: &str) -> Result<(), Failed> {
    let (policy, budget) = fault.scope();
    // Some are found by the first event.
    let found = judged(|| {
        let root = Node::new(Mutant::new(policy.clone(), fault), policy, budget);
        search(&root, &Limits { states: 20_000, ..limits(shares()) })
    });
    let found =
        found.unwrap_or_else(|law| Found { violation: Some(Violation { law, path: vec![] }), ..Found::default() });
    let violation = found.violation.ok_or_else(|| format!("not found in {} states", found.states))?;
    let said = violation.law.lines().next().unwrap_or_default();
    println!("{fault:?}: {said} after {:?}", violation.path);
    if said.contains(law) { Ok(()) } else { Err(format!("found by {said:?}, and not by {law:?}").into()) }
}

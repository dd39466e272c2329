//! A cluster of one node with nothing faked in it: what its user sees of the gate and of the freezer.

#[path = "../publisher/api.rs"]
#[allow(dead_code, reason = "the tests of the publisher need more of it")]
mod api;
#[path = "../publisher/authority.rs"]
#[allow(dead_code, reason = "the tests of the publisher need more of it")]
mod authority;
mod node;
mod pods;
#[path = "../support/mod.rs"]
mod support;
mod world;

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};
use node::Node;
use support::{Outcome, needing};

/// The node, once it was needed.
type Shared = Arc<Mutex<Option<Node>>>;
type Test = fn(&mut Node) -> Outcome;

/// In the order in which they run.
const TESTS: [(&str, Test); 6] = [
    ("a_pod_is_refused_in_our_words_and_runs_soon_after_the_gate_opens", pods::refused),
    ("static_pods_and_exempt_pods_start_at_a_shut_gate", pods::exempt),
    ("a_pod_is_frozen_and_thawed_without_a_failed_liveness_probe", pods::frozen),
    ("killed_and_started_again_they_refuse_again", pods::killed),
    ("pods_of_crun_and_of_gvisor_are_refused_without_a_wrapper", pods::handlers),
    ("the_condition_is_beside_the_kubelets_own", pods::condition),
];

fn main() -> ExitCode {
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let lacks = world::lacks();
    if arguments.list || lacks.is_some() {
        let trials = TESTS.map(|(name, _)| needing(lacks.clone(), name, || Ok(())));
        return libtest_mimic::run(&arguments, trials.into()).exit_code();
    }
    let Some(folder) = world::folder() else { return world::enter() };
    let shared = Shared::default();
    let trials = TESTS.map(|(name, test)| {
        let (shared, folder) = (shared.clone(), folder.clone());
        Trial::test(name, move || {
            let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
            let node = match &mut *guard {
                Some(node) => node,
                none @ None => none.insert(Node::start(&folder)?),
            };
            test(node)
        })
    });
    let conclusion = libtest_mimic::run(&arguments, trials.into());
    drop(shared.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

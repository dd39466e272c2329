//! The protocol client and the corrector against a real chronyd that may not touch the clock (`-x`), on loopback.
//!
//! This process and all its children give up CAP_SYS_TIME before anything else: whatever a test does, this machine's clock stays as it is.
#![expect(clippy::expect_used, reason = "tests, though clippy does not see it: they run without the standard harness")]

mod authority;
mod bursts;
mod clocks;
mod corrector;
mod daemon_way;
mod lab;
mod memory;
mod nts;
mod others;
mod protocol;
mod relay;
mod silence;
#[path = "../support/mod.rs"]
mod support;
mod timesyncd;

use std::process::ExitCode;

use libtest_mimic::{Arguments, Trial};
use support::Outcome;

fn main() -> ExitCode {
    if let Some(outcome) = lab::as_another_user() {
        return outcome;
    }
    if let Some(outcome) = lab::without_the_clock() {
        return outcome;
    }
    let args = Arguments::from_args();
    let trials = [
        protocol::TRIALS,
        silence::TRIALS,
        corrector::TRIALS,
        authority::TRIALS,
        memory::TRIALS,
        nts::TRIALS,
        bursts::TRIALS,
        clocks::TRIALS,
        daemon_way::TRIALS,
        timesyncd::TRIALS,
        others::TRIALS,
    ]
    .concat();
    libtest_mimic::run(&args, trials.iter().map(trial).collect()).exit_code()
}

/// A test: its name is a sentence.
type Test = (&'static str, fn() -> Outcome);

fn trial(&(name, test): &Test) -> Trial {
    support::needing(lab::lacks(), name, test)
}

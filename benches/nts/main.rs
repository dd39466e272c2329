//! Round trips that a proof by NTS takes, between an agent and a real chronyd on loopback: counted by a relay between them, not timed.
//! Its table goes to docs/performance.md.

use std::process::ExitCode;

use clockgate::sys::output;

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::{Table, met};
use support::Outcome;
use support::nts_rounds::{NtsAgent, RESTORE, Rounds, SLEEP};

/// How often each is tried; the fewest count, since a question is repeated where the machine was too busy.
const ROUNDS: usize = 10;

fn main() -> ExitCode {
    match bench() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            output::say(&format!("{error:?}\n"));
            ExitCode::FAILURE
        }
    }
}

fn bench() -> Outcome {
    let agent = NtsAgent::start()?;
    let mut table = Table::new(&["after", "rounds", "for keys", "for the time", "goal"]);
    for (what, notices, goal) in [
        ("a sleep", SLEEP, Rounds { keys: 0, exchanges: 0, time: 2 }),
        ("a restore", RESTORE, Rounds { keys: 3, exchanges: 1, time: 2 }),
    ] {
        let rounds = agent.at_best(notices, ROUNDS)?;
        let goal = format!("{} and {}: {}", goal.keys, goal.time, met(rounds == goal));
        table.row(&[&what, &ROUNDS, &rounds.keys, &rounds.time, &goal]);
    }
    table.write("nts")
}

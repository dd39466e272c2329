//! From a wake-up that the agent is told of to the open gate, on this machine's own kernel and without a step, which nobody may
//! make here: the walk's exchanges, daemon and page, beside two bare round trips. Its table goes to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::path::Path;
use std::process::ExitCode;
use std::thread::sleep;
use std::time::Duration;

use clockgate::disruption::notice::NoticeKind;
use clockgate::publish::bus::client::AgentClient;
use clockgate::sys::clock::boottime;

#[path = "../walk/bare.rs"]
#[allow(dead_code, reason = "in the guest it is a program of its own")]
mod bare;
#[path = "../ratios/daemons.rs"]
#[allow(dead_code, reason = "another bench uses the rest")]
mod daemons;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../walk/world.rs"]
#[allow(dead_code, reason = "another bench uses the rest")]
mod world;

use daemons::{Correction, Daemons};
use lab::world::World;
use report::{Table, median, met, millis};
use support::Outcome;
use world::{ALL, DISTANCES, Servers};

/// How often each is done.
const ROUNDS: usize = 9;
/// More than two bare round trips, where a majority answers; all of it, where they are near.
const GOAL: Duration = Duration::from_millis(10);
/// chronyd has its burst of the round before behind it, and nobody has asked the servers, or told the agent, too often.
const AT_REST: Duration = Duration::from_secs(2);
const PATIENCE: Duration = Duration::from_secs(20);

fn main() -> ExitCode {
    report_guest::run(lab::missing(), measure)
}

fn measure() -> Outcome {
    let world = World::new()?;
    let folder = tempfile::tempdir()?;
    let columns = ["servers", "there and back", "two bare round trips", "to the open gate", "at the latest", "goal"];
    let mut table = Table::new(&columns);
    for (column, distance) in DISTANCES.into_iter().enumerate() {
        for (line, servers) in ALL.into_iter().enumerate() {
            // Its path is an address of D-Bus: no blanks.
            let place = folder.path().join(format!("{column}-{line}"));
            row(&mut table, &place, &world, servers, distance)?;
        }
    }
    table.write("proof")
}

fn row(table: &mut Table, folder: &Path, world: &World, servers: Servers, distance: Duration) -> Outcome {
    let all = servers.start(world, distance)?;
    let bare = bare::here(all.last().ok_or("no server")?.address())?;
    let daemons = Daemons::beside(folder, all, Correction::Clockgate)?;
    let agent = AgentClient::connect(&daemons.peer())?;
    let mut took = vec![];
    for _ in 0..ROUNDS {
        sleep(AT_REST);
        agent.notify(NoticeKind::Suspend, PATIENCE)?;
        let from = boottime();
        let outcome = agent.notify(NoticeKind::Resume, PATIENCE)?;
        took.push(boottime().since(from));
        if outcome.gate != "open" {
            return Err(format!("{} at {distance:?}: {outcome:?}", servers.name).into());
        }
    }
    let (middle, latest) = (median(&took), took.iter().max().copied().unwrap_or_default());
    let goal = if !servers.have_a_majority() {
        "none set".to_owned()
    } else {
        let goal = if distance.is_zero() { GOAL } else { bare + GOAL };
        format!("under {}: {}", millis(goal), met(middle < goal))
    };
    let far = format!("{} ms", distance.as_millis());
    table.row(&[&servers.name, &far, &millis(bare), &millis(middle), &millis(latest), &goal]);
    Ok(())
}

//! Whoever tolerates more than the clock is off goes on at a gate that is shut for all others.

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure};

pub const SCENARIOS: &[Listed] =
    &[("tolerance::twenty_seconds_are_tolerated_by_whoever_says_so_until_somebody_sets_the_clock", said)];

/// clockgate(8): the gate is shut still.
const STILL_SHUT: i32 = 75;

fn said(guest: &Guest, world: &World) -> Outcome {
    guest.sh("date -u -s '20 seconds ago'")?;
    gate::start_with(
        guest,
        &format!("servers: [{}]\ncorrection: none\nat-deadline: {{wrong: hold}}\n", world.truth.address()),
    )?;
    gate::when(guest, "the clock is known to be wrong", |now| {
        now.gate == "shut" && now.why.contains("correction: none")
    })?;
    let wait = |options: &str, patience: &str| {
        guest.run(&format!("clockgate wait {options} --max-wait {patience} --on-timeout fail"))
    };
    let tolerant = [wait("--tolerance 60s", "60s")?, wait("--for s3", "60s")?];
    let strict = [wait("", "1s")?, wait("--tolerance 10s", "1s")?, wait("--for jwt --for s3", "1s")?];
    // What was measured is of another clock now.
    guest.sh("date -u -s '20 minutes ago'")?;
    let after = wait("--for s3", "3s")?;
    let held = gate::read(guest)?;
    night::over(guest)?;
    ensure(tolerant.iter().all(|ran| ran.code == 0), format!("{tolerant:?}"))?;
    ensure(strict.iter().chain([&after]).all(|ran| ran.code == STILL_SHUT), format!("{strict:?}, {after:?}"))?;
    ensure(held.gate == "shut", format!("{held:?}"))
}

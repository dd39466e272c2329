//! What is shown, each from a machine that has just booted.

use std::time::Duration;

use crate::Play;
use crate::gate;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};
use crate::machine::Machine;

/// All of them, in their order.
pub const ALL: &[(&str, Play)] = &[("pause::a_machine_that_was_stopped_knows_it_and_is_right_again", stop_and_go_on)];

/// As far off as work behind the gate may ever be: the threshold.
const THRESHOLD: Duration = Duration::from_millis(200);
/// How long the machine stands still.
const PAUSE: Duration = Duration::from_secs(20);

fn stop_and_go_on(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let before = gate::start(guest, world)?;
    machine.stop()?;
    pass(PAUSE);
    machine.go_on()?;
    let stale = guest.offset()?;
    ensure(stale.abs() > PAUSE / 2, format!("it has not stood still: off by {stale}"))?;
    let after = gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    ensure(after.cause == "pause", format!("{after:?}"))?;
    let off = guest.offset()?;
    println!("{}", gate::log(guest)?);
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))?;
    Ok(machine)
}

//! Somebody sets the clock.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure};

pub const SCENARIOS: &[Listed] = &[("step::a_strangers_step_shuts_the_gate_and_is_undone", a_strangers_step_is_undone)];

fn a_strangers_step_is_undone(guest: &Guest, world: &World) -> Outcome {
    let before = gate::start(guest, world)?;
    guest.sh("date -u -s '1 hour ago'")?;
    let after = gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    let off = guest.offset()?;
    night::over(guest)?;
    ensure(off.abs() < Duration::from_millis(200), format!("off by {off}"))?;
    ensure(after.epoch == before.epoch + 1, format!("our own step was taken for a stranger's: {before:?}, {after:?}"))
}

//! What is shown, night by night.

use std::sync::Arc;

use crate::lab::Outcome;
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::{Night, Scenario};

mod gate;
mod laboratory;
mod night;
mod sleep;
mod step;
mod unit;
mod without;

/// Every scenario; those of one night in their order, where they run on one thread.
pub fn all() -> Vec<Scenario> {
    [
        night(laboratory::SCENARIOS),
        night(without::SCENARIOS),
        night(step::SCENARIOS),
        night(unit::SCENARIOS),
        night(sleep::SCENARIOS),
    ]
    .into_iter()
    .flatten()
    .collect()
}

type Listed = (&'static str, fn(&Guest, &World) -> Outcome);

fn night(scenarios: &[Listed]) -> Vec<Scenario> {
    let night = Arc::new(Night::default());
    scenarios.iter().map(|&(name, play)| Scenario { name, night: Arc::clone(&night), play }).collect()
}

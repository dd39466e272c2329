//! What is shown, night by night.

use std::sync::Arc;

use crate::lab::Outcome;
use crate::lab::guest::Guest;
use crate::lab::stage::Begins;
use crate::lab::world::World;
use crate::{Night, Play, Scenario};

mod ask;
mod authentication;
mod chrony;
mod confined;
mod crash;
mod crowd;
pub mod daemons;
mod doctor;
mod explain;
mod fleet;
mod freeze;
mod gate;
mod imprecise;
mod installed;
mod knowledge;
mod laboratory;
mod liars;
mod network;
mod night;
mod packaged;
mod packed;
mod page;
mod pods;
mod publisher;
mod recipes;
mod record;
mod rpm;
mod sleep;
mod soak;
mod step;
mod storms;
mod thaw;
mod timesyncd;
mod told;
mod tolerance;
mod trixie;
mod unit;
mod upgrades;
mod web;
mod without;

/// Every scenario; those of one night in their order, where they run on one thread.
pub fn all() -> Vec<Scenario> {
    let nights = [
        [
            laboratory::SCENARIOS,
            without::SCENARIOS,
            unit::SCENARIOS,
            sleep::SCENARIOS,
            freeze::SCENARIOS,
            thaw::SCENARIOS,
        ]
        .concat(),
        [
            step::SCENARIOS,
            chrony::SCENARIOS,
            timesyncd::SCENARIOS,
            network::SCENARIOS,
            web::SCENARIOS,
            told::SCENARIOS,
            crash::SCENARIOS,
            page::SCENARIOS,
            record::SCENARIOS,
            tolerance::SCENARIOS,
            pods::SCENARIOS,
            fleet::SCENARIOS,
        ]
        .concat(),
        [liars::SCENARIOS, authentication::SCENARIOS].concat(),
        [knowledge::SCENARIOS, imprecise::SCENARIOS, storms::SCENARIOS, ask::SCENARIOS].concat(),
        soak::SCENARIOS.to_vec(),
    ];
    // Dealt out in turns: the runner's threads take them in order, and those of one night wait for one another.
    let nights = nights.iter().map(|scenarios| night(scenarios, Begins::Installed));
    let fresh = night(installed::SCENARIOS, Begins::Fresh);
    let packaged = [packaged::SCENARIOS, publisher::SCENARIOS].concat();
    let packaged = night(&packaged, Begins::Confined { installed: false });
    let rpm = night(at_night(rpm::SCENARIOS), Begins::Over { installed: false, root: "guest", tree: Some("rpm/tree") });
    let trixie = Begins::Over { installed: false, root: "trixie", tree: Some("quadlet/tree") };
    let trixie = night(at_night(trixie::SCENARIOS), trixie);
    let unknown = night(doctor::SCENARIOS, Begins::Fresh);
    let kept = night(doctor::WITH_A_DAEMON, Begins::Fresh);
    let confined = night(confined::SCENARIOS, Begins::Confined { installed: true });
    let sdk = night(explain::SCENARIOS, Begins::Over { installed: true, root: "guest", tree: Some("sdk/tree") });
    let recipes =
        night(recipes::SCENARIOS, Begins::Over { installed: true, root: "guest", tree: Some("recipes/tree") });
    let by_packages = Begins::Over { installed: false, root: "guest", tree: Some("recipes/tree") };
    let by_packages = night(recipes::PACKAGES, by_packages);
    let quadlet = night(recipes::QUADLET, Begins::Over { installed: true, root: "trixie", tree: Some("quadlet/tree") });
    let mut dealt: Vec<(usize, Scenario)> = nights
        .chain([fresh, packaged, rpm, trixie, unknown, kept, confined, sdk, recipes, by_packages, quadlet])
        .chain(daemons::nights())
        .flat_map(|scenarios| scenarios.into_iter().enumerate())
        .collect();
    dealt.sort_by_key(|(turn, _)| *turn);
    dealt.into_iter().map(|(_, scenario)| scenario).collect()
}

type Listed = (&'static str, fn(&Guest, &World) -> Outcome);

/// What is too long for `make test`: nothing, but where this is the night.
fn at_night<T>(scenarios: &[T]) -> &[T] {
    if std::env::var_os("CLOCKGATE_NIGHT").is_some() { scenarios } else { &[] }
}

fn night(scenarios: &[Listed], begins: Begins) -> Vec<Scenario> {
    let night = Arc::new(Night::new(begins));
    let scenario =
        |&(name, play): &Listed| Scenario { name: name.into(), night: Arc::clone(&night), play: Play::Once(play) };
    scenarios.iter().map(scenario).collect()
}

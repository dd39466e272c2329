//! A source with a key outranks plain ones, however many they are and whatever becomes of it.

use std::time::Duration;

use super::crowd::{self, AN_HOUR_BACK, crowd, off};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::Liar;
use crate::lab::server::{KEY, Truth};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

pub const SCENARIOS: &[Listed] = &[
    ("authentication::two_plain_servers_that_agree_do_not_outvote_a_keyed_one", by_default),
    ("authentication::nor_where_authentication_is_required", where_it_is_required),
    ("authentication::plain_servers_neither_step_nor_prove_while_the_keyed_one_is_blocked", blocked),
    ("authentication::a_chronyd_that_stands_still_at_the_disruption_loses_no_authentication", stands_still),
    ("authentication::a_chronyd_that_restarts_at_the_disruption_loses_no_authentication", restarts),
];

/// The lie of the plain ones, in seconds.
const LIE: i64 = 100;
const KEYED: u8 = 8;

fn by_default(guest: &Guest, world: &World) -> Outcome {
    let night = Keyed::start(guest, world, "")?;
    let before = gate::read(guest)?.epoch;
    crowd::set_back_and_proven(guest)?;
    // The step that chronyd made for us is ours, and disrupts nothing.
    let after = gate::read(guest)?.epoch;
    ensure(after == before + 1, format!("epoch {before}, then {after}\n{}", gate::log(guest)?))?;
    night.ends_right(guest)
}

fn where_it_is_required(guest: &Guest, world: &World) -> Outcome {
    let night = Keyed::start(guest, world, "authselectmode require\n")?;
    crowd::set_back_and_proven(guest)?;
    night.ends_right(guest)
}

fn blocked(guest: &Guest, world: &World) -> Outcome {
    let night = Keyed::start(guest, world, "")?;
    night.keyed.silence()?;
    guest.sh(AN_HOUR_BACK)?;
    gate::when(guest, "the gate shuts", |now| !now.is_proven())?;
    crowd::never_proven(guest, Duration::from_secs(10))?;
    let off = guest.offset()?;
    ensure(off.abs() > Duration::from_secs(3500), format!("stepped: off by {off}\n{}", gate::log(guest)?))?;
    night.keyed.speak()?;
    gate::proven(guest)?;
    night.ends_right(guest)
}

fn stands_still(guest: &Guest, world: &World) -> Outcome {
    let night = Keyed::start(guest, world, "")?;
    let before = gate::read(guest)?;
    guest.sh(&format!("systemctl kill -s STOP chrony; {AN_HOUR_BACK}"))?;
    pass(Duration::from_secs(3));
    guest.sh("systemctl kill -s CONT chrony")?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    night.ends_right(guest)
}

fn restarts(guest: &Guest, world: &World) -> Outcome {
    let night = Keyed::start(guest, world, "")?;
    let before = gate::read(guest)?;
    guest.sh(&format!("systemctl restart --no-block chrony; {AN_HOUR_BACK}"))?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    night.ends_right(guest)
}

/// chronyd with one true source that has a key, two plain ones that lie alike, and the agent, proven.
struct Keyed {
    keyed: Truth,
    _plain: Vec<Liar>,
}

impl Keyed {
    fn start(guest: &Guest, world: &World, more: &str) -> Outcome<Self> {
        crowd::fresh(guest)?;
        let keyed = Truth::keyed(world.address(KEYED), world.run())?;
        let plain = crowd(world, [off(1, LIE), off(1, LIE)])?;
        guest.put("/etc/chrony/lab.keys", KEY)?;
        let key = format!("server {} key 1 iburst minpoll 0 maxpoll 0\n", keyed.address());
        let sources = format!("{key}{}keyfile /etc/chrony/lab.keys\n{more}", crowd::sources(&plain));
        night::chronyd_that_hears(guest, &sources, 12)?;
        gate::start_with(guest, "{}\n")?;
        gate::proven(guest)?;
        Ok(Self { keyed, _plain: plain })
    }

    /// The clock is right and stays so, and nobody stepped it to the lie.
    fn ends_right(self, guest: &Guest) -> Outcome {
        pass(Duration::from_secs(2));
        let off = guest.offset()?;
        let log = gate::log(guest)?;
        let to_the_lie = crowd::steps(guest)?.iter().any(|step| {
            let lie = LIE as f64;
            (step.abs() - lie).abs() < 5.0 || (step - 3600.0 - lie).abs() < 5.0
        });
        night::over(guest)?;
        ensure(off.abs() < crowd::RIGHT && !to_the_lie, format!("off by {off}\n{log}"))
    }
}

//! References that are silent, and references that lie.

use std::net::SocketAddr;
use std::time::Duration;

use clockgate::decision::Offset;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::Liar;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

pub const SCENARIOS: &[Listed] = &[
    ("network::a_server_silent_for_20_seconds_keeps_the_gate_shut_until_it_speaks", silent_for_20_seconds),
    ("network::two_servers_of_three_that_lie_differently_keep_the_gate_shut", two_of_three_lie),
    ("network::one_liar_of_three_is_outvoted_and_named", one_of_three_lies),
];

fn silent_for_20_seconds(guest: &Guest, world: &World) -> Outcome {
    let before = gate::start(guest, world)?;
    world.truth.silence()?;
    guest.sh("date -u -s '1 hour ago'")?;
    gate::when(guest, "the gate shuts", |now| now.epoch > before.epoch && now.gate == "shut")?;
    for _ in 0..10 {
        pass(Duration::from_secs(2));
        let now = gate::read(guest)?;
        ensure(now.gate == "shut", format!("nobody answered, and the gate is {now:?}"))?;
    }
    // It answers now what it was asked in between as well: answers that are seconds old.
    world.truth.speak()?;
    gate::proven(guest)?;
    let off = guest.offset()?;
    night::over(guest)?;
    ensure(off.abs() < Duration::from_millis(200), format!("open, and off by {off}"))
}

fn two_of_three_lie(guest: &Guest, world: &World) -> Outcome {
    let liars =
        [Liar::start(ntp(world, 2), Offset::from_secs(-1800))?, Liar::start(ntp(world, 3), Offset::from_secs(700))?];
    let before = guest.offset()?;
    gate::start_with(guest, &servers(world, &liars))?;
    let now = gate::when(guest, "the agent says why", |now| now.gate == "shut" && !now.why.is_empty())?;
    pass(Duration::from_secs(5));
    let later = gate::read(guest)?;
    let moved = (guest.offset()? - before).abs();
    night::over(guest)?;
    ensure(later.gate == "shut", format!("{now:?}, then {later:?}"))?;
    ensure(moved < Duration::from_millis(100), format!("the clock was moved by {moved:?}"))
}

fn one_of_three_lies(guest: &Guest, world: &World) -> Outcome {
    // They answer for as long as they are held.
    let others = [Liar::start(ntp(world, 2), Offset::ZERO)?, Liar::start(ntp(world, 3), Offset::from_secs(700))?];
    gate::start_with(guest, &servers(world, &others))?;
    gate::proven(guest)?;
    let off = guest.offset()?;
    let log = gate::log(guest)?;
    let named = format!("falsetickers={}", world.address(3));
    night::over(guest)?;
    ensure(off.abs() < Duration::from_millis(200), format!("off by {off}"))?;
    ensure(log.replace('"', "").contains(&named), format!("not {named}:\n{log}"))
}

fn servers(world: &World, others: &[Liar; 2]) -> String {
    format!("servers: [{}, {}, {}]\n", world.truth.address(), others[0].address(), others[1].address())
}

fn ntp(world: &World, last: u8) -> SocketAddr {
    SocketAddr::from((world.address(last), 123))
}

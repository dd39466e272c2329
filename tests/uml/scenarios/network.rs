//! References that are silent, and references that lie.

use std::net::SocketAddr;
use std::time::Duration;

use clockgate::decision::Offset;

use super::crowd::{self, crowd, far};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::Liar;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

pub const SCENARIOS: &[Listed] = &[
    ("network::a_server_silent_for_20_seconds_keeps_the_gate_shut_until_it_speaks", silent_for_20_seconds),
    ("network::two_servers_of_three_that_lie_differently_keep_the_gate_shut", two_of_three_lie),
    ("network::a_road_with_delay_and_loss_leads_to_a_proof", delay_and_loss),
    ("network::where_the_daemon_alone_has_a_road_it_is_heard_and_left_at_work", a_road_of_the_daemons),
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

/// The guest's own egress loses every fifth packet and holds the others up.
fn delay_and_loss(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(0), far(0), far(0)])?;
    guest.sh("modprobe sch_netem; tc qdisc add dev vec0 root netem delay 120ms 5ms loss 20%")?;
    let proven = crowd::start(guest, &all, "").and_then(|()| {
        gate::proven(guest)?;
        crowd::set_back_and_proven(guest)?;
        crowd::right_without_a_step_over(guest, 3700.0)
    });
    let road = guest.sh("tc -s qdisc show dev vec0; tc qdisc del dev vec0 root")?;
    println!("{road}");
    proven?;
    ensure(road.contains("loss 20%"), road)?;
    night::over(guest)
}

/// A policy of the kernel's routing that is for root, which the agent runs as, and not for chronyd's user.
fn a_road_of_the_daemons(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    let server = all[0].address().ip();
    night::chronyd_that_hears(guest, &crowd::sources(&all), 6)?;
    let rule = format!("to {server} uidrange 0-0 unreachable");
    guest.sh(&format!("ip rule add pref 100 {rule}"))?;
    let heard = heard_by_the_daemon_alone(guest, &server.to_string());
    guest.sh(&format!("ip rule del pref 100 {rule}; ip route add 198.51.100.0/24 dev lo"))?;
    heard?;
    // The road is free, and a route that changes is a reason to ask again.
    gate::proven(guest)?;
    crowd::right_without_a_step_over(guest, 3700.0)?;
    guest.sh("ip route del 198.51.100.0/24 dev lo")?;
    night::over(guest)
}

fn heard_by_the_daemon_alone(guest: &Guest, server: &str) -> Outcome {
    gate::start_with(guest, "deadline: 6s\n")?;
    gate::when(guest, "it opens, for nothing says that the clock is wrong", |now| now.gate == "unproven")?;
    guest.sh(crowd::AN_HOUR_BACK)?;
    let held = gate::when(guest, "it is held by what the daemon heard", |now| {
        now.gate == "shut" && now.why.contains(server) && now.why.contains("held shut")
    })?;
    println!("{}", held.why);
    let reach = guest.sh("chronyc -c sources | cut -d, -f6")?;
    ensure(reach != "0", format!("chronyd was left without a sample: reach {reach}"))
}

fn servers(world: &World, others: &[Liar; 2]) -> String {
    format!("servers: [{}, {}, {}]\n", world.truth.address(), others[0].address(), others[1].address())
}

fn ntp(world: &World, last: u8) -> SocketAddr {
    SocketAddr::from((world.address(last), 123))
}

//! chronyd beside the agent, in every condition it may be in when the clock turns out wrong.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] = &[
    ("chrony::its_servers_are_asked_and_it_agrees_although_its_own_steps_are_used_up", it_agrees),
    ("chrony::slewing_the_same_error_does_not_overshoot_a_step", slewing),
    ("chrony::unsynchronised_delays_nothing", unsynchronised),
    ("chrony::stopped_delays_nothing_much", stopped),
    ("chrony::dead_delays_nothing", dead),
];

const RIGHT: Duration = Duration::from_millis(200);

/// An hour behind all at once; returns when the gate is open again, on a clock that is right.
fn stepped_back_and_proven(guest: &Guest) -> Outcome {
    let before = gate::read(guest)?;
    guest.sh("date -u -s '1 hour ago'")?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    let off = guest.offset()?;
    ensure(off.abs() < RIGHT, format!("open, and off by {off}"))
}

fn it_agrees(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    gate::start_with(guest, "{}\n")?;
    gate::proven(guest)?;
    stepped_back_and_proven(guest)?;
    until("chronyd agrees", Duration::from_secs(20), || {
        let log = gate::log(guest)?;
        let since = log.rfind("clock stepped").unwrap_or(log.len());
        Ok(log[since..].contains("the daemon agrees").then_some(()))
    })?;
    let log = gate::log(guest)?;
    let asked = format!("servers={:?}", world.truth.address().to_string());
    ensure(log.contains(&asked.replace('"', "")) || log.contains(&asked), format!("not {asked}:\n{log}"))?;
    // It would have overshot by now, had it gone on to correct what we had corrected.
    let off = guest.offset()?;
    ensure(off.abs() < RIGHT, format!("off by {off}"))?;
    night::over(guest)
}

fn slewing(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    // Less than ten seconds, so that chronyd does not notice the jump, and corrects what it measures: slowly.
    guest.sh("date -u -s '8 seconds ago'")?;
    until("chronyd slews", Duration::from_secs(15), || {
        let slow = guest.sh("chronyc tracking | awk '/^System time/ { print ($4 > 1) }'")?;
        Ok((slow == "1").then_some(()))
    })?;
    gate::start(guest, world)?;
    let found = guest.offset()?;
    ensure(found.abs() < RIGHT, format!("open, and off by {found}"))?;
    let mut worst = Duration::ZERO;
    let _: Outcome = until("the clock stays", Duration::from_secs(6), || {
        worst = worst.max(guest.offset()?.abs());
        Ok(None)
    });
    ensure(worst < RIGHT, format!("later off by {worst:?}"))?;
    night::over(guest)
}

fn unsynchronised(guest: &Guest, world: &World) -> Outcome {
    // Nobody listens there.
    night::chronyd_that_hears(guest, &format!("server {} iburst\n", world.address(9)), 0)?;
    gate::start(guest, world)?;
    stepped_back_and_proven(guest)?;
    night::over(guest)
}

fn stopped(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    gate::start(guest, world)?;
    guest.sh("systemctl kill -s STOP chrony")?;
    stepped_back_and_proven(guest)?;
    guest.sh("systemctl kill -s CONT chrony")?;
    night::over(guest)
}

fn dead(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    gate::start(guest, world)?;
    // Its socket stays behind.
    guest.sh("systemctl kill -s KILL chrony")?;
    stepped_back_and_proven(guest)?;
    night::over(guest)
}

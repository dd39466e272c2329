//! The agent is killed.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};

pub const SCENARIOS: &[Listed] = &[
    ("crash::waiters_hold_while_an_agent_killed_in_the_middle_is_restarted", killed_while_shut),
    ("crash::a_gate_left_open_by_a_killed_agent_shuts_and_is_proven_anew", killed_while_open),
];

fn killed_while_shut(guest: &Guest, world: &World) -> Outcome {
    let before = gate::start(guest, world)?;
    world.truth.silence()?;
    guest.sh("date -u -s '1 hour ago'")?;
    let shut = gate::when(guest, "the gate shuts", |now| now.epoch > before.epoch && now.gate == "shut")?;
    guest.sh(
        "rm -f /run/released; systemd-run -q --unit=waiter clockgate run --max-wait infinity -- touch /run/released
         kill -9 $(systemctl show -p MainPID --value clockgate)",
    )?;
    until("another agent is started", Duration::from_secs(15), || {
        Ok((guest.sh("systemctl show -p NRestarts --value clockgate")? != "0").then_some(()))
    })?;
    let again = gate::when(guest, "the new agent goes on", |now| now.epoch > shut.epoch)?;
    pass(Duration::from_secs(2));
    ensure(again.gate == "shut", format!("{again:?}"))?;
    ensure(guest.run("test -e /run/released")?.code == 1, "the waiter was let go")?;
    world.truth.speak()?;
    gate::proven(guest)?;
    until("the waiter is let go", Duration::from_secs(10), || {
        Ok((guest.run("test -e /run/released")?.code == 0).then_some(()))
    })?;
    night::over(guest)
}

fn killed_while_open(guest: &Guest, world: &World) -> Outcome {
    let before = gate::start(guest, world)?;
    // No restart: the gate that its unit shut stays to be seen.
    guest.put("/run/systemd/system/clockgate.service.d/no.conf", "[Service]\nRestart=no\n")?;
    guest.sh("systemctl daemon-reload; kill -9 $(systemctl show -p MainPID --value clockgate)")?;
    let dead = gate::when(guest, "the gate shuts", |now| now.gate == "shut")?;
    guest
        .sh("rm /run/systemd/system/clockgate.service.d/no.conf; systemctl daemon-reload; systemctl start clockgate")?;
    let after = gate::proven(guest)?;
    night::over(guest)?;
    ensure(dead.epoch == before.epoch && after.epoch > before.epoch, format!("{before:?}, {dead:?}, {after:?}"))
}

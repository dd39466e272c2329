//! The agent is killed.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};

pub const SCENARIOS: &[Listed] =
    &[("crash::waiters_hold_while_an_agent_killed_in_the_middle_is_restarted", killed_while_shut)];

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

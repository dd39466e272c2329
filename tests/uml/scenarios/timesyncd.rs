//! systemd-timesyncd in chronyd's place.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] =
    &[("timesyncd::its_server_is_asked_and_it_does_not_undo_the_step", it_does_not_undo_the_step)];

fn it_does_not_undo_the_step(guest: &Guest, world: &World) -> Outcome {
    guest.put("/etc/systemd/timesyncd.conf.d/lab.conf", &format!("[Time]\nNTP={}\n", world.truth.address()))?;
    guest.sh("systemctl restart systemd-timesyncd")?;
    until("timesyncd has synchronised", Duration::from_secs(20), || {
        Ok((guest.sh("timedatectl show -p NTPSynchronized --value")? == "yes").then_some(()))
    })?;
    gate::start_with(guest, "{}\n")?;
    let before = gate::proven(guest)?;
    // timesyncd sees the step as we do and may undo it first: while it is stopped, the step is ours to undo.
    guest.sh("systemctl kill --signal=STOP systemd-timesyncd && date -u -s '1 hour ago'")?;
    let proven = until("a later epoch is proven", Duration::from_secs(60), || {
        let now = gate::read(guest)?;
        Ok((now.epoch > before.epoch && now.is_proven()).then_some(()))
    });
    guest.sh("systemctl kill --signal=CONT systemd-timesyncd")?;
    proven?;
    // It measures by itself; what it says then is that all is well.
    until("timesyncd has synchronised again", Duration::from_secs(20), || {
        Ok((guest.sh("timedatectl show -p NTPSynchronized --value")? == "yes").then_some(()))
    })?;
    let off = guest.offset()?;
    let log = gate::log(guest)?;
    night::over(guest)?;
    ensure(off.abs() < Duration::from_millis(200), format!("off by {off}"))?;
    ensure(log.contains(&world.truth.address().to_string()), format!("its server was not asked:\n{log}"))
}

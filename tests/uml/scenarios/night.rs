//! What several scenarios do to a guest: give it a time daemon, let it wake up wrong.

use std::time::Duration;

use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, until};

/// Starts chronyd as Debian sets it up, on the true time, polling every second; returns when its three updates that
/// may step (`makestep 1 3`) are used up.
pub fn chronyd(guest: &Guest, world: &World) -> Outcome {
    chronyd_that_hears(guest, &format!("server {} iburst minpoll 0 maxpoll 0\n", world.truth.address()), 6)
}

/// Starts chronyd on other sources; returns when it has heard `answers` of theirs.
pub fn chronyd_that_hears(guest: &Guest, sources: &str, answers: u32) -> Outcome {
    guest.put("/etc/chrony/chrony.conf", &format!("{sources}driftfile /run/chrony.drift\nmakestep 1 3\nrtcsync\n"))?;
    guest.sh("systemctl stop systemd-timesyncd; systemctl restart chrony")?;
    until("chronyd has heard enough", Duration::from_secs(20), || {
        let data = guest.sh("chronyc ntpdata | awk -F: '/Total valid RX/ { n += $2 } END { print n + 0 }'")?;
        Ok((data.parse::<u32>()? >= answers).then_some(()))
    })
}

/// From now on every sleep ends an hour behind, as on a host whose hypervisor slept: the clock is set back last of all.
pub fn stale_sleeps(guest: &Guest) -> Outcome {
    guest.put_program(
        "/lib/systemd/system-sleep/zz-stale",
        "#!/bin/sh\nif [ \"$1\" = pre ]; then sleep 0.2; date -u -s '1 hour ago'; fi\n",
    )
}

/// Puts everything back: the right time, no daemon, none of our hooks, and nothing known of a clock that was wrong.
pub fn over(guest: &Guest) -> Outcome {
    guest.sh("rm -f /lib/systemd/system-sleep/zz-*; systemctl stop clockgate chrony systemd-timesyncd
         systemctl reset-failed; rm -rf /var/lib/clockgate/* /run/clockgate/proof.json")?;
    guest.set_right()
}

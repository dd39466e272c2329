//! The package on Debian 13 with its usual time daemon, by apt: an installation, upgrades beside a container, and a purge.

use std::time::Duration;

use super::packed::{LONG, debs, files, installed, nothing_left};
use super::upgrades::Beside;
use super::{Listed, sleep};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, folder, laboratory, podman, until};

pub const SCENARIOS: &[Listed] =
    &[("trixie::apt_alone_gates_a_sleep_upgrades_freeze_nothing_and_a_purge_leaves_nothing", by_apt)];

/// Below the laboratory's folder.
const TIMESYNCD: &str = "daemons/timesyncd-13";
/// There is no mirror to fetch a recommended package from.
const APT: &str = "DEBIAN_FRONTEND=noninteractive apt-get -y --no-install-recommends";

fn by_apt(guest: &Guest, world: &World) -> Outcome {
    let [first, second] = debs(guest, world, "clockgate")?;
    podman::ready(guest)?;
    timesyncd(guest, world)?;
    let before = files(guest)?;
    let debian = guest.sh("cat /etc/debian_version")?;
    ensure(debian.starts_with("13"), format!("this is a Debian {debian}"))?;

    guest.sh_within(&format!("{APT} install {first}"), LONG)?;
    sleep::stale_sleep_lets_nothing_through(guest, &installed(guest)?)?;

    let beside = Beside::start(guest)?;
    beside.upgraded(&[&second, &first, &second].map(|deb| format!("{APT} --allow-downgrades install {deb}")))?;
    beside.end()?;

    guest.sh_within(&format!("{APT} purge clockgate"), LONG)?;
    nothing_left(guest, &before)
}

/// Debian's default daemon, which this root lacks, as its package starts it.
fn timesyncd(guest: &Guest, world: &World) -> Outcome {
    if let Some(missing) = laboratory::missing(&[TIMESYNCD]) {
        return fail(missing);
    }
    let tree = std::fs::canonicalize(folder().join(TIMESYNCD).join("tree"))?;
    guest.put("/etc/systemd/timesyncd.conf.d/lab.conf", &format!("[Time]\nNTP={}\n", world.truth.address()))?;
    guest.sh_within(
        &format!(
            "set -e
             mkdir -p /run/laid/timesyncd
             mount -t hostfs -o {} none /run/laid/timesyncd
             tar -C /run/laid/timesyncd -c . | tar -C / --no-overwrite-dir -x
             systemd-sysusers systemd-timesync.conf
             systemctl daemon-reload
             systemctl reload dbus
             systemctl start systemd-timesyncd",
            tree.display()
        ),
        LONG,
    )?;
    until("timesyncd has synchronised", Duration::from_secs(60), || {
        Ok((guest.sh("timedatectl show -P NTPSynchronized")? == "yes").then_some(()))
    })
}

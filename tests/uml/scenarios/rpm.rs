//! The rpm, by rpm 4.18 with a database of its own, whose scripts find a systemd that runs: an installation, an upgrade, an erasure. It is
//! a Debian: no dnf, and no SELinux.

use super::packed::{LONG, files, installed, nothing_left, rpms};
use super::upgrades::Beside;
use super::{Listed, night, sleep};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, podman};

pub const SCENARIOS: &[Listed] =
    &[("rpm::an_installation_gates_a_sleep_an_upgrade_keeps_the_agent_and_an_erasure_leaves_nothing", by_rpm)];

/// Debian's asks for the word, since its packages are others.
const RPM: &str = "rpm --force-debian --dbpath /var/lib/rpm";

fn by_rpm(guest: &Guest, world: &World) -> Outcome {
    let [first, second] = rpms(guest, world)?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    // What the package `filesystem` has where rpm is at home.
    guest.sh(
        "cd /usr/share && mkdir -p dbus-1/interfaces fish/vendor_completions.d man/man1 man/man7 zsh/site-functions",
    )?;
    let before = files(guest)?;

    // Its database is empty: nothing there provides the /bin/sh of the scripts.
    guest.sh_within(&format!("{RPM} --nodeps -i {first}"), LONG)?;
    let installed = installed(guest)?;
    guest.sh("test $(readlink /usr/lib/clockgate/clockgate-runc) = clockgate-oci")?;
    let verified = guest.run_within(&format!("{RPM} --verify --nodeps clockgate"), LONG)?;
    ensure(verified.code == 0, format!("changed since rpm laid it: {}{}", verified.out, verified.err))?;
    sleep::stale_sleep_lets_nothing_through(guest, &installed)?;

    let beside = Beside::start(guest)?;
    beside.upgraded(&[&second, &first, &second].map(|rpm| format!("{RPM} --nodeps -U --oldpackage {rpm}")))?;
    beside.end()?;
    guest.sh("test -e /usr/lib/clockgate/clockgate-runc")?;

    // Where a container needs the wrapper, it stays.
    let bundle = "/run/containerd/io.containerd.runtime.v2.task/moby/0123456789abcdef0123";
    guest.put(&format!("{bundle}/runtime"), "/usr/lib/clockgate/clockgate-crun")?;
    let refused = guest.run_within(&format!("{RPM} -e clockgate"), LONG)?;
    let is_named = refused.err.contains("only clockgate-oci can stop: 0123456789ab");
    ensure(refused.code != 0 && is_named, format!("ended with {}: {}", refused.code, refused.err))?;
    guest.sh("test -x /usr/lib/clockgate/clockgate-crun && systemctl is-active --quiet clockgate")?;

    // What you wrote is yours.
    guest.sh_within(&format!("rm -r /run/containerd; {RPM} -e clockgate"), LONG)?;
    guest.sh("rm -r /etc/clockgate")?;
    nothing_left(guest, &before)?;
    let known = guest.sh(&format!("{RPM} -qa"))?;
    ensure(known.is_empty(), known)?;
    guest.sh("systemctl stop chrony; systemctl reset-failed")?;
    guest.set_right()
}

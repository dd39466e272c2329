//! The package for Debian, on a Debian that has never heard of clockgate, where AppArmor enforces: `dpkg -i` and nothing else, an upgrade,
//! and a purge.

use super::packed::{LONG, TARBALL, debs, files, installed, nothing_left};
use super::upgrades::{Beside, Upgrades, agent};
use super::{Listed, confined, gate, night, sleep};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, podman};

pub const SCENARIOS: &[Listed] = &[
    ("packaged::dpkg_alone_gates_a_sleep_and_a_purge_leaves_nothing", by_dpkg),
    ("packaged::an_upgrade_goes_on_in_the_agents_place_and_freezes_nothing", upgraded),
    ("packaged::units_that_are_masked_or_diverted_and_a_wrong_configuration_stop_no_package_manager", administered),
    ("packaged::a_container_that_needs_the_wrapper_keeps_the_package_or_gets_its_engines_own_runtime", held),
    ("packaged::the_installer_of_examples_kubernetes_installs_upgrades_and_uninstalls_on_the_node", by_a_pod),
];

fn by_dpkg(guest: &Guest, world: &World) -> Outcome {
    let [deb, _] = debs(guest, world, "clockgate")?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    let before = files(guest)?;

    guest.sh_within(&format!("dpkg -i {deb}"), LONG)?;
    let installed = installed(guest)?;
    let confinement = confined::confinement(guest)?;
    ensure(confinement == confined::ENFORCED, confinement)?;
    sleep::stale_sleep_lets_nothing_through(guest, &installed)?;

    guest.sh_within("dpkg --purge clockgate", LONG)?;
    nothing_left(guest, &before)?;
    guest.sh("! grep clockgate /sys/kernel/security/apparmor/profiles")?;
    confined::nothing_denied(guest, "")?;
    guest.sh("systemctl stop chrony; systemctl reset-failed")?;
    guest.set_right()
}

/// A container runs and one more waiter asks again and again, while the package is upgraded three times; and once more beside a unit that
/// its administrator has changed, which takes a restart.
fn upgraded(guest: &Guest, world: &World) -> Outcome {
    let debs = debs(guest, world, "clockgate")?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    guest.sh_within(&format!("dpkg -i {}", debs[0]), LONG)?;
    let beside = Beside::start(guest)?;
    let upgrade = |deb: &String| format!("dpkg -i --force-downgrade {deb}");
    beside.upgraded(&[&debs[1], &debs[0], &debs[1]].map(upgrade))?;

    guest.put("/etc/systemd/system/clockgate.service.d/ours.conf", "[Service]\nEnvironment=OURS=yes\n")?;
    let (begun, old) = (guest.clocks()?.boottime, agent(guest)?);
    guest.sh_within(&upgrade(&debs[0]), LONG)?;
    ensure(gate::read(guest)?.is_proven(), "dpkg returned at a gate that is not open")?;
    let new = agent(guest)?;
    let environment = guest.sh(&format!("tr '\\0' '\\n' </proc/{new}/environ"))?;
    ensure(new != old && environment.contains("OURS=yes"), "the agent runs by the unit of before")?;
    guest.sh("rm -r /etc/systemd/system/clockgate.service.d")?;
    let restarted = Upgrades::since(guest, begun)?;
    println!("packaged: the gate was shut for {:?} by a restart of the unit", restarted.shut);
    ensure(restarted.frozen.is_empty(), format!("something was frozen: {:?}", restarted.frozen))?;
    beside.end()?;
    confined::nothing_denied(guest, "")?;
    guest.sh_within("dpkg --purge clockgate; systemctl stop chrony; systemctl reset-failed", LONG).map(drop)
}

/// What an administrator has done to the units, and a removal that dpkg gives up.
fn administered(guest: &Guest, world: &World) -> Outcome {
    let [first, second] = debs(guest, world, "clockgate")?;
    night::chronyd(guest, world)?;
    let before = files(guest)?;
    guest.put("/etc/clockgate/config.yaml", "treshold: 5s\n")?;
    let wrong = guest.run_within(&format!("dpkg -i {first}"), LONG)?;
    let says_so = wrong.err.contains("The agent did not start: `journalctl -u clockgate` says why");
    ensure(wrong.code == 0 && says_so, format!("ended with {}: {}", wrong.code, wrong.err))?;
    guest.sh("rm -r /etc/clockgate; systemctl reset-failed clockgate; systemctl start clockgate")?;
    gate::proven(guest)?;

    let old = agent(guest)?;
    rival(guest)?;
    let given_up = guest.run_within("dpkg -i /run/rival.deb", LONG)?;
    ensure(given_up.code != 0, "the rival was installed")?;
    gate::proven(guest)?;
    ensure(agent(guest)? != old, format!("the agent was not stopped for the rival: {}", given_up.err))?;

    // `deb-systemd-invoke` asks this, and starts nothing.
    guest.put_program("/usr/sbin/policy-rc.d", "#!/bin/sh\nexit 101\n")?;
    let kept = agent(guest)?;
    guest.sh_within(&format!("dpkg -i {second}"), LONG)?;
    ensure(agent(guest)? == kept, "policy-rc.d forbids it, and the agent was started anew")?;
    guest.sh("rm /usr/sbin/policy-rc.d; systemctl --quiet mask --now clockgate")?;
    guest.sh_within(&format!("dpkg -i --force-downgrade {first}"), LONG)?;
    ensure(agent(guest)? == "0", "its unit is masked, and the agent runs")?;
    let unit = "/usr/lib/systemd/system/clockgate-nri.service";
    guest.sh(&format!("dpkg-divert --quiet --local --rename --add {unit}"))?;
    guest.sh_within(&format!("dpkg -i {second}; dpkg --purge clockgate"), LONG)?;
    guest.sh(&format!("systemctl --quiet unmask clockgate; dpkg-divert --quiet --local --remove {unit}"))?;
    nothing_left(guest, &before)?;
    guest.sh("systemctl stop chrony; systemctl reset-failed").map(drop)
}

/// A package that replaces ours, and cannot be installed when ours is about to go.
fn rival(guest: &Guest) -> Outcome {
    let control = "Package: rival\nVersion: 1\nArchitecture: all\nMaintainer: nobody <nobody@localhost>\n\
         Conflicts: clockgate\nReplaces: clockgate\nDescription: a rival\n";
    guest.put("/run/rival/DEBIAN/control", control)?;
    guest.put_program("/run/rival/DEBIAN/preinst", "#!/bin/sh\nexit 1\n")?;
    guest.sh("dpkg-deb --build /run/rival /run/rival.deb").map(drop)
}

/// What containerd's shim keeps is all that says of a container that it needs the wrapper: here it is written by us.
fn held(guest: &Guest, world: &World) -> Outcome {
    let [deb, _] = debs(guest, world, "clockgate")?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    guest.sh_within(&format!("dpkg -i {deb}"), LONG)?;
    guest.sh("clockgate hooks install podman")?;
    let bundle = "/run/containerd/io.containerd.runtime.v2.task/moby/0123456789abcdef0123";
    guest.put(&format!("{bundle}/runtime"), "/usr/lib/clockgate/clockgate-crun")?;

    let refused = guest.run_within("dpkg --purge clockgate", LONG)?;
    ensure(refused.code != 0, "it went while a container needs it")?;
    for said in
        ["only clockgate-oci can stop: 0123456789ab", "restart these containers", "touch /run/clockgate/force-remove"]
    {
        ensure(refused.err.contains(said), format!("not said, {said:?}: {}", refused.err))?;
    }
    guest.sh("test -x /usr/lib/clockgate/clockgate-crun && systemctl is-active --quiet clockgate")?;
    let hooks = guest.sh("ls /etc/containers/containers.conf.d 2>/dev/null || true")?;
    ensure(!hooks.contains("clockgate"), format!("a hook is left: {hooks}"))?;

    guest.sh_within("touch /run/clockgate/force-remove; dpkg --purge clockgate", LONG)?;
    let link = guest.sh("readlink -f /usr/lib/clockgate/clockgate-crun; ls /usr/lib/clockgate")?;
    ensure(link == "/usr/bin/crun\nclockgate-crun", link)?;
    guest.sh("/usr/lib/clockgate/clockgate-crun --version >/dev/null")?;
    // It is a link that a package lays its own over.
    guest.sh_within(&format!("rm -r {bundle}; dpkg -i {deb}"), LONG)?;
    let link = guest.sh("readlink -f /usr/lib/clockgate/clockgate-crun")?;
    ensure(link == "/usr/lib/clockgate/clockgate-oci", link)?;
    guest.sh_within("dpkg --purge clockgate; systemctl stop chrony", LONG)?;
    guest.sh("test ! -e /usr/lib/clockgate").map(drop)
}

/// A pod's part of it is a folder of the node's, and namespaces that nsenter leaves.
fn by_a_pod(guest: &Guest, world: &World) -> Outcome {
    debs(guest, world, "clockgate")?;
    night::chronyd(guest, world)?;
    guest
        .put_program("/run/install-on-node", include_str!("../../../examples/kubernetes/installer/install-on-node"))?;
    let pod = |argument: &str| {
        let pod = "NODE=/opt/clockgate unshare --mount --uts --ipc --net /run/install-on-node";
        guest.sh_within(&format!("TARBALL={TARBALL} {pod} {argument}"), LONG)
    };
    let before = files(guest)?;
    guest.sh("mkdir -p /opt/clockgate")?;
    let mut agents = vec![];
    // The second finds the same release, the third another one.
    for before in ["true", "true", "echo >>/opt/clockgate/installed.tar.gz"] {
        guest.sh(before)?;
        pod("install")?;
        gate::proven(guest)?;
        agents.push(guest.sh("systemctl show -P MainPID clockgate")?);
        guest.sh("systemctl is-enabled --quiet clockgate && systemctl is-active --quiet clockgate-nri")?;
        let listed = guest.sh("clockgate hooks list")?;
        let is_there = listed.lines().any(|line| line.starts_with("nri ") && line.contains(" installed "));
        ensure(is_there, listed)?;
    }
    ensure(agents[0] == agents[1] && agents[1] != agents[2], format!("{agents:?}"))?;
    pod("uninstall")?;
    guest.sh("rmdir /opt/clockgate")?;
    nothing_left(guest, &before)?;
    guest.sh("systemctl stop chrony; systemctl reset-failed").map(drop)
}

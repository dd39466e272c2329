//! The package for Debian, on a Debian that has never heard of clockgate, where AppArmor enforces: `dpkg -i` and nothing else, an upgrade,
//! and a purge.

use super::packed::{LONG, TARBALL, Upgrades, debs, files, goal, nothing_left};
use super::{Listed, confined, gate, night, sleep};
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, podman};

pub const SCENARIOS: &[Listed] = &[
    ("packaged::dpkg_alone_gates_a_sleep_and_a_purge_leaves_nothing", by_dpkg),
    ("packaged::an_upgrade_goes_on_in_the_agents_place_and_freezes_nothing", upgraded),
    ("packaged::a_container_that_needs_the_wrapper_keeps_the_package_or_gets_its_engines_own_runtime", held),
    ("packaged::the_installer_of_examples_kubernetes_installs_upgrades_and_uninstalls_on_the_node", by_a_pod),
];

fn by_dpkg(guest: &Guest, world: &World) -> Outcome {
    let [deb, _] = debs(guest, world, "clockgate")?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    let before = files(guest)?;

    guest.sh_within(&format!("dpkg -i {deb}"), LONG)?;
    let installed = gate::read(guest)?;
    ensure(installed.is_proven(), format!("dpkg returned, and the gate is {installed:?}"))?;
    guest.sh("systemctl is-enabled --quiet clockgate && test $(stat -c %G /run/clockgate/bus) = clockgate")?;
    guest.sh("busctl status org.clockgate.Agent1 >/dev/null && journalctl --list-catalog | grep -q clockgate")?;

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
    guest.put("/etc/clockgate/config.d/ours.yaml", "threshold: 150ms\n")?;
    let works = Work::contained(guest, 1)?;
    let waiter = Work::behind_the_gate(guest, "waiter")?;
    let begun = guest.clocks()?.boottime;
    let main = || guest.sh("systemctl show -P MainPID clockgate");
    let old = main()?;
    for deb in [&debs[1], &debs[0], &debs[1]] {
        guest.sh_within(&format!("dpkg -i --force-downgrade {deb}"), LONG)?;
        ensure(gate::read(guest)?.is_proven(), "dpkg returned at a gate that is not open")?;
        let program = guest.sh(&format!("readlink /proc/{old}/exe"))?;
        ensure(program == "/usr/bin/clockgate" && main()? == old, format!("{program} runs as {old}, {}", main()?))?;
    }
    let config = guest.sh("cat /etc/clockgate/config.d/ours.yaml")?;
    ensure(config == "threshold: 150ms", config)?;
    let upgrades = Upgrades::since(guest, begun)?;
    println!(
        "packaged: the gate was shut for {:?} by three upgrades, of which the walks took {:?}",
        upgrades.shut, upgrades.walks
    );
    ensure(upgrades.shut.len() == 3 && upgrades.shut[1] < 10 * goal(upgrades.walks[1]), format!("{upgrades:?}"))?;

    guest.put("/etc/systemd/system/clockgate.service.d/ours.conf", "[Service]\nEnvironment=OURS=yes\n")?;
    let begun_again = guest.clocks()?.boottime;
    guest.sh_within(&format!("dpkg -i --force-downgrade {}", debs[0]), LONG)?;
    ensure(gate::read(guest)?.is_proven(), "dpkg returned at a gate that is not open")?;
    let new = main()?;
    let environment = guest.sh(&format!("tr '\\0' '\\n' </proc/{new}/environ"))?;
    ensure(new != old && environment.contains("OURS=yes"), "the agent runs by the unit of before")?;
    guest.sh("rm -r /etc/systemd/system/clockgate.service.d")?;
    let restarted = Upgrades::since(guest, begun_again)?;
    println!("packaged: the gate was shut for {:?} by a restart of the unit", restarted.shut);

    let frozen = [upgrades.frozen, restarted.frozen].concat();
    ensure(frozen.is_empty(), format!("something was frozen: {frozen:?}"))?;
    // The waiter went on by the new program, the container all the time.
    let now = clockgate::decision::Boottime::from_nanos(guest.clocks()?.boottime);
    waiter.first_after(guest, now)?;
    for stamp in waiter.end(guest)? {
        ensure(stamp.off.abs() < sleep::THRESHOLD, format!("the waiter ran off by {}", stamp.off))?;
    }
    for work in &works {
        work.first_after(guest, now)?;
    }
    podman::end(guest)?;
    confined::nothing_denied(guest, "")?;
    guest.sh_within("dpkg --purge clockgate; systemctl stop chrony; systemctl reset-failed", LONG).map(drop)
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

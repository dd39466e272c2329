//! The package for Debian, on a Debian that has never heard of clockgate, where AppArmor enforces: `dpkg -i` and nothing else, an upgrade,
//! and a purge.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Listed, confined, gate, night, sleep};
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, podman};
use crate::support::{CLOCKGATE, packages, small};

pub const SCENARIOS: &[Listed] = &[
    ("packaged::dpkg_alone_gates_a_sleep_and_a_purge_leaves_nothing", by_dpkg),
    ("packaged::an_upgrade_goes_on_in_the_agents_place_and_freezes_nothing", upgraded),
    ("packaged::a_container_that_needs_the_wrapper_keeps_the_package_or_gets_its_engines_own_runtime", held),
    ("packaged::the_installer_of_examples_kubernetes_installs_upgrades_and_uninstalls_on_the_node", by_a_pod),
];

const TARBALL: &str = concat!("clockgate-", env!("CARGO_PKG_VERSION"), "-x86_64-linux.tar.gz");
const LONG: Duration = Duration::from_secs(120);

/// What is dpkg's, the kernel's, and of those who run; of what others keep in /var, our names are looked for.
const NOT_OURS: &[&str] = &[
    "-path /proc",
    "-path /sys",
    "-path /dev",
    "-path /tmp",
    "-path /mnt",
    "-path /run",
    "-path /root",
    "-path /var/log",
    "-path /var/lib/dpkg",
    "-path /var/lib/containers",
    "-path /var/lib/chrony",
    "-path /var/lib/systemd/timesync",
    // What the tools for groups keep of the file before.
    "-path /etc/group-",
    "-path /etc/gshadow-",
    "-path /etc/.pwd.lock",
];

fn by_dpkg(guest: &Guest, world: &World) -> Outcome {
    let [deb, _] = packed(guest, world)?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    // Nobody's agent but the laboratory's has this.
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d")?;
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
    let after = files(guest)?;
    let [before, after] = [&before, &after].map(|files| files.lines().collect::<BTreeSet<_>>());
    let (left, gone): (Vec<_>, Vec<_>) = (after.difference(&before).collect(), before.difference(&after).collect());
    ensure(left.is_empty() && gone.is_empty(), format!("left: {left:?}; gone: {gone:?}"))?;
    let named = guest
        .sh("find /run /var /etc /usr -xdev -name '*clockgate*' -not -path '/run/packed*' -not -path '/run/usr*'")?;
    ensure(named.is_empty(), format!("left: {named}"))?;
    let units = guest.sh("systemctl list-units --all --no-legend 'clockgate*'; getent group clockgate || true")?;
    ensure(units.is_empty(), format!("left: {units}"))?;
    guest.sh("! grep clockgate /sys/kernel/security/apparmor/profiles")?;
    confined::nothing_denied(guest, "")?;
    guest.sh("systemctl stop chrony; systemctl reset-failed")?;
    guest.set_right()
}

/// A container runs and one more waiter asks again and again, while the package is upgraded three times; and once more beside a unit that
/// its administrator has changed, which takes a restart.
fn upgraded(guest: &Guest, world: &World) -> Outcome {
    let debs = packed(guest, world)?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    // Nobody's agent but the laboratory's has this.
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d")?;
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

/// For how long an upgrade is to shut the gate, by how long a proof takes there.
fn goal(walk: Duration) -> Duration {
    2 * walk + Duration::from_millis(200)
}

/// What the history has of upgrades; times in order.
#[derive(Debug)]
struct Upgrades {
    /// From the old agent's end to the new one's proof.
    shut: Vec<Duration>,
    /// Of that, from the new agent's first question on.
    walks: Vec<Duration>,
    frozen: Vec<u64>,
}

impl Upgrades {
    fn since(guest: &Guest, begun: u64) -> Outcome<Self> {
        let records: Value = serde_json::from_str(&guest.sh("clockgate history --json")?)?;
        let records = records["records"].as_array().cloned().unwrap_or_default();
        let at = |event: &str| -> Vec<u64> {
            let times = records.iter().filter(|record| record["event"] == event);
            times.filter_map(|record| record["boottime_ns"].as_u64()).filter(|at| *at >= begun).collect()
        };
        let (ended, began, opened) = (at("ended"), at("gate-shut"), at("gate-open"));
        let as_many = ended.len() == opened.len() && began.len() == opened.len();
        ensure(as_many, format!("ended {ended:?}, began {began:?}, opened {opened:?}: {records:#?}"))?;
        let between = |from: &[u64]| {
            let mut times: Vec<Duration> =
                from.iter().zip(&opened).map(|(from, to)| Duration::from_nanos(to.saturating_sub(*from))).collect();
            times.sort_unstable();
            times
        };
        Ok(Self {
            shut: between(&ended),
            walks: between(&began),
            frozen: [at("frozen"), at("frozen-in-part")].concat(),
        })
    }
}

/// What containerd's shim keeps is all that says of a container that it needs the wrapper: here it is written by us.
fn held(guest: &Guest, world: &World) -> Outcome {
    let [deb, _] = packed(guest, world)?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d")?;
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
    packed(guest, world)?;
    night::chronyd(guest, world)?;
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d; mkdir -p /opt/clockgate")?;
    guest
        .put_program("/run/install-on-node", include_str!("../../../examples/kubernetes/installer/install-on-node"))?;
    let pod = |argument: &str| {
        let pod = "NODE=/opt/clockgate unshare --mount --uts --ipc --net /run/install-on-node";
        guest.sh_within(&format!("TARBALL=/run/packed/{TARBALL} {pod} {argument}"), LONG)
    };
    let before = files(guest)?;
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
    let after = files(guest)?;
    let [before, after] = [&before, &after].map(|files| files.lines().collect::<BTreeSet<_>>());
    let (left, gone): (Vec<_>, Vec<_>) = (after.difference(&before).collect(), before.difference(&after).collect());
    ensure(left.is_empty() && gone.is_empty(), format!("left: {left:?}; gone: {gone:?}"))?;
    let units = guest.sh("systemctl list-units --all --no-legend 'clockgate*'")?;
    ensure(units.is_empty(), format!("left: {units}"))?;
    guest.sh("rmdir /opt/clockgate; systemctl stop chrony; systemctl reset-failed").map(drop)
}

/// Two revisions of the package of this program, as the guest sees them.
fn packed(guest: &Guest, world: &World) -> Outcome<[String; 2]> {
    let folder = std::fs::canonicalize(world.run())?.join("packed");
    if !folder.exists() {
        if let Some(missing) = packages::missing() {
            return crate::lab::fail(missing);
        }
        pack(&folder)?;
        guest.sh(&format!("mkdir -p /run/packed; mount -t hostfs -o {} none /run/packed", folder.display()))?;
    }
    Ok([1, 2].map(|revision| format!("/run/packed/clockgate_{}-{revision}_amd64.deb", env!("CARGO_PKG_VERSION"))))
}

fn pack(folder: &Path) -> Outcome {
    let mut programs = small::build(&[])?;
    programs.extend(
        [CLOCKGATE, env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")].map(PathBuf::from),
    );
    let binary = packages::strip(&programs, &folder.join("programs"))?;
    let source = folder.join("source");
    packages::copy_source(&source)?;
    for (revision, goals) in [("1", &["deb", "tarball"][..]), ("2", &["deb"])] {
        let variables = [("BINARY", &*binary.to_string_lossy()), ("REVISION", revision), ("FAST", "yes")];
        let name = format!("clockgate_{}-{revision}_amd64.deb", env!("CARGO_PKG_VERSION"));
        let dist = packages::make(&source, &variables, goals)?;
        std::fs::rename(dist.join(&name), folder.join(&name))?;
    }
    std::fs::rename(source.join("target/dist").join(TARBALL), folder.join(TARBALL))?;
    Ok(())
}

/// Path, owner, mode and content of everything in the file system, but for what others write meanwhile.
fn files(guest: &Guest) -> Outcome<String> {
    let rest = format!("find / \\( {} \\) -prune -o", NOT_OURS.join(" -o "));
    guest.sh_within(&format!("{rest} -printf '%p %u:%g %m %l\\n'; {rest} -type f -exec sha256sum {{}} +"), LONG)
}

//! The package for Debian, on a Debian that has never heard of clockgate: `dpkg -i` and nothing else, an upgrade, and a purge.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use serde_json::Value;

use super::{Listed, gate, night, sleep};
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, podman};
use crate::support::{CLOCKGATE, packages, small};

pub const SCENARIOS: &[Listed] = &[
    ("packaged::dpkg_alone_gates_a_sleep_an_upgrade_freezes_nothing_and_a_purge_leaves_nothing", by_dpkg),
    ("packaged::a_container_that_needs_the_wrapper_keeps_the_package_or_gets_its_engines_own_runtime", held),
];

const LONG: Duration = Duration::from_secs(120);
/// Far more than an upgrade takes, whose time is printed: most of it is systemd's, which starts three programs in sandboxes.
const SHUT_AT_MOST: Duration = Duration::from_secs(30);

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
    let [first, second] = packed(guest, world)?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    // Nobody's agent but the laboratory's has this.
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d")?;
    let before = files(guest)?;

    guest.sh_within(&format!("dpkg -i {first}"), LONG)?;
    let installed = gate::read(guest)?;
    ensure(installed.is_proven(), format!("dpkg returned, and the gate is {installed:?}"))?;
    guest.sh("systemctl is-enabled --quiet clockgate && test $(stat -c %G /run/clockgate/bus) = clockgate")?;
    guest.sh("busctl status org.clockgate.Agent1 >/dev/null && journalctl --list-catalog | grep -q clockgate")?;

    sleep::stale_sleep_lets_nothing_through(guest, &installed)?;

    upgraded(guest, [&first, &second])?;

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
    guest.sh("systemctl stop chrony; systemctl reset-failed")?;
    guest.set_right()
}

/// A container runs and one more waiter asks again and again, while the package is upgraded three times.
fn upgraded(guest: &Guest, debs: [&str; 2]) -> Outcome {
    guest.put("/etc/clockgate/config.d/ours.yaml", "threshold: 150ms\n")?;
    let works = Work::contained(guest, 1)?;
    let waiter = Work::behind_the_gate(guest, "waiter")?;
    let begun = guest.clocks()?.boottime;
    for deb in [debs[1], debs[0], debs[1]] {
        let old = guest.sh("systemctl show -P MainPID clockgate")?;
        guest.sh_within(&format!("dpkg -i --force-downgrade {deb}"), LONG)?;
        ensure(gate::read(guest)?.is_proven(), "dpkg returned at a gate that is not open")?;
        ensure(guest.sh("systemctl show -P MainPID clockgate")? != old, "the old agent goes on")?;
    }
    let config = guest.sh("cat /etc/clockgate/config.d/ours.yaml")?;
    ensure(config == "threshold: 150ms", config)?;
    let records: Value = serde_json::from_str(&guest.sh("clockgate history --json")?)?;
    let records = records["records"].as_array().cloned().unwrap_or_default();
    let since = |record: &&Value| record["boottime_ns"].as_u64() >= Some(begun);
    let at = |event: &str| -> Vec<u64> {
        let named = records.iter().filter(since).filter(|record| record["event"] == event);
        named.filter_map(|record| record["boottime_ns"].as_u64()).collect()
    };
    let (ended, opened) = (at("ended"), at("gate-open"));
    ensure(ended.len() == 3 && opened.len() == 3, format!("ended {ended:?}, opened {opened:?}: {records:#?}"))?;
    let mut shut: Vec<Duration> =
        ended.iter().zip(&opened).map(|(ended, opened)| Duration::from_nanos(opened.saturating_sub(*ended))).collect();
    shut.sort_unstable();
    println!("packaged: the gate was shut for {shut:?} by three upgrades");
    ensure(shut[1] < SHUT_AT_MOST, format!("shut for {shut:?}"))?;
    let frozen = [at("frozen"), at("frozen-in-part")].concat();
    ensure(frozen.is_empty(), format!("something was frozen: {records:#?}"))?;
    // The waiter went on by the new program, the container all the time.
    let now = clockgate::decision::Boottime::from_nanos(guest.clocks()?.boottime);
    waiter.first_after(guest, now)?;
    for stamp in waiter.end(guest)? {
        ensure(stamp.off.abs() < sleep::THRESHOLD, format!("the waiter ran off by {}", stamp.off))?;
    }
    for work in &works {
        work.first_after(guest, now)?;
    }
    podman::end(guest)
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
    for revision in ["1", "2"] {
        let variables = [("BINARY", &*binary.to_string_lossy()), ("REVISION", revision), ("FAST", "yes")];
        let name = format!("clockgate_{}-{revision}_amd64.deb", env!("CARGO_PKG_VERSION"));
        let dist = packages::make(&source, &variables, &["deb"])?;
        std::fs::rename(dist.join(&name), folder.join(&name))?;
    }
    Ok(())
}

/// Path, owner, mode and content of everything in the file system, but for what others write meanwhile.
fn files(guest: &Guest) -> Outcome<String> {
    let rest = format!("find / \\( {} \\) -prune -o", NOT_OURS.join(" -o "));
    guest.sh_within(&format!("{rest} -printf '%p %u:%g %m %l\\n'; {rest} -type f -exec sha256sum {{}} +"), LONG)
}

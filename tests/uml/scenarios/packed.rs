//! Packages of the program under test in a guest, and what scenarios ask of them: what an upgrade did to the gate, and whether all of it
//! is gone.

use std::collections::BTreeSet;
use std::path::PathBuf;
use std::time::Duration;

use serde_json::Value;

use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail};
use crate::support::{CLOCKGATE, packages, small};

pub const LONG: Duration = Duration::from_secs(300);
pub const TARBALL: &str = concat!("/run/packed/clockgate-", env!("CARGO_PKG_VERSION"), "-x86_64-linux.tar.gz");

/// What is the package managers', the kernel's, and of those who run; of what others keep in /var, our names are looked for.
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
    "-path /var/lib/rpm",
    "-path /var/lib/containers",
    "-path /var/lib/chrony",
    "-path /var/lib/systemd/timesync",
    // What the tools for groups keep of the file before.
    "-path /etc/group-",
    "-path /etc/gshadow-",
    "-path /etc/.pwd.lock",
];

/// Debs of a package in two revisions, where the guest has them; the tarball is beside them.
pub fn debs(guest: &Guest, world: &World, package: &str) -> Outcome<[String; 2]> {
    lay(guest, world, &[("1", &["deb", "kubernetes", "tarball"]), ("2", &["deb", "kubernetes"])])?;
    Ok([1, 2].map(|revision| format!("/run/packed/{package}_{}-{revision}_amd64.deb", env!("CARGO_PKG_VERSION"))))
}

/// The same of the rpm.
pub fn rpms(guest: &Guest, world: &World) -> Outcome<[String; 2]> {
    lay(guest, world, &[("1", &["rpm"]), ("2", &["rpm"])])?;
    Ok([1, 2].map(|revision| format!("/run/packed/clockgate-{}-{revision}.x86_64.rpm", env!("CARGO_PKG_VERSION"))))
}

/// Makes revisions of packages, once for each guest, and takes from it what only the laboratory's agents have.
fn lay(guest: &Guest, world: &World, revisions: &[(&str, &[&str])]) -> Outcome {
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d")?;
    let folder = std::fs::canonicalize(world.run())?.join("packed");
    if folder.exists() {
        return Ok(());
    }
    if let Some(missing) = packages::missing() {
        return fail(missing);
    }
    let mut programs = small::build(&[])?;
    programs.extend(small::build_of("clockgate-kubernetes", &[])?);
    programs.extend(
        [CLOCKGATE, env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")].map(PathBuf::from),
    );
    let binary = packages::strip(&programs, &folder.join("programs"))?;
    let source = folder.join("source");
    packages::copy_source(&source)?;
    for (revision, goals) in revisions {
        let variables = [("BINARY", &*binary.to_string_lossy()), ("REVISION", *revision), ("FAST", "yes")];
        packages::make(&source, &variables, goals)?;
    }
    let dist = source.join("target/dist");
    guest.sh(&format!("mkdir -p /run/packed; mount -t hostfs -o {} none /run/packed", dist.display())).map(drop)
}

/// Path, owner, mode and content of everything in the file system, but for what others write meanwhile.
pub fn files(guest: &Guest) -> Outcome<String> {
    let rest = format!("find / \\( {} \\) -prune -o", NOT_OURS.join(" -o "));
    guest.sh_within(&format!("{rest} -printf '%p %u:%g %m %l\\n'; {rest} -type f -exec sha256sum {{}} +"), LONG)
}

/// Everything is as it was `before`, by [`files`], and nothing of ours is anywhere else.
pub fn nothing_left(guest: &Guest, before: &str) -> Outcome {
    let after = files(guest)?;
    let [before, after] = [before, &after].map(|files| files.lines().collect::<BTreeSet<_>>());
    let (left, gone): (Vec<_>, Vec<_>) = (after.difference(&before).collect(), before.difference(&after).collect());
    ensure(left.is_empty() && gone.is_empty(), format!("left: {left:?}; gone: {gone:?}"))?;
    let named = guest
        .sh("find /run /var /etc /usr -xdev -name '*clockgate*' -not -path '/run/packed*' -not -path '/run/usr*'")?;
    ensure(named.is_empty(), format!("left: {named}"))?;
    let units = guest.sh("systemctl list-units --all --no-legend 'clockgate*'; getent group clockgate || true")?;
    ensure(units.is_empty(), format!("left: {units}"))
}

/// For how long an upgrade is to shut the gate, by how long a proof takes there.
pub fn goal(walk: Duration) -> Duration {
    2 * walk + Duration::from_millis(200)
}

/// What the history has of upgrades; times in order.
#[derive(Debug)]
pub struct Upgrades {
    /// From the old agent's end to the new one's proof.
    pub shut: Vec<Duration>,
    /// Of that, from the new agent's first question on.
    pub walks: Vec<Duration>,
    pub frozen: Vec<u64>,
}

impl Upgrades {
    pub fn since(guest: &Guest, begun: u64) -> Outcome<Self> {
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

//! Packages of the program under test in a guest, and what scenarios ask of them: whether an installation was enough, and whether all of it
//! is gone. What an upgrade does: [`super::upgrades`].

use std::collections::BTreeSet;
use std::process::Command;
use std::time::Duration;

use super::gate::{self, Gate};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure};
use crate::support::packages;

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
    "-path /var/lib/apt",
    "-path /var/cache/apt",
    "-path /var/cache/debconf",
    "-path '/var/tmp/systemd-private-*'",
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

/// A line for apt: a repository with the deb in it.
pub fn repository(guest: &Guest, world: &World) -> Outcome<String> {
    lay(guest, world, &[("1", &["deb"])])?;
    let dist = std::fs::canonicalize(world.run())?.join("packed/source/target/dist");
    let packages = packages::said(Command::new("dpkg-scanpackages").arg(".").current_dir(&dist))?;
    std::fs::write(dist.join("Packages"), packages)?;
    Ok("deb [trusted=yes] file:/run/packed ./".into())
}

/// Makes revisions of packages, once for each guest, and takes from it what only the laboratory's agents have.
fn lay(guest: &Guest, world: &World, revisions: &[(&str, &[&str])]) -> Outcome {
    guest.sh("rm -rf /etc/systemd/system/clockgate.service.d")?;
    let folder = std::fs::canonicalize(world.run())?.join("packed");
    if folder.exists() {
        return Ok(());
    }
    let dist = packages::of_this_build(&folder, revisions)?;
    guest.sh(&format!("mkdir -p /run/packed; mount -t hostfs -o {} none /run/packed", dist.display())).map(drop)
}

/// What there is when a package manager returns, which nobody has helped: an agent that is enabled, its bus, its catalog, and a proof.
pub fn installed(guest: &Guest) -> Outcome<Gate> {
    let gate = gate::read(guest)?;
    ensure(gate.is_proven(), format!("the package is installed, and the gate is {gate:?}"))?;
    guest.sh("systemctl is-enabled --quiet clockgate && test $(stat -c %G /run/clockgate/bus) = clockgate")?;
    guest.sh("busctl status org.clockgate.Agent1 >/dev/null && journalctl --list-catalog | grep -q clockgate")?;
    Ok(gate)
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

//! Whoever tells of a restore tells the time as well, and nobody else does: a caller by the bus, a hypervisor by vsock.

use std::time::Duration;

use super::gate::{self, Gate};
use super::{Listed, night};
use crate::lab::guest::Guest;
use crate::lab::told::{now, off_by};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure};

pub const SCENARIOS: &[Listed] = &[
    ("told::the_callers_time_proves_a_clock_that_nobody_else_knows", by_a_caller),
    ("told::a_time_that_the_guards_refuse_or_that_is_too_vague_opens_nothing", refused),
    ("told::a_fake_hypervisor_on_the_loopback_opens_the_gate_by_its_time", by_a_hypervisor),
];

/// A busy host takes up to seconds to start a command in a guest, and that is in the bound of the time that it is told.
const THRESHOLD: Duration = Duration::from_secs(5);
/// Nobody is there to ask (RFC 5737), and the policy is to hold.
const ALONE: &str = "threshold: 5s\nservers: [192.0.2.1]\nmeasure-timeout: 100ms\nat-deadline: {unreachable: hold}\n";

fn by_a_caller(guest: &Guest, _world: &World) -> Outcome {
    guest.sh("date -u -s '1 hour ago'")?;
    gate::start_with(guest, ALONE)?;
    let before = shut(guest)?;
    tell(guest, "clockgate notify post-restore --bound 3s --time", 0)?;
    let first = gate::read(guest)?;
    let off = off_by(guest)?;
    ensure(first.is_proven() && first.epoch == before.epoch + 1 && first.cause == "restore", format!("{first:?}"))?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))?;

    // The proof is void with the next step, and so is what was told for it.
    guest.sh("date -u -s '1 hour ago'")?;
    shut(guest)?;
    tell(guest, "clockgate notify post-restore --bound 3s --time", 0)?;
    let off = off_by(guest)?;
    let log = gate::log(guest)?;
    night::over(guest)?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}\n{log}"))?;
    // A clock below a time that has passed may be brought up to that before.
    ensure(log.matches("clock stepped").count() >= 2 && log.matches("gate open").count() == 2, log)
}

fn refused(guest: &Guest, _world: &World) -> Outcome {
    gate::start_with(guest, ALONE)?;
    shut(guest)?;
    tell(guest, "clockgate notify post-restore --bound 3s --time", 0)?;
    let proven = guest.offset()?;
    let told = |how: &str, ahead| guest.run(&format!("{}{how} --time $now", now(guest, ahead)?));
    // Two hours back: more than one reference may.
    let backward = told("clockgate notify post-restore --timeout 2s --bound 3s", -7200)?;
    let held = gate::read(guest)?;
    // Right, as far as the caller knows.
    let vague = told("clockgate notify post-restore --timeout 2s --bound 9s", 0)?;
    let vaguely = gate::read(guest)?;
    let nobody =
        guest.run("setpriv --reuid 65534 --clear-groups clockgate notify post-restore --time @1 --bound 1s")?;
    let moved = guest.offset()?;
    night::over(guest)?;
    ensure(backward.code == 75 && !held.is_proven() && held.why.contains("one reference"), format!("{held:?}"))?;
    ensure(vague.code == 75 && !vaguely.is_proven() && vaguely.why.contains("only to ±"), format!("{vaguely:?}"))?;
    ensure(nobody.code == 77, format!("{nobody:?}"))?;
    ensure((moved - proven).abs() < THRESHOLD, format!("off by {proven}, then by {moved}"))
}

/// The kernel's loopback (CID 1) stands for the hypervisor, and `clockgate vm` in the same guest plays it. It is asked twice.
fn by_a_hypervisor(guest: &Guest, _world: &World) -> Outcome {
    guest.sh("modprobe vsock_loopback && date -u -s '1 hour ago'")?;
    let call = "clockgate vm notify post-restore --cid 1 --bound 3s --time";
    // To the hypervisor alone, unless the configuration names another.
    gate::start_with(guest, &format!("{ALONE}vsock: {{enabled: true}}\n"))?;
    shut(guest)?;
    let stranger = guest.run(&format!("{}{call} $now --timeout 1s", now(guest, 0)?))?;
    ensure(stranger.code == 69 && !gate::read(guest)?.is_proven(), format!("{stranger:?}"))?;
    guest.sh("systemctl stop clockgate")?;

    gate::start_with(guest, &format!("{ALONE}vsock: {{enabled: true, peer-cid: 1}}\n"))?;
    let before = shut(guest)?;
    tell(guest, call, 0)?;
    let after = gate::read(guest)?;
    let off = off_by(guest)?;
    let log = gate::log(guest)?;
    night::over(guest)?;
    ensure(after.is_proven() && after.epoch == before.epoch + 1 && after.cause == "restore", format!("{after:?}"))?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))?;
    ensure(log.contains("notified by the hypervisor") && log.contains("clock stepped"), log)
}

/// Says it with the true time, so many seconds off.
fn tell(guest: &Guest, how: &str, off: i64) -> Outcome {
    guest.sh(&format!("{}{how} $now", now(guest, off)?)).map(drop)
}

fn shut(guest: &Guest) -> Outcome<Gate> {
    gate::when(guest, "nobody answers", |now| now.gate == "shut" && now.why.contains("no reference has answered"))
}

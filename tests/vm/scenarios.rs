//! What is shown, each from a machine that has just booted.

use std::time::Duration;

use crate::Play;
use crate::gate::{self, Gate};
use crate::lab::told::{now, off_by};
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};
use crate::machine::Machine;
use crate::timeline::{Moment, Timeline};

/// All of them, in their order; the one that replaces the machine by another comes last.
pub const ALL: &[(&str, Play)] = &[
    ("pause::a_machine_that_was_stopped_is_told_by_its_rtc", stopped),
    ("restore::an_image_loaded_in_place_is_told_by_the_vmclock", loaded_in_place),
    ("restore::an_image_that_was_announced_wakes_up_with_its_gate_shut", announced),
    ("restore::a_machine_without_a_network_is_right_by_the_callers_time", told),
    ("vsock::a_process_of_the_machine_is_not_its_hypervisor", not_the_hypervisor),
    ("sleep::a_machine_that_slept_through_logind_is_right_again", slept),
    ("restore::an_image_in_another_machine_is_told_by_the_kernels_line", restored_elsewhere),
];

/// As far off as work behind the gate may ever be: the threshold.
const THRESHOLD: Duration = Duration::from_millis(200);
/// A machine in software on a busy host takes seconds for what takes milliseconds elsewhere.
const SOON: Duration = Duration::from_secs(10);
/// How long the machine stands still, or how old its image is.
const GONE: Duration = Duration::from_secs(20);
/// Whether a waiter sleeps on the gate: in futex(2), number 202, where the agent's first thread never is.
pub const AT_THE_GATE: &str = "grep -l '^202 ' $(grep -lsx clockgate /proc/[0-9]*/comm | sed s/comm/syscall/)";
const IMAGE: &str = "image";

fn stopped(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    machine.stop()?;
    pass(GONE);
    let went_on = machine.go_on()?;
    let since = Moment::of(&machine.guest, went_on)?;
    is_stale(&machine)?;
    let timeline = proven_again(&machine, since, &before, "pause")?;
    print(&machine, "`stop`, 20 s, `cont`: seen by the RTC", &timeline)?;
    ensure(timeline.noticed < SOON, format!("{timeline:?}"))?;
    Ok(machine)
}

fn loaded_in_place(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    machine.save(IMAGE)?;
    pass(GONE);
    let went_on = machine.load(IMAGE)?;
    let since = Moment::of(&machine.guest, went_on)?;
    is_stale(&machine)?;
    let timeline = proven_again(&machine, since, &before, "restore")?;
    print(&machine, "`loadvm`, 20 s old: seen by the VMClock", &timeline)?;
    ensure(timeline.noticed < SOON, format!("{timeline:?}"))?;
    Ok(machine)
}

fn announced(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let before = gate::start(guest, world)?;
    let work = Work::behind_the_gate(guest, "work")?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    // What was let through before the gate was shut is not the gate's to stop; a freezer would.
    until("the work stands at the gate", SOON, || Ok((guest.run(AT_THE_GATE)?.code == 0).then_some(())))?;
    machine.save(IMAGE)?;
    guest.sh("clockgate notify post-restore --wait")?;
    pass(GONE);
    let went_on = machine.load(IMAGE)?;
    let since = Moment::of(guest, went_on)?;
    guest.sh("clockgate notify post-restore --wait")?;
    let after = gate::read(guest)?;
    ensure(after.is_proven() && after.cause == "restore", format!("{after:?}"))?;
    // The first epoch after the one of the snapshot: told by the VMClock, or by us, whoever was quicker.
    let timeline = Timeline::read(guest, since, before.epoch + 2)?;
    print(&machine, "announced, and loaded 20 s later", &timeline)?;
    work.first_after(guest, since.on_the_machine())?;
    let truth = guest.truth()?;
    let worked = work.end(guest)?;
    let late = worked.iter().filter(|stamp| stamp.at > since.on_the_machine());
    let wrong: Vec<_> = late.filter(|stamp| stamp.off_by(truth).abs() > THRESHOLD).collect();
    ensure(
        wrong.is_empty(),
        format!("work was done on the clock of the image since {since:?}: {wrong:?}\n{}", gate::log(guest)?),
    )?;
    Ok(machine)
}

/// Nobody answers (RFC 5737); the VMClock may see the restore before or after the caller tells of it. In software it takes a busy
/// host up to seconds to start a command, and that is in the bound of the time that it is told.
fn told(machine: Machine, _world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let tell = || guest.sh(&format!("{}clockgate notify post-restore --bound 3s --time $now", now(guest, 0)?));
    gate::start_with(guest, "threshold: 5s\nservers: [192.0.2.1]\nat-deadline: {nobody-to-ask: hold}\n")?;
    tell()?;
    let before = gate::read(guest)?;
    machine.save(IMAGE)?;
    pass(GONE / 2);
    let went_on = machine.load(IMAGE)?;
    let since = Moment::of(guest, went_on)?;
    is_stale(&machine)?;
    tell()?;
    let after = gate::read(guest)?;
    ensure(after.is_proven() && after.epoch > before.epoch, format!("{after:?}\n{}", gate::log(guest)?))?;
    let off = off_by(guest)?;
    Timeline::read(guest, since, after.epoch)?.print("`loadvm`, 10 s old, no network: a caller told the time", off);
    ensure(off.abs() < GONE / 4, format!("off by {off}"))?;
    Ok(machine)
}

fn not_the_hypervisor(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    gate::start_with(guest, &format!("servers: [{}]\nvsock: {{enabled: true}}\n", world.truth.address()))?;
    let before = gate::proven(guest)?;
    // 1 is the machine itself (VMADDR_CID_LOCAL).
    let ran = guest.run("clockgate vm notify post-restore --cid 1")?;
    ensure(ran.code == 69, format!("{ran:?}"))?;
    let log = gate::log(guest)?;
    ensure(log.contains("not the hypervisor: turned away"), log)?;
    let after = gate::read(guest)?;
    ensure(after.epoch == before.epoch, format!("{before:?}, {after:?}"))?;
    Ok(machine)
}

fn slept(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    machine.suspend()?;
    pass(GONE);
    let since = Moment::of(&machine.guest, machine.wake()?)?;
    let timeline = proven_again(&machine, since, &before, "resume")?;
    print(&machine, "S3 through logind, 20 s", &timeline)?;
    Ok(machine)
}

fn restored_elsewhere(machine: Machine, world: &World) -> Outcome<Machine> {
    // Without the VMClock the kernel's line is all there is.
    machine.guest.sh("rmmod ptp_vmclock; test ! -e /dev/vmclock0")?;
    let before = gate::start(&machine.guest, world)?;
    machine.save(IMAGE)?;
    pass(GONE);
    let (machine, went_on) = machine.restored_elsewhere(world, IMAGE, "7d2e8a62-0a3b-4ab5-9a37-2d9d4d1f3c55")?;
    let since = Moment::of(&machine.guest, went_on)?;
    is_stale(&machine)?;
    let timeline = proven_again(&machine, since, &before, "restore")?;
    print(&machine, "another QEMU and generation, 20 s old: seen by the kernel's line", &timeline)?;
    ensure(timeline.noticed < SOON, format!("{timeline:?}"))?;
    Ok(machine)
}

/// Otherwise nothing is shown.
fn is_stale(machine: &Machine) -> Outcome {
    let off = machine.guest.offset()?;
    ensure(off.abs() > GONE / 2, format!("it has not stood still: off by {off}"))
}

/// Waits for the proof after a disruption of that cause.
fn proven_again(machine: &Machine, since: Moment, before: &Gate, cause: &str) -> Outcome<Timeline> {
    let guest = &machine.guest;
    let after = gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    ensure(after.cause == cause, format!("{after:?}\n{}", gate::log(guest)?))?;
    Timeline::read(guest, since, after.epoch)
}

fn print(machine: &Machine, what: &str, timeline: &Timeline) -> Outcome {
    let off = machine.guest.offset()?;
    timeline.print(what, off);
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))
}

//! What is shown, each from a machine that has just booted.

use std::time::Duration;

use clockgate::sys::clock::realtime;

use crate::Play;
use crate::gate::{self, Gate};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};
use crate::machine::Machine;
use crate::timeline::{Moment, Timeline};

/// All of them, in their order; the one that replaces the machine by another comes last.
pub const ALL: &[(&str, Play)] = &[
    ("pause::a_machine_that_was_stopped_is_told_by_its_rtc", stopped),
    ("restore::an_image_loaded_in_place_is_told_by_the_vmclock", loaded_in_place),
    ("restore::an_image_that_was_announced_wakes_up_with_its_gate_shut", announced),
    ("sleep::a_machine_that_slept_through_logind_is_right_again", slept),
    ("restore::an_image_in_another_machine_is_told_by_the_kernels_line", restored_elsewhere),
];

/// As far off as work behind the gate may ever be: the threshold.
const THRESHOLD: Duration = Duration::from_millis(200);
/// How long the machine stands still, or how old its image is.
const GONE: Duration = Duration::from_secs(20);
const IMAGE: &str = "image";

fn stopped(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    machine.stop()?;
    pass(GONE);
    machine.go_on()?;
    let since = Moment::now(&machine.guest)?;
    is_stale(&machine)?;
    let timeline = proven_again(&machine, since, &before, "pause")?;
    print(&machine, "`stop`, 20 s, `cont`: seen by the RTC", &timeline)?;
    // The RTC is looked at every two seconds, by a machine that is slow.
    ensure(timeline.noticed < Duration::from_secs(5), format!("{timeline:?}"))?;
    Ok(machine)
}

fn loaded_in_place(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    machine.save(IMAGE)?;
    pass(GONE);
    machine.load(IMAGE)?;
    let since = Moment::now(&machine.guest)?;
    is_stale(&machine)?;
    let timeline = proven_again(&machine, since, &before, "restore")?;
    print(&machine, "`loadvm`, 20 s old: seen by the VMClock", &timeline)?;
    ensure(timeline.noticed < Duration::from_secs(1), format!("{timeline:?}"))?;
    Ok(machine)
}

fn announced(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let before = gate::start(guest, world)?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    machine.save(IMAGE)?;
    guest.sh("clockgate notify post-restore --wait")?;
    pass(GONE);
    machine.load(IMAGE)?;
    let since = Moment::now(guest)?;
    let in_the_image = gate::read(guest)?;
    ensure(!in_the_image.is_proven() || in_the_image.epoch > before.epoch + 1, format!("{in_the_image:?}"))?;
    guest.sh("clockgate notify post-restore --wait")?;
    let off = guest.offset()?;
    let after = gate::read(guest)?;
    ensure(after.is_proven() && after.cause == "restore" && off.abs() < THRESHOLD, format!("off by {off}: {after:?}"))?;
    Timeline::read(guest, since, after.epoch)?.print("announced snapshot, 20 s old", off);
    Ok(machine)
}

fn slept(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let before = gate::start(guest, world)?;
    guest.sh("echo deep >/sys/power/mem_sleep; systemctl suspend --no-block")?;
    until("the machine sleeps", Duration::from_secs(60), || Ok((machine.status()? == "suspended").then_some(())))?;
    pass(GONE);
    machine.wake()?;
    let since = Moment::of(guest, realtime())?;
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
    let machine = machine.restored_elsewhere(world, IMAGE, "7d2e8a62-0a3b-4ab5-9a37-2d9d4d1f3c55")?;
    let since = Moment::now(&machine.guest)?;
    is_stale(&machine)?;
    let timeline = proven_again(&machine, since, &before, "restore")?;
    print(&machine, "another QEMU and generation, 20 s old: seen by the kernel's line", &timeline)?;
    ensure(timeline.noticed < Duration::from_secs(1), format!("{timeline:?}"))?;
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

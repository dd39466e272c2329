//! What is shown, each from a machine that has just booted.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::json;

use crate::Play;
use crate::gate::{self, Gate};
use crate::lab::guest::Guest;
use crate::lab::looks::Looks;
use crate::lab::told::{now, off_by};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};
use crate::machine::{self, Machine};
use crate::qmp::Qmp;
use crate::scraped;
use crate::soak;
use crate::timeline::{Moment, Timeline};
use crate::tls::{Authority, Handshake, NOT_YET_VALID, VERIFIED};
use crate::witnesses::{Begin, Witnesses};

/// All of them, in their order; the one that replaces the machine by another comes last.
pub const ALL: &[(&str, Play)] = &[
    ("pause::a_machine_that_was_stopped_is_told_by_its_rtc", stopped),
    ("restore::an_image_loaded_in_place_is_told_by_the_vmclock", loaded_in_place),
    ("restore::an_image_announced_through_qemus_guest_agent_wakes_up_with_its_gate_shut", announced),
    ("restore::a_machine_without_a_network_is_right_by_the_callers_time", told),
    ("hooks::the_script_for_plain_qmp_takes_a_machine_back_to_an_image", by_plain_qmp),
    ("vsock::a_process_of_the_machine_is_not_its_hypervisor", not_the_hypervisor),
    ("sleep::a_machine_that_slept_through_logind_is_right_again", slept),
    ("sleep::behind_a_stopped_agent_s_back_it_lets_nobody_through", slept_unnoticed),
    ("metrics::the_shipped_unit_lets_them_be_served_by_tcp_and_by_a_socket_and_written", scraped::sandboxed),
    ("metrics::prometheus_sees_frozen_containers_strangers_a_daemon_that_disagrees_and_a_false_time", scraped::seen),
    ("soak::what_only_a_hypervisor_does_lets_nothing_run_on_an_unproven_clock", soak::disruptions),
    ("restore::an_image_in_another_machine_is_told_by_the_kernels_line", restored_elsewhere),
];

/// As far off as work behind the gate may ever be: the threshold.
pub const THRESHOLD: Duration = Duration::from_millis(200);
/// A machine in software on a busy host takes seconds for what takes milliseconds elsewhere.
pub const SOON: Duration = Duration::from_secs(100);
/// How long the machine stands still; half of it, for what is no worse for being shorter.
pub const GONE: Duration = Duration::from_secs(20);
/// Whether a waiter sleeps on the gate: in futex(2), number 202, where the agent's first thread never is.
pub const AT_THE_GATE: &str = "grep -l '^202 ' $(grep -lsx clockgate /proc/[0-9]*/comm | sed s/comm/syscall/)";
const IMAGE: &str = "image";
const WITHOUT_AGENT: &str = "without";

fn stopped(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    let witnesses = Witnesses::begin(&machine.guest, world)?;
    machine.stop()?;
    pass(GONE);
    let _server = witnesses.certificate_is_issued()?;
    let since = Moment::of(&machine.guest, machine.go_on()?)?;
    let timeline = proven_again(&machine, since, &before, "pause")?;
    print(&machine, "`stop`, 20 s, `cont`: seen by the RTC", &timeline)?;
    witnesses.judge(&machine.guest, since, &timeline, Begin::Open)?;
    ensure(timeline.noticed < SOON, format!("{timeline:?}"))?;
    Ok(machine)
}

fn loaded_in_place(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let authority = Authority::trusted_by(guest, world)?;
    machine.save(WITHOUT_AGENT)?;
    let before = gate::start(guest, world)?;
    let witnesses = Witnesses::begin_with(guest, authority)?;
    machine.save(IMAGE)?;
    pass(GONE / 2);
    let _server = witnesses.certificate_is_issued()?;
    machine.load(WITHOUT_AGENT)?;
    without_the_gate(guest)?;
    let since = Moment::of(guest, machine.load(IMAGE)?)?;
    let timeline = proven_again(&machine, since, &before, "restore")?;
    print(&machine, "`loadvm`, 10 s old: seen by the VMClock", &timeline)?;
    witnesses.judge(guest, since, &timeline, Begin::Open)?;
    ensure(timeline.noticed < SOON, format!("{timeline:?}"))?;
    Ok(machine)
}

/// What is the matter with a certificate that is younger than the image is the clock and nothing else.
fn without_the_gate(guest: &Guest) -> Outcome {
    let stale = Handshake::careless(guest)?;
    guest.set_right()?;
    let right = Handshake::careless(guest)?;
    println!(
        "|   without an agent, the same machine, server and certificate: {}; the clock set right: {} |",
        stale.went, right.went
    );
    ensure(stale.went == NOT_YET_VALID && right.went == VERIFIED, format!("{stale:?}, {right:?}"))
}

fn announced(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    let before = gate::start(guest, world)?;
    let hypervisor = guest_agent(guest, world)?;
    let witnesses = Witnesses::begin(guest, world)?;
    let frozen = hypervisor.execute("guest-fsfreeze-freeze", json!({}))?;
    ensure(frozen == 1, format!("frozen filesystems: {frozen}"))?;
    let shut = gate::read(guest)?;
    ensure(shut.gate == "shut" && shut.epoch == before.epoch + 1, format!("{shut:?}"))?;
    // What was let through before the gate was shut is not the gate's to stop; a freezer would.
    witnesses.are_held(guest)?;
    machine.save(IMAGE)?;
    hypervisor.execute("guest-fsfreeze-thaw", json!({}))?;
    let after = gate::proven(guest)?;
    ensure(after.cause == "restore", format!("{after:?}"))?;
    pass(GONE / 2);
    let _server = witnesses.certificate_is_issued()?;
    let since = Moment::of(guest, machine.load(IMAGE)?)?;
    // The image's filesystems are frozen too.
    hypervisor.execute("guest-fsfreeze-thaw", json!({}))?;
    // Told by the VMClock, or by the hook, whoever was quicker.
    let timeline = proven_again(&machine, since, &shut, "restore")?;
    print(&machine, "announced through QEMU's guest agent, and loaded 10 s later", &timeline)?;
    witnesses.judge(guest, since, &timeline, Begin::Held)?;
    Ok(machine)
}

/// Starts QEMU's guest agent with our hook; the hypervisor's line to it.
fn guest_agent(guest: &Guest, world: &World) -> Outcome<Qmp> {
    guest.sh("install -D /usr/lib/clockgate/qemu-ga /etc/qemu/fsfreeze-hook.d/clockgate
         systemd-run -q --unit=qemu-ga qemu-ga -m isa-serial -p /dev/ttyS2 --fsfreeze-hook")?;
    let listens = "ls -l /proc/$(systemctl show -P MainPID qemu-ga)/fd | grep -q ttyS2";
    until("the guest agent listens", SOON, || Ok((guest.run(listens)?.code == 0).then_some(())))?;
    Qmp::guest_agent(&machine::agents_socket(world))
}

/// Nobody answers (RFC 5737); the VMClock may see the restore before or after the caller tells of it. In software it takes a busy
/// host up to seconds to start a command, and that is in the bound of the time that it is told.
fn told(machine: Machine, _world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    gate::start_with(guest, "threshold: 5s\nservers: [192.0.2.1]\nat-deadline: {unreachable: hold}\n")?;
    supply_time(guest)?;
    let before = gate::read(guest)?;
    machine.save(IMAGE)?;
    pass(GONE / 2);
    let went_on = machine.load(IMAGE)?;
    let since = Moment::of(guest, went_on)?;
    is_stale(&machine)?;
    supply_time(guest)?;
    let after = gate::read(guest)?;
    ensure(after.is_proven() && after.epoch > before.epoch, format!("{after:?}\n{}", gate::log(guest)?))?;
    let off = off_by(guest)?;
    Timeline::read(guest, since)?.print("`loadvm`, 10 s old, no network: a caller told the time", off);
    ensure(off.abs() < GONE / 4, format!("off by {off}"))?;
    Ok(machine)
}

/// What it does last is the agent's business over vsock, and this machine has none to its hypervisor.
fn by_plain_qmp(machine: Machine, world: &World) -> Outcome<Machine> {
    let guest = &machine.guest;
    machine.save(IMAGE)?;
    guest.sh("touch /run/after-the-image")?;
    let hook = std::fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("hooks/vm-restore"))?;
    let hook = hook.replace("/usr/bin/clockgate", "echo told:");
    let mut sh = Command::new("sh");
    sh.args(["-c", &hook, "vm-restore", "qmp-of-hooks", IMAGE, "7"]).current_dir(world.run());
    let output = sh.output()?;
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure(
        output.status.success() && said.ends_with("told: vm notify post-restore --cid 7 --time now\n"),
        format!("{output:?}"),
    )?;
    // All three commands and the greeting, none of them refused.
    ensure(said.matches("\"return\": ").count() == 3 && !said.contains("\"error\""), said)?;
    guest.sh("test ! -e /run/after-the-image")?;
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
    ensure(log.contains("connection refused: not from the hypervisor"), log)?;
    let after = gate::read(guest)?;
    ensure(after.epoch == before.epoch, format!("{before:?}, {after:?}"))?;
    Ok(machine)
}

fn slept(machine: Machine, world: &World) -> Outcome<Machine> {
    let before = gate::start(&machine.guest, world)?;
    let witnesses = Witnesses::begin(&machine.guest, world)?;
    machine.suspend()?;
    pass(GONE / 2);
    let _server = witnesses.certificate_is_issued()?;
    let since = Moment::of(&machine.guest, machine.wake()?)?;
    let timeline = proven_again(&machine, since, &before, "resume")?;
    print(&machine, "S3 through logind, 10 s", &timeline)?;
    witnesses.judge(&machine.guest, since, &timeline, Begin::Shut)?;
    Ok(machine)
}

fn restored_elsewhere(machine: Machine, world: &World) -> Outcome<Machine> {
    // Without the VMClock the kernel's line is all there is.
    machine.guest.sh("rmmod ptp_vmclock; test ! -e /dev/vmclock0")?;
    let before = gate::start(&machine.guest, world)?;
    let witnesses = Witnesses::begin(&machine.guest, world)?;
    machine.save(IMAGE)?;
    pass(GONE / 2);
    let _server = witnesses.certificate_is_issued()?;
    let (machine, went_on) = machine.restored_elsewhere(world, IMAGE, "7d2e8a62-0a3b-4ab5-9a37-2d9d4d1f3c55")?;
    let since = Moment::of(&machine.guest, went_on)?;
    let timeline = proven_again(&machine, since, &before, "restore")?;
    print(&machine, "another QEMU and generation, 10 s old: seen by the kernel's line", &timeline)?;
    witnesses.judge(&machine.guest, since, &timeline, Begin::Open)?;
    ensure(timeline.noticed < SOON, format!("{timeline:?}"))?;
    Ok(machine)
}

/// Otherwise nothing is shown.
fn is_stale(machine: &Machine) -> Outcome {
    let off = machine.guest.offset()?;
    ensure(off.abs() > GONE / 2, format!("it has not stood still: off by {off}"))
}

/// Waits for the proof after a disruption of that cause.
/// An agent that is stopped notices nothing; whoever asks at its gate sees the sleep that the kernel counted.
fn slept_unnoticed(machine: Machine, world: &World) -> Outcome<Machine> {
    const LOOKS: u32 = 500;
    let guest = &machine.guest;
    let before = gate::start(guest, world)?;
    guest.sh("kill -STOP $(systemctl show -p MainPID --value clockgate)")?;
    let awake = Looks::of(guest, LOOKS)?;
    ensure(awake.open == LOOKS, format!("{awake:?}"))?;
    machine.suspend()?;
    pass(GONE / 4);
    machine.wake()?;
    let woken = Looks::of(guest, LOOKS)?;
    ensure(woken.open == 0 && woken.why.contains("slept for"), format!("{woken:?}"))?;
    guest.sh("kill -CONT $(systemctl show -p MainPID --value clockgate)")?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    Ok(machine)
}

/// Supplies the true time after a restore. One that takes longer than five seconds from the command to the agent is refused and changes
/// nothing; without hardware virtualisation, beside other work, it can.
pub fn supply_time(guest: &Guest) -> Outcome {
    until("the agent accepts the time", SOON, || {
        let script = format!("{}clockgate notify post-restore --bound 3s --time $now", now(guest, 0)?);
        let ran = guest.run(&script)?;
        ensure(ran.code == 0 || ran.err.contains("are allowed between"), &ran.err)?;
        Ok((ran.code == 0).then_some(()))
    })
}

fn proven_again(machine: &Machine, since: Moment, before: &Gate, cause: &str) -> Outcome<Timeline> {
    let guest = &machine.guest;
    let after = gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    // On a slow machine a second sign of the same disruption is seen late, and is an epoch of its own.
    let log = gate::log(guest)?;
    let is_seen = (before.epoch + 1..=after.epoch).any(|epoch| log.contains(&format!("epoch={epoch} cause={cause} ")));
    ensure(is_seen, format!("{after:?}\n{log}"))?;
    Timeline::read(guest, since)
}

fn print(machine: &Machine, what: &str, timeline: &Timeline) -> Outcome {
    let off = machine.guest.offset()?;
    timeline.print(what, off);
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))
}

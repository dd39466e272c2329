//! A microVM without systemd, D-Bus or a network: the kernel, busybox, the agent as a child of the first process, and a
//! workload at its gate. Nobody but a caller knows the time.

use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use clockgate::decision::{Boottime, Realtime};

use crate::gate::{self, Gate};
use crate::lab::guest::Guest;
use crate::lab::told::off_by;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, inside, pass, until};
use crate::machine::{Machine, pack};
use crate::scenarios::{AT_THE_GATE, supply_time};
use crate::timeline::Moment;

/// In software it takes a busy host up to seconds to start a command, and that is in the bound of the time that it is told.
const THRESHOLD: Duration = Duration::from_secs(5);
/// How old the image is; and what is far more than a machine in software takes for anything.
const GONE: Duration = Duration::from_secs(10);
const SOON: Duration = Duration::from_secs(100);
/// Where a user's workload begins: `/workload`, at the gate. It does a little, and asks again.
const WORKLOAD: &str =
    "#!/bin/sh\nwhile sleep 0.1; do clockgate run --max-wait infinity -- /usr/lib/lab/part stamp >>/run/work; done\n";
const CONFIG: &str = "threshold: 5s\nvsock: {enabled: true}\nfreeze: {engines: []}\nat-deadline: {unreachable: hold}\n";

/// The whole of it, in one boot.
pub fn held_and_released() -> Outcome {
    let world = World::new()?;
    initrd(&world)?;
    let machine = Machine::bare(&world)?;
    show(&machine).map_err(|failed| {
        let log = machine.guest.sh("cat /run/log").unwrap_or_default();
        let console = machine.guest.console();
        let from = console.find("Run /init").unwrap_or_default();
        let said = failed.message().unwrap_or("failed");
        format!("{said}\nthe agent's log:\n{log}\nthe console:\n{}", &console[from..]).into()
    })
}

fn show(machine: &Machine) -> Outcome {
    let guest = &machine.guest;
    let first = until("nobody answers", SOON, || {
        Ok(read(guest)?.filter(|gate| gate.gate == "shut" && gate.why.contains("no reference")))
    })?;
    ensure(worked(guest)?.is_empty(), "the workload has begun at a shut gate")?;
    supply_time(guest)?;
    right(guest, &first, "restore")?;
    until("the workload begins", SOON, || Ok((!worked(guest)?.is_empty()).then_some(())))?;

    guest.sh("clockgate notify pre-snapshot --wait")?;
    until("the work stands at the gate", SOON, || Ok((guest.run(AT_THE_GATE)?.code == 0).then_some(())))?;
    let Some(before) = read(guest)? else { return fail("no page") };
    machine.save("image")?;
    pass(GONE);
    let since = Moment::of(guest, machine.load("image")?)?.on_the_machine();
    let off = off_by(guest)?;
    ensure(off.abs() > GONE / 2, format!("it has not stood still: off by {off}"))?;
    supply_time(guest)?;
    right(guest, &before, "restore")?;
    let truth = guest.truth()?;
    let after = || -> Outcome<Vec<_>> { Ok(worked(guest)?.into_iter().filter(|(at, _)| *at > since).collect()) };
    until("the workload goes on", SOON, || Ok((!after()?.is_empty()).then_some(())))?;
    for (at, said) in after()? {
        let off = Realtime::from_nanos(i64::try_from(at.as_nanos())?) + truth - said;
        ensure(off.abs() < THRESHOLD, format!("work was done on a clock that was off by {off}"))?;
    }
    calm(&guest.sh("cat /run/log")?)
}

fn right(guest: &Guest, before: &Gate, cause: &str) -> Outcome {
    let Some(gate) = read(guest)?.filter(Gate::is_proven) else { return fail("not proven") };
    let off = off_by(guest)?;
    println!("| no systemd, no D-Bus, no network: notified by a caller | open | then off by {off} |");
    ensure(gate.epoch > before.epoch && gate.cause == cause, format!("{before:?}, then {gate:?}"))?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))
}

/// How the gate stands; none before the agent has begun.
fn read(guest: &Guest) -> Outcome<Option<Gate>> {
    let ran = guest.run("clockgate status --json")?;
    if ran.code == 69 { Ok(None) } else { gate::parse(&ran).map(Some) }
}

/// When the workload worked, and what its clock said.
fn worked(guest: &Guest) -> Outcome<Vec<(Boottime, Realtime)>> {
    let text = guest.sh("cat /run/work 2>/dev/null || true")?;
    let stamp = |line: &str| {
        let (at, said) = line.split_once(' ')?;
        Some((Boottime::from_nanos(at.parse().ok()?), Realtime::from_nanos(said.parse().ok()?)))
    };
    Ok(text.lines().filter_map(stamp).collect())
}

/// What is missing for good is said once.
fn calm(log: &str) -> Outcome {
    for missing in ["logind unavailable", "not on the system bus"] {
        ensure(log.matches(missing).count() == 1, format!("{missing}: not said once"))?;
    }
    let bus = log.lines().filter(|line| line.contains("bus") || line.contains("logind") || line.contains("systemd"));
    let lines: Vec<_> = bus.collect();
    ensure(lines.len() == 2, lines.join("\n"))?;
    ensure(!log.contains("ERROR"), "an error was logged")
}

/// The example's first process, and what it starts; our own part beside it.
fn initrd(world: &World) -> Outcome {
    let root = world.run().join("initrd.d");
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let init = std::fs::read_to_string(project.join("examples/microvm-init"))?;
    let (agent, workload) = ("    clockgate agent\n", "clockgate run --max-wait infinity -- /workload &\n");
    ensure(
        init.contains(agent) && init.contains(workload),
        "examples/microvm-init does not start what is tested here",
    )?;
    let ours = format!("/usr/lib/lab/part {} /dev/ttyS0 &\n", inside::VERB);
    let init = init.replace(agent, "    clockgate agent 2>>/run/log\n").replace(workload, &format!("{ours}{workload}"));
    for (path, text) in [("init", init.as_str()), ("workload", WORKLOAD), ("etc/clockgate/config.yaml", CONFIG)] {
        let path = root.join(path);
        std::fs::create_dir_all(path.parent().unwrap_or(&root))?;
        std::fs::write(&path, text)?;
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755))?;
    }
    std::fs::create_dir_all(root.join("usr/lib/lab"))?;
    std::fs::create_dir_all(root.join("usr/bin"))?;
    std::fs::copy(env!("CARGO_BIN_EXE_clockgate"), root.join("usr/bin/clockgate"))?;
    std::fs::copy(std::env::current_exe()?, root.join("usr/lib/lab/part"))?;
    pack(world, &root, &["usr/bin/clockgate", "usr/lib/lab/part"])
}

//! The agent where SELinux enforces Debian's targeted policy, in a machine of its own: it does its work in the unit that is shipped, and what
//! the policy denies meanwhile is listed. For `tests/night selinux`.

use crate::gate;
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};
use crate::machine::Machine;
use crate::night;
use crate::scenarios::{GONE, THRESHOLD};

/// The agent's domain, as docs/packages.md has it.
const DOMAIN: &str = "system_u:system_r:initrc_t:s0";

/// A step by another program and a sleep, both with a container that is frozen for them, in one boot.
pub fn enforced() -> Outcome {
    let world = World::new()?;
    let machine = Machine::confined(&world)?;
    show(&machine, &world).map_err(|failed| {
        let said = failed.message().unwrap_or("failed");
        format!("{said}\n{}", machine.guest.last_words()).into()
    })
}

fn show(machine: &Machine, world: &World) -> Outcome {
    let guest = &machine.guest;
    guest.set_right()?;
    night::chronyd(guest, world)?;
    let began = gate::start(guest, world)?;
    is_confined(guest)?;
    let _contained = Work::in_a_scope(guest, "box")?;

    guest.sh("date -u -s '1 hour ago'")?;
    let after = |epoch: u64| gate::when(guest, "a later epoch is proven", |now| now.epoch > epoch && now.is_proven());
    let stepped = after(began.epoch)?;
    machine.suspend()?;
    pass(GONE / 2);
    machine.wake()?;
    let slept = after(stepped.epoch)?;
    ensure(slept.epoch > stepped.epoch && slept.cause == "resume", format!("{slept:?}"))?;

    let (log, off) = (gate::log(guest)?, guest.offset()?);
    ensure(log.contains("frozen=1 of=1") && log.contains("clock stepped"), log)?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))?;
    // What the unit does beside: reload, and the start after a kill.
    guest.sh("systemctl reload clockgate && systemctl kill --kill-whom=main --signal=KILL clockgate")?;
    after(slept.epoch)?;
    is_confined(guest)?;
    let denied = denials(guest)?;
    println!("| SELinux, Debian's default policy, enforcing | the agent as {DOMAIN} | {} denials of the boot |", denied.lines().count());
    print!("{denied}");
    let ours: Vec<&str> = denied.lines().filter(|line| line.contains("clockgate")).collect();
    ensure(ours.is_empty(), format!("denied to the agent or about it:\n{}", ours.join("\n")))
}

fn is_confined(guest: &Guest) -> Outcome {
    let mode = guest.sh("cat /sys/fs/selinux/enforce")?;
    let domain = guest.sh("tr -d '\\0' </proc/$(systemctl show -P MainPID clockgate)/attr/current")?;
    ensure(mode == "1" && domain == DOMAIN, format!("enforce={mode}, the agent is {domain}"))
}

/// What the kernel has denied to anybody since the boot, each kind once: who, what, of which class, on what.
fn denials(guest: &Guest) -> Outcome<String> {
    guest.sh("journalctl -b -k -o cat --no-pager | grep 'avc:  denied' | sed 's/.*avc:  //; s/ pid=[0-9]*//; s/ ino=[0-9]*//' | sort | uniq -c")
}

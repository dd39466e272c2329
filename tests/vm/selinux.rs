//! The agent where SELinux enforces Debian's policy, in a machine of its own: it does its work in the unit that is shipped, and what the
//! policy denies meanwhile is what docs/packages.md lists. For `tests/night selinux`.

use std::collections::BTreeSet;
use std::time::Duration;

use crate::gate;
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};
use crate::machine::Machine;
use crate::night;
use crate::scenarios::{GONE, SOON, THRESHOLD};

/// The agent's domain.
const DOMAIN: &str = "initrc_t";
/// A domain that the policy confines and that may begin at any program.
const OTHER: &str = "system_u:system_r:systemd_networkd_t:s0";
/// `semodule` compiles the whole policy anew: three minutes of a machine in software.
const COMPILED_WITHIN: Duration = Duration::from_secs(1800);

/// A step by another program and a sleep, both with a container that is frozen for them, a reload and a kill, in one boot.
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
    let page = section()?;
    ensure(page.contains(DOMAIN), format!("docs/packages.md does not name {DOMAIN}"))?;
    guest.set_right()?;
    night::chronyd(guest, world)?;
    gate::start(guest, world)?;
    let mut agents = vec![agent(guest)?];
    lives(machine)?;
    agents.push(agent(guest)?);

    let denied = denials(guest, &agents)?;
    println!(
        "| SELinux enforcing, the agent is {} in {DOMAIN} | {} kinds of denials |",
        agents.join(", then "),
        denied.len()
    );
    denied.iter().for_each(|denial| println!("{}", denial.row));
    let listed: BTreeSet<&str> = page.lines().filter(|line| line.starts_with("| `")).collect();
    let is_listed = |denial: &Denial| listed.iter().any(|row| row.starts_with(&denial.row));
    let unlisted: Vec<&Denial> = denied.iter().filter(|denial| !is_listed(denial)).collect();
    ensure(unlisted.is_empty(), format!("docs/packages.md does not list {unlisted:?}"))?;
    ensure(
        denied.iter().any(|denial| denial.is_the_agents),
        "nothing is denied to chronyd: the rule of the page is not needed",
    )?;

    let rule: Vec<&str> = page.lines().filter_map(|line| line.strip_prefix("    ")).collect();
    guest.sh_within(&rule.join("\n").replace("sudo ", ""), COMPILED_WITHIN)?;
    guest.sh("journalctl --rotate --vacuum-time=1us")?;
    step(guest)?;
    until("chronyd answers the agent", SOON, || Ok(agents_log(guest)?.contains("the daemon agrees").then_some(())))?;
    let denied = denials(guest, &agents)?;
    ensure(denied.iter().all(|denial| !denial.is_the_agents), format!("denied with the rule of the page: {denied:?}"))?;
    refuses(guest, &agents)
}

/// What the agent is for, and what its unit does beside.
fn lives(machine: &Machine) -> Outcome {
    let guest = &machine.guest;
    let _contained = Work::in_a_scope(guest, "box")?;
    let stepped = step(guest)?;
    machine.suspend()?;
    pass(GONE / 2);
    machine.wake()?;
    let slept = proven_after(guest, stepped)?;
    let (log, off) = (agents_log(guest)?, guest.offset()?);
    ensure(log.matches("frozen=1 of=1").count() >= 2 && log.contains("cause=resume"), log)?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))?;
    // From here on the servers are those of chronyd's file.
    guest.put("/etc/clockgate/config.yaml", "")?;
    guest.sh_within("systemctl reload clockgate", 10 * SOON)?;
    guest.sh("systemctl kill --kill-whom=main --signal=KILL clockgate")?;
    proven_after(guest, slept)?;
    let log = agents_log(guest)?;
    ensure(log.contains("the servers of the running time daemon"), log)
}

/// Another program sets the clock back; the epoch that is proven after it.
fn step(guest: &Guest) -> Outcome<u64> {
    let before = gate::read(guest)?.epoch;
    guest.sh("date -u -s '1 hour ago'")?;
    let after = proven_after(guest, before)?;
    let log = agents_log(guest)?;
    ensure(log.contains("cause=foreign-step") && log.contains("clock stepped"), log)?;
    Ok(after)
}

fn proven_after(guest: &Guest, epoch: u64) -> Outcome<u64> {
    Ok(gate::when(guest, "a later epoch is proven", |now| now.epoch > epoch && now.is_proven())?.epoch)
}

/// What the agent has said; a journal full of denials is read slowly here, beside other work.
fn agents_log(guest: &Guest) -> Outcome<String> {
    let script =
        "journalctl -u clockgate -o cat --no-pager _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID clockgate)";
    guest.sh_within(script, SOON)
}

/// The agent's process, which is in its domain while the policy is enforced.
fn agent(guest: &Guest) -> Outcome<String> {
    let mode = guest.sh("cat /sys/fs/selinux/enforce")?;
    let pid = guest.sh("systemctl show -P MainPID clockgate")?;
    let context = guest.sh(&format!("tr -d '\\0' </proc/{pid}/attr/current"))?;
    ensure(
        mode == "1" && context.split(':').nth(2) == Some(DOMAIN),
        format!("enforce={mode}, the agent is {context}"),
    )?;
    Ok(pid)
}

/// What root may is refused to another domain, by the kernel and by the bus, and our list has both.
fn refuses(guest: &Guest, agents: &[String]) -> Outcome {
    const READ: &str = "cat /etc/shadow";
    const CALL: &str =
        "busctl call org.freedesktop.login1 /org/freedesktop/login1 org.freedesktop.login1.Manager ListSeats";
    guest.sh(&format!("{READ}; {CALL}"))?;
    for command in [READ, CALL] {
        let ran = guest.run(&format!("runcon {OTHER} {command}"))?;
        ensure(ran.code != 0 && ran.err.to_lowercase().contains("denied"), format!("{command}: {ran:?}"))?;
    }
    let denied = denials(guest, agents)?;
    for of in ["`shadow_t:file`", "`systemd_logind_t:dbus`"] {
        let has = |denial: &Denial| denial.row.contains("`systemd_networkd_t`") && denial.row.contains(of);
        ensure(denied.iter().any(has), format!("no denial of {of}: {denied:?}"))?;
    }
    guest.sh(&format!("setenforce 0 && runcon {OTHER} {READ}")).map(drop)
}

/// One kind of denial, as a row of docs/packages.md begins.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Denial {
    /// To the agent, or to others about it.
    is_the_agents: bool,
    row: String,
}

/// What has been denied to anybody, in the words of the kernel (avc_audit_pre_callback(), security/selinux/avc.c) and of the bus and systemd,
/// which send theirs the same way. Each kind once.
fn denials(guest: &Guest, agents: &[String]) -> Outcome<BTreeSet<Denial>> {
    let lines =
        guest.sh_within("journalctl -b -o cat --no-pager | sed -n 's/.*avc:  denied/denied/p' | sort -u", SOON)?;
    Ok(lines.lines().map(|line| Denial::of(line, agents)).collect())
}

impl Denial {
    fn of(line: &str, agents: &[String]) -> Self {
        let field = |key: &str| {
            let value = line.split(' ').find_map(|word| word.strip_prefix(key)?.strip_prefix('='));
            value.map_or("", |value| value.trim_matches(['"', '\'']))
        };
        let kind = |key: &str| field(key).split(':').nth(2).unwrap_or_default();
        let what = line.split(['{', '}']).nth(1).unwrap_or_default().trim();
        let is_a_process = ["pid", "spid", "tpid", "name"].iter().any(|key| agents.iter().any(|pid| pid == field(key)));
        let file = field("path").rsplit('/').next().unwrap_or_default();
        // A process that systemd has not yet made into the agent has the end of its name (exec_child(), src/core/execute.c).
        let is_named = file.starts_with("clockgate") || ["clockgate", "(lockgate)"].contains(&field("comm"));
        let (subject, object, class) = (kind("scontext"), kind("tcontext"), field("tclass"));
        Self {
            is_the_agents: is_a_process || is_named || subject == DOMAIN,
            row: format!("| `{subject}` | `{what}` | `{object}:{class}` |"),
        }
    }
}

/// What docs/packages.md says of SELinux.
fn section() -> Outcome<&'static str> {
    let page = include_str!("../../docs/packages.md");
    let section = page.split("\n## ").find(|section| section.starts_with("SELinux\n"));
    section.ok_or_else(|| "docs/packages.md does not say anything of SELinux".into())
}

//! The agent where AppArmor enforces its profile: it does all of its work, and the kernel has nothing to deny.

use super::{Listed, gate, night, sleep};
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, podman};

pub const SCENARIOS: &[Listed] = &[
    ("confined::a_profile_that_is_not_loaded_keeps_no_agent_from_starting", not_loaded),
    (
        "confined::a_sleep_and_ten_frozen_containers_under_the_profile_deny_nothing",
        a_sleep_and_ten_frozen_containers_under_the_profile_deny_nothing,
    ),
    ("confined::a_reload_an_upgrade_in_place_and_a_kill_under_the_profile_deny_nothing", through_a_life),
    ("confined::what_the_agent_has_no_business_with_is_denied", what_the_agent_has_no_business_with_is_denied),
];

const PROFILE: &str = "/etc/apparmor.d/clockgate-agent";
/// As the kernel has it of a process.
pub const ENFORCED: &str = "clockgate-agent (enforce)";

fn not_loaded(guest: &Guest, world: &World) -> Outcome {
    guest.sh("aa-enabled")?;
    gate::start(guest, world)?;
    let confined = confinement(guest)?;
    night::over(guest)?;
    ensure(confined == "unconfined", confined)
}

fn a_sleep_and_ten_frozen_containers_under_the_profile_deny_nothing(guest: &Guest, world: &World) -> Outcome {
    let already = denials(guest)?;
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    let before = start_confined(guest, world)?;
    let boxes = Work::contained(guest, 10)?;
    sleep::stale_sleep_lets_nothing_through(guest, &before)?;
    let log = gate::log(guest)?;
    ensure(log.contains("frozen=10 of=10"), format!("not all ten were frozen:\n{log}"))?;
    ensure(log.contains("stepped"), format!("no step:\n{log}"))?;
    drop(boxes);
    podman::end(guest)?;
    night::over(guest)?;
    nothing_denied(guest, &already)
}

/// All that the unit runs beside the agent, and all that the agent writes outside of its own folders.
fn through_a_life(guest: &Guest, world: &World) -> Outcome {
    let already = denials(guest)?;
    night::chronyd(guest, world)?;
    let config = format!("servers: [{}]\nclockbound: {{enabled: true}}\n", world.truth.address());
    start_confined(guest, world)?;
    guest.put("/etc/clockgate/config.yaml", &config)?;
    guest.sh("systemctl reload clockgate")?;
    let reloaded = gate::proven(guest)?;
    let pid = guest.sh("systemctl show -P MainPID clockgate")?;
    guest.sh(&format!("kill -s USR2 {pid}"))?;
    let renewed = gate::when(guest, "another agent is at it", |now| now.epoch > reloaded.epoch && now.is_proven())?;
    ensure(guest.sh("systemctl show -P MainPID clockgate")? == pid, "systemd had to start it again")?;
    ensure(confinement(guest)? == ENFORCED, "the new program is not confined")?;
    guest.sh("test -e /run/clockbound/shm0 && busctl status org.clockgate.Agent1 >/dev/null")?;
    guest.sh("systemctl kill --kill-whom=main --signal=KILL clockgate")?;
    gate::when(guest, "the agent after that has a proof", |now| now.epoch > renewed.epoch && now.is_proven())?;
    night::over(guest)?;
    nothing_denied(guest, &already)
}

/// The same unit's sandbox with another program in it: what only the profile denies is denied, and the kernel's log has it.
fn what_the_agent_has_no_business_with_is_denied(guest: &Guest, _world: &World) -> Outcome {
    load(guest)?;
    let tried = guest.run(
        "systemd-run --quiet --wait --pipe -p AppArmorProfile=clockgate-agent sh -c \
         'echo >/etc/ours; /bin/date'",
    )?;
    let log = denials(guest)?;
    guest.sh("test ! -e /etc/ours")?;
    ensure(tried.code != 0, format!("{tried:?}"))?;
    for name in ["/etc/ours", "/usr/bin/date"] {
        ensure(log.contains(&format!("name=\"{name}\"")), format!("{name} was not denied:\n{log}"))?;
    }
    Ok(())
}

fn load(guest: &Guest) -> Outcome {
    guest.sh(&format!("apparmor_parser --replace {PROFILE}")).map(drop)
}

fn start_confined(guest: &Guest, world: &World) -> Outcome<gate::Gate> {
    load(guest)?;
    let gate = gate::start(guest, world)?;
    let confined = confinement(guest)?;
    ensure(confined == ENFORCED, confined)?;
    Ok(gate)
}

/// How the kernel confines the agent that runs.
pub fn confinement(guest: &Guest) -> Outcome<String> {
    guest.sh("cat /proc/$(systemctl show -P MainPID clockgate)/attr/apparmor/current")
}

/// What the kernel has denied to anybody by this profile, a line each.
pub fn denials(guest: &Guest) -> Outcome<String> {
    guest.sh("journalctl -k -o cat --no-pager | grep 'DENIED.*profile=\"clockgate-agent\"' || true")
}

pub fn nothing_denied(guest: &Guest, already: &str) -> Outcome {
    let now = denials(guest)?;
    ensure(now == already, format!("denied, after what was denied before ({already}): {now}"))
}

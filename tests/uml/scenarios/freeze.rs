//! What runs is frozen while its clock is wrong.

use std::time::Duration;

use clockgate::decision::Boottime;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::killer::{self, Moment};
use crate::lab::work::{Stamp, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, podman, relay, until, watch};

pub const SCENARIOS: &[Listed] = &[
    ("freeze::ten_containers_write_not_one_line_with_a_wrong_clock_over_a_sleep", ten_containers),
    (
        "freeze::the_only_road_to_the_servers_runs_through_a_frozen_container_which_is_thawed_alone",
        a_road_through_a_container,
    ),
    ("freeze::an_agent_killed_with_all_frozen_leaves_nothing_frozen", killed_while_frozen),
    (
        "freeze::an_agent_killed_at_twenty_random_moments_leaves_nothing_frozen_and_pid_1_is_not_needed",
        killed_at_random,
    ),
];

const THRESHOLD: Duration = Duration::from_millis(200);
/// What is promised of an agent that is killed.
const THAWED_WITHIN: Duration = Duration::from_secs(2);

fn ten_containers(guest: &Guest, world: &World) -> Outcome {
    podman::install(guest)?;
    night::chronyd(guest, world)?;
    let before = gate::start(guest, world)?;
    night::stale_sleeps(guest)?;
    let works = Work::contained(guest, 10)?;
    guest.sh(&format!(
        "setsid nice -n -20 /usr/lib/lab/part {} >/run/pid1 2>&1 </dev/null & echo $! >/run/pid1.watch",
        watch::VERB_STATES
    ))?;
    guest.suspend()?;
    guest.wake()?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    let woken = Boottime::from_nanos(guest.clocks()?.boottime);
    let log = gate::log(guest)?;
    ensure(log.contains("frozen=10 of=10"), format!("not all ten were frozen:\n{log}"))?;
    for work in &works {
        work.first_after(guest, woken)?;
        careful(&work.stamps(guest)?).map_err(|e| format!("{}\n{log}", e.message().unwrap_or_default()))?;
    }
    let marks = guest.sh(&format!("cat {0}/cgroup.freeze {0}/cgroup.events | sort | uniq -c", podman::SCOPES))?;
    ensure(!marks.contains("frozen 1") && marks.contains("10 0\n"), format!("not all is thawed: {marks}"))?;
    let up = guest.sh(
        "podman inspect --format '{{.State.Status}}' $(for id in /run/box-*.id; do cat $id; echo; done) | grep -c running",
    )?;
    ensure(up == "10", format!("{up} of ten containers run to podman"))?;
    never_stuck(guest, woken)?;
    podman::end(guest)?;
    night::over(guest)
}

/// A relay of NTP in the host's network, with a word in it; whoever has none stays frozen until the clock is right.
fn a_road_through_a_container(guest: &Guest, world: &World) -> Outcome {
    night::over(guest)?;
    guest.sh(&format!("ip route add default via {}", world.address(1)))?;
    relay::start(guest, "vpn", &format!("{}:123", world.truth.address()))?;
    let work = Work::in_a_scope(guest, "box")?;
    gate::start_with(guest, &format!("servers: [{}]\nmeasure-timeout: 1s\n", relay::HERE))?;
    let before = gate::proven(guest)?;
    night::stale_sleeps(guest)?;
    guest.suspend()?;
    guest.wake()?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    let woken = Boottime::from_nanos(guest.clocks()?.boottime);
    let log = gate::log(guest)?;
    ensure(log.contains("frozen=2 of=2"), format!("not both were frozen:\n{log}"))?;
    let thawed = log
        .split("cause=resume")
        .nth(1)
        .is_some_and(|after| after.contains("thawed the containers that carry the network"));
    ensure(thawed, format!("nobody was thawed for the road:\n{log}"))?;
    work.first_after(guest, woken)?;
    careful(&work.stamps(guest)?).map_err(|e| format!("{}\n{log}", e.message().unwrap_or_default()))?;
    guest.sh("systemctl stop 'docker-*.scope'; ip route del default")?;
    night::over(guest)
}

/// PID 1 was not once seen in uninterruptible sleep, before the sleep of the machine or after it.
fn never_stuck(guest: &Guest, woken: Boottime) -> Outcome {
    let seen = guest.sh("kill $(cat /run/pid1.watch); cat /run/pid1")?;
    let looks: Vec<Vec<&str>> = seen.lines().map(|line| line.split(' ').collect()).collect();
    let after = looks.iter().filter(|look| look[0].parse().is_ok_and(|at| Boottime::from_nanos(at) > woken)).count();
    let times = looks.last().and_then(|look| look[1].parse::<u32>().ok()).unwrap_or_default();
    println!("PID 1 was looked at {times} times");
    ensure(after > 0 && times > 100, format!("PID 1 was hardly looked at:\n{seen}"))?;
    ensure(looks.iter().all(|look| look[2] != "D"), format!("PID 1 was stuck:\n{seen}"))
}

fn careful(stamps: &[Stamp]) -> Outcome {
    match stamps.iter().find(|stamp| stamp.off.abs() > THRESHOLD) {
        Some(wrong) => fail(format!("a line was written on a clock that was off by {}", wrong.off)),
        None => Ok(()),
    }
}

/// PID 1 stopped as well: neither it nor the bus has to help.
fn killed_while_frozen(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    podman::install(guest)?;
    Work::contained(guest, 1)?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    let frozen = &format!("grep -l 'frozen 1' {}/cgroup.events | wc -l", podman::SCOPES);
    ensure(guest.sh(frozen)? == "1", "the container is not frozen before a snapshot")?;
    // SIGSTOP does nothing to PID 1; its cgroup's freezer does.
    let pid1 = "/sys/fs/cgroup/init.scope/cgroup.freeze";
    guest.sh(&format!("agent=$(systemctl show -P MainPID clockgate); echo 1 >{pid1}; kill -9 $agent"))?;
    let thawed =
        until("the guard has thawed it", Duration::from_secs(5), || Ok((guest.sh(frozen)? == "0").then_some(())));
    guest.sh(&format!("echo 0 >{pid1}"))?;
    thawed?;
    podman::end(guest)?;
    night::over(guest)
}

fn killed_at_random(guest: &Guest, world: &World) -> Outcome {
    let seed = std::env::var("CLOCKGATE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(0x5eed_u64);
    println!("CLOCKGATE_SEED={seed}");
    guest.put("/etc/clockgate/config.yaml", &format!("servers: [{}]\n", world.truth.address()))?;
    let killer = format!("nice -n -20 /usr/lib/lab/part {} {seed}", killer::VERB);
    let lines = guest.sh_within(&killer, Duration::from_secs(900))?;
    let moments = lines.lines().map(str::parse).collect::<Result<Vec<Moment>, String>>()?;
    ensure(moments.len() == killer::MOMENTS, format!("seed {seed}: {lines}"))?;
    for moment in &moments {
        let is_well = moment.thawed_after < THAWED_WITHIN && moment.paused.0 == moment.paused.1;
        ensure(is_well, format!("seed {seed}: {moment:?}, of {lines}"))?;
    }
    for during in ["freeze", "thaw"] {
        let some = |moment: &&Moment| moment.during == during && (1..moment.of).contains(&moment.caught);
        let caught = moments.iter().filter(some).count();
        println!("{caught} of {} were killed in the middle of a {during}", killer::MOMENTS / 2);
        ensure(caught > 0, format!("seed {seed}: not one of these moments shows anything of a {during}: {lines}"))?;
    }
    let slowest = moments.iter().map(|moment| moment.thawed_after).max();
    println!("all was thawed {slowest:?} after the kill at the latest");
    night::over(guest)
}

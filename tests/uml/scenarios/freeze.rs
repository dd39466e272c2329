//! What runs is frozen while its clock is wrong.

use std::time::Duration;

use clockgate::decision::Boottime;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::work::{Stamp, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, until};

pub const SCENARIOS: &[Listed] = &[
    ("freeze::ten_containers_write_not_one_line_with_a_wrong_clock_over_a_sleep", ten_containers),
    ("freeze::an_agent_killed_with_all_frozen_leaves_nothing_frozen", killed_while_frozen),
];

const THRESHOLD: Duration = Duration::from_millis(200);

fn ten_containers(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    let before = gate::start(guest, world)?;
    night::stale_sleeps(guest)?;
    let works = (0..10).map(|n| Work::contained(guest, &format!("box-{n}"))).collect::<Outcome<Vec<_>>>()?;
    guest.suspend()?;
    guest.wake()?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    let woken = Boottime::from_nanos(guest.clocks()?.boottime);
    let log = gate::log(guest)?;
    for work in works {
        work.first_after(guest, woken)?;
        careful(&work.end_contained(guest)?).map_err(|e| format!("{}\n{log}", e.message().unwrap_or_default()))?;
    }
    night::over(guest)
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
    let work = Work::contained(guest, "box")?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    let frozen = "grep -l 'frozen 1' /sys/fs/cgroup/system.slice/docker-*.scope/cgroup.events | wc -l";
    ensure(guest.sh(frozen)? == "1", "the container is not frozen before a snapshot")?;
    // SIGSTOP does nothing to PID 1; its cgroup's freezer does.
    let pid1 = "/sys/fs/cgroup/init.scope/cgroup.freeze";
    guest.sh(&format!("agent=$(systemctl show -P MainPID clockgate); echo 1 >{pid1}; kill -9 $agent"))?;
    let thawed =
        until("the guard has thawed it", Duration::from_secs(5), || Ok((guest.sh(frozen)? == "0").then_some(())));
    guest.sh(&format!("echo 0 >{pid1}"))?;
    thawed?;
    work.end_contained(guest)?;
    night::over(guest)
}

//! The machine sleeps, and wakes up wrong: what clockgate is for.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::work::{Stamp, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail};

pub const SCENARIOS: &[Listed] =
    &[("sleep::nothing_that_waits_runs_on_the_stale_clock_after_a_sleep", nothing_that_waits_runs_stale)];

/// As far off as work behind the gate may ever be: the threshold.
pub const THRESHOLD: Duration = Duration::from_millis(200);

fn nothing_that_waits_runs_stale(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    let before = gate::start(guest, world)?;
    stale_sleep_lets_nothing_through(guest, &before)?;
    let off = guest.offset()?;
    night::over(guest)?;
    ensure(off.abs() < THRESHOLD, format!("off by {off}"))
}

/// Two workloads behind the gate of an agent that runs, and a sleep that ends an hour behind.
pub fn stale_sleep_lets_nothing_through(guest: &Guest, before: &gate::Gate) -> Outcome {
    night::stale_sleeps(guest)?;
    let works = [Work::behind_the_gate(guest, "work-1")?, Work::behind_the_gate(guest, "work-2")?];
    guest.suspend()?;
    guest.wake()?;
    let after = gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    ensure(after.cause == "resume" && after.state == "Synchronized", format!("{after:?}"))?;
    let woken = clockgate::decision::Boottime::from_nanos(guest.clocks()?.boottime);
    for work in works {
        work.first_after(guest, woken)?;
        careful(&work.end(guest)?)?;
    }
    guest.sh("rm /lib/systemd/system-sleep/zz-stale").map(drop)
}

fn careful(stamps: &[Stamp]) -> Outcome {
    match stamps.iter().find(|stamp| stamp.off.abs() > THRESHOLD) {
        Some(wrong) => fail(format!("work was done on a clock that was off by {}", wrong.off)),
        None => Ok(()),
    }
}

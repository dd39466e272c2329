//! Upgrades of a package, beside a container and a waiter that go on: by whatever package manager.

use std::time::Duration;

use clockgate::decision::Boottime;
use serde_json::Value;

use super::packed::LONG;
use super::{gate, sleep};
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::{Outcome, ensure, podman};

/// A container that was started through the wrapper, and one more waiter that asks again and again.
pub struct Beside<'g> {
    guest: &'g Guest,
    container: Vec<Work>,
    waiter: Work,
}

impl<'g> Beside<'g> {
    /// Where [`podman`] is installed, and the package.
    pub fn start(guest: &'g Guest) -> Outcome<Self> {
        guest.sh("clockgate hooks install podman")?;
        let container = Work::contained(guest, 1)?;
        Ok(Self { guest, container, waiter: Work::behind_the_gate(guest, "waiter")? })
    }

    /// Performs these upgrades. After each, the new program goes on in the agent's place, at a proven gate and by the configuration of
    /// before. None freezes anything, and the gate is shut for little longer than a proof takes.
    pub fn upgraded(&self, commands: &[String]) -> Outcome {
        let guest = self.guest;
        guest.put("/etc/clockgate/config.d/ours.yaml", "threshold: 150ms\n")?;
        let begun = guest.clocks()?.boottime;
        let old = agent(guest)?;
        for command in commands {
            guest.sh_within(command, LONG)?;
            ensure(gate::read(guest)?.is_proven(), format!("`{command}` returned at a gate that is not open"))?;
            let program = guest.sh(&format!("readlink /proc/{old}/exe"))?;
            let new = agent(guest)?;
            ensure(
                program == "/usr/bin/clockgate" && new == old,
                format!("{program} runs as {old}, the agent as {new}"),
            )?;
        }
        let config = guest.sh("cat /etc/clockgate/config.d/ours.yaml")?;
        ensure(config == "threshold: 150ms", config)?;
        let Upgrades { shut, walks, frozen } = Upgrades::since(guest, begun)?;
        println!("upgrades: the gate was shut for {shut:?} by {}, of which the walks took {walks:?}", commands.len());
        let middle = commands.len() / 2;
        ensure(shut.len() == commands.len() && frozen.is_empty(), format!("shut: {shut:?}, frozen: {frozen:?}"))?;
        ensure(shut[middle] < 10 * goal(walks[middle]), format!("shut: {shut:?}, walks: {walks:?}"))
    }

    /// Both went on: the waiter by the new program and never on a wrong clock, the container all the time.
    pub fn end(self) -> Outcome {
        let guest = self.guest;
        let now = Boottime::from_nanos(guest.clocks()?.boottime);
        self.waiter.first_after(guest, now)?;
        for stamp in self.waiter.end(guest)? {
            ensure(stamp.off.abs() < sleep::THRESHOLD, format!("the waiter ran off by {}", stamp.off))?;
        }
        for work in &self.container {
            work.first_after(guest, now)?;
        }
        podman::end(guest)
    }
}

/// The agent's process.
pub fn agent(guest: &Guest) -> Outcome<String> {
    guest.sh("systemctl show -P MainPID clockgate")
}

/// For how long an upgrade is to shut the gate, by how long a proof takes there.
fn goal(walk: Duration) -> Duration {
    2 * walk + Duration::from_millis(200)
}

/// What the history has of upgrades; times in order.
#[derive(Debug)]
pub struct Upgrades {
    /// From the old agent's end to the new one's proof.
    pub shut: Vec<Duration>,
    /// Of that, from the new agent's first question on.
    pub walks: Vec<Duration>,
    pub frozen: Vec<u64>,
}

impl Upgrades {
    pub fn since(guest: &Guest, begun: u64) -> Outcome<Self> {
        let records: Value = serde_json::from_str(&guest.sh("clockgate history --json")?)?;
        let records = records["records"].as_array().cloned().unwrap_or_default();
        let at = |event: &str| -> Vec<u64> {
            let times = records.iter().filter(|record| record["event"] == event);
            times.filter_map(|record| record["boottime_ns"].as_u64()).filter(|at| *at >= begun).collect()
        };
        let (ended, began, opened) = (at("ended"), at("gate-shut"), at("gate-open"));
        let as_many = ended.len() == opened.len() && began.len() == opened.len();
        ensure(as_many, format!("ended {ended:?}, began {began:?}, opened {opened:?}: {records:#?}"))?;
        let between = |from: &[u64]| {
            let mut times: Vec<Duration> =
                from.iter().zip(&opened).map(|(from, to)| Duration::from_nanos(to.saturating_sub(*from))).collect();
            times.sort_unstable();
            times
        };
        Ok(Self {
            shut: between(&ended),
            walks: between(&began),
            frozen: [at("frozen"), at("frozen-in-part")].concat(),
        })
    }
}

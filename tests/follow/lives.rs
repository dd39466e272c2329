//! What becomes of agents and their pages while somebody follows.

use std::fs::{self, File};
use std::time::Duration;

use clockgate::decision::{Epoch, Offset, Snapshot};
use clockgate::sys::clock::boottime;
use nix::sys::signal::{Signal, kill};

use crate::HOUR;
use crate::follower::Follower;
use crate::support::agent::CONFIG;
use crate::support::gate_page::{self, proven};
use crate::support::host::HostFolder;
use crate::support::liar::Liar;
use crate::support::{Ours, Outcome, clockgate, until};

pub fn replaced() -> Outcome {
    let host = HostFolder::new(&[])?;
    let public = gate_page::public(host.path());
    let mut page = gate_page::publish(host.path(), &proven())?;
    page.alive(boottime() + HOUR)?;
    let follower = Follower::start(host.path(), &[])?;
    let mut next = follower.says(0, "gate open, state Synchronized, epoch 1")?;
    let epoch = |count| Snapshot { epoch: Epoch::new(count), ..proven() };
    // Cut short, and made whole again by its agent.
    File::options().write(true).open(public.join("gate"))?.set_len(0)?;
    next = follower.says(next, "the gate page was removed or truncated")?;
    page.publish(&epoch(5))?;
    next = follower.says(next, "gate open, state Synchronized, epoch 5")?;
    // Removed, and made anew.
    fs::remove_file(public.join("gate"))?;
    next = follower.says(next, "the gate page was removed or truncated")?;
    page.publish(&epoch(6))?;
    next = follower.says(next, "gate open, state Synchronized, epoch 6")?;
    // With its folder, and made anew by another agent.
    drop(page);
    fs::remove_dir_all(&public)?;
    next = follower.says(next, "the gate page was removed or truncated")?;
    let mut page = gate_page::publish(host.path(), &epoch(7))?;
    next = follower.says(next, "gate open, state Synchronized, epoch 7")?;
    page.publish(&epoch(8))?;
    follower.says(next, "gate open, state Synchronized, epoch 8").map(drop)
}

pub fn silent() -> Outcome {
    let host = HostFolder::new(&[])?;
    let mut page = gate_page::publish(host.path(), &proven())?;
    page.alive(boottime() + Duration::from_secs(2))?;
    drop(page);
    let follower = Follower::start(host.path(), &[])?;
    let next = follower.says(0, "the agent is alive")?;
    // Its proof is as good as it was.
    let next = follower.says(next, "the agent was killed or hangs")?;
    let mut page = gate_page::publish(host.path(), &Snapshot { epoch: Epoch::new(3), ..proven() })?;
    page.alive(boottime() + HOUR)?;
    follower.says(next, "epoch 3")?;
    follower.says(next, "the agent is alive").map(drop)
}

pub fn agents() -> Outcome {
    let truth = Liar::here(Offset::ZERO)?;
    let config = format!("servers: ['{}']\ncorrection: none\n", truth.address());
    let host = HostFolder::new(&[(CONFIG, &config), ("var/lib/clockgate/.keep", "")])?;
    let public = host.at("run/clockgate/public");
    let agent = || {
        let mut agent = clockgate();
        agent.args(["agent", "--root"]).arg(host.path()).env_remove("CLOCKGATE_SERVERS");
        Ours::logged(&mut agent, &host.at("log"))
    };
    let mut first = agent()?;
    until("the page is there", crate::SOON, || clockgate::page::Page::open(&public).is_ok())?;
    let follower = Follower::of(host.path(), &public, &[])?;
    let objects = Follower::of(host.path(), &public, &["--json"])?;
    let mut next = follower.says(0, "gate open, state Synchronized, epoch 1, cause started")?;
    kill(first.pid(), Signal::SIGTERM)?;
    first.0.wait()?;
    next = follower.says(next, "the agent has ended: it was stopped")?;
    let _second = agent()?;
    next = follower.says(next, "gate open, state Synchronized, epoch 2, cause started")?;
    let notify = clockgate().args(["notify", "resume", "--bus"]).arg(host.at("run/clockgate/bus")).status()?;
    if !notify.success() {
        return Err("notify failed".into());
    }
    // The proof takes a few milliseconds: on a busy machine the shut gate before it is not seen.
    follower.says(next, "gate open, state Synchronized, epoch 3, cause resume")?;
    // What the history says of it follows, and when it is measured next.
    objects.says(0, "\"last_disruption\":{\"cause\":\"resume\",\"dated_by\":\"proof\"")?;
    let last = objects.lines().pop().ok_or("nothing")?;
    let last: serde_json::Value = serde_json::from_str(&last)?;
    let is_planned = last["next_measurement_boottime_ns"].as_u64() > last["now_boottime_ns"].as_u64();
    if is_planned && last["last_disruption"]["shut_ns"].is_u64() { Ok(()) } else { Err(format!("{last:#}").into()) }
}

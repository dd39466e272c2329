//! Without a terminal: lines and objects.

use std::os::unix::process::ExitStatusExt as _;
use std::time::Duration;

use clockgate::decision::{Epoch, Gate, Offset, Snapshot};
use clockgate::sys::clock::boottime;
use clockgate::sys::nap;
use nix::sys::signal::{Signal, kill};
use serde_json::Value;

use crate::follower::{Follower, status, without_reader};
use crate::support::gate_page::{self, proven, shut};
use crate::support::host::HostFolder;
use crate::support::{Outcome, ensure, expect, until, until_some};
use crate::{HOUR, SOON};

pub fn lines() -> Outcome {
    let host = HostFolder::new(&[])?;
    let mut page = gate_page::publish(host.path(), &proven())?;
    page.alive(boottime() + HOUR)?;
    let follower = Follower::start(host.path(), &[])?;
    let mut next = follower.says(0, "gate open, state Synchronized, epoch 1, cause started")?;
    next = follower.says(next, "the agent is alive")?;
    next = follower.says(next, "proven: the clock is 0 us behind, wrong by at most 2.000 ms, threshold 200.000 ms")?;
    next = follower.says(next, "time daemon: none is seen to run")?;
    page.publish(&shut())?;
    let first_shut = next;
    next = follower.says(next, "gate shut, state Disrupted, epoch 2, cause requested: resume: measuring")?;
    // The gate stays as it is: the word that waiters sleep on does not change.
    page.publish(&Snapshot { why: "the references disagree".into(), ..shut() })?;
    next = follower.says(next, "requested: the references disagree")?;
    let measured = Snapshot { offset: Some(Offset::from_secs(3600)), bound: Some(HOUR), ..shut() };
    page.publish(&Snapshot { as_of: boottime(), ..measured })?;
    next = follower.says(next, "measured: the clock is 1 h 0 min 0 s behind")?;
    page.publish(&Snapshot { epoch: Epoch::new(2), ..proven() })?;
    follower.says(next, "gate open, state Synchronized, epoch 2")?;
    follower.says(next, "proven: ")?;
    for (at, line) in follower.lines().into_iter().enumerate() {
        let (time, text) = line.split_once(' ').map(|(time, text)| (time, text.trim_start())).ok_or("no time")?;
        let is_proven = at < first_shut || text.contains("gate open") || text.starts_with("proven");
        ensure(time.ends_with(if is_proven { "Z" } else { "Z?" }), format!("{at}: {line}"))?;
    }
    kill(follower.child.pid(), Signal::SIGINT)?;
    let mut child = follower.child;
    let ended = until_some("it ends", SOON, || child.0.try_wait().ok().flatten())?;
    ensure(ended.signal() == Some(Signal::SIGINT as i32), format!("{ended}"))
}

/// The objects that were printed.
fn objects(follower: &Follower) -> Outcome<Vec<Value>> {
    let parsed = follower.lines().iter().map(|line| serde_json::from_str(line)).collect::<Result<_, _>>();
    parsed.map_err(|error| format!("{error}: {:?}", follower.lines()).into())
}

pub fn objects_as_status() -> Outcome {
    let host = HostFolder::new(&[])?;
    let mut page = gate_page::publish(host.path(), &proven())?;
    page.alive(boottime() + HOUR)?;
    let follower = Follower::start(host.path(), &["--json"])?;
    follower.says(0, "\"gate\":\"open\"")?;
    // A sign of life is no change, and neither is the same said again.
    page.alive(boottime() + HOUR + HOUR)?;
    let (as_of, next) = (boottime(), boottime() + HOUR);
    let renewed = Snapshot { as_of, next, ..proven() };
    for snapshot in [&renewed, &renewed, &shut()] {
        page.publish(snapshot)?;
        nap(Duration::from_millis(200));
    }
    follower.says(0, "\"gate\":\"shut\"")?;
    let all = objects(&follower)?;
    let gates: Vec<&str> = all.iter().filter_map(|object| object["gate"].as_str()).collect();
    ensure(gates == ["open", "open", "shut"], format!("{all:#?}"))?;
    ensure(all[1]["as_of_boottime_ns"] == as_of.as_nanos(), format!("{all:#?}"))?;
    ensure(all[1]["next_measurement_boottime_ns"] == next.as_nanos(), format!("{all:#?}"))?;
    let output = status(host.path(), &gate_page::public(host.path()), &["--json"]).output()?;
    let once: Value = serde_json::from_slice(&output.stdout)?;
    let names = |object: &Value| object.as_object().map(|fields| fields.keys().cloned().collect::<Vec<_>>());
    ensure(all.iter().all(|object| names(object) == names(&once)), format!("{once:#?}"))
}

pub fn broken_pipe() -> Outcome {
    for arguments in [&[][..], &["--json"]] {
        let host = HostFolder::new(&[])?;
        let mut page = gate_page::publish(host.path(), &proven())?;
        page.alive(boottime() + HOUR)?;
        let child = without_reader(host.path(), arguments)?;
        let output = child.wait_with_output()?;
        let is_quiet = output.stderr.is_empty();
        // Whether the pipe ends it while it writes or while it sleeps.
        let ended = output.status.success() || output.status.signal() == Some(Signal::SIGPIPE as i32);
        expect(is_quiet && ended, &output)?;
    }
    Ok(())
}

/// How often the threads of a process have slept.
fn sleeps(pid: u32) -> Outcome<u64> {
    let mut sum = 0;
    for task in std::fs::read_dir(format!("/proc/{pid}/task"))? {
        let status = std::fs::read_to_string(task?.path().join("status"))?;
        let line = status.lines().find_map(|line| line.strip_prefix("voluntary_ctxt_switches:"));
        sum += line.ok_or("no count")?.trim().parse::<u64>().map_err(|error| error.to_string())?;
    }
    Ok(sum)
}

pub fn idle() -> Outcome {
    let host = HostFolder::new(&[])?;
    let mut page = gate_page::publish(host.path(), &proven())?;
    page.alive(boottime() + HOUR)?;
    let follower = Follower::start(host.path(), &["--json"])?;
    follower.says(0, "\"gate\":\"open\"")?;
    let pid = follower.child.0.id();
    let mut before = sleeps(pid)?;
    // What it began with is over at some time; a look once a second would never be.
    until("three seconds without a wake-up", SOON, || {
        nap(Duration::from_secs(3));
        let now = sleeps(pid).unwrap_or_default();
        std::mem::replace(&mut before, now) == now
    })?;
    page.publish(&Snapshot { as_of: boottime(), ..proven() })?;
    until("it is woken", SOON, || follower.lines().len() == 2)?;
    page.publish(&Snapshot { gate: Gate::Shut, ..shut() })?;
    follower.says(0, "\"gate\":\"shut\"").map(drop)
}

pub fn no_page() -> Outcome {
    let host = HostFolder::new(&[])?;
    let page = gate_page::public(host.path());
    let output = status(host.path(), &page, &["--follow"]).output()?;
    expect(output.status.code() == Some(69) && output.stdout.is_empty(), &output)?;
    let both = status(host.path(), &page, &["--follow", "--format", "nagios"]).output()?;
    expect(both.status.code() == Some(2), &both)
}

//! A night of known disruptions, and what is told of it in the morning: these, in this order, dated truly, off by what they were off by.

use std::time::Duration;

use clockgate::decision::{Offset, Realtime};
use serde_json::Value;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::stage::Begins;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, pass, until};

pub const SCENARIOS: &[Listed] =
    &[("record::a_night_is_told_as_it_was_and_after_a_reboot_too", a_night_is_told_as_it_was)];

const SOON: Duration = Duration::from_secs(60);
const SCOPES: &str = "/sys/fs/cgroup/system.slice/docker-*.scope";
const HISTORY: &str = "/var/lib/clockgate/history/events.jsonl";
/// The host reads the guest's clocks over a line, the agent reads two clocks one after the other, and both wait for a processor.
const SLACK: Duration = Duration::from_millis(50);

/// One thing that was done to the guest, and what has to be told of it.
struct Disruption {
    cause: &'static str,
    /// Reference minus local that it left behind.
    off: Offset,
    /// True time minus time since boot: before it, and after it.
    truth: [Offset; 2],
    /// What of the gate is told beside that it was shut and is open.
    more: &'static [&'static str],
    /// How many are frozen; none where the clock was right all the time.
    frozen: Option<u64>,
}

fn a_night_is_told_as_it_was(guest: &Guest, world: &World) -> Outcome {
    Work::in_a_scope(guest, "box")?;
    gate::start_with(guest, &format!("servers: [{}]\ndeadline: 2s\n", world.truth.address()))?;
    gate::proven(guest)?;
    let first = guest.truth()?;
    let mut night =
        vec![Disruption { cause: "started", off: Offset::ZERO, truth: [first; 2], more: &[], frozen: None }];
    night.push(asleep_for_two_seconds_and_an_hour_behind(guest)?);
    night.push(set_ahead_by_twenty_minutes(guest)?);
    night.push(restored(guest)?);
    night.push(restored_while_nobody_answers(guest, world)?);
    night.push(set_back_while_nobody_answers(guest, world)?);
    night.push(killed(guest)?);
    let ended = guest.clocks()?.boottime;
    guest.sh(&format!("systemctl stop clockgate; for scope in {SCOPES}; do echo 1 >$scope/cgroup.kill; done"))?;

    let told = records(guest)?;
    is_the_night(&night, &told, ended)?;
    let text = guest.sh("clockgate history")?;
    ensure(text.lines().count() == told.len() && !text.contains('?'), format!("not all is dated by a proof:\n{text}"))?;
    is_reported(&night, guest)?;
    after_a_reboot(guest, &told)?;
    night::over(guest)
}

/// The hook sets the clock back last of all before the sleep.
fn asleep_for_two_seconds_and_an_hour_behind(guest: &Guest) -> Outcome<Disruption> {
    let (before, epoch) = (guest.truth()?, gate::read(guest)?.epoch);
    night::stale_sleeps(guest)?;
    guest.suspend()?;
    pass(Duration::from_secs(2));
    guest.wake()?;
    opened(guest, epoch)?;
    guest.sh("rm /lib/systemd/system-sleep/zz-stale")?;
    let truth = [before, guest.truth()?];
    Ok(Disruption { cause: "resume", off: Offset::from_secs(3600), truth, more: &[], frozen: Some(1) })
}

fn set_ahead_by_twenty_minutes(guest: &Guest) -> Outcome<Disruption> {
    let (before, epoch) = (guest.truth()?, gate::read(guest)?.epoch);
    guest.sh("date -u -s '20 minutes'")?;
    opened(guest, epoch)?;
    let truth = [before, guest.truth()?];
    Ok(Disruption { cause: "foreign-step", off: Offset::from_secs(-1200), truth, more: &[], frozen: Some(1) })
}

fn restored(guest: &Guest) -> Outcome<Disruption> {
    let (before, epoch) = (guest.truth()?, gate::read(guest)?.epoch);
    guest.sh("clockgate notify post-restore")?;
    opened(guest, epoch)?;
    let truth = [before, guest.truth()?];
    Ok(Disruption { cause: "restore", off: Offset::ZERO, truth, more: &[], frozen: None })
}

/// The gate opens without a proof at the deadline, and on one when somebody answers again.
fn restored_while_nobody_answers(guest: &Guest, world: &World) -> Outcome<Disruption> {
    let (before, epoch) = (guest.truth()?, gate::read(guest)?.epoch);
    world.truth.silence()?;
    guest.sh("clockgate notify post-restore")?;
    gate::when(guest, "the gate opens unproven", |now| now.epoch > epoch && now.gate == "unproven")?;
    world.truth.speak()?;
    opened(guest, epoch)?;
    let truth = [before, guest.truth()?];
    let more = &["gate-open-unproven"];
    Ok(Disruption { cause: "restore", off: Offset::ZERO, truth, more, frozen: None })
}

/// A clock that is known to be wrong is held.
fn set_back_while_nobody_answers(guest: &Guest, world: &World) -> Outcome<Disruption> {
    let (before, epoch) = (guest.truth()?, gate::read(guest)?.epoch);
    world.truth.silence()?;
    guest.sh("date -u -s '5 minutes ago'")?;
    pass(Duration::from_secs(4));
    let held = gate::read(guest)?;
    ensure(held.gate == "shut" && held.epoch == epoch + 1, format!("not held: {held:?}"))?;
    world.truth.speak()?;
    opened(guest, epoch)?;
    let truth = [before, guest.truth()?];
    let more = &["no-proof"];
    Ok(Disruption { cause: "foreign-step", off: Offset::from_secs(300), truth, more, frozen: Some(1) })
}

fn killed(guest: &Guest) -> Outcome<Disruption> {
    let (before, epoch) = (guest.truth()?, gate::read(guest)?.epoch);
    guest.sh("systemctl kill --kill-whom=main -s KILL clockgate")?;
    opened(guest, epoch)?;
    let truth = [before, guest.truth()?];
    Ok(Disruption { cause: "started", off: Offset::ZERO, truth, more: &[], frozen: None })
}

fn opened(guest: &Guest, epoch: u64) -> Outcome {
    gate::when(guest, "a later epoch is proven", |now| now.epoch > epoch && now.is_proven()).map(drop)
}

fn records(guest: &Guest) -> Outcome<Vec<Value>> {
    let all: Value = serde_json::from_str(&guest.sh("clockgate history --json")?)?;
    ensure(all["skipped"] == 0, format!("lines were skipped: {all}"))?;
    Ok(all["records"].as_array().cloned().unwrap_or_default())
}

/// These disruptions and no other.
fn is_the_night(night: &[Disruption], told: &[Value], ended: u64) -> Outcome {
    let mut rest = told;
    for disruption in night {
        let (own, others) = epoch_of(rest, disruption.cause)?;
        disruption.is_told(own)?;
        rest = others;
    }
    let ends = match rest {
        [] => told.last().is_some_and(|last| last["event"] == "ended" && last["boottime_ns"].as_u64() >= Some(ended)),
        _ => false,
    };
    ensure(ends, format!("more than what was done: {rest:#?}"))
}

/// The records of the epoch that comes next, where it has this cause; a sleep is announced by logind and by the hook before it begins.
fn epoch_of<'a>(rest: &'a [Value], cause: &str) -> Outcome<(&'a [Value], &'a [Value])> {
    let announced = rest.iter().take_while(|record| cause == "resume" && record["cause"] == "sleep").count();
    let rest = &rest[announced..];
    let Some(first) = rest.first() else { return fail(format!("nothing is told of {cause}")) };
    let (own, others) = rest.split_at(rest.iter().take_while(|record| record["epoch"] == first["epoch"]).count());
    ensure(first["cause"] == cause, format!("not {cause}, but {own:#?}"))?;
    Ok((own, others))
}

impl Disruption {
    fn is_told(&self, own: &[Value]) -> Outcome {
        let named = |event: &str| own.iter().filter(|record| record["event"] == event).collect::<Vec<_>>();
        let told = || format!("{}: {own:#?}", self.cause);
        let (shut, stepped, open) = (named("gate-shut"), named("stepped"), named("gate-open"));
        ensure(open.len() == 1, told())?;
        ensure(self.more.iter().all(|event| !named(event).is_empty()), told())?;
        for record in own {
            self.is_dated(record).map_err(|e| format!("{}\n{}", e.message().unwrap_or_default(), told()))?;
        }
        // A proof is right to its bound.
        let left = self.off_at(open[0])?;
        ensure(left.abs() <= bound(open[0])? + self.slack(), format!("off by {left} when it was proven; {}", told()))?;
        if let Some(frozen) = self.frozen {
            ensure(open[0]["frozen"] == frozen && !named("thawed").is_empty(), told())?;
        }
        if self.off == Offset::ZERO {
            return ensure(stepped.is_empty(), told());
        }
        // What it was off by is what the clock showed when the gate was shut, and what it was stepped by in all: an answer that was
        // under way for long makes a second step.
        let moved: Offset = stepped.iter().fold(Offset::ZERO, |moved, step| moved + number(step, "moved_ns"));
        let began = shut.last().map_or_else(|| fail(told()), |shut| self.off_at(shut))?;
        ensure(number(open[0], "stepped_ns") == moved, told())?;
        ensure((moved - began).abs() <= bound(open[0])? + self.slack(), format!("off by {began}; {}", told()))?;
        let first = stepped.first().map_or_else(|| fail(told()), |step| Ok(*step))?;
        let (said, root_distance) =
            (number(first, "offset_ns"), bound(first)?.saturating_sub(number(first, "offset_ns").abs()));
        ensure((said - began).abs() <= root_distance + self.slack(), format!("off by {began}; {}", told()))?;
        // The command that set it took its time.
        ensure((moved - self.off).abs() < Duration::from_secs(2), format!("not off by {}; {}", self.off, told()))
    }

    /// Whatever its clock showed then.
    fn is_dated(&self, record: &Value) -> Outcome {
        let time = Realtime::from_nanos(record["time_ns"].as_i64().unwrap_or_default());
        let at = Realtime::from_nanos(record["boottime_ns"].as_i64().unwrap_or_default());
        let near = self.truth.map(|truth| (at + truth - time).abs()).into_iter().min().unwrap_or_default();
        ensure(record["dated_by"] == "proof" && near <= self.slack(), format!("dated {near:?} wrong: {record}"))
    }

    /// True time minus what its clock showed.
    fn off_at(&self, record: &Value) -> Outcome<Offset> {
        let number = |name: &str| record[name].as_i64().map_or_else(|| fail(format!("no {name} in {record}")), Ok);
        let shown = Realtime::from_nanos(number("realtime_ns")?);
        Ok(Realtime::from_nanos(number("boottime_ns")?) + self.truth[1] - shown)
    }

    /// A guest loses time while its host is busy.
    fn slack(&self) -> Duration {
        let lost = (self.truth[1] - self.truth[0]).abs();
        if lost < Duration::from_millis(500) { SLACK + lost } else { SLACK }
    }
}

fn bound(record: &Value) -> Outcome<Duration> {
    record["bound_ns"].as_u64().map(Duration::from_nanos).map_or_else(|| fail(format!("no bound in {record}")), Ok)
}

fn number(record: &Value, name: &str) -> Offset {
    Offset::from_nanos(record[name].as_i64().unwrap_or_default())
}

/// The report has the same ones in the same order.
fn is_reported(night: &[Disruption], guest: &Guest) -> Outcome {
    let report: Value = serde_json::from_str(&guest.sh("clockgate report --json")?)?;
    let reported = report["disruptions"].as_array().cloned().unwrap_or_default();
    let causes =
        |all: &[Value]| all.iter().map(|one| one["cause"].as_str().unwrap_or_default().to_owned()).collect::<Vec<_>>();
    ensure(
        causes(&reported) == night.iter().map(|done| done.cause).collect::<Vec<_>>(),
        format!("reported: {report:#}"),
    )?;
    for (one, done) in reported.iter().zip(night) {
        let off = (number(one, "offset_ns") - done.off).abs();
        let ending = if done.more.contains(&"gate-open-unproven") { "proven-later" } else { "proven" };
        let is_whole = one["ending"] == ending && one["dated_by"] == "proof" && one["frozen"].as_u64() == done.frozen;
        ensure(is_whole && off < Duration::from_secs(2), format!("{}, off by {}: {one:#}", done.cause, done.off))?;
    }
    let has_all = ["proven_ns", "unproven_ns", "shut_ns"].iter().all(|share| report[*share].as_u64() > Some(0));
    ensure(has_all, format!("a share is missing: {report:#}"))
}

/// Another boot goes on with the same files, and tells the same of the night before it.
fn after_a_reboot(guest: &Guest, told: &[Value]) -> Outcome {
    let world = World::new()?;
    std::fs::write(world.run().join("events.jsonl"), guest.lines(HISTORY, 0)?)?;
    let next = Guest::boot(&world, Begins::Installed)?;
    next.sh(&format!(
        "mkdir -p /run/kept; mount -t hostfs -o {} none /run/kept
         install -d -m 0750 -g clockgate /var/lib/clockgate/history
         install -m 0640 -g clockgate /run/kept/events.jsonl {HISTORY}",
        std::fs::canonicalize(world.run())?.display()
    ))?;
    gate::start(&next, &world)?;
    let opened = |record: &Value| record["event"] == "gate-open" && record["boot_id"] != told[0]["boot_id"];
    let all = until("the next boot's proof is told", SOON, || {
        let all = records(&next)?;
        Ok(all.last().is_some_and(opened).then_some(all))
    })?;
    ensure(all.starts_with(told), format!("not as it was told before: {all:#?}"))
}

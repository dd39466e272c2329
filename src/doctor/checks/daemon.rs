//! The time daemon, and who else may set the clock.

use std::time::Duration;

use super::CheckVerdict;
use super::clock::certainly_wrong;
use crate::daemon::inspection::{
    ClockSetter, INSTALL_ONE, InspectedDaemon, Rights, SET_ONLINE, SourceSummary, StepLimit, time_to_slew,
};
use crate::decision::size_in_words;
use crate::doctor::facts::DoctorFacts;

/// Falsetickers are outvoted from three servers on.
const ENOUGH_SERVERS: usize = 3;

pub fn none(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let daemon = &facts.daemon;
    if !daemon.has_processes {
        return Some(of_an_image(facts));
    }
    let names: Vec<&str> = daemon.running.iter().map(|running| running.name).collect();
    if !names.is_empty() {
        let verb = if names.len() == 1 { "runs" } else { "run" };
        return Some(CheckVerdict::ok(format!("{} {verb}", names.join(" and "))));
    }
    if facts.containers.inside.is_some() {
        return Some(CheckVerdict::skip("the host's daemon keeps the clock of a container, and is not seen from here"));
    }
    let verdict = CheckVerdict::fail("no time daemon runs: the clock drifts, and is never corrected");
    Some(if daemon.installed.is_empty() {
        verdict.mend(INSTALL_ONE)
    } else {
        let units = daemon.installed.iter().map(|unit| {
            format!("{} is installed: {}{}", unit.daemon, unit.unit, if unit.is_masked { ", masked" } else { "" })
        });
        verdict.because_all(units).mend(start(facts))
    })
}

/// What starts the daemon that is installed.
fn start(facts: &DoctorFacts) -> String {
    let installed = &facts.daemon.installed;
    match installed.iter().find(|unit| !unit.is_masked).or(installed.first()) {
        Some(unit) if unit.is_masked => {
            format!("sudo systemctl unmask {0} && sudo systemctl enable --now {0}", unit.unit)
        }
        Some(unit) => format!("sudo systemctl enable --now {}", unit.unit),
        None => INSTALL_ONE.to_owned(),
    }
}

/// An image: who would be started.
fn of_an_image(facts: &DoctorFacts) -> CheckVerdict {
    let enabled: Vec<&str> =
        facts.daemon.installed.iter().filter(|unit| unit.is_enabled && !unit.is_masked).map(|unit| unit.unit).collect();
    match enabled.as_slice() {
        [] if facts.daemon.installed.is_empty() => {
            CheckVerdict::fail("no time daemon is installed in this image").mend(INSTALL_ONE)
        }
        [] => CheckVerdict::fail("no time daemon is enabled in this image")
            .mend(format!("systemctl --root=DIR enable {}", facts.daemon.installed[0].unit)),
        units => CheckVerdict::ok(format!("{} will be started", units.join(", "))),
    }
}

/// Conditions that are known to keep a daemon from starting where they do not hold.
pub fn condition(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if !facts.daemon.running.is_empty() {
        return None;
    }
    let is_container = facts.containers.inside.is_some();
    let keeps = |condition: &str| {
        condition.starts_with("ConditionFileIsExecutable=!")
            || condition.starts_with("ConditionPathExists=!")
            || (is_container && condition.starts_with("ConditionVirtualization=!container"))
            || (is_container && condition.starts_with("ConditionCapability=CAP_SYS_TIME"))
    };
    let unit = facts.daemon.installed.iter().find(|unit| unit.conditions.iter().any(|one| keeps(one)))?;
    let named: Vec<String> = unit.conditions.iter().filter(|one| keeps(one)).cloned().collect();
    let title =
        format!("{} is skipped where {} does not hold, and that is no failure to systemd", unit.unit, named.join(", "));
    let verdict = if is_container { CheckVerdict::note(title) } else { CheckVerdict::warn(title) };
    Some(verdict.mend(format!("systemctl status {}", unit.unit)))
}

fn described(setter: &ClockSetter) -> String {
    let place = if setter.is_contained { ", in a container" } else { "" };
    format!("{} (pid {}{place})", setter.comm, setter.pid)
}

/// Who sets the clock by design, each name once: a daemon may have several processes.
fn keepers(facts: &DoctorFacts) -> Vec<&ClockSetter> {
    let mut found: Vec<&ClockSetter> = vec![];
    for setter in facts.daemon.setters.iter().filter(|setter| setter.rights == Rights::Keeper) {
        if !found.iter().any(|known| known.comm == setter.comm) {
            found.push(setter);
        }
    }
    found
}

pub fn two(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if !facts.daemon.has_processes {
        let enabled: Vec<&str> = facts
            .daemon
            .installed
            .iter()
            .filter(|unit| unit.is_enabled && !unit.is_masked)
            .map(|unit| unit.unit)
            .collect();
        let title = format!("{} are enabled and will fight over the clock", enabled.join(" and "));
        return (enabled.len() > 1).then(|| CheckVerdict::fail(title).mend("disable all but one of them"));
    }
    let daemons: Vec<&str> = facts.daemon.running.iter().map(|running| running.name).collect();
    let evidence = keepers(facts).into_iter().map(described);
    // PTP's programs work together, and one of them starts an NTP daemon of its own.
    let ntp = facts.daemon.running.iter().filter(|running| running.beyond_its_limit.is_some()).count();
    Some(if ntp > 1 {
        let title = format!("{} run and fight over the clock", daemons.join(" and "));
        CheckVerdict::fail(title).because_all(evidence).mend("stop and disable all but one of them")
    } else if daemons.len() > 1 {
        CheckVerdict::note(format!("{} run: PTP's programs share the clock", daemons.join(" and ")))
            .because_all(evidence)
    } else if facts.daemon.sees_the_host || !daemons.is_empty() {
        CheckVerdict::ok("one time daemon at most").because_all(evidence)
    } else {
        CheckVerdict::skip("the processes of the host are not seen from here")
    })
}

/// Who else may set the clock, by CAP_SYS_TIME.
pub fn setters(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if !facts.daemon.has_processes {
        return None;
    }
    let others = |rights: Rights| facts.daemon.setters.iter().filter(move |setter| setter.rights == rights);
    let by_design: Vec<String> = others(Rights::ByDesign).map(described).collect();
    let tools: Vec<String> = others(Rights::GuestTools).map(described).collect();
    let contained: Vec<String> =
        keepers(facts).into_iter().filter(|setter| setter.is_contained).map(described).collect();
    let on_order =
        others(Rights::OnOrder).map(|setter| format!("{}: sets it on order of the hypervisor", described(setter)));
    let unknown = [by_design, contained].concat();
    Some(if !unknown.is_empty() {
        let title = format!("may set the clock as well (CAP_SYS_TIME): {}", unknown.join(", "));
        CheckVerdict::warn(title).because_all(tools).because_all(on_order)
    } else if !tools.is_empty() {
        let title = format!(
            "{} may set the clock as well: at resume, even with periodic synchronisation off",
            tools.join(", ")
        );
        CheckVerdict::warn(title).because_all(on_order)
    } else {
        CheckVerdict::ok("no other program has CAP_SYS_TIME by design").because_all(on_order)
    })
}

pub fn cron(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let lines = &facts.daemon.cron;
    let first = lines.first()?;
    let title = format!("{} line {} sets the clock by `{}`", first.file.display(), first.line, first.program);
    let all = lines.iter().map(|line| format!("{} line {}: {}", line.file.display(), line.line, line.program));
    let verdict = if facts.daemon.running.is_empty() { CheckVerdict::note(title) } else { CheckVerdict::warn(title) };
    Some(
        verdict
            .because_all(all)
            .mend(format!("remove that line: a time daemon does it better ({})", first.file.display())),
    )
}

pub fn observes(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let (running, flag) = facts.daemon.running.iter().find_map(|running| Some((running, running.observes?)))?;
    let title = format!("{} runs with `{flag}`: it measures, and never corrects the clock", running.name);
    Some(CheckVerdict::fail(title).mend(format!("start it without `{flag}`")))
}

fn is_observing(facts: &DoctorFacts) -> bool {
    facts.daemon.running.iter().any(|running| running.observes.is_some())
}

/// A daemon without the right to set the clock: its parent may have it, so each name counts once.
pub fn powerless(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let has_power = |comm: &str| keepers(facts).iter().any(|keeper| keeper.comm == comm);
    let is_without = |setter: &&ClockSetter| setter.rights == Rights::Powerless && !setter.is_contained;
    let without = facts.daemon.setters.iter().filter(is_without).find(|setter| !has_power(&setter.comm))?;
    // In a container that is as it should be.
    (!is_observing(facts) && facts.containers.inside.is_none()).then(|| {
        CheckVerdict::fail(format!("{} lacks CAP_SYS_TIME and cannot correct the clock", described(without)))
            .mend("give its unit CapabilityBoundingSet=CAP_SYS_TIME, and run it outside of a container")
    })
}

fn summary(facts: &DoctorFacts) -> Option<SourceSummary> {
    facts.daemon.sources.as_ref().and_then(|sources| sources.as_ref().ok()).copied()
}

pub fn sources(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if facts.daemon.running.is_empty() {
        return None;
    }
    if let Some(Err(why)) = &facts.daemon.sources {
        return Some(CheckVerdict::skip(why));
    }
    let servers: Vec<String> = facts.daemon.running.iter().flat_map(|running| running.servers.clone()).collect();
    let others: usize = facts.daemon.running.iter().map(|running| running.others).sum();
    let listed = format!("its configuration names {} server(s)", servers.len());
    Some(
        match summary(facts) {
            Some(summary) if summary.total == 0 => CheckVerdict::fail("the time daemon has no source")
                .because(listed)
                .mend("name servers in its configuration"),
            Some(summary) => {
                CheckVerdict::ok(format!("{} of {} source(s) answered", summary.reached, summary.total)).because(listed)
            }
            None if servers.is_empty() && others == 0 && facts.network.servers.is_empty() => {
                CheckVerdict::note("its servers cannot be read").because_all(facts.network.remark.clone())
            }
            None => CheckVerdict::ok(listed),
        }
        .because_all(servers),
    )
}

pub fn unreached(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| summary.total > 0)?;
    let unresolved = (summary.unresolved > 0).then(|| format!("{} name(s) have no address yet", summary.unresolved));
    Some(if summary.reached == 0 {
        CheckVerdict::fail(format!("{} of {} sources were never reached", summary.total, summary.total))
            .because("none has answered one of the last eight polls")
            .because_all(unresolved)
    } else if summary.reached < summary.total {
        CheckVerdict::note(format!("{} of {} sources answered", summary.reached, summary.total)).because_all(unresolved)
    } else {
        CheckVerdict::ok("every source answered")
    })
}

pub fn offline(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| summary.offline > 0)?;
    let title =
        format!("{} of {} sources are offline: the daemon was ordered not to ask them", summary.offline, summary.total);
    let verdict = if summary.offline >= summary.total { CheckVerdict::fail(title) } else { CheckVerdict::warn(title) };
    Some(verdict.mend(SET_ONLINE))
}

pub fn no_majority(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| !summary.follows_one)?;
    // What is too far away or outranked is no voice.
    let voices = summary.reached.saturating_sub(summary.too_far.max(summary.outranked));
    if voices < 2 {
        return None;
    }
    let title = format!("{voices} sources answer and the daemon follows none: they contradict each other");
    Some(
        CheckVerdict::fail(title)
            .because_all(facts.network.falsetickers.iter().map(|name| format!("agrees with no other: {name}"))),
    )
}

/// Most often a server that has no source of its own, such as a domain controller that was left to itself.
pub fn distance(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| summary.too_far > 0)?;
    let (running, limit) = facts.daemon.running.iter().find_map(|running| Some((running, running.most_distance?)))?;
    let title = format!(
        "{} of {} source(s) that answer are too far away for {}: their root distance is over {}",
        summary.too_far,
        summary.reached,
        running.name,
        size_in_words(limit)
    );
    let is_all = summary.too_far >= summary.reached && !summary.follows_one;
    let verdict = if is_all { CheckVerdict::fail(title) } else { CheckVerdict::note(title) };
    Some(verdict.because("a server whose own clock was not corrected for long is as far as its dispersion has grown").mend(
        "name a server that is synchronised itself; only if there is none, raise `maxdistance` in the configuration",
    ))
}

/// Authenticated sources outrank the others even while they are silent, as NTS is where TCP port 4460 is blocked.
pub fn authentication(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| summary.outranked > 0 && !summary.follows_one)?;
    let title = format!(
        "{} source(s) answer and do not count: the authenticated sources outrank them, and are silent",
        summary.outranked
    );
    Some(
        CheckVerdict::fail(title)
            .because("`authselectmode` is `mix` unless configured: nothing is followed that no authenticated source supports")
            .mend("let NTS through (TCP port 4460 outward), or name authenticated servers that answer"),
    )
}

/// Daemons that end themselves rather than correct a large offset: the one that runs, and the one that has done it.
pub fn exit_limit(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let off = certainly_wrong(facts).map(crate::decision::Offset::abs);
    if is_observing(facts) {
        return None;
    }
    if facts.daemon.has_processes && facts.daemon.running.is_empty() {
        let (unit, limit) = facts.daemon.installed.iter().find_map(|unit| Some((unit, unit.exits_beyond?)))?;
        let off = off.filter(|off| *off > limit && unit.is_enabled && !unit.is_masked)?;
        let title = format!(
            "{} is enabled and does not run, and the clock is off by {}: it ends over {}, and is not restarted",
            unit.daemon,
            size_in_words(off),
            size_in_words(limit)
        );
        let fix = format!("sudo clockgate sync && sudo systemctl start {}", unit.unit);
        return Some(CheckVerdict::fail(title).mend(fix));
    }
    let (name, limit) = facts.daemon.running.iter().find_map(|running| Some((running.name, running.exits_beyond?)))?;
    let over = size_in_words(limit);
    Some(match off.filter(|off| *off > limit) {
        Some(off) => {
            let title = format!("{name} ends itself over {over}, and the clock is off by {}", size_in_words(off));
            CheckVerdict::fail(title).mend("sudo clockgate sync")
        }
        None => CheckVerdict::note(format!("{name} ends itself when the clock is off by more than {over}")),
    })
}

pub fn step_limit(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let running = facts.daemon.running.iter().find(|running| running.beyond_its_limit.is_some())?;
    if is_observing(facts) {
        return None;
    }
    let limit = running.step_limit;
    let off = certainly_wrong(facts).map(crate::decision::Offset::abs);
    let name = running.name;
    match (limit, off) {
        (Some(StepLimit::Always { .. }) | None, None) => None,
        (Some(StepLimit::Always { from }), Some(off)) if off > from => Some(CheckVerdict::note(format!(
            "{name} steps the clock by itself at its next update: it is off by {}",
            size_in_words(off)
        ))),
        (Some(StepLimit::AtFirst { from, updates, slew_ppm }), Some(off)) if off > from => {
            Some(spent(running, &format!("{name} steps only at its first {updates} updates"), off, slew_ppm))
        }
        (Some(StepLimit::Never { slew_ppm }), Some(off)) => {
            Some(spent(running, &format!("{name} never steps"), off, slew_ppm))
        }
        (Some(StepLimit::AtFirst { updates, .. }), None) => {
            let title = format!("{name} steps only at its first {updates} updates: after a pause it slews, for hours");
            Some(CheckVerdict::note(title).because_all(running.beyond_its_limit.map(str::to_owned)))
        }
        (Some(StepLimit::Never { .. }), None) => {
            let title = format!("{name} never steps while it runs: after a pause it slews, for hours");
            Some(CheckVerdict::note(title).because_all(running.beyond_its_limit.map(str::to_owned)))
        }
        (Some(StepLimit::Always { .. } | StepLimit::AtFirst { .. }), Some(_)) => None,
        (None, Some(_)) => {
            running.beyond_its_limit.map(|words| CheckVerdict::note(format!("{name} beyond its limit: {words}")))
        }
    }
}

fn spent(running: &InspectedDaemon, why: &str, off: Duration, slew_ppm: u32) -> CheckVerdict {
    let takes = size_in_words(time_to_slew(off, slew_ppm));
    let title = format!("{why}: to slew {} at {slew_ppm} ppm takes {takes}", size_in_words(off));
    CheckVerdict::fail(title).because_all(running.beyond_its_limit.map(str::to_owned)).mend("sudo clockgate sync")
}

pub fn one_server(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let running = facts.daemon.running.iter().find(|running| running.servers.len() == 1 && running.others == 0)?;
    // A pool's name has several servers, and the daemon's own list says how many.
    let has_several = summary(facts).is_some_and(|summary| summary.total >= ENOUGH_SERVERS);
    let title =
        format!("{} has one server, {}: when that is wrong, so is this clock", running.name, running.servers[0]);
    (!has_several).then(|| CheckVerdict::note(title).mend("name three servers or more"))
}

pub fn local(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let (running, directive) =
        facts.daemon.running.iter().find_map(|running| Some((running, running.follows_itself?)))?;
    let title = format!(
        "{} has `{directive}`: without a source it follows this very clock and reports that it is synchronised",
        running.name
    );
    Some(
        CheckVerdict::warn(title)
            .mend(format!("remove `{directive}` from its configuration, unless others have to agree with this host")),
    )
}

pub fn rtcsync(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let (running, directive) = facts.daemon.running.iter().find_map(|running| Some((running, running.lacks?)))?;
    let title = format!(
        "{} runs without `{directive}`: the kernel never reports `System clock synchronized: yes`, and the RTC is never set",
        running.name
    );
    Some(CheckVerdict::warn(title).mend(format!("add `{directive}` to its configuration")))
}

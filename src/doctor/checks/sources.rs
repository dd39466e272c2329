//! The time daemon's sources, as it reports them itself.

use super::CheckVerdict;
use crate::daemon::inspection::{EXAMINE_SAMPLES, INSTALL_SEVERAL, SET_ONLINE, SourceSummary};
use crate::decision::size_in_words;
use crate::doctor::facts::DoctorFacts;

/// Falsetickers are outvoted from three servers on.
const ENOUGH_SERVERS: usize = 3;

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
                CheckVerdict::ok(format!("the time daemon has {} source(s)", summary.total)).because(listed)
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
        CheckVerdict::fail(format!("none of {} source(s) answered one of the last eight polls", summary.total))
            .because_all(unresolved)
    } else if summary.reached < summary.total {
        CheckVerdict::note(format!("{} of {} source(s) answered", summary.reached, summary.total))
            .because_all(unresolved)
    } else {
        CheckVerdict::ok("every source answered")
    })
}

pub fn offline(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| summary.offline > 0)?;
    let title =
        format!("{} of {} source(s) offline: the daemon was ordered not to ask them", summary.offline, summary.total);
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

pub fn one_server(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let running = facts.daemon.running.iter().find(|running| running.servers.len() == 1 && running.others == 0)?;
    // A pool's name is that of several servers, the daemon's own list says how many it has, and a cloud's server has no equal.
    let has_several = summary(facts).map_or(running.has_pool, |summary| summary.total >= ENOUGH_SERVERS)
        || facts.network.cloud.as_ref().is_some_and(|cloud| cloud.is_used);
    let title =
        format!("{} has one server, {}: when that is wrong, so is this clock", running.name, running.servers[0]);
    (!has_several).then(|| CheckVerdict::note(title).mend("name three servers or more"))
}

/// Sources that answer and whose answers are not used: most often since their delay has grown, or their clock went wrong.
pub fn samples(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let summary = summary(facts).filter(|summary| summary.unusable > 0)?;
    let title = format!(
        "{} of {} source(s) answer each poll and none of it is used: its tests fail, as they do with a delay that varies",
        summary.unusable, summary.reached
    );
    let verdict =
        if summary.unusable >= summary.reached { CheckVerdict::warn(title) } else { CheckVerdict::note(title) };
    Some(verdict.mend(EXAMINE_SAMPLES))
}

/// How seldom the daemon asks where only its next answer shows it a step.
pub fn poll(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let (running, slowest) = facts.daemon.running.iter().find_map(|running| Some((running, running.slowest_poll?)))?;
    let often = size_in_words(slowest);
    let title =
        format!("{} asks one server, every {often} at the least: a wrong answer counts for so long", running.name);
    Some(CheckVerdict::note(title).mend(INSTALL_SEVERAL))
}

/// Servers that are the default of the build.
pub fn fallback(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let running = facts.daemon.running.iter().find(|running| running.falls_back)?;
    let title = format!(
        "neither a file nor the network names a server for {}: it asks those that it falls back to",
        running.name
    );
    let names = running.servers.iter().map(|server| format!("its files name {server} to fall back to"));
    Some(
        CheckVerdict::note(title)
            .because_all(names)
            .mend("name servers near to this host: `NTP=` in its configuration"),
    )
}

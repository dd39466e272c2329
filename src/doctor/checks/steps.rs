//! What the time daemon does about an offset: whether it steps, slews or ends, and what it reports to the kernel.

use std::time::Duration;

use super::CheckVerdict;
use super::clock::certainly_wrong;
use super::masters::is_observing;
use crate::daemon::inspection::{InspectedDaemon, StepLimit, time_to_slew};
use crate::decision::{counted, size_in_words};
use crate::doctor::facts::DoctorFacts;

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
        let fix = format!("sudo clockgate sync && {}", facts.daemon.manager.start(unit.unit));
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
        (Some(StepLimit::AtFirst { from, updates, slew_ppm }), Some(off)) if off > from => Some(spent(
            running,
            &format!("{name} steps only at its first {}", counted(u64::from(updates), "update")),
            off,
            slew_ppm,
        )),
        (Some(StepLimit::Never { slew_ppm }), Some(off)) => {
            Some(spent(running, &format!("{name} never steps"), off, slew_ppm))
        }
        (Some(StepLimit::AtFirst { updates, .. }), None) => {
            let title = format!(
                "{name} steps only at its first {}: after a pause it slews, for hours",
                counted(u64::from(updates), "update")
            );
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

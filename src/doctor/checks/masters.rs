//! Who may set the clock, and whether the time daemon is one of them.

use super::CheckVerdict;
use crate::daemon::inspection::{ClockSetter, Rights};
use crate::doctor::facts::DoctorFacts;

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
        let enabled: Vec<&str> =
            facts.daemon.installed.iter().filter(|unit| unit.will_start()).map(|unit| unit.unit).collect();
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
    if !facts.daemon.sees_the_host && facts.containers.inside.is_none() {
        return Some(CheckVerdict::skip("the processes of the host are not all seen from here"));
    }
    let others = |rights: Rights| facts.daemon.setters.iter().filter(move |setter| setter.rights == rights);
    let by_design: Vec<String> = others(Rights::ByDesign).map(described).collect();
    // Tools that never set it are no second master, nor are those that keep the clock alone.
    let is_alone = facts.daemon.running.is_empty();
    let leaves_it = |setter: &&ClockSetter| {
        let mut tools = facts.daemon.guest_tools.iter().filter(|tools| tools.comm == setter.comm);
        tools.any(|tools| tools.never_sets() || (is_alone && tools.synchronises == Some(true)))
    };
    let tools: Vec<String> = others(Rights::GuestTools).filter(|one| !leaves_it(one)).map(described).collect();
    let contained: Vec<String> =
        keepers(facts).into_iter().filter(|setter| setter.is_contained).map(described).collect();
    let on_order =
        others(Rights::OnOrder).map(|setter| format!("{}: sets it on order of the hypervisor", described(setter)));
    let unknown = [by_design, contained].concat();
    Some(if !unknown.is_empty() {
        let title = format!("may set the clock as well (CAP_SYS_TIME): {}", unknown.join(", "));
        CheckVerdict::warn(title).because_all(tools).because_all(on_order)
    } else if !tools.is_empty() {
        let title = format!("{} may set the clock as well: at resume in any case", tools.join(", "));
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
    if facts.containers.inside.is_some() {
        return Some(
            CheckVerdict::note(title).because("in a container that is as it should be: the clock is the host's"),
        );
    }
    Some(CheckVerdict::fail(title).mend(format!("start it without `{flag}`")))
}

pub fn is_observing(facts: &DoctorFacts) -> bool {
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

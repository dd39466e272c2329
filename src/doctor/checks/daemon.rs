//! Whether a time daemon runs, and if not, why.

use super::CheckVerdict;
use crate::daemon::inspection::{INSTALL_ONE, InstalledUnit, is_of_a_file};
use crate::doctor::facts::DoctorFacts;

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
    if !daemon.sees_the_host {
        return Some(CheckVerdict::skip("the processes of the host are not all seen from here"));
    }
    if let Some(tools) = daemon.guest_tools.iter().find(|tools| tools.synchronises == Some(true)) {
        let title = format!("no time daemon runs; {} sets the clock to that of the hypervisor's host", tools.comm);
        return Some(CheckVerdict::note(title).because("it is as right as that host's, and unknown to the kernel"));
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
    let is_free = |unit: &&InstalledUnit| !unit.conditions.iter().any(|condition| keeps(facts, condition));
    let best = installed.iter().find(|unit| unit.can_start() && is_free(unit)).or(installed.iter().find(is_free));
    best.map_or_else(|| INSTALL_ONE.to_owned(), |unit| unit.start(facts.daemon.manager))
}

/// An image: who would be started.
fn of_an_image(facts: &DoctorFacts) -> CheckVerdict {
    let installed = &facts.daemon.installed;
    let enabled: Vec<&str> = installed.iter().filter(|unit| unit.will_start()).map(|unit| unit.unit).collect();
    match (enabled.as_slice(), installed.iter().find(|unit| unit.can_start()).or(installed.first())) {
        ([], None) => CheckVerdict::fail("no time daemon is installed in this image").mend(INSTALL_ONE),
        ([], Some(unit)) => CheckVerdict::fail("no time daemon will be started in this image")
            .mend(unit.enable_in_an_image(facts.daemon.manager)),
        (units, _) => CheckVerdict::ok(format!("{} will be started", units.join(", "))),
    }
}

/// Whether this condition is known not to hold here.
fn keeps(facts: &DoctorFacts, condition: &str) -> bool {
    // systemd counts WSL as a container.
    let is_container = facts.containers.inside.is_some() || facts.machine.is_wsl;
    is_of_a_file(condition)
        || (is_container && condition.starts_with("ConditionVirtualization=!container"))
        || (facts.containers.inside.is_some() && condition.starts_with("ConditionCapability=CAP_SYS_TIME"))
}

/// Conditions that keep a daemon from starting, where no other starts.
pub fn condition(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let daemon = &facts.daemon;
    if !daemon.running.is_empty() || (!daemon.has_processes && daemon.installed.iter().any(InstalledUnit::will_start)) {
        return None;
    }
    let unit = daemon.installed.iter().find(|unit| unit.conditions.iter().any(|one| keeps(facts, one)))?;
    let named: Vec<String> = unit.conditions.iter().filter(|one| keeps(facts, one)).cloned().collect();
    let title =
        format!("{} is skipped where {} does not hold, and that is no failure to systemd", unit.unit, named.join(", "));
    // Another has the clock: the host of a container, or the tools for which the unit is skipped.
    let is_meant =
        facts.containers.inside.is_some() || daemon.guest_tools.iter().any(|tools| tools.synchronises == Some(true));
    let verdict = if is_meant { CheckVerdict::note(title) } else { CheckVerdict::warn(title) };
    Some(match daemon.manager.show(unit.unit) {
        Some(_) if facts.is_image => verdict.mend(format!("systemctl --root=DIR cat {}", unit.unit)),
        Some(show) => verdict.mend(show),
        None => verdict,
    })
}

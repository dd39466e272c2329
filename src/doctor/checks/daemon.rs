//! Whether a time daemon runs, and if not, why.

use super::CheckVerdict;
use crate::daemon::inspection::INSTALL_ONE;
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

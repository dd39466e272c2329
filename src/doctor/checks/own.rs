//! clockgate itself.

use super::CheckVerdict;
use crate::doctor::facts::{AgentState, DoctorFacts};
use crate::page::Gate;
use crate::sys::service_manager::AGENT;

pub fn agent(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if facts.is_image {
        return Some(CheckVerdict::skip("this root is not the running system"));
    }
    let manager = facts.daemon.manager;
    Some(match &facts.own.agent {
        AgentState::NotThere if facts.containers.inside.is_some() => {
            CheckVerdict::skip("the agent of the host is not seen from here")
        }
        AgentState::NotThere => CheckVerdict::note("no agent runs: workloads do not wait for the clock")
            .mend(manager.enable_and_start(AGENT)),
        AgentState::Runs(Gate::Proven, _) => CheckVerdict::ok("the gate is open on a proof"),
        AgentState::Runs(Gate::Unproven, why) => {
            CheckVerdict::warn(format!("the gate is open without a proof: {why}")).mend("clockgate status")
        }
        AgentState::Runs(Gate::Shut, why) => {
            CheckVerdict::warn(format!("the gate is shut: {why}")).mend(manager.log_of_the_agent())
        }
        AgentState::Gone(words) => {
            CheckVerdict::fail(format!("the agent is gone: {words}")).mend(manager.restart(AGENT))
        }
    })
}

/// A program that was replaced runs on until it is started again.
pub fn outdated(facts: &DoctorFacts) -> Option<CheckVerdict> {
    facts.own.is_outdated.then(|| {
        CheckVerdict::warn("the agent runs an older program than the one that is installed")
            .because("the file was replaced after the agent was started")
            .mend(facts.daemon.manager.restart(AGENT))
    })
}

pub fn config(facts: &DoctorFacts) -> Option<CheckVerdict> {
    Some(match &facts.own.config_faults {
        None => CheckVerdict::ok("the configuration is valid"),
        Some(faults) => {
            let mut lines = faults.lines().map(str::to_owned);
            let title = lines.next().unwrap_or_default();
            CheckVerdict::fail(title).because_all(lines).mend("clockgate config check")
        }
    })
}

pub fn hooks(facts: &DoctorFacts) -> Option<CheckVerdict> {
    if !facts.own.edited.is_empty() {
        let title = format!("files of these hooks were edited since: {}", facts.own.edited.join(", "));
        return Some(CheckVerdict::warn(title).mend("clockgate hooks list"));
    }
    let engine = facts.own.without_hook.first()?;
    let title = format!("containers of {} do not wait at the gate", facts.own.without_hook.join(", "));
    Some(CheckVerdict::note(title).mend(format!("sudo clockgate hooks install {engine}")))
}

pub fn cgroup2(facts: &DoctorFacts) -> Option<CheckVerdict> {
    // The agent that a container sees is its host's.
    let runs = matches!(facts.own.agent, AgentState::Runs(..)) && facts.containers.inside.is_none();
    (runs && !facts.own.has_cgroup2).then(|| {
        CheckVerdict::warn("there is no cgroup2: running containers cannot be frozen while the clock is wrong")
    })
}

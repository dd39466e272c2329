//! Containers: their clock is the host's.

use super::CheckVerdict;
use super::masters::is_observing;
use crate::daemon::inspection::Rights;
use crate::doctor::facts::{AgentState, DoctorFacts};

pub fn clock(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let containers = &facts.containers;
    let Some(sign) = &containers.inside else {
        return Some(CheckVerdict::ok("this is not a container, as far as can be seen"));
    };
    let evidence = format!("known by {sign}");
    Some(
        match containers.may_set_the_clock {
            Some(true) => {
                let title =
                    "this container may set the clock of its host, and of every other container there (CAP_SYS_TIME)";
                CheckVerdict::warn(title).mend("start it without CAP_SYS_TIME")
            }
            Some(false) | None => {
                CheckVerdict::note("a container has no clock of its own: it is the host's, and is mended there")
                    .mend("run `clockgate doctor` on the host")
            }
        }
        .because(evidence),
    )
}

/// Time daemons in containers that cannot keep any clock.
pub fn daemon(facts: &DoctorFacts) -> Option<CheckVerdict> {
    // It was started so that it sets none.
    if facts.containers.inside.is_some() && is_observing(facts) {
        return None;
    }
    let is_in_one = |contained: bool| contained || facts.containers.inside.is_some();
    let powerless: Vec<String> = facts
        .daemon
        .setters
        .iter()
        .filter(|setter| setter.rights == Rights::Powerless && is_in_one(setter.is_contained))
        .map(|setter| format!("{} (pid {})", setter.comm, setter.pid))
        .collect();
    if powerless.is_empty() {
        return None;
    }
    let title = format!("a time daemon in a container cannot set the clock: {}", powerless.join(", "));
    Some(
        CheckVerdict::warn(title)
            .because("it has no CAP_SYS_TIME that reaches the clock of the host")
            .mend("run the time daemon on the host"),
    )
}

pub fn namespace(facts: &DoctorFacts) -> Option<CheckVerdict> {
    facts.containers.has_clocks_of_its_own.then(|| {
        CheckVerdict::warn("this is a time namespace whose boot clocks are not the host's, or /proc is not mounted")
            .mend("run it outside, without timeOffsets of the OCI runtime")
    })
}

/// The gate of the host, which a container sees only where its folder is mounted.
pub fn page(facts: &DoctorFacts) -> Option<CheckVerdict> {
    facts.containers.inside.as_ref()?;
    Some(match facts.own.agent {
        AgentState::NotThere => {
            CheckVerdict::note("the host's gate is not seen from here: programs cannot wait for it")
                .mend("mount /run/clockgate/public of the host into the container, read-only")
        }
        AgentState::Runs(..) | AgentState::Gone(_) => CheckVerdict::ok("the host's gate is seen from here"),
    })
}

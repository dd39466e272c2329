//! What the log says that a time daemon was not allowed to do.

use super::CheckVerdict;
use crate::doctor::facts::DoctorFacts;

/// A line of the log outlives its cause: where the kernel's clock is marked synchronised, some program has the right.
pub fn denied(facts: &DoctorFacts) -> Option<CheckVerdict> {
    let denials = &facts.log.denials;
    let of_the_clock = denials.iter().filter(|denial| denial.is_of_the_clock).count();
    denials.first()?;
    let lines = denials.iter().map(|denial| denial.line.clone());
    let is_synchronised = facts.clock.kernel.is_some_and(|kernel| !kernel.unsynchronised);
    let title = "the log says that the time daemon was not allowed to set the clock";
    Some(
        match (of_the_clock, is_synchronised || facts.containers.inside.is_some()) {
            (0, _) => CheckVerdict::note("a security module denied something to the time daemon"),
            (_, true) => CheckVerdict::warn(title),
            (_, false) => CheckVerdict::fail(title),
        }
        .because_all(lines)
        .mend(format!(
            "{}  # then allow CAP_SYS_TIME in its unit or its security profile",
            facts.daemon.manager.log_of_denials()
        )),
    )
}

//! What a time daemon was not allowed to do, by the log.

use crate::daemon::program::{PROGRAMS, Program, Role};
use crate::sys::foreign;

/// What a security module calls the right to set the clock: SELinux by its class, AppArmor by `capname`.
const RIGHT: &str = "sys_time";
/// What daemons say themselves: chrony's sys_linux.c, local.c and main.c; ntp.org's and NTPsec's ntp_loopfilter.c and systime.c.
const SAID: [&str; 5] = [
    "CAP_SYS_TIME not present",
    "adjtimex() failed",
    "settimeofday() failed",
    "clock_settime: Operation not permitted",
    "adj_systime: Operation not permitted",
];

/// One thing that was denied.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Denial {
    /// The line of the log.
    pub line: String,
    /// Whether it is the right to set the clock.
    pub is_of_the_clock: bool,
}

fn keepers() -> impl Iterator<Item = &'static Program> {
    PROGRAMS.iter().filter(|program| program.role == Role::Keeper)
}

/// What journalctl(1) finds the lines of time daemons by.
#[must_use]
pub fn log_matches() -> Vec<String> {
    keepers().map(|program| format!("_COMM={}", program.comm())).collect()
}

/// Every one in this log.
#[must_use]
pub fn denials(log: &str) -> Vec<Denial> {
    let denial = |line: &str| {
        let is_said = SAID.iter().any(|words| line.contains(words));
        let is_denied = line.contains("DENIED") || line.contains("avc:  denied") || line.contains("avc: denied");
        let is_a_keepers = keepers().any(|program| line.contains(&format!("comm=\"{}\"", program.comm())));
        (is_said || (is_denied && is_a_keepers))
            .then(|| Denial { line: foreign::shown(line), is_of_the_clock: is_said || line.contains(RIGHT) })
    };
    log.lines().filter_map(denial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_denial_of_the_clock_is_told_from_one_of_a_file_and_from_another_programs() {
        let log = "audit: apparmor=\"DENIED\" operation=\"capable\" profile=\"chronyd\" comm=\"chronyd\" capability=25 capname=\"sys_time\"\n\
                   audit: avc:  denied  { read } for pid=7 comm=\"ntpd\" name=\"keys\"\n\
                   audit: apparmor=\"DENIED\" operation=\"open\" comm=\"mysqld\"\n\
                   chronyd[5]: CAP_SYS_TIME not present\n";
        let found: Vec<bool> = denials(log).iter().map(|denial| denial.is_of_the_clock).collect();
        assert_eq!(found, [true, false, true]);
    }
}

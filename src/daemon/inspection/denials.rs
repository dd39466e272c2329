//! What a time daemon was not allowed to do, by the log.

use crate::daemon::program::{PROGRAMS, Program, Role};
use crate::sys::foreign;

/// What a security module calls the right to set the clock: SELinux by its class, AppArmor by `capname`.
const RIGHT: &str = "sys_time";
/// What SELinux adds to a line of what it would have denied and did not (security/selinux/avc.c).
const PERMISSIVE: &str = "permissive=1";
/// What daemons say of the right itself: chrony's sys_linux.c; ntpd-rs' clock-steering.
const SAID: [&str; 2] = ["CAP_SYS_TIME not present", "Insufficient permissions to interact with the clock"];
/// What else they say could not be done: chrony's sys_timex.c (`adjtimex(0x8001) failed : WHY`); ntp.org's ntp_loopfilter.c, systime.c
/// (`step-systime: WHY`) and machines.c, and NTPsec's (`CLOCK: step_systime: WHY`); timesyncd-manager.c (`Failed to call
/// clock_adjtime(): WHY`); OpenNTPD's ntpd.c (`adjtime failed: WHY`); busybox' ntpd.c (`settimeofday: WHY`); connman's ntp.c.
const CALLS: [&str; 7] = [
    "adjtime",
    "settimeofday",
    "clock_settime",
    "step-systime",
    "step_systime",
    "adj_systime",
    "Failed to adjust time",
];
/// EPERM, as strerror(3) has it in the locale of a daemon.
const WHY: &str = "Operation not permitted";

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

/// Whether a keeper wrote this line: by its name and its process, as syslog has them.
fn is_of_a_keeper(line: &str) -> bool {
    keepers()
        .any(|program| line.contains(&format!("{}[", program.name)) || line.contains(&format!("{}: ", program.name)))
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
        let is_forbidden = line.contains(WHY) && CALLS.iter().any(|call| line.contains(call));
        let is_said = SAID.iter().any(|words| line.contains(words)) || (is_forbidden && is_of_a_keeper(line));
        let is_denied =
            (line.contains("apparmor=\"DENIED\"") || line.contains("avc:  denied")) && !line.contains(PERMISSIVE);
        let is_a_keepers = keepers().any(|program| line.contains(&format!("comm=\"{}\"", program.comm())));
        (is_said || (is_denied && is_a_keepers))
            .then(|| Denial { line: foreign::shown(line), is_of_the_clock: is_said || line.contains(RIGHT) })
    };
    log.lines().filter_map(denial).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of_the_clock(log: &str) -> Vec<bool> {
        denials(log).iter().map(|denial| denial.is_of_the_clock).collect()
    }

    #[test]
    fn a_denial_of_the_clock_is_distinguished_from_one_of_a_file_and_from_another_programs() {
        let log = "audit: apparmor=\"DENIED\" operation=\"capable\" profile=\"chronyd\" comm=\"chronyd\" capability=25 capname=\"sys_time\"\n\
                   audit: avc:  denied  { read } for pid=7 comm=\"ntpd\" name=\"keys\" permissive=0\n\
                   audit: apparmor=\"DENIED\" operation=\"open\" comm=\"mysqld\"\n\
                   chronyd[5]: CAP_SYS_TIME not present\n";
        assert_eq!(of_the_clock(log), [true, false, true]);
    }

    #[test]
    fn what_selinux_only_noted_was_not_denied() {
        let line = "avc:  denied  { sys_time } for  pid=7 comm=\"chronyd\" capability=25 tclass=capability permissive=";
        assert_eq!(of_the_clock(&format!("{line}1")), [] as [bool; 0]);
        assert_eq!(of_the_clock(&format!("{line}0")), [true]);
    }

    #[test]
    fn each_daemon_says_in_its_own_words_that_it_may_not_set_the_clock() {
        for line in [
            "chronyd[39331]: Fatal error : adjtimex(0x8001) failed : Operation not permitted",
            "ntpd[7]: step-systime: Operation not permitted",
            "ntpd[7]: adj_systime: Operation not permitted",
            "ntpd[7]: ntp_set_tod: clock_settime: -1 Operation not permitted",
            "ntpd[7]: local_clock: ntp_loopfilter.c line 806: ntp_adjtime: Operation not permitted",
            "ntpd[7]: CLOCK: step_systime: Operation not permitted",
            "systemd-timesyncd[5766]: Failed to call clock_adjtime(): Operation not permitted",
            "ntpd[7]: adjtime failed: Operation not permitted",
            "ntpd: settimeofday: Operation not permitted",
            "connmand[9]: Failed to adjust time: Operation not permitted (1)",
            "ntp-daemon[3]: ERROR ntpd: Insufficient permissions to interact with the clock.",
        ] {
            assert_eq!(of_the_clock(line), [true], "{line}");
        }
        for line in [
            "hwclock[8]: settimeofday() failed: Operation not permitted",
            "systemd-timesyncd[5766]: Failed to call clock_adjtime(): Invalid argument",
            "chronyd[2]: adjtimex() doesn't support ADJ_SETOFFSET",
        ] {
            assert_eq!(denials(line), [], "{line}");
        }
    }
}

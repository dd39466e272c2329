//! The programs that have to do with the clock, by the name of their process, in one list.

use std::path::Path;

use crate::sys::foreign;
use crate::sys::process_status::{processes, shows_the_host};

/// What a program has to do with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// It keeps the clock, by servers or by hardware: slews and steps it.
    Keeper,
    /// It does not set the system's clock: a daemon needs it, or it serves the time to other programs.
    Helper,
    /// The hypervisor's guest tools: they bend and step the clock to the host's.
    GuestTools,
    /// It sets the clock when a user orders it to.
    OnOrder,
}

/// A program.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Program {
    /// The name of its file.
    pub name: &'static str,
    /// What it has to do with the clock.
    pub role: Role,
}

/// Every program that is known.
pub const PROGRAMS: [Program; 28] = [
    keeper("chronyd"),
    keeper("systemd-timesyncd"),
    // ntpsec, the reference implementation, openntpd and busybox all call it that.
    keeper("ntpd"),
    keeper("openntpd"),
    keeper("ntp-daemon"),
    // As images call what they run.
    keeper("ntpd-rs"),
    keeper("ntpsec"),
    keeper("connmand"),
    // With software time stamps it slews the system's clock; with a card's, the card's alone.
    keeper("ptp4l"),
    keeper("phc2sys"),
    keeper("timemaster"),
    keeper("statime"),
    keeper("statime-linux"),
    keeper("ptpd"),
    keeper("ptpd2"),
    keeper("sfptpd"),
    keeper("sptp"),
    keeper("linuxptp-daemon"),
    keeper("timebeat"),
    helper("ts2phc"),
    helper("gpsd"),
    helper("oscillatord"),
    helper("clockbound"),
    helper("clockboundd"),
    helper("fbclock-daemon"),
    Program { name: "vmtoolsd", role: Role::GuestTools },
    Program { name: "VBoxService", role: Role::GuestTools },
    Program { name: "qemu-ga", role: Role::OnOrder },
];

/// The pods of time daemons, by the names that people and charts give: an image may start one behind a script.
pub fn pods() -> impl Iterator<Item = &'static str> {
    "chrony-*,chronyd-*,linuxptp-daemon-*,ntpd-*".split(',')
}

const fn keeper(name: &'static str) -> Program {
    Program { name, role: Role::Keeper }
}

const fn helper(name: &'static str) -> Program {
    Program { name, role: Role::Helper }
}

/// A program's name as /proc/PID/comm has it: 15 bytes at most (TASK_COMM_LEN in linux/sched.h, without the zero).
#[must_use]
pub fn comm(name: &str) -> &str {
    name.get(..15).unwrap_or(name)
}

impl Program {
    /// Its name as /proc/PID/comm has it.
    #[must_use]
    pub fn comm(&self) -> &'static str {
        comm(self.name)
    }

    /// Whether a host may need it to have a right clock: a container that runs it is neither held nor frozen.
    #[must_use]
    pub const fn is_needed(&self) -> bool {
        match self.role {
            Role::Keeper | Role::Helper => true,
            Role::GuestTools | Role::OnOrder => false,
        }
    }

    const fn slews_the_clock(&self) -> bool {
        match self.role {
            Role::Keeper | Role::GuestTools => true,
            Role::Helper | Role::OnOrder => false,
        }
    }
}

/// Whether a program with this comm keeps clocks: what it steps is right afterwards.
#[must_use]
pub fn keeps_clocks(comm: &str) -> bool {
    PROGRAMS.iter().any(|program| program.slews_the_clock() && program.comm() == comm)
}

/// What a program that keeps clocks says in its log that it does with the clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClockMessage {
    /// It has stepped it.
    Stepped,
    /// It is wrong by more than a second (chronyd's `logchange`, unless configured), and is slewed where no step follows.
    Slews,
}

/// What keepers write when they correct the clock by more than a second.
const CORRECTIONS: [(&str, ClockMessage); 9] = [
    // chrony's reference.c and local.c
    ("System clock was stepped by ", ClockMessage::Stepped),
    ("System clock wrong by ", ClockMessage::Slews),
    // ntp.org's and NTPsec's ntp_loopfilter.c and ntp_util.c
    ("time set ", ClockMessage::Stepped),
    ("time slew ", ClockMessage::Slews),
    // systemd's timesyncd-manager.c
    ("Initial clock synchronization to ", ClockMessage::Stepped),
    // ntpd-rs' algorithm/kalman
    ("Jumped offset by ", ClockMessage::Stepped),
    // OpenNTPD's ntpd.c
    ("set local clock to ", ClockMessage::Stepped),
    ("adjusting local clock by ", ClockMessage::Slews),
    // our own
    ("clock stepped", ClockMessage::Stepped),
];

/// What such a line says; none where it speaks of something else.
#[must_use]
pub fn correction(message: &str) -> Option<ClockMessage> {
    CORRECTIONS.iter().find(|(words, _)| message.contains(words)).map(|(_, correction)| *correction)
}

/// Whether every process of this host can be seen in `proc`, and none of them is known to bend the clock.
#[must_use]
pub fn no_daemon_slews(proc: &Path) -> bool {
    let all_are_seen = shows_the_host(proc) && foreign::text(&proc.join("1/comm")).is_ok();
    let slews = |comm: &str| PROGRAMS.iter().any(|program| program.slews_the_clock() && program.comm() == comm);
    let mut comms = processes(proc).filter_map(|(_, process)| foreign::text(&process.join("comm")).ok());
    all_are_seen && !comms.any(|comm| slews(comm.trim_end()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::process_status::HOST_PIDS;
    use std::fs;
    use std::os::unix::fs::symlink;

    fn proc(namespace: &str, comms: &[&str]) -> tempfile::TempDir {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir_all(proc.path().join("self/ns")).unwrap();
        symlink(namespace, proc.path().join("self/ns/pid")).unwrap();
        for (pid, comm) in (1..).zip(comms) {
            fs::create_dir(proc.path().join(pid.to_string())).unwrap();
            fs::write(proc.path().join(pid.to_string()).join("comm"), format!("{comm}\n")).unwrap();
        }
        proc
    }

    #[test]
    fn a_frequency_correction_has_no_owner_only_where_all_processes_are_seen_and_none_slews() {
        assert!(no_daemon_slews(proc(HOST_PIDS, &["systemd", "sshd", "qemu-ga"]).path()));
        for keeper in ["chronyd", "systemd-timesyn", "vmtoolsd"] {
            assert!(!no_daemon_slews(proc(HOST_PIDS, &["systemd", keeper]).path()), "never while {keeper} is alive");
        }
        assert!(
            !no_daemon_slews(proc("pid:[4026532222]", &["sh"]).path()),
            "a container does not see the host's daemon"
        );
        assert!(!no_daemon_slews(proc(HOST_PIDS, &[]).path()), "hidepid hides init first");
        assert!(!no_daemon_slews(Path::new("/nonexistent")));
    }

    #[test]
    fn no_name_is_listed_twice_and_no_two_look_alike_to_the_kernel() {
        let mut comms: Vec<_> = PROGRAMS.iter().map(Program::comm).collect();
        comms.sort_unstable();
        comms.dedup();
        assert_eq!(comms.len(), PROGRAMS.len());
        assert!(comms.iter().all(|comm| comm.len() <= 15));
    }
}

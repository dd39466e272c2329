//! What the kernel says of a process: `/proc/PID/status` (proc_pid_status(5)), and which processes a `/proc` shows.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use super::foreign;

/// The kernel's own PID namespace (PROC_PID_INIT_INO in linux/proc_ns.h).
pub const HOST_PIDS: &str = "pid:[4026531836]";

/// A capability, by its number in linux/capability.h.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Capability {
    /// CAP_NET_ADMIN.
    NetAdmin = 12,
    /// CAP_SYS_TIME.
    SysTime = 25,
}

/// A set of capabilities (capabilities(7)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Capabilities(u64);

impl Capabilities {
    /// Whether this one is among them.
    #[must_use]
    pub const fn has(self, capability: Capability) -> bool {
        self.0 >> (capability as u32) & 1 == 1
    }

    /// How many they are.
    #[must_use]
    pub const fn count(self) -> u32 {
        self.0.count_ones()
    }
}

/// The text of a process's `status`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProcessStatus(String);

impl ProcessStatus {
    /// Reads that of the process with this folder in a `/proc`.
    ///
    /// # Errors
    /// As [`foreign::text`].
    pub fn read(process: &Path) -> io::Result<Self> {
        foreign::text(&process.join("status")).map(Self)
    }

    /// The capabilities in effect; none where the kernel does not say.
    #[must_use]
    pub fn effective(&self) -> Option<Capabilities> {
        self.capabilities("CapEff")
    }

    /// The capabilities that the process may put into effect; none where the kernel does not say.
    #[must_use]
    pub fn permitted(&self) -> Option<Capabilities> {
        self.capabilities("CapPrm")
    }

    /// Whether its real user is root.
    #[must_use]
    pub fn is_roots(&self) -> bool {
        self.user() == Some(0)
    }

    /// The number of its real user.
    #[must_use]
    pub fn user(&self) -> Option<u32> {
        self.field("Uid")?.split_whitespace().next()?.parse().ok()
    }

    /// Whether it is in a PID namespace below that of this `/proc`: `NSpid` has a number for each.
    #[must_use]
    pub fn is_in_a_container(&self) -> bool {
        self.field("NSpid").is_some_and(|pids| pids.split_whitespace().count() > 1)
    }

    fn capabilities(&self, set: &str) -> Option<Capabilities> {
        u64::from_str_radix(self.field(set)?, 16).ok().map(Capabilities)
    }

    fn field(&self, name: &str) -> Option<&str> {
        self.0.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(':')).map(str::trim)
    }
}

/// The processes that `proc` shows, by their numbers, with their folders; none where there is no such folder.
pub fn processes(proc: &Path) -> impl Iterator<Item = (u32, PathBuf)> {
    let entries = fs::read_dir(proc).into_iter().flatten().flatten();
    entries.filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())))
}

/// Whether every process of the host is in `proc`, as far as `hidepid` lets us see: it is that of the kernel's own PID namespace.
#[must_use]
pub fn shows_the_host(proc: &Path) -> bool {
    fs::read_link(proc.join("self/ns/pid")).is_ok_and(|namespace| namespace == Path::new(HOST_PIDS))
}

/// Whether a capability of the processes that see this `proc` reaches the kernel's own clock: in a user namespace of their own none does
/// (capabilities(7)). That of the host maps every user to itself.
#[must_use]
pub fn rights_reach_the_clock(proc: &Path) -> bool {
    let map = foreign::text(&proc.join("self/uid_map")).unwrap_or_default();
    map.trim().is_empty() || map.split_whitespace().eq(["0", "0", "4294967295"])
}

/// Whether the processes of other users are hidden (`hidepid` of proc(5)): those of the first one are.
#[must_use]
pub fn hides_others(proc: &Path) -> bool {
    proc.join("self").exists() && foreign::text(&proc.join("1/comm")).is_err()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(text: &str) -> ProcessStatus {
        ProcessStatus(text.to_owned())
    }

    #[test]
    fn each_set_of_capabilities_is_read_by_itself() {
        let status =
            status("Name:\tx\nCapInh:\t0000000000000000\nCapPrm:\t0000000002001000\nCapEff:\t0000000000001000\n");
        let [permitted, effective] = [status.permitted().unwrap(), status.effective().unwrap()];
        assert!(permitted.has(Capability::SysTime) && permitted.has(Capability::NetAdmin));
        assert!(!effective.has(Capability::SysTime) && effective.has(Capability::NetAdmin));
        assert_eq!((permitted.count(), effective.count()), (2, 1));
        assert_eq!(self::status("CapEff:\trubbish\n").effective(), None);
        assert_eq!(self::status("CapEffective:\t1\n").effective(), None);
    }

    #[test]
    fn a_container_and_roots_user_are_known_by_their_first_numbers() {
        assert!(status("NSpid:\t101\t1\n").is_in_a_container());
        assert!(!status("NSpid:\t101\n").is_in_a_container() && !status("").is_in_a_container());
        assert!(status("Uid:\t0\t1000\t1000\t1000\n").is_roots());
        assert!(!status("Uid:\t1000\t0\t0\t0\n").is_roots() && !status("").is_roots());
    }

    #[test]
    fn our_own_process_is_shown_and_what_is_no_number_is_not() {
        let shown: Vec<(u32, PathBuf)> = processes(Path::new("/proc")).collect();
        assert!(shown.iter().any(|(pid, folder)| *pid == std::process::id() && folder.join("status").exists()));
        assert!(ProcessStatus::read(Path::new("/proc/self")).unwrap().effective().is_some());
        assert_eq!(processes(Path::new("/nonexistent")).count(), 0);
    }

    #[test]
    fn a_right_reaches_the_clock_from_the_hosts_user_namespace_alone() {
        let proc = tempfile::tempdir().unwrap();
        fs::create_dir(proc.path().join("self")).unwrap();
        assert!(rights_reach_the_clock(proc.path()) && hides_others(proc.path()));
        fs::write(proc.path().join("self/uid_map"), "         0          0 4294967295\n").unwrap();
        assert!(rights_reach_the_clock(proc.path()));
        fs::write(proc.path().join("self/uid_map"), "         0     100000      65536\n").unwrap();
        assert!(!rights_reach_the_clock(proc.path()));
        fs::create_dir(proc.path().join("1")).unwrap();
        fs::write(proc.path().join("1/comm"), "systemd\n").unwrap();
        assert!(!hides_others(proc.path()));
    }
}

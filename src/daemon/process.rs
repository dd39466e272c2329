//! The processes of this host that have to do with the clock. Every file is of another process: none is waited for, and no more than a
//! bounded part of each is read.

use std::path::{Path, PathBuf};

use super::program::PROGRAMS;
use crate::sys::foreign;
use crate::sys::process_status::{self, Capability, ProcessStatus};

/// The most processes looked at; more than any kernel's default `pid_max` of 32,768.
const MOST_PROCESSES: usize = 65_536;

/// A process of one of our programs.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Process {
    /// As /proc/PID/comm has it: 15 bytes at most.
    pub comm: String,
    /// Its command line.
    pub arguments: Vec<String>,
    /// The unit of systemd's that it runs in, by its cgroup; none where it runs in none.
    pub unit: Option<String>,
    /// Whether it is root's, or may set the host's clock: any user can call a process chronyd.
    pub is_the_hosts: bool,
}

impl Process {
    /// The values of one flag on its command line.
    pub fn values(&self, flag: &str) -> impl Iterator<Item = &str> {
        self.arguments.windows(2).filter(move |pair| pair[0] == flag).map(|pair| pair[1].as_str())
    }
}

/// The processes of our programs that are in this root's /proc's own PID namespace: a container's daemon is not the host's.
pub fn processes(root: &Path) -> Vec<Process> {
    let ours = text(&root.join("proc/self/uid_map"));
    numbered(root).iter().filter_map(|(_, folder)| known(folder, &ours)).collect()
}

/// The processes in this root's /proc with their folders, sorted by their numbers.
pub fn numbered(root: &Path) -> Vec<(u32, PathBuf)> {
    let mut numbered: Vec<_> = process_status::processes(&root.join("proc")).take(MOST_PROCESSES).collect();
    numbered.sort();
    numbered
}

fn known(folder: &Path, ours: &str) -> Option<Process> {
    let comm = text(&folder.join("comm")).trim_end().to_owned();
    if !PROGRAMS.iter().any(|program| program.comm() == comm) {
        return None;
    }
    let status = ProcessStatus::read(folder).unwrap_or_default();
    // In a user namespace of its own a capability does not reach the host's clock.
    let is_of_the_host = text(&folder.join("uid_map")) == ours;
    (!status.is_in_a_container()).then(|| {
        let arguments = text(&folder.join("cmdline"));
        let arguments = arguments.split('\0').filter(|argument| !argument.is_empty()).map(str::to_owned).collect();
        let may_set = || status.permitted().is_some_and(|permitted| permitted.has(Capability::SysTime));
        let is_the_hosts = is_of_the_host && (status.is_roots() || may_set());
        Process { comm, arguments, unit: unit(&text(&folder.join("cgroup"))), is_the_hosts }
    })
}

/// The innermost unit of a line of proc_pid_cgroup(5): `0::/system.slice/chrony.service`.
fn unit(cgroups: &str) -> Option<String> {
    let paths = cgroups.lines().filter_map(|line| line.splitn(3, ':').nth(2));
    let mut units = paths.filter_map(|path| path.rsplit('/').find(|part| part.ends_with(".service")));
    units.next().map(str::to_owned)
}

/// A file of a process; empty where it cannot be read.
pub fn text(path: &Path) -> String {
    foreign::text(path).unwrap_or_default()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;
    use std::fs;
    use tempfile::TempDir;

    /// A process for a /proc: its comm, its arguments separated by blanks, the numbers of its `NSpid`, its unit.
    pub struct Runs(pub &'static str, pub &'static str, pub &'static str, pub &'static str);

    /// A root where these processes run, with these files.
    pub fn root(processes: &[Runs], files: &[(&str, &str)]) -> TempDir {
        let root = tempfile::tempdir().unwrap();
        for (pid, Runs(comm, arguments, ns_pid, unit)) in (100..).zip(processes) {
            let folder = root.path().join(format!("proc/{pid}"));
            fs::create_dir_all(&folder).unwrap();
            fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
            fs::write(folder.join("cmdline"), arguments.replace(' ', "\0") + "\0").unwrap();
            // As openntpd's engine, which has dropped all capabilities of its parent.
            let capabilities = if arguments.starts_with("ntpd: ") { "0000000000000000" } else { "0000000002000000" };
            let status = format!("Name:\t{comm}\nNSpid:\t{ns_pid}\nThreads:\t1\nCapPrm:\t{capabilities}\n");
            fs::write(folder.join("status"), status).unwrap();
            fs::write(folder.join("cgroup"), format!("0::/system.slice/{unit}\n")).unwrap();
        }
        for (file, text) in files {
            let path = root.path().join(file);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        root
    }

    #[test]
    fn a_containers_daemon_is_not_the_hosts() {
        let root = root(
            &[
                Runs("sh", "sh", "100", ""),
                Runs("ntpd", "ntpd -g", "101 1", "docker-1.scope"),
                Runs("chronyd", "chronyd -F 1", "102", "chrony.service"),
            ],
            &[],
        );
        let seen = processes(root.path());
        let expected = Process {
            comm: "chronyd".to_owned(),
            arguments: ["chronyd", "-F", "1"].map(str::to_owned).to_vec(),
            unit: Some("chrony.service".to_owned()),
            is_the_hosts: true,
        };
        assert_eq!(seen, [expected]);
        assert!(processes(Path::new("/nonexistent")).is_empty());
    }

    #[test]
    fn who_calls_himself_chronyd_and_may_not_set_the_clock_does_not_keep_it() {
        let root = root(&[Runs("chronyd", "chronyd", "100", "")], &[("proc/self/uid_map", "0 0 4294967295\n")]);
        let is_keeper = || processes(root.path())[0].is_the_hosts;
        assert!(!is_keeper(), "it has a user namespace of its own");
        fs::write(root.path().join("proc/100/uid_map"), "0 0 4294967295\n").unwrap();
        assert!(is_keeper());
        let status = |uid, capabilities| {
            let text = format!("Uid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t100\nCapPrm:\t{capabilities}\n");
            fs::write(root.path().join("proc/100/status"), text).unwrap();
        };
        status(1000, "0000000000000400");
        assert!(!is_keeper());
        status(0, "0000000000000400");
        assert!(is_keeper(), "root's chronyd with `-x`");
    }

    #[test]
    fn the_unit_is_the_innermost_of_the_cgroup() {
        assert_eq!(unit("0::/system.slice/ntpsec.service\n").as_deref(), Some("ntpsec.service"));
        assert_eq!(unit("1:name=systemd:/system.slice/x.service/sub\n0::/\n").as_deref(), Some("x.service"));
        assert_eq!(unit("0::/user.slice/user-0.slice/session-1.scope\n"), None);
    }
}

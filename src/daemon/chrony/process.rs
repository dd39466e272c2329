//! Whether chronyd is there though it does not answer, by its process.

use std::path::Path;

use super::NAME;
use crate::daemon::process::processes;
use crate::sys::foreign;

/// Where chronyd writes its process id (`pidfile` in chrony.conf(5), and before 4.0).
const PID_FILES: [&str; 3] = ["run/chrony/chronyd.pid", "run/chronyd.pid", "run/chrony.pid"];

/// Whether its process lives, by its pid file or by its name; blocks.
///
/// By name only where it lives in this /proc's own PID namespace: the chronyd of a container is not the one that keeps this clock.
/// Not by `ns/pid`, which the kernel shows only to a process's owner and to debuggers: not to our unit.
pub fn process_lives(root: &Path) -> bool {
    let proc = root.join("proc");
    let is_chronyd = |pid: &str| foreign::text(&proc.join(pid).join("comm")).is_ok_and(|comm| comm.trim_end() == NAME);
    let by_file = |file: &str| {
        let text = foreign::text(&root.join(file)).unwrap_or_default();
        text.trim().parse::<u32>().is_ok_and(|pid| is_chronyd(&pid.to_string()))
    };
    if PID_FILES.iter().any(|file| by_file(file)) {
        return true;
    }
    // Any user can call a process chronyd.
    processes(root).iter().any(|process| process.is_the_hosts && process.comm == NAME)
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    /// Without `ns/pid`, as our unit sees the processes of others.
    fn process(root: &Path, pid: &str, comm: &str, nspid: &str) {
        process_of(0, root, pid, comm, nspid);
    }

    fn process_of(uid: u32, root: &Path, pid: &str, comm: &str, nspid: &str) {
        let folder = root.join("proc").join(pid);
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(folder.join("status"), format!("Name:\t{comm}\nUid:\t{uid}\t{uid}\t{uid}\t{uid}\nNSpid:\t{nspid}\n"))
            .unwrap();
    }

    #[test]
    fn a_process_of_that_name_is_chronyd_unless_it_is_a_containers_or_a_users() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), "16", "clockgate", "16");
        process(root.path(), "17", "chronyc", "17");
        process(root.path(), "18", "chronyd", "18\t1");
        process_of(1000, root.path(), "21", "chronyd", "21");
        assert!(!process_lives(root.path()));
        process(root.path(), "19", "chronyd", "19");
        assert!(process_lives(root.path()));
    }

    #[test]
    fn a_pid_file_counts_only_while_that_process_is_chronyd() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), "18", "chronyd", "18\t1");
        process(root.path(), "20", "sh", "20");
        fs::create_dir_all(root.path().join("run/chrony")).unwrap();
        for (pid, lives) in [("20\n", false), ("99\n", false), ("rubbish", false), ("18\n", true)] {
            fs::write(root.path().join(PID_FILES[0]), pid).unwrap();
            assert_eq!(process_lives(root.path()), lives, "{pid}");
        }
    }
}

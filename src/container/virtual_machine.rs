//! Virtual machines that run in containers, as Kata's, KubeVirt's and Firecracker's do: to freeze one would do to its clock what was
//! done to ours.

/// Programs that are virtual machines, by as much as the kernel keeps of their names (TASK_COMM_LEN).
const MONITORS: [&str; 11] = [
    "cloud-hyperviso",
    "crosvm",
    "dragonball",
    "firecracker",
    "krun",
    "kvm",
    "libkrun",
    "lkvm",
    "qemu-kvm",
    "qemu-lite",
    "stratovirt",
];
/// QEMU has a program for each machine: qemu-system-x86_64.
const QEMU: &str = "qemu-system-";
/// gVisor's sandbox can run on KVM, and is no machine: it has the host's clock.
const SANDBOXES: [&str; 3] = ["exe", "runsc", "runsc-sandbox"];

/// Whether a process is a virtual machine by its name.
#[must_use]
pub fn is_monitor(comm: &str) -> bool {
    MONITORS.contains(&comm) || comm.starts_with(QEMU)
}

/// Whether a process has run a guest, by `/proc/PID/stat`, where the kernel counts the time of virtual processors whatever the
/// program is called (`guest_time`, field 43 of proc_pid_stat(5)).
#[must_use]
pub fn has_run_one(comm: &str, stat: &str) -> bool {
    // The name in field 2 may have blanks and brackets in it.
    let after_name = stat.rsplit_once(')').map_or("", |(_, rest)| rest);
    let guest_ticks = after_name.split_whitespace().nth(43 - 3).and_then(|ticks| ticks.parse::<u64>().ok());
    guest_ticks.is_some_and(|ticks| ticks > 0) && !SANDBOXES.contains(&comm)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_is_known_by_its_name_or_by_the_time_of_its_guest() {
        for comm in ["qemu-system-x86", "qemu-kvm", "firecracker", "cloud-hyperviso"] {
            assert!(is_monitor(comm), "{comm}");
        }
        assert!(!is_monitor("qemu-ga") && !is_monitor("nginx"));
        // As Linux 6.1 writes it.
        let stat = |comm: &str, ticks: u32| {
            format!(
                "71 ({comm}) S 1 71 71 0 -1 4194560 1 0 0 0 9 8 0 0 20 0 1 0 5 1 1 18446744073709551615 1 1 0 0 0 0 0 0 0 0 0 \
                 0 17 1 0 0 0 {ticks} 3 0 0 0 0 0 0 0 0\n"
            )
        };
        assert!(has_run_one("my) vm", &stat("my) vm", 2)));
        assert!(!has_run_one("nginx", &stat("nginx", 0)) && !has_run_one("exe", &stat("exe", 2)));
        assert!(!has_run_one("x", "") && !has_run_one("x", "1 (x) S 1"));
    }
}

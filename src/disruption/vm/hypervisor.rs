//! Is there a hypervisor below us, that could stop this machine and let it go on?

use std::fs;
use std::path::Path;

/// What the firmware of a virtual machine says of its maker.
const VENDORS: [&str; 7] = ["QEMU", "KVM", "Amazon EC2", "VMware", "innotek GmbH", "Xen", "Google"];

/// Whether this machine can be paused: whether it is a virtual one. On any other there is nothing to
/// watch for, and no thread is to be woken up every second.
#[must_use]
pub fn can_be_paused(root: &Path) -> bool {
    let read = |path: &str| fs::read_to_string(root.join(path)).unwrap_or_default();
    // x86 has a bit for it (CPUID 1, ECX 31); elsewhere the firmware's words and the device tree have to do, as for
    // systemd-detect-virt(1).
    let vendor = read("sys/class/dmi/id/sys_vendor");
    read("proc/cpuinfo").split_whitespace().any(|flag| flag == "hypervisor")
        || VENDORS.iter().any(|known| vendor.starts_with(known))
        || root.join("proc/device-tree/hypervisor").exists()
        || root.join("sys/hypervisor/type").exists()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_machine_of_its_own_is_not_watched_and_a_virtual_one_is() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let file = root.path().join(path);
            fs::create_dir_all(file.parent().unwrap()).unwrap();
            fs::write(file, text).unwrap();
        };
        assert!(!can_be_paused(root.path()));
        put("proc/cpuinfo", "flags\t\t: fpu vme hypervisor lahf_lm\n");
        assert!(can_be_paused(root.path()));
        put("proc/cpuinfo", "flags\t\t: fpu vme lahf_lm\n");
        put("sys/class/dmi/id/sys_vendor", "LENOVO\n");
        assert!(!can_be_paused(root.path()));
        put("sys/class/dmi/id/sys_vendor", "QEMU\n");
        assert!(can_be_paused(root.path()));
    }
}

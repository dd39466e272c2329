//! The virtual machines in which engines on a laptop run their containers, as they are seen from inside. When the laptop sleeps their
//! clocks stop.

use std::path::Path;

use crate::sys::foreign;

/// One of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DesktopMachine {
    /// Whose it is.
    pub name: &'static str,
    /// What sets its clock again, on the laptop itself.
    pub mend: &'static str,
}

const DOCKER_DESKTOP: DesktopMachine = DesktopMachine {
    name: "Docker Desktop",
    mend: "docker run --rm --privileged alpine hwclock -s, or restart Docker Desktop",
};
const ORBSTACK: DesktopMachine = DesktopMachine { name: "OrbStack", mend: "orb stop && orb start" };
const RANCHER_DESKTOP: DesktopMachine =
    DesktopMachine { name: "Rancher Desktop", mend: "rdctl shell sudo hwclock --hctosys" };
const COLIMA: DesktopMachine = DesktopMachine { name: "Colima", mend: "colima ssh -- sudo hwclock --hctosys" };
const LIMA: DesktopMachine = DesktopMachine { name: "Lima", mend: "limactl shell default sudo hwclock --hctosys" };
const PODMAN_MACHINE: DesktopMachine =
    DesktopMachine { name: "podman machine", mend: "podman machine stop && podman machine start" };

/// By the kernel's release: a container inside sees it as well.
const KERNELS: [(&str, DesktopMachine); 2] = [("linuxkit", DOCKER_DESKTOP), ("orbstack", ORBSTACK)];
/// By how the names of such machines begin. Lima's are those of the instance.
const NAMES: [(&str, DesktopMachine); 4] = [
    ("docker-desktop", DOCKER_DESKTOP),
    ("lima-rancher-desktop", RANCHER_DESKTOP),
    ("colima", COLIMA),
    ("lima-", LIMA),
];
/// By files that they have.
const FILES: [(&str, DesktopMachine); 2] =
    [("etc/containers/podman-machine", PODMAN_MACHINE), ("run/lima-boot-done", LIMA)];

/// The one that this is; none where it is none that is known.
#[must_use]
pub fn found(root: &Path) -> Option<DesktopMachine> {
    let text = |path: &str| foreign::text(&root.join(path)).unwrap_or_default().trim().to_lowercase();
    let (kernel, name) = (text("proc/sys/kernel/osrelease"), text("proc/sys/kernel/hostname"));
    let by_kernel = KERNELS.iter().find(|(sign, _)| kernel.contains(sign));
    let by_name = || NAMES.iter().find(|(sign, _)| name.starts_with(sign));
    let by_file = || FILES.iter().find(|(file, _)| root.join(file).exists());
    by_kernel.or_else(by_name).or_else(by_file).map(|(_, machine)| *machine)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_is_known_by_its_kernel_its_name_or_a_file() {
        let known = |files: &[(&str, &str)]| {
            let root = tempfile::tempdir().unwrap();
            for (file, text) in files {
                let path = root.path().join(file);
                std::fs::create_dir_all(path.parent().unwrap()).unwrap();
                std::fs::write(path, text).unwrap();
            }
            found(root.path()).map(|machine| machine.name)
        };
        let (kernel, name) = ("proc/sys/kernel/osrelease", "proc/sys/kernel/hostname");
        assert_eq!(known(&[(kernel, "6.6.31-linuxkit\n")]), Some("Docker Desktop"));
        assert_eq!(known(&[(kernel, "6.9.8-orbstack-00170-g7b4100b7ced4\n")]), Some("OrbStack"));
        assert_eq!(known(&[(kernel, "6.6.0-virt\n"), (name, "lima-rancher-desktop\n")]), Some("Rancher Desktop"));
        assert_eq!(known(&[(name, "colima-work\n")]), Some("Colima"));
        assert_eq!(known(&[(name, "box\n"), ("run/lima-boot-done", "")]), Some("Lima"));
        assert_eq!(known(&[("etc/containers/podman-machine", "qemu")]), Some("podman machine"));
        assert_eq!(known(&[(kernel, "6.1.0-40-amd64\n"), (name, "climate\n")]), None);
    }
}

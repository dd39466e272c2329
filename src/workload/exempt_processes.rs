//! Processes because of which their cgroups run on: who keeps the clock, or the network that we need to set it right, and virtual
//! machines.

use std::path::{Path, PathBuf};

use super::Thoroughness;
use super::cgroup_tree::CgroupMount;
use crate::container::exemption::{self, Duty};
use crate::container::{Container, Engine, virtual_machine};
use crate::sys::foreign;
use crate::sys::process_status::{Capability, ProcessStatus, processes};

/// A process that keeps the cgroup it runs in from being frozen, and all above.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ExemptProcess {
    /// Its cgroup, relative to the hierarchy.
    pub cgroup: PathBuf,
    /// The program.
    pub program: String,
    what: ExemptReason,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum ExemptReason {
    Daemon(Duty),
    /// Found by its name.
    Machine,
    /// Found by what the kernel counted, which is looked up now and then.
    Guest,
}

impl ExemptProcess {
    /// Whether it keeps this container from being frozen.
    #[must_use]
    pub fn is_in(&self, container: &Container) -> bool {
        let counts = match self.what {
            ExemptReason::Daemon(Duty::Network | Duty::Cluster) => container.engine == Engine::Kubernetes,
            ExemptReason::Daemon(Duty::Clock) | ExemptReason::Machine | ExemptReason::Guest => true,
        };
        counts && self.cgroup.starts_with(&container.cgroup)
    }

    /// Whether it is a virtual machine, which nothing above it may freeze either.
    #[must_use]
    pub fn is_machine(&self) -> bool {
        matches!(self.what, ExemptReason::Machine | ExemptReason::Guest)
    }
}

/// Finds the processes that must run on; among those that were found before, guests count on until all are looked at anew. A
/// process that ends while we look is skipped.
#[must_use]
pub fn keepers(
    proc_root: &Path,
    place: &CgroupMount,
    before: &[ExemptProcess],
    thoroughness: Thoroughness,
) -> Vec<ExemptProcess> {
    let ours = foreign::text(&proc_root.join("self/uid_map")).unwrap_or_default();
    let keeper = |process: PathBuf| {
        let comm = foreign::text(&process.join("comm")).ok()?.trim_end().to_owned();
        let keeper = |program: &str, what| {
            Some(ExemptProcess { cgroup: place.of_process(&process)?, program: program.to_owned(), what })
        };
        if virtual_machine::is_monitor(&comm) {
            return keeper(&comm, ExemptReason::Machine);
        }
        if let Some((program, duty)) = exemption::program(&comm) {
            return may_do(duty, &process, &ours).and_then(|()| keeper(program, ExemptReason::Daemon(duty)));
        }
        let has_run_a_guest =
            || foreign::text(&process.join("stat")).is_ok_and(|stat| virtual_machine::has_run_one(&comm, &stat));
        match thoroughness {
            Thoroughness::Anew if has_run_a_guest() => keeper(&comm, ExemptReason::Guest),
            Thoroughness::Anew | Thoroughness::WhatIsNew => None,
        }
    };
    let remembered = before.iter().filter(|keeper| {
        thoroughness == Thoroughness::WhatIsNew
            && keeper.what == ExemptReason::Guest
            && place.folder.join(&keeper.cgroup).is_dir()
    });
    processes(proc_root).filter_map(|(_, process)| keeper(process)).chain(remembered.cloned()).collect()
}

/// Whether a daemon can do on this host what its name says: in a user namespace of its own a capability reaches neither the host's
/// clock nor its network.
fn may_do(duty: Duty, process: &Path, our_map: &str) -> Option<()> {
    let capability = match duty {
        Duty::Clock => Some(Capability::SysTime),
        Duty::Network => Some(Capability::NetAdmin),
        // It serves others, whatever its own rights are.
        Duty::Cluster => None,
    };
    let is_of_the_host = foreign::text(&process.join("uid_map")).ok()? == our_map;
    let has = |capability| Some(ProcessStatus::read(process).ok()?.effective()?.has(capability));
    (is_of_the_host && capability.is_none_or(|needed| has(needed).unwrap_or(false))).then_some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    struct World(tempfile::TempDir);

    const HOST: &str = "0 0 4294967295\n";
    const ALL: &str = "000001ffffffffff";

    impl World {
        fn new() -> Self {
            let world = Self(tempfile::tempdir().unwrap());
            world.process("self", "clockgate", "0", "");
            world
        }

        fn process(&self, pid: &str, comm: &str, capabilities: &str, cgroup: &str) {
            let process = self.0.path().join(pid);
            fs::create_dir_all(&process).unwrap();
            fs::write(process.join("comm"), format!("{comm}\n")).unwrap();
            fs::write(process.join("status"), format!("Name:\tx\nCapEff:\t{capabilities}\n")).unwrap();
            fs::write(process.join("uid_map"), HOST).unwrap();
            fs::write(process.join("cgroup"), format!("3:freezer:/x\n0::/{cgroup}\n")).unwrap();
            fs::create_dir_all(self.0.path().join("tree").join(cgroup)).unwrap();
        }

        fn keepers(&self, before: &[ExemptProcess], thoroughness: Thoroughness) -> Vec<ExemptProcess> {
            let folder = self.0.path().join("tree");
            let place = CgroupMount { folder, prefix: PathBuf::new(), own: None, old_freezer: None };
            let mut found = keepers(self.0.path(), &place, before, thoroughness);
            found.sort_by(|a, b| a.cgroup.cmp(&b.cgroup));
            found
        }
    }

    fn container(engine: Engine, cgroup: &str) -> Container {
        Container { engine, id: "x".to_owned(), cgroup: PathBuf::from(cgroup), inode: 1 }
    }

    fn programs(keepers: &[ExemptProcess]) -> Vec<&str> {
        keepers.iter().map(|keeper| keeper.program.as_str()).collect()
    }

    #[test]
    fn a_time_daemon_counts_where_it_may_set_this_clock() {
        let world = World::new();
        world.process("10", "chronyd", "0000000002000400", "docker/a/init");
        world.process("11", "chronyd", "0000000000000400", "docker/b");
        world.process("12", "chronyd", ALL, "docker/c");
        fs::write(world.0.path().join("12/uid_map"), "0 100000 65536\n").unwrap();
        world.process("14", "nginx", ALL, "docker/d");
        world.process("15", "flanneld", "0000000000001000", "docker/e");
        world.process("16", "systemd-timesyn", ALL, "docker/f");
        let found = world.keepers(&[], Thoroughness::Anew);
        assert_eq!(programs(&found), ["chronyd", "flanneld", "systemd-timesyncd"]);
        assert!(found[0].is_in(&container(Engine::Docker, "docker/a")));
        assert!(!found[0].is_in(&container(Engine::Docker, "docker/a/init/x")));
        assert!(found[1].is_in(&container(Engine::Kubernetes, "docker/e")));
        assert!(!found[1].is_in(&container(Engine::Docker, "docker/e")));
    }

    #[test]
    fn a_machine_is_remembered_until_all_are_looked_at_anew() {
        let world = World::new();
        world.process("10", "qemu-system-x86", "0", "docker/a");
        world.process("11", "my-vmm", "0", "docker/b/x");
        let stat = |ticks: u32| format!("11 (my-vmm) S{} {ticks} 0\n", " 0".repeat(39));
        fs::write(world.0.path().join("11/stat"), stat(7)).unwrap();
        assert_eq!(programs(&world.keepers(&[], Thoroughness::WhatIsNew)), ["qemu-system-x86"]);
        let found = world.keepers(&[], Thoroughness::Anew);
        assert_eq!(programs(&found), ["qemu-system-x86", "my-vmm"]);
        assert!(found.iter().all(ExemptProcess::is_machine) && found[1].is_in(&container(Engine::Docker, "docker/b")));
        assert_eq!(world.keepers(&found, Thoroughness::WhatIsNew), found);
        fs::write(world.0.path().join("11/stat"), stat(0)).unwrap();
        assert_eq!(programs(&world.keepers(&found, Thoroughness::Anew)), ["qemu-system-x86"]);
    }
}

//! Hosts as folders: where each engine puts its containers, with either driver, in a pure and in a hybrid hierarchy.

use std::fs;

use clockgate::workload::{Engine, FreezeSettings, Workloads};
use libtest_mimic::Trial;

use crate::cgroups::id;
use crate::support::{CLOCKGATE, Outcome};

pub fn trials() -> Vec<Trial> {
    vec![
        Trial::test("containers_of_every_engine_are_found_in_a_pure_hierarchy", || found("/sys/fs/cgroup", "")),
        Trial::test("containers_of_every_engine_are_found_in_a_hybrid_one", || {
            found("/sys/fs/cgroup/unified", "31 24 0:27 / ROOT/sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n")
        }),
    ]
}

const KUBEPODS: &str = "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod1.slice";

fn found(mount: &str, other_mounts: &str) -> Outcome {
    let folder = tempfile::tempdir()?;
    let root = folder.path().to_str().ok_or("path")?;
    let tree = format!("{root}{mount}");
    let proc_root = folder.path().join("proc");
    fs::create_dir_all(proc_root.join("self"))?;
    fs::create_dir_all(proc_root.join("sys/kernel/random"))?;
    fs::copy("/proc/sys/kernel/random/boot_id", proc_root.join("sys/kernel/random/boot_id"))?;
    let mounts = format!("{other_mounts}30 24 0:26 / ROOT{mount} rw - cgroup2 cgroup2 rw\n").replace("ROOT", root);
    fs::write(proc_root.join("self/mountinfo"), mounts)?;
    fs::write(proc_root.join("self/cgroup"), format!("1:name=systemd:/x\n0::/docker/{}/agent\n", id(2)))?;
    let bundle = format!("{root}/run/containerd/io.containerd.runtime.v2.task/default/{}", id(8));
    fs::create_dir_all(bundle)?;

    let containers = [
        (Engine::Docker, id(1), format!("docker/{}", id(1))),
        (Engine::Docker, id(2), format!("docker/{}", id(2))),
        (Engine::Docker, id(3), format!("system.slice/docker-{}.scope", id(3))),
        (Engine::Podman, id(4), format!("libpod_parent/libpod-{}", id(4))),
        (Engine::Podman, id(5), format!("machine.slice/libpod-{}.scope", id(5))),
        (
            Engine::Podman,
            id(6),
            format!("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-{}.scope", id(6)),
        ),
        (Engine::Podman, id(7), format!("system.slice/web.service/libpod-payload-{}", id(7))),
        (Engine::Containerd, id(8), format!("default/{}", id(8))),
        (Engine::Containerd, id(9), format!("system.slice/nerdctl-{}.scope", id(9))),
        (Engine::Kubernetes, id(10), format!("kubepods/besteffort/pod2/{}", id(10))),
        (Engine::Kubernetes, id(11), format!("{KUBEPODS}/cri-containerd-{}.scope", id(11))),
        (Engine::Kubernetes, id(12), format!("{KUBEPODS}/crio-{}.scope", id(12))),
        (Engine::Lxc, "web".to_owned(), "lxc.payload.web".to_owned()),
        (Engine::Lxc, "100".to_owned(), "lxc/100".to_owned()),
        (Engine::Nspawn, "box".to_owned(), "machine.slice/machine-box.scope/payload".to_owned()),
        (Engine::Nspawn, "sid".to_owned(), "machine.slice/systemd-nspawn@sid.service/payload".to_owned()),
    ];
    let others = [
        "init.scope".to_owned(),
        "system.slice/ssh.service".to_owned(),
        "machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt/emulator".to_owned(),
        format!("machine.slice/libpod-conmon-{}.scope", id(5)),
        format!("{KUBEPODS}/crio-conmon-{}.scope", id(12)),
        format!("default/{}", id(99)),
        "lxc.monitor.web".to_owned(),
        "libpod_parent/conmon".to_owned(),
        // What a container makes below its own cgroup is its own.
        format!("docker/{}/kubepods/pod1/{}", id(1), id(50)),
        format!("docker/{}/agent", id(2)),
    ];
    for path in containers.iter().map(|(_, _, path)| path).chain(&others) {
        let folder = format!("{tree}/{path}");
        fs::create_dir_all(&folder)?;
        fs::write(format!("{folder}/cgroup.freeze"), "0\n")?;
        fs::write(format!("{folder}/cgroup.events"), "populated 1\nfrozen 0\n")?;
    }
    let events = format!("{tree}/lxc.payload.web/cgroup.events");
    fs::write(events, "populated 1\nfrozen 1\n")?;

    let workloads = Workloads::new(FreezeSettings {
        engines: Engine::ALL.to_vec(),
        ledger: folder.path().join("ledger"),
        guard: CLOCKGATE.into(),
        proc_root,
        root: folder.path().to_owned(),
        ..FreezeSettings::default()
    });
    let known = workloads.known()?;
    let mut found: Vec<_> = known
        .iter()
        .map(|known| (known.container.engine, known.container.id.clone(), known.container.cgroup.display().to_string()))
        .collect();
    let mut wanted = containers.to_vec();
    found.sort();
    wanted.sort();
    assert_eq!(found, wanted);
    let frozen: Vec<&str> = known.iter().filter(|k| k.is_frozen).map(|k| k.container.id.as_str()).collect();
    assert_eq!(frozen, ["web"]);
    let runs_on: Vec<_> = known.iter().filter_map(|k| k.runs_on.as_ref().map(|why| (&k.container.id, why))).collect();
    assert_eq!(runs_on, [(&id(2), &"clockgate itself runs in it".to_owned())]);
    Ok(())
}

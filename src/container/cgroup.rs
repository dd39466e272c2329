//! Which cgroup is a container: by the names that the engines give. One rule for the tree of cgroups, so that no name is ever built.

use std::path::Path;

use super::Engine;

/// What a cgroup is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupKind {
    /// A folder that an engine keeps its containers in, or one below that: systemd starts no service there, so it is safe to
    /// freeze as one.
    Folder(Engine),
    /// A container.
    Container(Engine, String),
    /// A machine of systemd-nspawn's, if its `supervisor` lies beside it.
    Payload(String),
    /// No container by its name, though containerd may say otherwise, and there may be containers below.
    Other,
}

/// What the cgroup at `path`, relative to the hierarchy, is; `within` is the engine in whose folder it lies. What lies below a
/// container belongs to it and is not asked for.
#[must_use]
pub fn kind(path: &Path, within: Option<Engine>) -> CgroupKind {
    let mut parts = path.iter().rev().map(|part| part.to_str().unwrap_or_default());
    let name = parts.next().unwrap_or_default();
    match (within, parts.next()) {
        (Some(engine), _) => below_folder(engine, name),
        (None, None) => at_the_top(name),
        (None, Some(above)) if name == "payload" => payload(above),
        (None, Some(_)) => anywhere(name),
    }
}

/// The last lock. A service that systemd starts in a frozen cgroup hangs it in clone3(2), with everything that it looks after:
/// so no slice but those of Kubernetes, which hold scopes alone, no unit, and nothing at the root. A container of LXC's may be
/// called as a unit is.
#[must_use]
pub fn may_be_frozen(cgroup: &Path) -> bool {
    let mut parts = cgroup.iter().rev().map(|part| part.to_str().unwrap_or_default());
    let name = parts.next().unwrap_or_default();
    if name.starts_with("lxc.payload.") || matches!(parts.next(), Some("lxc" | "lxc.payload")) {
        return true;
    }
    let is_pods = cgroup.iter().filter_map(|part| part.to_str()).any(|part| part.ends_with("kubepods.slice"));
    !name.is_empty() && name != "init.scope" && !name.ends_with(".service") && (is_pods || !name.ends_with(".slice"))
}

/// Whether a cgroup lies in that of a pod which a kubelet has from a file: its uid is a hash without dashes
/// (`generatePodName` and `applyDefaults` in pkg/kubelet/config/common.go), with systemd's driver too.
#[must_use]
pub fn is_static_pod(cgroup: &Path) -> bool {
    // With systemd's driver a bundle says SLICE:PREFIX:ID.
    let parts = cgroup.iter().filter_map(|part| part.to_str()?.split(':').next());
    let mut pods = parts.filter_map(|part| {
        let name = part.strip_suffix(".slice").unwrap_or(part);
        name.strip_prefix("pod").or_else(|| name.rsplit_once("-pod").map(|(_, uid)| uid))
    });
    pods.any(|uid| is_hexadecimal(uid, 32))
}

/// 64 hexadecimal digits: the ids of Docker, Podman, containerd's clients and CRI-O.
#[must_use]
pub fn is_id(text: &str) -> bool {
    is_hexadecimal(text, 64)
}

fn at_the_top(name: &str) -> CgroupKind {
    match name {
        "docker" => CgroupKind::Folder(Engine::Docker),
        "libpod_parent" => CgroupKind::Folder(Engine::Podman),
        "lxc" | "lxc.payload" => CgroupKind::Folder(Engine::Lxc),
        _ => anywhere(name),
    }
}

/// What a name means at any depth.
fn anywhere(name: &str) -> CgroupKind {
    // kubelet's --cgroup-root puts it anywhere; systemd repeats the names above in a slice's own.
    if name == "kubepods" || name == "kubepods.slice" || name.ends_with("-kubepods.slice") {
        return CgroupKind::Folder(Engine::Kubernetes);
    }
    let lxc = || lxc(name).map(|name| (Engine::Lxc, name));
    scope(name).or_else(lxc).map_or(CgroupKind::Other, |(engine, id)| CgroupKind::Container(engine, id))
}

fn below_folder(engine: Engine, name: &str) -> CgroupKind {
    let bare = || is_id(name).then(|| name.to_owned());
    let id = match engine {
        Engine::Lxc => Some(name.to_owned()),
        // A pod of Podman's is a bare id, with containers below.
        Engine::Podman => scope(name).map(|(_, id)| id),
        Engine::Kubernetes => bare().or_else(|| scope(name).map(|(_, id)| id)),
        Engine::Docker | Engine::Containerd | Engine::Nspawn => bare(),
    };
    id.map_or(CgroupKind::Folder(engine), |id| CgroupKind::Container(engine, id))
}

/// A container by the name of its own cgroup: `docker-ID.scope` with systemd's driver, `libpod-ID` with the other.
fn scope(name: &str) -> Option<(Engine, String)> {
    // SLICE:PREFIX:ID is meant for systemd's driver; where the runtime has the other one, a folder is called so. Docker's builds
    // have ids of BuildKit's there (moby's daemon/command/daemon.go, `newCgroupParent`).
    if let [slice, prefix, id] = name.split(':').collect::<Vec<_>>()[..] {
        let engine = if slice.contains("kubepods") { Engine::Kubernetes } else { of_prefix(prefix)? };
        return (is_id(id) || is_build(id) || id.starts_with(BUILDAH)).then(|| (engine, id.to_owned()));
    }
    let (stem, is_scope) = name.strip_suffix(".scope").map_or((name, false), |stem| (stem, true));
    // Buildah gives each RUN a container without a cgroup of its own choice, so runc and crun choose: runc-ID.scope, or ID.
    if let Some(at) = stem.find(BUILDAH).filter(|at| *at == 0 || stem[..*at].ends_with('-')) {
        return Some((Engine::Podman, stem[at..].to_owned()));
    }
    let (prefix, id) = stem.rsplit_once('-')?;
    let engine = match of_prefix(prefix)? {
        // The others have folders with systemd's driver alone.
        engine @ (Engine::Docker | Engine::Containerd | Engine::Lxc | Engine::Nspawn) => is_scope.then_some(engine)?,
        engine @ (Engine::Podman | Engine::Kubernetes) => engine,
    };
    is_id(id).then(|| (engine, id.to_owned()))
}

/// How Buildah's containers are called (`define.Package` and the folder that it makes for each, run_common.go).
const BUILDAH: &str = "buildah-buildah";

/// What an engine puts before its ids.
fn of_prefix(prefix: &str) -> Option<Engine> {
    Some(match prefix {
        "docker" => Engine::Docker,
        // The payload of a unit with cgroups=split has no scope of its own.
        "libpod" | "libpod-payload" | "buildah" => Engine::Podman,
        "nerdctl" => Engine::Containerd,
        "cri-containerd" | "crio" => Engine::Kubernetes,
        _ => return None,
    })
}

/// LXC's own name, or that of a scope which libvirt's driver for it registers: `machine-lxc\x2dPID\x2dNAME.scope`; where there is no
/// systemd, `NAME.libvirt-lxc`.
fn lxc(name: &str) -> Option<String> {
    let own = name.strip_prefix("lxc.payload.").or_else(|| name.strip_suffix(".libvirt-lxc"));
    let libvirt = || {
        let machine = unescaped(name.strip_prefix("machine-")?.strip_suffix(".scope")?);
        let (pid, name) = machine.strip_prefix("lxc-")?.split_once('-')?;
        pid.bytes().all(|byte| byte.is_ascii_digit()).then(|| name.to_owned())
    };
    own.filter(|name| !name.is_empty()).map(str::to_owned).or_else(libvirt)
}

/// The machine whose `payload` lies below this unit. systemd-nspawn makes that folder, and below a unit that is not the machine's own
/// a `supervisor` beside it (src/nspawn/nspawn-cgroup.c). The scopes of virtual machines have none, and freezing those would do to
/// their clocks what was done to ours.
fn payload(unit: &str) -> CgroupKind {
    if let Some(machine) = unit.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope")) {
        return CgroupKind::Container(Engine::Nspawn, unescaped(machine));
    }
    let Some(stem) = unit.strip_suffix(".service").or_else(|| unit.strip_suffix(".scope")) else {
        return CgroupKind::Other;
    };
    match stem.split_once('@') {
        Some(("systemd-nspawn", machine)) => CgroupKind::Container(Engine::Nspawn, unescaped(machine)),
        Some((_, instance)) => CgroupKind::Payload(unescaped(instance)),
        None => CgroupKind::Payload(unescaped(stem)),
    }
}

/// As systemd escapes the names of units (systemd.unit(5)).
fn unescaped(name: &str) -> String {
    name.replace("\\x2d", "-")
}

/// An id of BuildKit's: 25 digits to the base of 36 (identity/randomid.go).
fn is_build(text: &str) -> bool {
    text.len() == 25 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'z'))
}

fn is_hexadecimal(text: &str, digits: usize) -> bool {
    text.len() == digits && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";
    const BUILD: &str = "jvifp9a6b1lxa1kuw8bwfcovf";

    /// The kind of a path's cgroup: the container that it lies in, or its last part.
    fn at(path: &str) -> CgroupKind {
        let path = path.replace("ID", ID);
        let (mut within, mut found) = (None, CgroupKind::Other);
        for part in Path::new(&path).ancestors().collect::<Vec<_>>().into_iter().rev().skip(1) {
            found = kind(part, within);
            match found {
                CgroupKind::Container(..) | CgroupKind::Payload(_) => return found,
                CgroupKind::Folder(engine) => within = Some(engine),
                CgroupKind::Other => {}
            }
        }
        found
    }

    fn container(engine: Engine) -> CgroupKind {
        CgroupKind::Container(engine, ID.to_owned())
    }

    #[test]
    fn containers_are_known_by_where_their_engine_puts_them() {
        for (path, engine) in [
            ("docker/ID", Engine::Docker),
            ("docker/ID/init.scope", Engine::Docker),
            ("system.slice/docker-ID.scope", Engine::Docker),
            ("system.slice:docker:ID", Engine::Docker),
            ("user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Engine::Docker),
            ("containers.slice/docker-ID.scope", Engine::Docker),
            ("libpod_parent/libpod-ID", Engine::Podman),
            ("libpod_parent/ID/libpod-ID/container", Engine::Podman),
            ("machine.slice:libpod:ID", Engine::Podman),
            ("machine.slice/libpod-ID.scope", Engine::Podman),
            ("machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope", Engine::Podman),
            ("system.slice/web.service/libpod-payload-ID", Engine::Podman),
            ("user.slice/user-1000.slice/user@1000.service/user.slice/libpod-ID.scope", Engine::Podman),
            ("kubepods/burstable/pod0a-1b/ID", Engine::Kubernetes),
            ("kubepods/podUID/ID", Engine::Kubernetes),
            ("kubepods/besteffort/podUID/crio-ID", Engine::Kubernetes),
            (
                "kubepods.slice/kubepods-burstable.slice/kubepods-burstable-podUID.slice/cri-containerd-ID.scope",
                Engine::Kubernetes,
            ),
            ("kubepods.slice/kubepods-podUID.slice/crio-ID.scope", Engine::Kubernetes),
            ("kubepods.slice/kubepods-podUID.slice/docker-ID.scope", Engine::Kubernetes),
            ("kubelet.slice/kubelet-kubepods.slice/kubelet-kubepods-podUID.slice/crio-ID.scope", Engine::Kubernetes),
            ("system.slice/containerd.service/kubepods-burstable-podUID.slice:cri-containerd:ID", Engine::Kubernetes),
            ("kubepods-podUID.slice:docker:ID", Engine::Kubernetes),
            ("system.slice/nerdctl-ID.scope", Engine::Containerd),
            // A container that has containers is one container.
            ("docker/ID/kubelet.slice/kubelet-kubepods.slice/cri-containerd-ID.scope", Engine::Docker),
        ] {
            assert_eq!(at(path), container(engine), "{path}");
        }
    }

    #[test]
    fn containers_without_ids_are_known_by_their_names() {
        for (path, engine, name) in [
            ("lxc.payload.web", Engine::Lxc, "web"),
            ("lxc.payload.web.service", Engine::Lxc, "web.service"),
            ("lxc.payload.web/system.slice/docker-ID.scope", Engine::Lxc, "web"),
            ("lxc/100/ns", Engine::Lxc, "100"),
            ("machine.slice/machine-lxc\\x2d50642\\x2dk8s\\x2dcp.scope/libvirt/init.scope", Engine::Lxc, "k8s-cp"),
            ("machine/web.libvirt-lxc", Engine::Lxc, "web"),
            ("machine.slice/machine-a\\x2db.scope/payload", Engine::Nspawn, "a-b"),
            ("machine.slice/systemd-nspawn@web.service/payload/init.scope", Engine::Nspawn, "web"),
        ] {
            assert_eq!(at(path), CgroupKind::Container(engine, name.to_owned()), "{path}");
        }
        for (path, name) in [
            ("machine.slice/container@web.service/payload", "web"),
            ("system.slice/build\\x2dbox.service/payload", "build-box"),
        ] {
            assert_eq!(at(path), CgroupKind::Payload(name.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_is_run_for_a_build_is_a_container() {
        let docker = CgroupKind::Container(Engine::Docker, BUILD.to_owned());
        assert_eq!(at(&format!("system.slice/system.slice:docker:{BUILD}")), docker);
        for path in ["system.slice/runc-BOX.scope", "user.slice/a.service/app.slice/crun-BOX.scope", "BOX"] {
            let path = path.replace("BOX", "buildah-buildah2365838308");
            assert_eq!(
                at(&path),
                CgroupKind::Container(Engine::Podman, "buildah-buildah2365838308".to_owned()),
                "{path}"
            );
        }
    }

    #[test]
    fn what_only_looks_like_a_container_is_none() {
        for path in [
            "",
            "system.slice",
            "system.slice/docker.service",
            "system.slice/docker-web.scope",
            "system.slice/a:docker:web",
            "system.slice/a:b:ID",
            "machine.slice/libpod-conmon-ID.scope",
            "machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt",
            "machine.slice/machine-lxc\\x2dweb.scope",
            "machine.slice/systemd-nspawn@web.service/supervisor",
            "lxc.monitor.web",
            "lxc.payload.",
            "system.slice/docker/x",
            "ID",
            "k8s.io/ID",
            "payload",
            "a/payload",
        ] {
            assert_eq!(at(path), CgroupKind::Other, "{path}");
        }
    }

    #[test]
    fn an_engine_s_folder_and_what_lies_between_it_and_its_containers_are_distinguished_from_those() {
        assert_eq!(at("docker"), CgroupKind::Folder(Engine::Docker));
        assert_eq!(at("docker/buildkit"), CgroupKind::Folder(Engine::Docker));
        assert_eq!(at("libpod_parent/conmon"), CgroupKind::Folder(Engine::Podman));
        assert_eq!(at("libpod_parent/ID"), CgroupKind::Folder(Engine::Podman));
        assert_eq!(at("kubepods.slice/kubepods-burstable.slice"), CgroupKind::Folder(Engine::Kubernetes));
        assert_eq!(
            at("kubepods.slice/kubepods-podUID.slice/crio-conmon-ID.scope"),
            CgroupKind::Folder(Engine::Kubernetes)
        );
    }

    #[test]
    fn slices_services_and_init_are_never_frozen_and_containers_may_be() {
        for path in ["", "system.slice", "user.slice", "machine.slice", "a/init.scope", "a/b.service", "a/my.slice"] {
            assert!(!may_be_frozen(Path::new(path)), "{path}");
        }
        for path in [
            "docker",
            "a/kubepods.slice/kubepods-burstable.slice",
            "a/b.service/payload",
            "a/docker-x.scope",
            "lxc.payload.web.service",
            "lxc/my.slice",
            "system.slice/system.slice:docker:x",
        ] {
            assert!(may_be_frozen(Path::new(path)), "{path}");
        }
    }

    #[test]
    fn a_static_pod_s_uid_has_no_dashes() {
        let uid = "0c99364380848323a126fbf9d38a4e2e";
        for path in [
            format!("kubepods/burstable/pod{uid}/{ID}"),
            format!("kubepods.slice/kubepods-burstable.slice/kubepods-burstable-pod{uid}.slice/crio-{ID}.scope"),
            format!("kubepods-burstable-pod{uid}.slice:cri-containerd:{ID}"),
        ] {
            assert!(is_static_pod(Path::new(&path)), "{path}");
        }
        for path in [
            "kubepods/pod0c993643-8084-8323-a126-fbf9d38a4e2e/ID",
            "kubepods.slice/kubepods-pod0c993643_8084_8323_a126_fbf9d38a4e2e.slice/crio-ID.scope",
            "machine.slice/machine-libpod_pod_ID.slice/libpod-ID.scope",
        ] {
            assert!(!is_static_pod(Path::new(&path.replace("ID", ID))), "{path}");
        }
    }
}

//! Which cgroup is a container: by the names that the engines give. One rule for the tree of cgroups and for the path that
//! `/proc/PID/cgroup` shows, so that no name is ever built.

use std::fmt;
use std::path::{Path, PathBuf};

/// Who started a container.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Engine {
    /// dockerd.
    Docker,
    /// Podman, rootless too.
    Podman,
    /// containerd without Kubernetes: nerdctl, ctr.
    Containerd,
    /// kubelet, through containerd, CRI-O or dockerd.
    Kubernetes,
    /// LXC, Incus, Proxmox.
    Lxc,
    /// systemd-nspawn.
    Nspawn,
}

impl Engine {
    /// All of them.
    pub const ALL: [Self; 6] =
        [Self::Docker, Self::Podman, Self::Containerd, Self::Kubernetes, Self::Lxc, Self::Nspawn];

    /// Its name in the configuration.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Docker => "docker",
            Self::Podman => "podman",
            Self::Containerd => "containerd",
            Self::Kubernetes => "kubernetes",
            Self::Lxc => "lxc",
            Self::Nspawn => "nspawn",
        }
    }
}

impl fmt::Display for Engine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A container as the tree of cgroups shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Container {
    /// Who started it.
    pub engine: Engine,
    /// The engine's id of it; the name where the engine has no ids.
    pub id: String,
    /// Its cgroup, relative to the hierarchy.
    pub cgroup: PathBuf,
    /// The inode of its cgroup: another one with the same name has another.
    pub inode: u64,
}

/// What a cgroup is to us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A folder that an engine keeps its containers in, or one below that: systemd starts no service there, so it is safe to
    /// freeze as one.
    Folder(Engine),
    /// A container.
    Container(Engine, String),
    /// Named like a container of containerd's; its state folder knows whose.
    Unclear(String),
    /// Nothing of ours, though there may be containers below.
    Other,
}

/// What the cgroup at `path`, relative to the hierarchy, is; `within` is the engine in whose folder it lies. What lies below a
/// container belongs to it and is not asked for.
#[must_use]
pub fn kind(path: &Path, within: Option<Engine>) -> Kind {
    let mut parts = path.iter().rev().map(|part| part.to_str().unwrap_or_default());
    let name = parts.next().unwrap_or_default();
    match within {
        Some(engine) => below_folder(engine, name),
        None => by_name(parts.next(), name),
    }
}

/// The container that a path lies in, the outermost if it lies in several: the part of the path that is its cgroup.
#[must_use]
pub fn containing(path: &Path) -> Option<&Path> {
    let mut within = None;
    let parts: Vec<&Path> = path.ancestors().filter(|part| !part.as_os_str().is_empty()).collect();
    parts.into_iter().rev().find(|part| match kind(part, within) {
        Kind::Container(..) | Kind::Unclear(_) => true,
        Kind::Folder(engine) => {
            within = Some(engine);
            false
        }
        Kind::Other => false,
    })
}

fn by_name(above: Option<&str>, name: &str) -> Kind {
    let Some(above) = above else {
        return match name {
            "docker" => Kind::Folder(Engine::Docker),
            "libpod_parent" => Kind::Folder(Engine::Podman),
            "lxc" | "lxc.payload" => Kind::Folder(Engine::Lxc),
            _ => anywhere(name).unwrap_or(Kind::Other),
        };
    };
    if let ("payload", Some(machine)) = (name, machine(above)) {
        return Kind::Container(Engine::Nspawn, machine);
    }
    let unclear = || if is_id(name) { Kind::Unclear(name.to_owned()) } else { Kind::Other };
    anywhere(name).unwrap_or_else(unclear)
}

/// What a name says wherever it stands.
fn anywhere(name: &str) -> Option<Kind> {
    // kubelet's --cgroup-root puts it anywhere; systemd repeats the names above in a slice's own.
    if name == "kubepods" || name == "kubepods.slice" || name.ends_with("-kubepods.slice") {
        return Some(Kind::Folder(Engine::Kubernetes));
    }
    let lxc = || name.strip_prefix("lxc.payload.").map(|name| Kind::Container(Engine::Lxc, name.to_owned()));
    scope(name).map(|(engine, id)| Kind::Container(engine, id.to_owned())).or_else(lxc)
}

fn below_folder(engine: Engine, name: &str) -> Kind {
    let id = match engine {
        Engine::Lxc => Some(name),
        // A pod of Podman's is a bare id, with containers below.
        Engine::Podman => name.strip_prefix("libpod-").filter(|id| is_id(id)),
        Engine::Kubernetes if !is_id(name) => scope(name).map(|(_, id)| id),
        Engine::Docker | Engine::Containerd | Engine::Kubernetes | Engine::Nspawn => is_id(name).then_some(name),
    };
    id.map_or(Kind::Folder(engine), |id| Kind::Container(engine, id.to_owned()))
}

/// A container by the name of its own cgroup: `docker-ID.scope` with the systemd driver, `libpod-ID` with the other.
fn scope(name: &str) -> Option<(Engine, &str)> {
    // The name that containerd makes where kubelet means systemd's driver and containerd the other: a:cri-containerd:ID.
    if let Some((_, id)) = name.split_once(":cri-containerd:") {
        return is_id(id).then_some((Engine::Kubernetes, id));
    }
    let (stem, is_scope) = name.strip_suffix(".scope").map_or((name, false), |stem| (stem, true));
    let (prefix, id) = stem.rsplit_once('-')?;
    let engine = match prefix {
        "docker" if is_scope => Engine::Docker,
        // The payload of a unit with cgroups=split has no scope of its own.
        "libpod" | "libpod-payload" => Engine::Podman,
        "nerdctl" if is_scope => Engine::Containerd,
        "cri-containerd" | "crio" => Engine::Kubernetes,
        _ => return None,
    };
    is_id(id).then_some((engine, id))
}

/// The machine whose `payload` lies below this unit. systemd-nspawn makes that folder; the scopes of virtual machines have
/// none, and freezing those would do to their clocks what was done to ours.
fn machine(unit: &str) -> Option<String> {
    let scope = unit.strip_prefix("machine-").and_then(|rest| rest.strip_suffix(".scope"));
    let service = unit.strip_prefix("systemd-nspawn@").and_then(|rest| rest.strip_suffix(".service"));
    scope.or(service).map(|escaped| escaped.replace("\\x2d", "-"))
}

/// 64 hexadecimal digits: the ids of Docker, Podman, containerd's clients and CRI-O.
fn is_id(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    /// What the walk would make of a path: the container that it lies in, or its last part.
    fn at(path: &str) -> Kind {
        let path = path.replace("ID", ID);
        let (mut within, mut found) = (None, Kind::Other);
        for part in Path::new(&path).ancestors().collect::<Vec<_>>().into_iter().rev().skip(1) {
            found = kind(part, within);
            match found {
                Kind::Container(..) => return found,
                Kind::Folder(engine) => within = Some(engine),
                Kind::Unclear(_) | Kind::Other => {}
            }
        }
        found
    }

    fn container(engine: Engine) -> Kind {
        Kind::Container(engine, ID.to_owned())
    }

    #[test]
    fn containers_are_known_by_where_their_engine_puts_them() {
        for (path, engine) in [
            ("docker/ID", Engine::Docker),
            ("docker/ID/init.scope", Engine::Docker),
            ("system.slice/docker-ID.scope", Engine::Docker),
            ("user.slice/user-1000.slice/user@1000.service/user.slice/docker-ID.scope", Engine::Docker),
            ("containers.slice/docker-ID.scope", Engine::Docker),
            ("libpod_parent/libpod-ID", Engine::Podman),
            ("libpod_parent/ID/libpod-ID/container", Engine::Podman),
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
            ("lxc.payload.web/system.slice/docker-ID.scope", Engine::Lxc, "web"),
            ("lxc/100/ns", Engine::Lxc, "100"),
            ("machine.slice/machine-a\\x2db.scope/payload", Engine::Nspawn, "a-b"),
            ("machine.slice/systemd-nspawn@web.service/payload/init.scope", Engine::Nspawn, "web"),
        ] {
            assert_eq!(at(path), Kind::Container(engine, name.to_owned()), "{path}");
        }
    }

    #[test]
    fn what_only_looks_like_a_container_is_none() {
        for path in [
            "",
            "system.slice",
            "system.slice/docker.service",
            "system.slice/docker-web.scope",
            "machine.slice/libpod-conmon-ID.scope",
            "machine.slice/machine-qemu\\x2d1\\x2dvm.scope/libvirt",
            "machine.slice/systemd-nspawn@web.service/supervisor",
            "lxc.monitor.web",
            "system.slice/docker/x",
            "ID",
            "payload",
        ] {
            assert_eq!(at(path), Kind::Other, "{path}");
        }
    }

    #[test]
    fn an_engine_s_folder_and_what_lies_between_it_and_its_containers_are_told_from_those() {
        assert_eq!(at("docker"), Kind::Folder(Engine::Docker));
        assert_eq!(at("docker/buildkit"), Kind::Folder(Engine::Docker));
        assert_eq!(at("libpod_parent/conmon"), Kind::Folder(Engine::Podman));
        assert_eq!(at("libpod_parent/ID"), Kind::Folder(Engine::Podman));
        assert_eq!(at("kubepods.slice/kubepods-burstable.slice"), Kind::Folder(Engine::Kubernetes));
        assert_eq!(at("kubepods.slice/kubepods-podUID.slice/crio-conmon-ID.scope"), Kind::Folder(Engine::Kubernetes));
        assert_eq!(at("k8s.io/ID"), Kind::Unclear(ID.to_owned()));
    }

    #[test]
    fn the_outermost_container_is_the_one_that_holds_a_process() {
        let path = format!("docker/{ID}/system.slice/docker-{ID}.scope");
        assert_eq!(containing(Path::new(&path)), Some(Path::new(&format!("docker/{ID}"))));
        assert_eq!(containing(Path::new("system.slice/ssh.service")), None);
    }
}

//! The containerds of a host: its own, and those that k3s, rke2, k0s and microk8s bring along.

use std::path::{Path, PathBuf};

use crate::container::unit::CommandLine;
use crate::container::{PROGRAM_FOLDERS, Root};
use crate::sys::service_manager::{ServiceAction, ServiceManager};

/// The host's own.
pub const SERVICE: &str = "containerd";
const OWN_STATE: &str = "/run/containerd";
/// rke2 runs k3s' agent.
const RANCHER_STATE: &str = "/run/k3s/containerd";
const K0S_STATE: &str = "/run/k0s/containerd";
const MICROK8S_STATE: &str = "/var/snap/microk8s/common/run/containerd";
/// Those of the containerds that dockerd starts by itself.
const DOCKERS_STATES: [&str; 3] =
    ["/run/docker/containerd/daemon", "/run/snap.docker/containerd/daemon", "/run/balena-engine/containerd/daemon"];

/// The folders of state that are usual: a containerd that nothing on the disk speaks of may run all the same.
pub fn usual_states() -> impl Iterator<Item = &'static str> {
    [OWN_STATE, RANCHER_STATE, K0S_STATE, MICROK8S_STATE].into_iter().chain(DOCKERS_STATES)
}

/// Who writes the file that containerd reads first.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Writer {
    /// The host's administrator.
    Admin,
    /// A program at each start, from one of these templates where there is one, in Go's language.
    Program {
        /// The first that is there counts.
        templates: Vec<PathBuf>,
    },
    /// A program at each start, from this file, whose variables it replaces.
    Template(PathBuf),
    /// k0s at each start: what lies in the folder becomes part of the file.
    Patches {
        /// The files of the administrator.
        folder: PathBuf,
        /// What becomes of them.
        merged: PathBuf,
    },
}

/// A containerd of the host.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Layout {
    /// Whose it is.
    pub name: &'static str,
    /// What it reads first.
    pub config: PathBuf,
    /// Who writes that.
    pub writer: Writer,
    /// Where it keeps the state of running containers, unless its configuration names another folder.
    pub state: PathBuf,
    /// The folder of the runtime that comes with it.
    pub programs: Option<PathBuf>,
    /// What starts it anew.
    pub restart: ContainerdRestart,
}

/// What starts a containerd anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerdRestart {
    /// That of a service.
    Service {
        /// Its name.
        name: &'static str,
        /// Its name on hosts of another role.
        or: Option<&'static str>,
    },
    /// A command, whatever starts services there.
    Command(&'static str),
}

impl ContainerdRestart {
    /// As a sentence names it.
    #[must_use]
    pub fn in_a_sentence(self, services: ServiceManager) -> String {
        match self {
            Self::Service { name, or } => {
                let other = or.map(|other| format!(" ({other} where that runs)")).unwrap_or_default();
                services.in_a_sentence(ServiceAction::Restart, name) + &other
            }
            Self::Command(command) => format!("`{command}`"),
        }
    }
}

impl Layout {
    /// The file that is made anew at each start from what the administrator writes elsewhere: it has in it what that had then.
    #[must_use]
    pub fn made(&self) -> Option<&Path> {
        match &self.writer {
            Writer::Template(_) => Some(&self.config),
            Writer::Patches { merged, .. } => Some(merged),
            Writer::Admin | Writer::Program { .. } => None,
        }
    }
}

/// The containerds that are there, the host's own last; it is there, too, where there is no other.
#[must_use]
pub fn layouts(root: &Root) -> Vec<Layout> {
    let mut found: Vec<Layout> =
        [rancher(root, "k3s"), rancher(root, "rke2"), k0s(root), microk8s(root)].into_iter().flatten().collect();
    let own = own(root);
    let is_there =
        PROGRAM_FOLDERS.iter().any(|folder| root.has(&Path::new(folder).join("containerd"))) || root.has(&own.config);
    if is_there || found.is_empty() {
        found.push(own);
    }
    found
}

fn own(root: &Root) -> Layout {
    let line = CommandLine::of_unit(root, &["containerd.service"]).unwrap_or_default();
    let told = |names: &[&str], usual: &str| line.value(names).map_or_else(|| usual.into(), |said| said.value.into());
    Layout {
        name: "containerd",
        config: told(&["--config", "-c"], "/etc/containerd/config.toml"),
        writer: Writer::Admin,
        state: told(&["--state"], OWN_STATE),
        programs: None,
        restart: ContainerdRestart::Service { name: SERVICE, or: None },
    }
}

/// k3s and rke2: `config.toml` is made anew at each start, from `config-v3.toml.tmpl` (containerd 2) or `config.toml.tmpl` beside it if
/// there is one (docs.k3s.io/advanced, "Configuring containerd").
fn rancher(root: &Root, name: &'static str) -> Option<Layout> {
    let settings =
        root.read(&Path::new("/etc/rancher").join(name).join("config.yaml")).ok().flatten().unwrap_or_default();
    let moved = settings.lines().find_map(|line| line.strip_prefix("data-dir:"));
    let moved = moved.map(|folder| PathBuf::from(folder.trim().trim_matches(['"', '\''])));
    let data = moved.unwrap_or_else(|| Path::new("/var/lib/rancher").join(name));
    let folder = data.join("agent/etc/containerd");
    let programs =
        ["/usr/local/bin", "/usr/bin", "/opt/bin", "/opt/rke2/bin"].map(|folder| Path::new(folder).join(name));
    if !root.has(&folder) && !programs.iter().any(|program| root.has(program)) {
        return None;
    }
    let is_k3s = name == "k3s";
    Some(Layout {
        name,
        config: folder.join("config.toml"),
        writer: Writer::Program {
            templates: ["config-v3.toml.tmpl", "config.toml.tmpl"].map(|name| folder.join(name)).to_vec(),
        },
        state: RANCHER_STATE.into(),
        programs: Some(data.join(if is_k3s { "data/current/bin" } else { "bin" })),
        restart: if is_k3s {
            ContainerdRestart::Service { name: "k3s", or: Some("k3s-agent") }
        } else {
            ContainerdRestart::Service { name: "rke2-agent", or: Some("rke2-server") }
        },
    })
}

/// k0s (docs.k0sproject.io, "Runtime"): its file imports what it made of the administrator's folder, or that folder itself. Where the
/// first line is not k0s' own, the file is the administrator's.
fn k0s(root: &Root) -> Option<Layout> {
    let config = PathBuf::from("/etc/k0s/containerd.toml");
    let is_there =
        ["/etc/k0s/containerd.toml", "/var/lib/k0s/bin/containerd"].iter().any(|path| root.has(Path::new(path)));
    let text = root.read(&config).ok().flatten();
    let is_managed = text.is_none_or(|text| text.lines().next() == Some("# k0s_managed=true"));
    let patches =
        Writer::Patches { folder: "/etc/k0s/containerd.d".into(), merged: "/run/k0s/containerd-cri.toml".into() };
    is_there.then(|| Layout {
        name: "k0s",
        config,
        writer: if is_managed { patches } else { Writer::Admin },
        state: K0S_STATE.into(),
        programs: Some("/var/lib/k0s/bin".into()),
        restart: ContainerdRestart::Service { name: "k0sworker", or: Some("k0scontroller") },
    })
}

/// microk8s: `args/containerd-template.toml` becomes `args/containerd.toml` at each start.
fn microk8s(root: &Root) -> Option<Layout> {
    let data = Path::new("/var/snap/microk8s");
    let args = data.join("current/args");
    root.has(&args.join("containerd-template.toml")).then(|| Layout {
        name: "microk8s",
        config: args.join("containerd.toml"),
        writer: Writer::Template(args.join("containerd-template.toml")),
        state: MICROK8S_STATE.into(),
        programs: Some("/snap/microk8s/current/bin".into()),
        restart: ContainerdRestart::Command("snap restart microk8s.daemon-containerd"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn its_files_show_whose_containerd_it_is() {
        let names = |files: &[(&str, &str)]| {
            layouts(&Root::of_texts(files)).iter().map(|layout| layout.name).collect::<Vec<_>>()
        };
        assert_eq!(names(&[]), ["containerd"]);
        assert_eq!(names(&[("/usr/local/bin/k3s", "")]), ["k3s"]);
        assert_eq!(names(&[("/opt/rke2/bin/rke2", ""), ("/usr/bin/containerd", "")]), ["rke2", "containerd"]);
        assert_eq!(names(&[("/etc/k0s/containerd.toml", "")]), ["k0s"]);
        assert_eq!(names(&[("/var/snap/microk8s/current/args/containerd-template.toml", "")]), ["microk8s"]);
    }

    #[test]
    fn folders_that_were_moved_are_found() {
        let files = [("/etc/rancher/k3s/config.yaml", "token: x\ndata-dir: \"/srv/k3s\"\n"), ("/usr/bin/k3s", "")];
        let k3s = layouts(&Root::of_texts(&files)).remove(0);
        assert_eq!(k3s.config, Path::new("/srv/k3s/agent/etc/containerd/config.toml"));
        let unit = "[Service]\nExecStart=/usr/bin/containerd\n";
        let dropin = "[Service]\nExecStart=\nExecStart=/usr/bin/containerd --config=/srv/c.toml \\\n  --state /run/c\n";
        let files = [("/usr/lib/systemd/system/containerd.service", unit), ("/usr/bin/containerd", "")];
        assert_eq!(layouts(&Root::of_texts(&files)).remove(0).config, Path::new("/etc/containerd/config.toml"));
        let files = [files[0], files[1]];
        let with_dropin = Root::of_texts(&files)
            .with(Path::new("/etc/systemd/system/containerd.service.d/10-x.conf"), Some(dropin.to_owned()));
        // The folder of a drop-in that is only planned is found by its name.
        let own = layouts(&with_dropin).remove(0);
        assert_eq!((own.config.as_path(), own.state.as_path()), (Path::new("/srv/c.toml"), Path::new("/run/c")));
    }
}

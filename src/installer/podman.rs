//! podman: the wrapper in front of crun and runc, by the names that they have, or an OCI hook.
//!
//! A container keeps the name of its runtime. Since the names stay the same, those of before are held as well, nothing is left
//! without its runtime afterwards, and where the wrapper is gone podman takes the next program of the list.

use std::path::{Path, PathBuf};

use super::runtime::{EngineRuntime, is_wrapper};
use super::{Change, Host, InstallerError, Plan};
use crate::container::crio;
use crate::container::files::FromFile;
use crate::container::podman::{HOOKS, PodmanConfig};

/// podman is no daemon.
pub const AFTERWARDS: &str = "at once, but in a running `podman system service` after its restart";

/// Behind the others, since the last one counts: the second one where there is a later name than the first.
const FILES: [&str; 2] =
    ["/etc/containers/containers.conf.d/99-clockgate.conf", "/etc/containers/containers.conf.d/zz-clockgate.conf"];

/// podman's own lists (containers.conf(5), `engine.runtimes`), in its order.
const CRUN: [&str; 7] = [
    "/usr/bin/crun",
    "/usr/sbin/crun",
    "/usr/local/bin/crun",
    "/usr/local/sbin/crun",
    "/sbin/crun",
    "/bin/crun",
    "/run/current-system/sw/bin/crun",
];
const RUNC: [&str; 8] = [
    "/usr/bin/runc",
    "/usr/sbin/runc",
    "/usr/local/bin/runc",
    "/usr/local/sbin/runc",
    "/sbin/runc",
    "/bin/runc",
    "/usr/lib/cri-o-runc/sbin/runc",
    "/run/current-system/sw/bin/runc",
];

/// Whose containers a hook is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manager {
    /// podman.
    Podman,
    /// CRI-O.
    Crio,
}

/// What has to be written for the wrapper.
pub fn plan(host: &Host) -> Result<Plan, InstallerError> {
    let config = PodmanConfig::read(&host.files(), &FILES.map(PathBuf::from))?;
    let path = read_last(&config)?;
    if let Some(FromFile { value, file }) =
        config.runtime.filter(|said| !["crun", "runc"].contains(&said.value.as_str()))
    {
        let what = format!(
            "sets the runtime `{value}`, neither crun nor runc: `clockgate hooks install podman-hook` holds any"
        );
        return Err(InstallerError::refused(file, what));
    }
    let mut text = "# Written by `clockgate hooks install podman`, and removed by `clockgate hooks remove podman`.\n\
                    # podman takes the first program of a list that is there: the wrapper, or without it the runtime as before.\n\
                    [engine.runtimes]\n"
        .to_owned();
    let mut changes = vec![];
    for (name, usual) in [("crun", &CRUN[..]), ("runc", &RUNC[..])] {
        let named = config.runtimes.iter().find(|(other, _)| other == name).map(|(_, said)| said);
        let paths =
            named.map_or_else(|| usual.iter().map(|path| (*path).to_owned()).collect(), |said| said.value.clone());
        if paths.iter().any(|path| is_wrapper(path)) {
            return Err(InstallerError::Wrong(format!(
                "podman's `{name}` already has clockgate's wrapper, which another program installed"
            )));
        }
        // Where nothing of a list is there, podman looks in PATH.
        let listed = paths.iter().map(PathBuf::from).find(|path| host.has(path));
        let Some(program) = listed.or_else(|| host.program(name)) else { continue };
        let (wrapper, links) = EngineRuntime { folder: "podman".to_owned(), program }.wrap(host)?;
        changes.extend(links);
        let list = std::iter::once(wrapper.to_string_lossy().into_owned()).chain(paths);
        text += &format!("{name} = [\n{}]\n", list.map(|path| format!("    {path:?},\n")).collect::<String>());
    }
    if !text.contains(" = [") {
        return Err(InstallerError::Wrong("there is neither crun nor runc on this host".to_owned()));
    }
    changes.push(Change::own_file(host, &path, text, 0o644)?);
    let notes = vec!["a user's own ~/.config/containers/containers.conf that names runtimes is not held".to_owned()];
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes })
}

/// A name for our file that is read after every file which names crun or runc: drop-ins are read by their names, wherever they lie.
fn read_last(config: &PodmanConfig) -> Result<PathBuf, InstallerError> {
    let is_drop_in = |file: &Path| file.parent().is_some_and(|folder| folder.extension().is_some_and(|d| d == "d"));
    let named = config.runtimes.iter().filter(|(name, _)| ["crun", "runc"].contains(&name.as_str()));
    let files = named.map(|(_, said)| &said.file).filter(|file| is_drop_in(file));
    let Some(last) = files.max_by_key(|file| file.file_name()) else { return Ok(FILES[0].into()) };
    let path = FILES.map(PathBuf::from).into_iter().find(|path| path.file_name() > last.file_name());
    path.ok_or_else(|| {
        let what = format!("names runtimes and is read after {}: give it an earlier name", FILES[1]);
        InstallerError::refused(last, what)
    })
}

/// What has to be written for the hook.
pub fn plan_hook(host: &Host, manager: Manager) -> Result<Plan, InstallerError> {
    let (name, afterwards) = match manager {
        Manager::Podman => ("99-clockgate-podman.json", AFTERWARDS.to_owned()),
        Manager::Crio => ("99-clockgate-crio.json", super::crio::afterwards(host)),
    };
    let (folders, note) = match manager {
        Manager::Podman => {
            let note = "crun shows only the exit code of a hook that refuses, 75, not its message";
            (PodmanConfig::read(&host.files(), &[])?.hooks, Some(note.to_owned()))
        }
        Manager::Crio => (Some(crio::CrioConfig::read(&host.files(), &[])?.hooks), None),
    };
    let folder = hooks_folder(folders, manager)?;
    let changes = vec![Change::own_file(host, &folder.join(name), hook_of(&host.wrapper()?, manager), 0o644)?];
    Ok(Plan { changes, afterwards, notes: note.into_iter().collect() })
}

/// A folder for hooks that is read: the usual one, or else the last that outlives a boot of those that a file names.
fn hooks_folder(named: Option<FromFile<Vec<String>>>, manager: Manager) -> Result<PathBuf, InstallerError> {
    let Some(FromFile { value, file }) = named else { return Ok(HOOKS.into()) };
    if value.iter().any(|folder| Path::new(folder) == Path::new(HOOKS)) {
        return Ok(HOOKS.into());
    }
    let outlives = |folder: &PathBuf| {
        folder.is_absolute() && !["/run", "/var/run", "/tmp"].iter().any(|gone| folder.starts_with(gone))
    };
    value.into_iter().map(PathBuf::from).rfind(outlives).ok_or_else(|| {
        let other = match manager {
            Manager::Podman => "podman",
            Manager::Crio => "crio",
        };
        let what = format!(
            "sets `hooks_dir` to no folder that survives a reboot: name one there, {HOOKS} for example, or hold the runtimes by \
             `clockgate hooks install {other}`"
        );
        InstallerError::refused(file, what)
    })
}

/// The hook for podman's containers, as its file has it.
#[must_use]
pub fn hook(program: &Path) -> String {
    hook_of(program, Manager::Podman)
}

/// oci-hooks(5). Without `timeout`: how long it may take is the hook's own affair.
fn hook_of(program: &Path, manager: Manager) -> String {
    let manager = match manager {
        Manager::Podman => "libpod",
        Manager::Crio => "cri-o",
    };
    let program = program.to_string_lossy();
    let hook = serde_json::json!({
        "version": "1.0.0",
        "hook": { "path": program, "args": [program, "hook"] },
        "when": { "annotations": { "^io\\.container\\.manager$": format!("^{manager}$") } },
        "stages": ["createRuntime"],
    });
    format!("{hook:#}\n")
}

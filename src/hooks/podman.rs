//! podman: the wrapper in front of crun and runc, by the names that they have, or an OCI hook.
//!
//! A container keeps the name of its runtime. Since the names stay the same, those of before are held as well, nothing is left
//! without its runtime afterwards, and where the wrapper is gone podman takes the next program of the list.

use std::path::{Path, PathBuf};

use super::runtime::{Runtime, is_wrapper};
use super::{Change, Error, Host, Plan, toml};

/// podman is no daemon.
pub const AFTERWARDS: &str = "at once, but in a running `podman system service` after its restart";

const FOLDER: &str = "/etc/containers/containers.conf.d";
/// Behind the others, since the last one counts.
const FILE: &str = "/etc/containers/containers.conf.d/99-clockgate.conf";
/// The one folder of hooks that podman and CRI-O read unless told otherwise.
const HOOKS: &str = "/usr/share/containers/oci/hooks.d";

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
pub fn plan(host: &Host) -> Result<Plan, Error> {
    let path = PathBuf::from(FILE);
    let mut runtimes: Vec<(String, Vec<String>)> = [("crun", &CRUN[..]), ("runc", &RUNC[..])]
        .map(|(name, paths)| (name.to_owned(), paths.iter().map(|path| (*path).to_owned()).collect()))
        .to_vec();
    for file in configuration(host)? {
        let Some(text) = host.read(&file)? else { continue };
        let document = toml::parse(&text).map_err(|what| Error::refused(&file, what))?;
        // podman reads the two whole files first, wherever they lie, and then the folder by name (containers.conf(5)).
        let is_later = file.parent() == path.parent() && file > path;
        if is_later && toml::get(&document, &["engine", "runtimes"]).is_some() {
            return Err(Error::refused(
                file,
                format!("names runtimes and is read after {FILE}: give it an earlier name"),
            ));
        }
        if let Some(runtime) = toml::get(&document, &["engine", "runtime"]).and_then(|item| item.as_str())
            && !["crun", "runc"].contains(&runtime)
        {
            let what = format!(
                "sets the runtime `{runtime}`, neither crun nor runc: `clockgate hooks install podman-hook` holds any"
            );
            return Err(Error::refused(file, what));
        }
        for (name, paths) in &mut runtimes {
            let Some(list) = toml::get(&document, &["engine", "runtimes", name]) else { continue };
            let Some(list) = list.as_array() else {
                return Err(Error::refused(file, format!("names `{name}` not by a list")));
            };
            *paths = list.iter().filter_map(|path| path.as_str()).map(str::to_owned).collect();
        }
    }
    let mut text = "# Written by `clockgate hooks install podman`, and taken away by `clockgate hooks remove podman`.\n\
                    # podman takes the first program of a list that is there: the wrapper, or without it the runtime as before.\n\
                    [engine.runtimes]\n"
        .to_owned();
    let mut changes = vec![];
    for (name, paths) in runtimes {
        if paths.iter().any(|path| is_wrapper(path)) {
            return Err(Error::Wrong(format!(
                "podman's `{name}` has a wrapper of ours already, which somebody else put there"
            )));
        }
        let Some(program) = paths.iter().find(|path| host.has(Path::new(path))) else { continue };
        let (wrapper, links) = Runtime { folder: "podman".to_owned(), program: program.into() }.wrap(host)?;
        changes.extend(links);
        let list = std::iter::once(wrapper.to_string_lossy().into_owned()).chain(paths);
        text += &format!("{name} = [\n{}]\n", list.map(|path| format!("    {path:?},\n")).collect::<String>());
    }
    if !text.contains(" = [") {
        return Err(Error::Wrong("there is neither crun nor runc on this host".to_owned()));
    }
    changes.push(Change::own_file(host, &path, text, 0o644)?);
    let notes = vec!["a user's own ~/.config/containers/containers.conf that names runtimes is not held".to_owned()];
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes })
}

/// The files that podman reads, in its order.
fn configuration(host: &Host) -> Result<Vec<PathBuf>, Error> {
    let mut files =
        vec![PathBuf::from("/usr/share/containers/containers.conf"), "/etc/containers/containers.conf".into()];
    files.extend(host.list(Path::new(FOLDER), ".conf")?.into_iter().filter(|file| file != Path::new(FILE)));
    Ok(files)
}

/// What has to be written for the hook.
pub fn plan_hook(host: &Host, manager: Manager) -> Result<Plan, Error> {
    let name = match manager {
        Manager::Podman => "99-clockgate-podman.json",
        Manager::Crio => "99-clockgate-crio.json",
    };
    let path = Path::new(HOOKS).join(name);
    let (afterwards, note) = match manager {
        Manager::Podman => (AFTERWARDS, "crun shows its user the code of a hook that refuses, 75, and not its words"),
        Manager::Crio => (super::crio::AFTERWARDS, "CRI-O reads this folder unless crio.conf sets hooks_dir"),
    };
    let changes = vec![Change::own_file(host, &path, hook_of(&host.wrapper()?, manager), 0o644)?];
    Ok(Plan { changes, afterwards: afterwards.to_owned(), notes: vec![note.to_owned()] })
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

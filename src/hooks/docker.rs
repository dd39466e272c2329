//! Docker: a runtime of ours in daemon.json, which becomes the default one.
//!
//! The name `runc` is reserved, so the wrapper has a name of its own; and a container keeps the name of the runtime that it was made
//! with. So those of before are not held, and those made since do not start once the name is gone: both are said.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::runtime::{Runtime, is_wrapper};
use super::{Change, Error, Host, Plan, json};

/// dockerd takes both keys on a reload, and running containers go on.
pub const AFTERWARDS: &str = "after `systemctl reload docker`";
/// On a reload dockerd keeps the default that the file no longer names, and looks for it in vain: 20.10 ends with a nil pointer in
/// `fillPlatformInfo`. The shims of containers that run keep the wrapper's path.
pub const REMOVED: &str = "after `systemctl restart docker` (not `reload`, of which Docker 20.10 dies); containers that run are stopped \
                           through clockgate-oci, so leave it installed until they are started anew";

const FILE: &str = "/etc/docker/daemon.json";
/// Where the same might be said on dockerd's command line, which it refuses to hear twice.
const COMMAND_LINES: [&str; 7] = [
    "/etc/systemd/system/docker.service",
    "/etc/systemd/system/docker.service.d",
    "/usr/lib/systemd/system/docker.service",
    "/lib/systemd/system/docker.service",
    "/etc/default/docker",
    "/etc/sysconfig/docker",
    "/etc/conf.d/docker",
];

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, Error> {
    let path = PathBuf::from(FILE);
    let before = host.read(&path)?;
    let text = before.clone().unwrap_or_default();
    let config = json::parse(&text).map_err(|what| Error::refused(&path, what))?;
    let old = config.get("default-runtime").and_then(Value::as_str).unwrap_or("runc");
    let (program, entry) = runtime(&config, old).map_err(|what| Error::refused(&path, what))?;
    no_flags(host)?;
    let (wrapper, mut changes) = Runtime { folder: "docker".to_owned(), program }.wrap(host)?;
    let mut entry = entry;
    entry["path"] = wrapper.to_string_lossy().into();
    let after =
        json::set_runtime(&text, &format!("clockgate-{old}"), &entry).map_err(|what| Error::refused(&path, what))?;
    changes.push(Change::File { path, before, after, mode: 0o644 });
    let mut notes = vec![];
    let others = containers(host, &config, |runtime| runtime == old || runtime.is_empty());
    if !others.is_empty() {
        notes.push(format!(
            "containers keep the runtime they were made with: {} held only when made anew",
            are(&others)
        ));
    }
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes })
}

/// The program of the runtime called `name`, and what else its entry says.
fn runtime(config: &Value, name: &str) -> Result<(PathBuf, Value), String> {
    let entry = config.get("runtimes").and_then(|runtimes| runtimes.get(name));
    let path = entry.and_then(|entry| entry.get("path")).and_then(Value::as_str);
    match (entry, path) {
        (_, Some(path)) if is_wrapper(path) => {
            Err("has a wrapper of ours already, which somebody else put there".to_owned())
        }
        (Some(entry), Some(path)) => Ok((PathBuf::from(path), entry.clone())),
        (None, _) if name == "runc" => Ok(("runc".into(), serde_json::json!({}))),
        (None, _) => Err(format!("has the default runtime `{name}`, of which it does not say what it is")),
        (Some(_), None) => {
            Err(format!("has the default runtime `{name}`, a shim of its own that no wrapper fits into"))
        }
    }
}

/// dockerd does not start with an option that stands both in its file and on its command line.
fn no_flags(host: &Host) -> Result<(), Error> {
    for place in COMMAND_LINES.map(Path::new) {
        let files = if host.at(place).is_dir() { host.list(place, ".conf")? } else { vec![place.to_owned()] };
        for file in files {
            // A unit may be a link, and whatever cannot be read here says nothing to dockerd either.
            let text = std::fs::read_to_string(host.at(&file)).unwrap_or_default();
            let lines = text.lines().filter(|line| !line.trim_start().starts_with(['#', ';']));
            if lines.into_iter().any(|line| line.contains("--default-runtime") || line.contains("--add-runtime")) {
                return Err(Error::refused(
                    file,
                    format!("sets a runtime on dockerd's command line: move that to {FILE} first"),
                ));
            }
        }
    }
    Ok(())
}

/// Containers that would not start any more.
pub fn needed_by(host: &Host) -> Result<Option<String>, Error> {
    let path = PathBuf::from(FILE);
    let text = host.read(&path)?.unwrap_or_default();
    let config = json::parse(&text).unwrap_or_default();
    let ours = containers(host, &config, |runtime| runtime.starts_with("clockgate-"));
    Ok((!ours.is_empty()).then(|| {
        format!(
            "{} made with a runtime that Docker would no longer know, and could not start. What is made anew before that gets it \
             again: `clockgate hooks remove docker --force`, `systemctl restart docker`, and make them anew then",
            are(&ours)
        )
    }))
}

/// The names of the containers whose runtime is one of those.
fn containers(host: &Host, config: &Value, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let data =
        config.get("data-root").or_else(|| config.get("graph")).and_then(Value::as_str).unwrap_or("/var/lib/docker");
    let entries = std::fs::read_dir(host.at(data).join("containers")).into_iter().flatten().flatten();
    let read = |path: PathBuf| -> Value {
        std::fs::read(path).ok().and_then(|bytes| serde_json::from_slice(&bytes).ok()).unwrap_or_default()
    };
    let mut names: Vec<String> = entries
        .map(|entry| entry.path())
        .filter(|folder| {
            let host_config = read(folder.join("hostconfig.json"));
            host_config.is_object() && is_meant(host_config.get("Runtime").and_then(Value::as_str).unwrap_or_default())
        })
        .map(|folder| {
            let name = read(folder.join("config.v2.json")).get("Name").and_then(Value::as_str).map(str::to_owned);
            name.map_or_else(|| folder.display().to_string(), |name| name.trim_start_matches('/').to_owned())
        })
        .collect();
    names.sort();
    names
}

/// Some names, and a verb that fits.
fn are(names: &[String]) -> String {
    let shown = names.iter().take(5).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() {
        1 => format!("1 ({shown}) is"),
        count @ 2..=5 => format!("{count} ({shown}) are"),
        count => format!("{count} ({shown}, ...) are"),
    }
}

//! Docker: clockgate's runtime in the file that dockerd reads, which becomes the default one.
//!
//! The name `runc` is reserved, so the wrapper has a name of its own; and a container keeps the name of the runtime that it was made
//! with. So earlier containers are not held, and later ones do not start once the name is removed: both are reported.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use super::json;
use super::runtime::{EngineRuntime, is_wrapper};
use super::{Change, Host, InstallerError, Plan};
use crate::container::WRAPPER_PREFIX;
use crate::container::docker::{self, DockerConfig, STOCK, member};
use crate::sys::service_manager::ServiceAction;

const SERVICE: &str = "docker";
/// The one shim that runs a program which its options name (daemon/runtime_unix.go, `linuxV2RuntimeName`).
const SHIM: &str = "io.containerd.runc.v2";

/// dockerd takes both keys on a reload, and running containers go on.
fn afterwards(host: &Host) -> String {
    format!("after {}", host.services().in_a_sentence(ServiceAction::Reload, SERVICE))
}

/// On a reload dockerd keeps the default that the file no longer names, and looks for it in vain: 20.10 ends with a nil pointer in
/// `fillPlatformInfo`. The shims of containers that run keep the wrapper's path.
pub fn removed(host: &Host) -> String {
    format!(
        "after {} (not a reload, of which Docker 20.10 dies); containers that run are stopped through clockgate-oci, so leave it \
         installed until they are started anew",
        host.services().in_a_sentence(ServiceAction::Restart, SERVICE)
    )
}

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, InstallerError> {
    no_snap_alone(host)?;
    let config = DockerConfig::read(&host.files())?;
    let path = config.file.clone();
    let refused = |what: String| InstallerError::refused(&path, what);
    if let Some(said) = config.default_on_the_command_line() {
        let what = format!(
            "sets the default runtime on dockerd's command line, which it accepts only once: move it to {} first",
            path.display()
        );
        return Err(InstallerError::refused(said.file, what));
    }
    host.is_ours_to_write(&path)?;
    let before = host.read(&path)?;
    let old = config.default_runtime();
    let default = DefaultRuntime::of(&config).map_err(refused)?;
    let (wrapper, mut changes) =
        EngineRuntime { folder: "docker".to_owned(), program: default.program.clone() }.wrap(host)?;
    let name = format!("{WRAPPER_PREFIX}{}", if STOCK.contains(&old) { "runc" } else { old });
    let text = before.as_deref().unwrap_or_default();
    let after = json::set_runtime(text, &name, &default.wrapped(&wrapper)).map_err(refused)?;
    changes.push(Change::File { path: path.clone(), before, after, mode: 0o644 });
    Ok(Plan { changes, afterwards: afterwards(host), notes: notes(host, &config) })
}

/// What is not held.
fn notes(host: &Host, config: &DockerConfig) -> Vec<String> {
    let old = config.default_runtime();
    let mut notes = vec![];
    if let Some(told_by) = &config.told_by {
        notes.push(format!("dockerd reads {}, as set in {}", config.file.display(), told_by.display()));
    }
    let is_of_before =
        |runtime: &str| runtime.is_empty() || runtime == old || STOCK.contains(&old) && STOCK.contains(&runtime);
    let others = containers(host, config, is_of_before);
    if !others.is_empty() {
        let are = are(&others);
        notes.push(format!("containers keep the runtime they were made with: {are} held only when made anew"));
    }
    let is_held = |entry: &Value| member(entry, "path").and_then(|(_, path)| path.as_str()).is_some_and(is_wrapper);
    let beside = config.runtimes().into_iter().filter(|(name, entry)| name != old && !is_held(entry));
    let beside: Vec<String> = beside.map(|(name, _)| name).collect();
    if !beside.is_empty() {
        let names = beside.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        notes.push(format!("not the default runtime, and not held where a container asks for it: {names}"));
    }
    if let Some(file) = docker::snap(&host.files()) {
        notes.push(format!("Docker's snap, which reads {}, is not held", file.display()));
    }
    for home in docker::rootless(&host.files()) {
        let file = home.join(".config/docker/daemon.json");
        notes.push(format!("a user's own dockerd, which reads {}, is not held", file.display()));
    }
    notes
}

/// The snap's dockerd sees the snap's programs and none of the host's.
fn no_snap_alone(host: &Host) -> Result<(), InstallerError> {
    let Some(file) = docker::snap(&host.files()).filter(|_| host.program("dockerd").is_none()) else { return Ok(()) };
    let what = "is what Docker's snap reads, and the snap starts no program from outside of it, so no wrapper: install Docker \
                from packages, or have its containers frozen (freeze.engines)";
    Err(InstallerError::refused(file, what))
}

/// The runtime that a container gets which asks for none.
struct DefaultRuntime {
    program: PathBuf,
    entry: Value,
}

impl DefaultRuntime {
    fn of(config: &DockerConfig) -> Result<Self, String> {
        let name = config.default_runtime();
        let runtimes = config.runtimes();
        if runtimes.contains_key("runc") {
            return Err("names a runtime `runc`, which is dockerd's own: dockerd does not start with it".to_owned());
        }
        let shim = format!("has the default runtime `{name}`, a shim of its own that no wrapper fits into");
        let found = match runtimes.get(name) {
            None if STOCK.contains(&name) => Self { program: "runc".into(), entry: json!({ "path": "runc" }) },
            // A name with a dot that is defined nowhere is looked for as containerd-shim-NAME.
            None if name.contains('.') => return Err(shim),
            None => return Err(format!("has the default runtime `{name}`, of which it does not say what it is")),
            Some(entry) => {
                let text = |object: &Value, key: &str| {
                    member(object, key)
                        .and_then(|(_, value)| value.as_str())
                        .filter(|text| !text.is_empty())
                        .map(PathBuf::from)
                };
                let options = member(entry, "options").map(|(_, options)| options.clone()).unwrap_or_default();
                if !options.is_null() && !options.is_object() {
                    return Err(format!("gives the runtime `{name}` options that are no object"));
                }
                let program = match (text(entry, "path"), text(entry, "runtimeType")) {
                    (Some(path), None) => path,
                    (None, Some(kind)) if kind == Path::new(SHIM) => {
                        text(&options, "BinaryName").unwrap_or_else(|| "runc".into())
                    }
                    (None, Some(_)) => return Err(shim),
                    (Some(_), Some(_)) => {
                        return Err(format!(
                            "gives the runtime `{name}` a path and a runtimeType: dockerd takes only one"
                        ));
                    }
                    (None, None) => {
                        return Err(format!("has the default runtime `{name}`, of which it does not say what it is"));
                    }
                };
                Self { program, entry: entry.clone() }
            }
        };
        if is_wrapper(&found.program.to_string_lossy()) {
            return Err("already has clockgate's wrapper, which another program installed".to_owned());
        }
        Ok(found)
    }

    /// The same, with the wrapper in the program's place.
    fn wrapped(&self, wrapper: &Path) -> Value {
        let mut entry = self.entry.clone();
        let key = |object: &Value, name: &str| member(object, name).map_or(name, |(key, _)| key).to_owned();
        let program = Value::from(wrapper.to_string_lossy());
        let path = key(&entry, "path");
        if entry.get(&path).and_then(Value::as_str).is_some_and(|path| !path.is_empty()) {
            entry[path] = program;
        } else {
            let options = key(&entry, "options");
            let binary = key(&entry[&options], "BinaryName");
            entry[options][binary] = program;
        }
        entry
    }
}

/// Containers that would not start any more.
pub fn needed_by(host: &Host) -> Result<Option<String>, InstallerError> {
    // What cannot be read keeps no container from being counted, where they usually are.
    let config = DockerConfig::known(&host.files());
    let ours = containers(host, &config, |runtime| runtime.starts_with(WRAPPER_PREFIX));
    Ok((!ours.is_empty()).then(|| {
        format!(
            "{} made with a runtime that Docker would no longer know, and could not start. What is made anew before that gets it \
             again: `clockgate hooks remove docker --force`, {}, and make them anew then",
            are(&ours),
            host.services().in_a_sentence(ServiceAction::Restart, SERVICE)
        )
    }))
}

/// The names of the containers whose runtime is one of those, in whosever user namespace.
fn containers(host: &Host, config: &DockerConfig, is_meant: impl Fn(&str) -> bool) -> Vec<String> {
    let made = config.containers(&host.files());
    let mut names: Vec<String> =
        made.into_iter().filter(|container| is_meant(&container.runtime)).map(|container| container.name).collect();
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

//! CRI-O: the wrapper as the path of its runtimes, in a drop-in that is read last.
//!
//! A runtime in a drop-in replaces the one of its name as a whole, so everything else that was said of it is said again.

use std::path::{Path, PathBuf};

use toml_edit::{Array, DocumentMut, Item, Table, value};

use super::runtime::{EngineRuntime, is_wrapper};
use super::{Change, Host, InstallerError, Plan, toml};
use crate::container::crio::CrioConfig;
use crate::sys::service_manager::ServiceAction;

/// The names for our own drop-in: the second one is read after those that vendors put last, `99-nvidia.toml` and OpenShift's
/// `99-runtimes.conf`.
const NAMES: [&str; 2] = ["99-clockgate.conf", "zz-clockgate.conf"];
/// The built-in default: runc up to CRI-O 1.30, crun since.
const BUILT_IN: [&str; 2] = ["crun", "runc"];

/// Running containers belong to their conmon and go on.
pub fn afterwards(host: &Host) -> String {
    format!("after {}", host.services().in_a_sentence(ServiceAction::Restart, "crio"))
}

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, InstallerError> {
    let config = CrioConfig::read(&host.files(), &NAMES)?;
    if let Some(file) = &config.runtimes_on_the_command_line {
        let what = format!(
            "sets runtimes on CRI-O's command line, which replace those of its files: move them to {} first",
            config.folder.display()
        );
        return Err(InstallerError::refused(file, what));
    }
    let path = read_last(&config)?;
    let handlers = handlers(host, &config)?;
    let mut dropin = DocumentMut::new();
    let (mut changes, mut notes) = (vec![], vec![]);
    for handler in &handlers {
        match handler.held(host)? {
            CrioHold::By(wrapper, links) => {
                changes.extend(links);
                notes.extend(handler.on_other_platforms());
                handler.write(&mut dropin, &wrapper)?;
            }
            // It has the path of the default.
            CrioHold::WithTheDefault => {}
            CrioHold::Not(why) if handler.is_default => {
                let what = format!("CRI-O's default runtime `{}` {why}: no wrapper holds what it starts", handler.name);
                return Err(InstallerError::Wrong(what));
            }
            CrioHold::Not(why) => notes.push(format!("CRI-O's runtime `{}` {why}, and is not held", handler.name)),
        }
    }
    let text =
        format!("# Written by `clockgate hooks install crio`, and removed by `clockgate hooks remove crio`.\n{dropin}");
    changes.push(Change::own_file(host, &path, text, 0o644)?);
    Ok(Plan { changes, afterwards: afterwards(host), notes })
}

/// A name for our file that is read after every file which names runtimes.
fn read_last(config: &CrioConfig) -> Result<PathBuf, InstallerError> {
    let before = config.last_with_runtimes.clone().unwrap_or_default();
    let [_, last] = NAMES;
    NAMES.map(|name| config.folder.join(name)).into_iter().find(|path| *path > before).ok_or_else(|| {
        let what =
            format!("names runtimes and is read after {}: give it an earlier name", config.folder.join(last).display());
        InstallerError::refused(before, what)
    })
}

/// A runtime of CRI-O's.
struct Handler {
    name: String,
    table: Table,
    is_default: bool,
}

/// How what it starts is held.
enum CrioHold {
    By(PathBuf, Vec<Change>),
    WithTheDefault,
    Not(&'static str),
}

/// All of them, the built-in ones where the files do not name them: which of those is there depends on the version, and one that CRI-O
/// had not is of no harm.
fn handlers(host: &Host, config: &CrioConfig) -> Result<Vec<Handler>, InstallerError> {
    let default = config.default_runtime.as_ref().map(|said| said.value.as_str());
    let named = config.runtimes.iter().map(|(name, said)| (name.clone(), said.value.clone()));
    let mut all: Vec<(String, Table)> = named.collect();
    let built_in: Vec<&str> = match default {
        Some(name) => vec![name],
        None => BUILT_IN.into_iter().filter(|name| host.program(name).is_some()).collect(),
    };
    for name in built_in {
        if !all.iter().any(|(other, _)| other == name) {
            all.push((name.to_owned(), built_in_table(name)));
        }
    }
    let is_default = |name: &str| default.map_or_else(|| BUILT_IN.contains(&name), |default| default == name);
    if !all.iter().any(|(name, _)| is_default(name)) {
        let what = "CRI-O's default runtime is named nowhere, and which one it has built in depends on its version, while neither crun \
                    nor runc is in PATH: set `default_runtime` in crio.conf first";
        return Err(InstallerError::Wrong(what.to_owned()));
    }
    Ok(all.into_iter().map(|(name, table)| Handler { is_default: is_default(&name), name, table }).collect())
}

/// The built-in table of that name (pkg/config, `defaultRuntimeHandler`): one in a file replaces it, with all that it has.
fn built_in_table(name: &str) -> Table {
    let list = |texts: &[&str]| value(texts.iter().copied().collect::<Array>());
    let mut table: Table = [("runtime_root", format!("/run/{name}"))].into_iter().collect();
    table["allowed_annotations"] = list(&["io.containers.trace-syscall", "io.kubernetes.cri-o.Devices"]);
    table["monitor_env"] = list(&["PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"]);
    if name == "crun" {
        table["container_min_memory"] = value("500KiB");
    }
    table
}

impl Handler {
    fn text(&self, key: &str) -> Option<&str> {
        self.table.get(key).and_then(Item::as_str).filter(|text| !text.is_empty())
    }

    fn held(&self, host: &Host) -> Result<CrioHold, InstallerError> {
        if !self.is_default && self.table.get("inherit_default_runtime").and_then(Item::as_bool) == Some(true) {
            return Ok(CrioHold::WithTheDefault);
        }
        // conmon-rs (`pod`) runs the runtime's program as conmon does; a shim of a virtual machine runs none.
        if self.text("runtime_type").is_some_and(|kind| !matches!(kind, "oci" | "pod")) {
            return Ok(CrioHold::Not("is a shim of its own, which runs virtual machines"));
        }
        let program = self.text("runtime_path").unwrap_or(&self.name);
        if is_wrapper(program) {
            return Err(InstallerError::Wrong(format!(
                "CRI-O's `{}` already has clockgate's wrapper, which another program installed",
                self.name
            )));
        }
        let there = if program.contains('/') { host.has(Path::new(program)) } else { host.program(program).is_some() };
        if !there {
            return Ok(CrioHold::Not("names a program that is not on this host"));
        }
        let runtime = EngineRuntime { folder: format!("crio/{}", self.name), program: program.into() };
        runtime.wrap(host).map(|(wrapper, links)| CrioHold::By(wrapper, links))
    }

    /// Programs that CRI-O takes instead for images of other platforms.
    fn on_other_platforms(&self) -> Option<String> {
        let others = self.table.get("platform_runtime_paths").and_then(Item::as_table_like)?;
        let what = "has other programs for other platforms (`platform_runtime_paths`), and those are not held";
        (!others.is_empty()).then(|| format!("CRI-O's runtime `{}` {what}", self.name))
    }

    /// The same table, with the wrapper in the program's place.
    fn write(&self, dropin: &mut DocumentMut, wrapper: &Path) -> Result<(), InstallerError> {
        let copy = toml::table(dropin, &["crio", "runtime", "runtimes", &self.name]).map_err(InstallerError::Wrong)?;
        for (key, item) in &self.table {
            if let Ok(value) = item.clone().into_value() {
                copy.insert(key, Item::Value(value.decorated(" ", "")));
            }
        }
        copy.insert("runtime_path", value(wrapper.to_string_lossy().as_ref()));
        Ok(())
    }
}

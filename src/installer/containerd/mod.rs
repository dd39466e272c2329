//! containerd for Kubernetes: the wrapper as the binary of its runtimes, whose names stay as they are.
//!
//! Planned is on the configuration as containerd merges it, by each containerd that may read it. Where a folder is imported whose
//! files are merged, a file of our own does; else the files are changed in which the runtimes are named last. What comes out is merged
//! again: a plan by which a start would not reach the wrapper is none.

mod edits;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::runtime::{EngineRuntime, is_wrapper, program_of};
use super::{Change, Host, InstallerError, Plan};
use crate::container::Root;
use crate::container::containerd::{self as engine, ContainerdRelease, File, Layout, Merged, Writer};
use crate::sys::service_manager::ServiceAction;

/// The shims of runc, which run a binary; other shims have none.
const SHIMS: [&str; 2] = ["io.containerd.runc.v2", "io.containerd.runc.v1"];

/// The shims of containers that run keep the wrapper's path.
pub fn removed(host: &Host) -> String {
    format!(
        "after {} (or a restart of what brings it along); containers that run are stopped through clockgate-oci, so leave it installed \
         until they are started anew",
        host.services().in_a_sentence(ServiceAction::Restart, engine::SERVICE)
    )
}

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, InstallerError> {
    let layouts = engine::layouts(&host.files());
    let mut plan = Plan::default();
    let mut restarts = vec![];
    for layout in &layouts {
        let held = match WrappedContainerd::of(host, layout) {
            // Docker's own containerd beside that of a distribution of Kubernetes has nothing to do with pods.
            Err(Failed::Disabled(_)) if layouts.len() > 1 => continue,
            held => held?,
        };
        restarts.push(layout.restart.in_a_sentence(host.services()));
        plan.notes.extend(held.notes.iter().cloned());
        plan.changes.extend(held.wrappers.values().flat_map(|wrapped| wrapped.links.iter().cloned()));
        plan.changes.extend(held.changes()?);
    }
    plan.afterwards = format!("after {}", restarts.join(" and "));
    Ok(plan)
}

/// Why a containerd is not held.
enum Failed {
    /// It makes no pods.
    Disabled(InstallerError),
    Other(InstallerError),
}

impl From<InstallerError> for Failed {
    fn from(error: InstallerError) -> Self {
        Self::Other(error)
    }
}

impl From<Failed> for InstallerError {
    fn from(failed: Failed) -> Self {
        match failed {
            Failed::Disabled(error) | Failed::Other(error) => error,
        }
    }
}

/// A runtime's table, below that of the plugin.
type Keys = Vec<String>;

/// A containerd, and the wrappers for its runtimes.
struct WrappedContainerd<'a> {
    host: &'a Host,
    layout: &'a Layout,
    /// With the file that containerd reads first, be it there or not.
    root: Root,
    readings: &'static [ContainerdRelease],
    wrappers: BTreeMap<Keys, Wrapped>,
    notes: Vec<String>,
}

struct Wrapped {
    wrapper: String,
    /// What the wrapper takes.
    links: Vec<Change>,
    program: PathBuf,
}

impl<'a> WrappedContainerd<'a> {
    fn of(host: &'a Host, layout: &'a Layout) -> Result<Self, Failed> {
        let mut root = host.files();
        if !root.has(&layout.config) {
            if layout.writer != Writer::Admin {
                let what = format!("does not exist yet: start {} once, which writes it", layout.name);
                return Err(InstallerError::refused(&layout.config, what).into());
            }
            root = root.with(&layout.config, Some("version = 2\n".to_owned()));
        }
        if let Some(made) = layout.made() {
            root = without_ours(host, root, layout, made)?;
        }
        let files = read(&root, layout, ContainerdRelease::V2_1)?;
        // What an install left that was forgotten says nothing of how the host was before.
        let root = files
            .iter()
            .filter(|file| edits::is_own(&root, &file.path))
            .fold(root.clone(), |root, file| root.with(&file.path, None));
        let files = read(&root, layout, ContainerdRelease::V2_1)?;
        let mut held =
            Self { host, layout, root, readings: engine::readings(&files), wrappers: BTreeMap::new(), notes: vec![] };
        let merged = Merged::by_each_release(&held.root, &layout.config)
            .map(|merged| Ok(merged?))
            .collect::<Result<Vec<_>, InstallerError>>()?;
        if let Some(name) = merged.iter().find_map(Merged::disabled) {
            let what = format!(
                "disables the plugin for Kubernetes, `{name}`; Docker's containers are held by the target docker"
            );
            return Err(Failed::Disabled(InstallerError::refused(&layout.config, what)));
        }
        let version = files.first().and_then(|file| file.value.get("version")).and_then(Value::as_i64);
        if !version.is_some_and(|version| (2..=4).contains(&version)) {
            let what = "has an unknown version: expected `version = 2`, 3 or 4 (`containerd config migrate` prints \
                        it as the newest that containerd knows)";
            return Err(InstallerError::refused(&layout.config, what).into());
        }
        for merged in &merged {
            held.wrap_all(merged)?;
        }
        Ok(held)
    }

    /// A wrapper for each runtime that runs a binary; the default one has to.
    fn wrap_all(&mut self, merged: &Merged) -> Result<(), InstallerError> {
        let runtimes = merged.runtimes();
        if !runtimes.iter().any(|runtime| runtime.is_default) {
            let what = format!("has the default runtime `{}`, which is named nowhere", merged.default_name());
            return Err(self.refused(what));
        }
        for runtime in runtimes {
            let name = &runtime.name;
            if is_wrapper(&runtime.binary) {
                return Err(self
                    .refused(format!("already has clockgate's wrapper in `{name}`, which another program installed")));
            }
            let program = match self.program(&runtime) {
                Ok(program) => program,
                Err(why) if runtime.is_default => {
                    return Err(self.refused(format!(
                        "has the default runtime `{name}`, and {why}: no start through it would be held"
                    )));
                }
                Err(why) => {
                    let note = format!("starts through the runtime `{name}` are not held: {why}");
                    if !self.notes.contains(&note) {
                        self.notes.push(note);
                    }
                    continue;
                }
            };
            let folder = format!("{}/{name}", self.layout.name);
            let (wrapper, links) = EngineRuntime { folder, program: program.clone() }.wrap(self.host)?;
            let wrapped = Wrapped { wrapper: wrapper.to_string_lossy().into_owned(), links, program };
            match self.wrappers.get(&runtime.keys) {
                Some(known) if (&known.wrapper, &known.links) == (&wrapped.wrapper, &wrapped.links) => {}
                Some(known) => {
                    return Err(self.refused(format!(
                        "gives the runtime `{name}` {} by containerd 1 and {} by containerd 2: name it in one file",
                        wrapped.program.display(),
                        known.program.display()
                    )));
                }
                None => drop(self.wrappers.insert(runtime.keys, wrapped)),
            }
        }
        Ok(())
    }

    /// What a runtime runs, or why it runs nothing that we could wrap.
    fn program(&self, runtime: &engine::ContainerdRuntime) -> Result<PathBuf, String> {
        let shim = if runtime.shim.is_empty() { SHIMS[0] } else { &runtime.shim };
        if !SHIMS.contains(&shim) {
            return Err(format!("its shim {shim} runs no binary that could be wrapped"));
        }
        let shim_path = Path::new(&runtime.shim_path);
        let is_runcs = |name: &std::ffi::OsStr| name.to_string_lossy().starts_with("containerd-shim-runc-");
        if shim_path.file_name().is_some_and(|name| !is_runcs(name)) {
            return Err(format!("its shim {} is not runc's", shim_path.display()));
        }
        let program = PathBuf::from(if runtime.binary.is_empty() { "runc" } else { &runtime.binary });
        let beside = self.layout.programs.as_ref().map(|folder| folder.join(&program));
        let program = beside.filter(|path| self.host.has(path)).unwrap_or(program);
        let name = program.file_name().unwrap_or_default().to_string_lossy();
        let is_there = self.host.has(&program) || (program.is_relative() && self.host.program(&name).is_some());
        is_there
            .then_some(program.clone())
            .ok_or_else(|| format!("its binary {} is not on this host", program.display()))
    }

    fn refused(&self, what: impl Into<String>) -> InstallerError {
        InstallerError::refused(&self.layout.config, what)
    }

    /// The first way by which each start reaches its wrapper, and nothing else is another.
    fn changes(&self) -> Result<Vec<Change>, InstallerError> {
        let mut refused = None;
        for way in self.ways()? {
            match way.and_then(|way| self.verify(&way).map(|()| way)) {
                Ok(way) => return way.changes(self.host),
                Err(error) => refused = Some(error),
            }
        }
        Err(refused.unwrap_or_else(|| self.refused("leaves no place for clockgate's file")))
    }
}

/// A file that was made since the install has our wrappers in it: it is looked at as if it had not.
fn without_ours(host: &Host, root: Root, layout: &Layout, made: &Path) -> Result<Root, InstallerError> {
    let Some(mut text) = host.files().read(made).map_err(InstallerError::io("read", made))? else { return Ok(root) };
    for reading in [ContainerdRelease::V2_1, ContainerdRelease::V1_7] {
        let ours = Merged::read(&root, &layout.config, reading)?.runtimes().into_iter().map(|runtime| runtime.binary);
        for wrapper in ours.filter(|binary| is_wrapper(binary)) {
            text = text.replace(&wrapper, &program_of(host, Path::new(&wrapper)).to_string_lossy());
        }
    }
    Ok(root.with(made, Some(text)))
}

/// The files as containerd reads them.
fn read(root: &Root, layout: &Layout, reading: ContainerdRelease) -> Result<Vec<File>, InstallerError> {
    Ok(engine::files(root, &layout.config, reading)?)
}

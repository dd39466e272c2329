//! The ways by which the wrappers get into the configuration, and what comes out of each.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::Value;

use super::{Keys, SHIMS, WrappedContainerd, read};
use crate::container::Root;
use crate::container::containerd::{self as engine, CRI_1, CRI_2, ContainerdRelease, File, Merged, Writer};
use crate::installer::{Change, Host, InstallerError, toml};

/// The names for our own file: the second one is read after those of vendors.
const NAMES: [&str; 2] = ["99-clockgate.toml", "zz-clockgate.toml"];
const HEADING: &str =
    "# Written by `clockgate hooks install containerd`, and removed by `clockgate hooks remove containerd`.\n";

/// Whether clockgate made a file.
pub(super) fn is_own(root: &Root, path: &Path) -> bool {
    has_our_name(path) && root.read(path).ok().flatten().is_some_and(|text| text.starts_with(HEADING))
}

fn has_our_name(path: &Path) -> bool {
    path.file_name().is_some_and(|name| NAMES.iter().any(|ours| name == *ours))
}

/// The files as they would be.
pub(super) struct ConfigEdits {
    /// As containerd would read them.
    read: BTreeMap<PathBuf, String>,
    /// As they are to be written, where another program makes of them what containerd reads.
    written: BTreeMap<PathBuf, String>,
}

impl ConfigEdits {
    fn of(texts: BTreeMap<PathBuf, String>) -> Self {
        Self { written: texts.clone(), read: texts }
    }

    pub(super) fn changes(self, host: &Host) -> Result<Vec<Change>, InstallerError> {
        let change = |(path, text): (PathBuf, String)| {
            if has_our_name(&path) {
                return Change::own_file(host, &path, text, 0o644);
            }
            host.is_ours_to_write(&path)?;
            Ok(Change::File { before: host.read(&path)?, path, after: text, mode: 0o644 })
        };
        self.written.into_iter().map(change).collect()
    }
}

impl WrappedContainerd<'_> {
    /// All of them, the best one first.
    pub(super) fn ways(&self) -> Result<Vec<Result<ConfigEdits, InstallerError>>, InstallerError> {
        let files = read(&self.root, self.layout, ContainerdRelease::V2_1)?;
        let mut ways = vec![];
        if !self.readings.contains(&ContainerdRelease::V1_7) {
            let patterns = engine::patterns(&files);
            let folders = patterns.iter().rev().filter_map(|pattern| pattern.parent());
            let places = folders.flat_map(|folder| NAMES.map(|name| folder.join(name)));
            let version = version(files.first());
            ways.extend(places.map(|path| Ok(ConfigEdits::of([(path, self.own_text(version)?)].into()))));
        }
        match &self.layout.writer {
            Writer::Admin => ways.push(self.in_place(&|_| true).map(ConfigEdits::of)),
            Writer::Template(template) => ways.push(self.by_template(template)),
            Writer::Patches { folder, merged } => ways.push(self.by_patch(folder, merged)),
            Writer::Program { templates } => ways.push(Err(self.made_anew(templates))),
        }
        Ok(ways)
    }

    fn made_anew(&self, templates: &[PathBuf]) -> InstallerError {
        let template = templates.iter().find(|template| self.root.has(template));
        let from = template.map_or_else(|| "its own template".to_owned(), |template| template.display().to_string());
        let folder = self.layout.config.with_file_name("config-v3.toml.d");
        self.refused(format!(
            "is made anew by {} at each start, from {from}, and imports no folder whose files containerd merges: what holds is \
             `imports = [\"{}/*.toml\"]` in it, as newer ones of {0} have it, or the wrapper as `BinaryName` in the template",
            self.layout.name,
            folder.display()
        ))
    }

    /// Our own file with all wrappers.
    fn own_text(&self, version: i64) -> Result<String, InstallerError> {
        let plugin = if version > 2 { CRI_2 } else { CRI_1 };
        let merged = Merged::read(&self.root, &self.layout.config, ContainerdRelease::V2_1)?;
        let mut text = format!("{HEADING}version = {version}\n");
        for runtime in merged.runtimes() {
            let Some(wrapped) = self.wrappers.get(&runtime.keys) else { continue };
            let keys: Vec<&str> =
                ["plugins", plugin].into_iter().chain(runtime.keys.iter().map(String::as_str)).collect();
            // The file that names it as well may be removed one day, and a runtime without a shim would be left.
            let shim = if runtime.shim.is_empty() { SHIMS[0] } else { &runtime.shim };
            text =
                toml::put(&text, &[&keys[..], &["runtime_type"]].concat(), shim).map_err(|what| self.refused(what))?;
            text = wrap(&text, plugin, &runtime, &wrapped.wrapper).map_err(|what| self.refused(what))?;
        }
        Ok(text)
    }

    /// The wrappers in those files in which the runtimes are named last, for each reading.
    fn in_place(&self, is_writable: &dyn Fn(&Path) -> bool) -> Result<BTreeMap<PathBuf, String>, InstallerError> {
        let mut root = self.root.clone();
        let mut texts = BTreeMap::new();
        for reading in self.readings {
            for (keys, wrapped) in &self.wrappers {
                let files = read(&root, self.layout, *reading)?;
                let Some(runtime) = runtime(&files, *reading, keys) else { continue };
                if runtime.binary == wrapped.wrapper {
                    continue;
                }
                let mut tried = places(&files, *reading, keys)
                    .into_iter()
                    .filter(|(path, _)| is_writable(path))
                    .filter_map(|(path, plugin)| {
                        let text = root.read(&path).ok().flatten()?;
                        let text = wrap(&text, plugin, &runtime, &wrapped.wrapper).ok()?;
                        let root = root.clone().with(&path, Some(text.clone()));
                        let files = read(&root, self.layout, *reading).ok()?;
                        let now = self::runtime(&files, *reading, keys)?;
                        (now.binary == wrapped.wrapper).then_some((path, text, root))
                    });
                let Some((path, text, with_it)) = tried.next() else {
                    let last = files.last().map_or(self.layout.config.as_path(), |file| &file.path);
                    let what = format!("overrides clockgate's `BinaryName` of the runtime `{}`", runtime.name);
                    return Err(InstallerError::refused(last, what));
                };
                drop(tried);
                root = with_it;
                texts.insert(path, text);
            }
        }
        Ok(texts)
    }

    /// As `in_place`, in what the file is made from.
    fn by_template(&self, template: &Path) -> Result<ConfigEdits, InstallerError> {
        let config = &self.layout.config;
        let read_as = self.in_place(&|path| path == config)?;
        let mut text = self.host.read(template)?.unwrap_or_default();
        for reading in self.readings {
            let files = read(&self.root, self.layout, *reading)?;
            for (keys, wrapped) in &self.wrappers {
                let Some(runtime) = runtime(&files, *reading, keys) else { continue };
                let Some((_, plugin)) = places(&files, *reading, keys).into_iter().find(|(path, _)| path == config)
                else {
                    continue;
                };
                text = wrap(&text, plugin, &runtime, &wrapped.wrapper)
                    .map_err(|what| InstallerError::refused(template, what))?;
            }
        }
        Ok(ConfigEdits { read: read_as, written: [(template.to_owned(), text)].into() })
    }

    /// Our own file, which becomes part of `merged`.
    fn by_patch(&self, folder: &Path, merged: &Path) -> Result<ConfigEdits, InstallerError> {
        let read_as = self.in_place(&|path| path == merged)?;
        let ours = folder.join(NAMES[1]);
        if let Some(later) = self.root.glob(&folder.join("*.toml")).into_iter().find(|path| *path > ours) {
            return Err(InstallerError::refused(
                later,
                format!("is read after {}: give it an earlier name", ours.display()),
            ));
        }
        let files = read(&self.root, self.layout, ContainerdRelease::V2_1)?;
        let version = version(files.iter().find(|file| file.path == merged));
        Ok(ConfigEdits { read: read_as, written: [(ours, self.own_text(version)?)].into() })
    }

    /// That by each reading every start reaches its wrapper, and all else is as it was.
    pub(super) fn verify(&self, way: &ConfigEdits) -> Result<(), InstallerError> {
        let root = way.read.iter().fold(self.root.clone(), |root, (path, text)| root.with(path, Some(text.clone())));
        for reading in self.readings {
            let before = Merged::read(&self.root, &self.layout.config, *reading)?;
            let files = read(&root, self.layout, *reading)?;
            let after = Merged::of(&files, *reading);
            for old in before.runtimes() {
                let new = after.runtimes().into_iter().find(|new| new.keys == old.keys);
                let wrapper = self.wrappers.get(&old.keys).map(|wrapped| &wrapped.wrapper);
                if !new.is_some_and(|new| {
                    new.binary == *wrapper.unwrap_or(&old.binary) && new.is_default == old.is_default
                }) {
                    let last = files.iter().rev().find(|file| names(file, &old.keys));
                    let path = last.map_or(&self.layout.config, |file| &file.path);
                    return Err(InstallerError::refused(path, format!("overrides the runtime `{}`", old.name)));
                }
            }
            if self.rest(&before) != self.rest(&after) {
                let what =
                    "has settings for Kubernetes that clockgate's file would override in some versions of containerd";
                return Err(self.refused(what));
            }
        }
        Ok(())
    }

    /// The plugin's settings beside the binaries and shims of the runtimes that we wrap.
    fn rest(&self, merged: &Merged) -> Value {
        let mut section = merged.section().clone();
        for keys in self.wrappers.keys() {
            let table = keys.iter().try_fold(&mut section, |value, key| value.get_mut(key));
            let Some(table) = table.and_then(Value::as_object_mut) else { continue };
            table.remove("runtime_type");
            if let Some(options) = table.get_mut("options").and_then(Value::as_object_mut) {
                options.remove("BinaryName");
            }
        }
        without_empty(section)
    }
}

/// The text with the wrapper as the runtime's binary; one that no file names gets its shim with it, which the built-in one would lose.
fn wrap(text: &str, plugin: &str, runtime: &engine::ContainerdRuntime, wrapper: &str) -> Result<String, String> {
    let keys: Vec<&str> = ["plugins", plugin].into_iter().chain(runtime.keys.iter().map(String::as_str)).collect();
    let mut text = text.to_owned();
    if runtime.shim.is_empty() {
        text = toml::put(&text, &[&keys[..], &["runtime_type"]].concat(), SHIMS[0])?;
    }
    toml::put(&text, &[&keys[..], &["options", "BinaryName"]].concat(), wrapper)
}

fn runtime(files: &[File], reading: ContainerdRelease, keys: &Keys) -> Option<engine::ContainerdRuntime> {
    Merged::of(files, reading).runtimes().into_iter().find(|runtime| runtime.keys == *keys)
}

/// Where a runtime's binary may be set, the best place first: where it is named last, where the plugin is, and the first file.
fn places(files: &[File], reading: ContainerdRelease, keys: &Keys) -> Vec<(PathBuf, &'static str)> {
    let plugins: &[&'static str] = match reading {
        ContainerdRelease::V1_6 | ContainerdRelease::V1_7 => &[CRI_1],
        ContainerdRelease::V2_0 | ContainerdRelease::V2_1 => &[CRI_2, CRI_1],
    };
    let all = files.iter().rev().flat_map(|file| plugins.iter().map(move |plugin| (file, *plugin)));
    let naming = all.clone().filter(|(file, plugin)| below(file, plugin, keys).is_some());
    let having = all.filter(|(file, plugin)| below(file, plugin, &[]).is_some());
    let first = files.first().map(|file| (file, if version(Some(file)) > 2 { CRI_2 } else { CRI_1 }));
    naming.chain(having).chain(first).map(|(file, plugin)| (file.path.clone(), plugin)).collect()
}

fn names(file: &File, keys: &[String]) -> bool {
    [CRI_1, CRI_2].iter().any(|plugin| below(file, plugin, keys).is_some())
}

fn below<'a>(file: &'a File, plugin: &str, keys: &[String]) -> Option<&'a Value> {
    let section = file.value.get("plugins")?.get(plugin)?;
    keys.iter().try_fold(section, |value, key| value.get(key))
}

fn version(file: Option<&File>) -> i64 {
    file.and_then(|file| file.value.get("version")).and_then(Value::as_i64).unwrap_or_default()
}

fn without_empty(value: Value) -> Value {
    let Value::Object(table) = value else { return value };
    let kept = table.into_iter().map(|(key, value)| (key, without_empty(value)));
    let kept: serde_json::Map<_, _> = kept.filter(|(_, value)| !value.is_null()).collect();
    if kept.is_empty() { Value::Null } else { Value::Object(kept) }
}

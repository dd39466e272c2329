//! The configuration as containerd merges it: `imports` first to last, and what a later file does to an earlier one
//! (`LoadConfig` in containerd's services/server/config and, since 2.0, cmd/containerd/server/config).

use std::path::{Component, Path, PathBuf};

use serde_json::{Map, Value};
use toml_edit::{Document, Item};

use super::{CRI_1, CRI_2};
use crate::container::Root;
use crate::container::files::{self, FileError};

/// Which containerd reads the configuration.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ContainerdRelease {
    /// Up to 1.6: a plugin's section is that of the last file that has one, and a relative pattern is looked for in the working
    /// directory, which is `/` under systemd.
    V1_6,
    /// 1.7: the same, and a relative pattern is looked for beside the file that imports it.
    V1_7,
    /// 2.0: sections are merged, and then those of containerd 1 taken over.
    V2_0,
    /// Since 2.1: each file's sections of containerd 1 are taken over, and then merged.
    V2_1,
}

/// A file of the configuration.
#[derive(Clone, Debug, PartialEq)]
pub struct File {
    /// Where.
    pub path: PathBuf,
    /// What it says.
    pub value: Value,
}

/// The files in the order in which containerd reads them.
///
/// # Errors
/// [`FileError`], where containerd would not start with them either.
pub fn files(root: &Root, config: &Path, reading: ContainerdRelease) -> Result<Vec<File>, FileError> {
    let mut read: Vec<File> = vec![];
    let mut ahead = std::collections::VecDeque::from([(config.to_owned(), None)]);
    while let Some((path, importer)) = ahead.pop_front() {
        if read.iter().any(|file| file.path == path) {
            continue;
        }
        let Some(text) = files::read(root, &path)? else {
            let Some(importer) = importer else { continue };
            return Err(FileError::refused(importer, format!("imports {}, which does not exist", path.display())));
        };
        let value = parse(&text).map_err(|what| FileError::refused(&path, what))?;
        for import in value.get("imports").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            let found = resolve(root, &path, import, reading);
            ahead.extend(found.into_iter().map(|found| (found, Some(path.clone()))));
        }
        read.push(File { path, value });
    }
    Ok(read)
}

/// `resolveImports`.
fn resolve(root: &Root, importer: &Path, import: &str, reading: ContainerdRelease) -> Vec<PathBuf> {
    let is_pattern = import.contains('*');
    let beside = importer.parent().unwrap_or(Path::new("/"));
    let folder = match reading {
        ContainerdRelease::V1_6 if is_pattern => Path::new("/"),
        ContainerdRelease::V1_6 | ContainerdRelease::V1_7 | ContainerdRelease::V2_0 | ContainerdRelease::V2_1 => beside,
    };
    let path = clean(&folder.join(import));
    if is_pattern { root.glob(&path) } else { vec![path] }
}

/// The patterns by which files are imported, as containerd 2 resolves them, in their order; those in folders that are patterns
/// themselves are left out.
#[must_use]
pub fn patterns(files: &[File]) -> Vec<PathBuf> {
    let imports = |file: &File| -> Vec<PathBuf> {
        let list = file.value.get("imports").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str);
        let folder = file.path.parent().unwrap_or(Path::new("/"));
        list.map(|import| clean(&folder.join(import))).collect()
    };
    let is_folder = |path: &PathBuf| {
        let has_star = |path: Option<&std::ffi::OsStr>| path.is_some_and(|path| path.to_string_lossy().contains('*'));
        has_star(path.file_name()) && !has_star(path.parent().map(Path::as_os_str))
    };
    files.iter().flat_map(imports).filter(is_folder).collect()
}

fn clean(path: &Path) -> PathBuf {
    path.components().fold(PathBuf::new(), |mut clean, part| {
        match part {
            Component::ParentDir => drop(clean.pop()),
            Component::CurDir => {}
            Component::Prefix(_) | Component::RootDir | Component::Normal(_) => clean.push(part),
        }
        clean
    })
}

/// By which containerd these files may be read: version 3 came with 2.0, and so did the plugin's newer name.
#[must_use]
pub fn readings(files: &[File]) -> &'static [ContainerdRelease] {
    let version = files.first().and_then(|file| file.value.get("version")).and_then(Value::as_i64);
    let is_of_2 =
        |file: &File| plugins(&file.value).is_some_and(|plugins| plugins.keys().any(|name| name.contains(".cri.v1.")));
    if version > Some(2) || files.iter().any(is_of_2) {
        &[ContainerdRelease::V2_1, ContainerdRelease::V2_0]
    } else {
        &[ContainerdRelease::V2_1, ContainerdRelease::V2_0, ContainerdRelease::V1_7, ContainerdRelease::V1_6]
    }
}

fn plugins(value: &Value) -> Option<&Map<String, Value>> {
    value.get("plugins")?.as_object()
}

/// A way to start containers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerdRuntime {
    /// As pods name it.
    pub name: String,
    /// Its table, below the plugin's.
    pub keys: Vec<String>,
    /// `runtime_type`; empty where none is said.
    pub shim: String,
    /// `runtime_path`: the shim's program, if it is not found by its name.
    pub shim_path: String,
    /// `BinaryName`: what the shim runs; empty for runc.
    pub binary: String,
    /// Whether it is what a pod gets that names none.
    pub is_default: bool,
}

/// What containerd goes by.
#[derive(Clone, Debug, PartialEq)]
pub struct Merged {
    value: Value,
    plugin: &'static str,
}

impl Merged {
    /// The files, merged as `reading` does.
    #[must_use]
    pub fn of(files: &[File], reading: ContainerdRelease) -> Self {
        let mut merged = Value::Object(Map::new());
        for file in files {
            let mut value = file.value.clone();
            match reading {
                ContainerdRelease::V1_6 | ContainerdRelease::V1_7 => {
                    for name in plugins(&value).into_iter().flat_map(Map::keys) {
                        merged["plugins"][name] = Value::Null;
                    }
                }
                ContainerdRelease::V2_0 => {}
                ContainerdRelease::V2_1 if version_of(&value) < 3 => migrate(&mut value),
                ContainerdRelease::V2_1 => {}
            }
            merge(&mut merged, value);
        }
        match reading {
            ContainerdRelease::V1_6 | ContainerdRelease::V1_7 => return Self { value: merged, plugin: CRI_1 },
            ContainerdRelease::V2_0 if version_of(&merged) < 3 => migrate(&mut merged),
            ContainerdRelease::V2_0 | ContainerdRelease::V2_1 => {}
        }
        Self { value: merged, plugin: CRI_2 }
    }

    /// Reads `config` and what it imports as `reading` does.
    ///
    /// # Errors
    /// As [`files()`].
    pub fn read(root: &Root, config: &Path, reading: ContainerdRelease) -> Result<Self, FileError> {
        Ok(Self::of(&files(root, config, reading)?, reading))
    }

    /// As each containerd that may read `config` has it.
    ///
    /// # Errors
    /// As [`files()`], for each of them.
    pub fn by_each_release(root: &Root, config: &Path) -> impl Iterator<Item = Result<Self, FileError>> {
        let first = files(root, config, ContainerdRelease::V2_1).unwrap_or_default();
        readings(&first).iter().map(move |reading| Self::read(root, config, *reading))
    }

    /// The entry of `disabled_plugins` without which there are no pods.
    #[must_use]
    pub fn disabled(&self) -> Option<&str> {
        let disabled = self.value.get("disabled_plugins").and_then(Value::as_array).into_iter().flatten();
        let needed = ["cri", CRI_1, CRI_2, "io.containerd.cri.v1.images"];
        disabled.filter_map(Value::as_str).find(|name| needed.contains(name))
    }

    /// The plugin's section.
    #[must_use]
    pub fn section(&self) -> &Value {
        self.value.get("plugins").and_then(|plugins| plugins.get(self.plugin)).unwrap_or(&Value::Null)
    }

    /// The folder of `state`, where it is said.
    #[must_use]
    pub fn state(&self) -> Option<PathBuf> {
        self.value.get("state").and_then(Value::as_str).filter(|folder| !folder.is_empty()).map(PathBuf::from)
    }

    /// The name of the runtime that pods get which name none.
    #[must_use]
    pub fn default_name(&self) -> String {
        let containerd = self.section().get("containerd");
        let is_table =
            containerd.is_some_and(|containerd| !text(containerd, &["default_runtime", "runtime_type"]).is_empty());
        if is_table && self.plugin == CRI_1 {
            return "default".to_owned();
        }
        let name = containerd.map(|containerd| text(containerd, &["default_runtime_name"])).unwrap_or_default();
        if name.is_empty() { "runc".to_owned() } else { name }
    }

    /// All runtimes, the built-in `runc` with them.
    #[must_use]
    pub fn runtimes(&self) -> Vec<ContainerdRuntime> {
        let default = self.default_name();
        let containerd = self.section().get("containerd");
        let runtime = |name: &str, keys: &[&str], table: &Value| ContainerdRuntime {
            name: name.to_owned(),
            keys: keys.iter().map(|key| (*key).to_owned()).collect(),
            shim: text(table, &["runtime_type"]),
            shim_path: text(table, &["runtime_path"]),
            binary: text(table, &["options", "BinaryName"]),
            is_default: name == default,
        };
        let named = containerd.and_then(|containerd| containerd.get("runtimes")).and_then(Value::as_object);
        let mut found: Vec<ContainerdRuntime> = named
            .into_iter()
            .flatten()
            .map(|(name, table)| runtime(name, &["containerd", "runtimes", name], table))
            .collect();
        if !found.iter().any(|runtime| runtime.name == "runc") {
            found.push(runtime("runc", &["containerd", "runtimes", "runc"], &Value::Null));
        }
        // containerd 2 knows these tables no more.
        if self.plugin == CRI_1 {
            for (name, key) in [("default", "default_runtime"), ("untrusted", "untrusted_workload_runtime")] {
                let table = containerd.and_then(|containerd| containerd.get(key)).unwrap_or(&Value::Null);
                if !text(table, &["runtime_type"]).is_empty() {
                    found.retain(|runtime| runtime.name != name);
                    found.push(runtime(name, &["containerd", key], table));
                }
            }
        }
        found
    }
}

fn version_of(value: &Value) -> i64 {
    value.get("version").and_then(Value::as_i64).unwrap_or_default()
}

fn text(value: &Value, keys: &[&str]) -> String {
    let found = keys.iter().try_fold(value, |value, key| value.get(key));
    found.and_then(Value::as_str).unwrap_or_default().to_owned()
}

/// mergo's `Merge` with `WithOverride`: what is empty replaces nothing.
fn merge(to: &mut Value, from: Value) {
    match (to, from) {
        (Value::Object(to), Value::Object(from)) => {
            for (key, value) in from {
                merge(to.entry(key).or_insert(Value::Null), value);
            }
        }
        (Value::Array(to), Value::Array(from)) => to.extend(from),
        (_, Value::Null) => {}
        (to, Value::String(text)) if text.is_empty() && !to.is_null() => {}
        (to, from) => *to = from,
    }
}

/// The section of containerd 1 is merged where that of containerd 2 does not have its keys (`migrateConfig` in
/// plugins/cri/runtime): a table of runtimes is one thing.
fn migrate(value: &mut Value) {
    let Some(plugins) = value.get_mut("plugins").and_then(Value::as_object_mut) else { return };
    let Some(Value::Object(old)) = plugins.get(CRI_1).cloned() else { return };
    let new = plugins.entry(CRI_2).or_insert_with(|| Value::Object(Map::new()));
    let Some(new) = new.as_object_mut() else { return };
    for (key, value) in old {
        if key != "containerd" {
            new.entry(key).or_insert(value);
            continue;
        }
        let containerd = new.entry(key).or_insert_with(|| Value::Object(Map::new()));
        if let (Some(to), Value::Object(from)) = (containerd.as_object_mut(), value) {
            for (key, value) in from {
                to.entry(key).or_insert(value);
            }
        }
    }
    plugins.remove(CRI_1);
}

/// A TOML text as a value.
fn parse(text: &str) -> Result<Value, String> {
    let document = Document::parse(text.strip_prefix('\u{feff}').unwrap_or(text)).map_err(|error| {
        let said = error.to_string();
        format!("is not valid TOML: {}", said.split_whitespace().collect::<Vec<_>>().join(" "))
    })?;
    Ok(value_of(document.as_item()))
}

fn value_of(item: &Item) -> Value {
    if let Some(table) = item.as_table_like() {
        return Value::Object(table.iter().map(|(key, item)| (key.to_owned(), value_of(item))).collect());
    }
    if let Some(tables) = item.as_array_of_tables() {
        let table = |table: &toml_edit::Table| value_of(&Item::Table(table.clone()));
        return Value::Array(tables.iter().map(table).collect());
    }
    item.as_value().map(value_of_value).unwrap_or_default()
}

fn value_of_value(value: &toml_edit::Value) -> Value {
    match value {
        toml_edit::Value::String(text) => Value::String(text.value().clone()),
        toml_edit::Value::Integer(number) => (*number.value()).into(),
        toml_edit::Value::Float(number) => (*number.value()).into(),
        toml_edit::Value::Boolean(yes) => (*yes.value()).into(),
        toml_edit::Value::Datetime(time) => Value::String(time.value().to_string()),
        toml_edit::Value::Array(array) => Value::Array(array.iter().map(value_of_value).collect()),
        toml_edit::Value::InlineTable(table) => {
            Value::Object(table.iter().map(|(key, value)| (key.to_owned(), value_of_value(value))).collect())
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAIN: &str = r#"
version = 2
imports = ["d/*.toml", "later.toml"]
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = "a"
runtimes.a = { runtime_type = "io.containerd.runc.v2", options = { BinaryName = "/a" } }
"#;
    /// A folder's, with containerd 2's name.
    const NEWER: &str =
        r#"plugins."io.containerd.cri.v1.runtime".containerd.runtimes.b.runtime_type = "io.containerd.runc.v2""#;
    /// What is empty replaces nothing where sections are merged, and all where they are replaced.
    const LATER: &str = r#"
[plugins."io.containerd.grpc.v1.cri".containerd]
default_runtime_name = ""
runtimes.c = { runtime_type = "io.containerd.kata.v2" }
"#;

    fn merged(later: &str, reading: ContainerdRelease) -> Vec<String> {
        let files = [("/e/config.toml", MAIN), ("/e/d/b.toml", NEWER), ("/e/later.toml", later)];
        let root = Root::of_texts(&files);
        let runtimes = Merged::read(&root, Path::new("/e/config.toml"), reading).unwrap().runtimes();
        runtimes
            .iter()
            .map(|runtime| format!("{}{}{}", if runtime.is_default { "*" } else { "" }, runtime.name, runtime.binary))
            .collect()
    }

    #[test]
    fn each_version_merges_in_its_own_way() {
        assert_eq!(merged(LATER, ContainerdRelease::V2_1), ["*a/a", "b", "c", "runc"]);
        // Merged first, the older table of runtimes counts for nothing beside the newer one.
        assert_eq!(merged(LATER, ContainerdRelease::V2_0), ["b", "runc"]);
        assert_eq!(merged(LATER, ContainerdRelease::V1_7), ["c", "*runc"]);
        assert_eq!(merged("", ContainerdRelease::V1_6), ["*a/a", "runc"]);
    }

    #[test]
    fn a_relative_pattern_was_looked_for_elsewhere_up_to_1_6() {
        let root = Root::new(Path::new("/nowhere")).with(Path::new("/e/d/b.toml"), Some(String::new()));
        let resolve = |reading| resolve(&root, Path::new("/e/config.toml"), "./d/*.toml", reading);
        assert_eq!(resolve(ContainerdRelease::V1_7), [Path::new("/e/d/b.toml")]);
        assert!(resolve(ContainerdRelease::V1_6).is_empty());
        assert_eq!(
            patterns(&[File { path: "/e/c".into(), value: serde_json::json!({"imports": ["../x/*.toml", "y"]}) }]),
            [Path::new("/x/*.toml")]
        );
    }
}

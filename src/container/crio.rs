//! CRI-O: crio.conf, every file of its folder of drop-ins and the folders within, and its command line, which counts most.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table};

use super::files::{self, FileError, FromFile};
use super::podman::{HOOKS, Storage};
use super::unit::CommandLine;
use super::{Root, toml};

const MAIN: &str = "/etc/crio/crio.conf";
const FOLDER: &str = "/etc/crio/crio.conf.d";

/// What CRI-O reads, as it merges it.
#[derive(Clone, Debug)]
pub struct CrioConfig {
    /// The folder of its drop-ins.
    pub folder: PathBuf,
    /// The last of its drop-ins but for ours that names runtimes.
    pub last_with_runtimes: Option<PathBuf>,
    /// The name of the runtime that a pod gets which asks for none, where one is configured.
    pub default_runtime: Option<FromFile<String>>,
    /// Its runtimes by name: one in a later file replaces the earlier one as a whole.
    pub runtimes: Vec<(String, FromFile<Table>)>,
    /// Where hooks are looked for.
    pub hooks: FromFile<Vec<String>>,
    /// Where containers lie.
    pub storage: Storage,
    /// What sets runtimes on its command line, which replace those of every file.
    pub runtimes_on_the_command_line: Option<PathBuf>,
}

impl CrioConfig {
    /// Reads all of it but for drop-ins of these names, which are ours.
    ///
    /// # Errors
    /// [`FileError`] where a file cannot be read or is not valid TOML: CRI-O would not start.
    pub fn read(root: &Root, ours: &[&str]) -> Result<Self, FileError> {
        let line = CommandLine::of_unit(root, &["crio.service", "cri-o.service"]).unwrap_or_default();
        // An option counts more than its variable.
        let told = |names: &[&str], variable: &str| line.value(names).or_else(|| line.variables.get(variable).cloned());
        let path = |said: Option<FromFile<String>>, usual: PathBuf| said.map_or(usual, |said| said.value.into());
        let main = path(told(&["--config", "-c"], "CONTAINER_CONFIG"), MAIN.into());
        let folder = path(told(&["--config-dir", "-d"], "CONTAINER_CONFIG_DIR"), FOLDER.into());
        let mut config = Self {
            last_with_runtimes: None,
            default_runtime: None,
            runtimes: vec![],
            hooks: FromFile { value: vec![HOOKS.to_owned()], file: main.clone() },
            storage: Storage::read(root),
            runtimes_on_the_command_line: told(&["--runtimes"], "CONTAINER_RUNTIMES").map(|said| said.file),
            folder: folder.clone(),
        };
        if let Some(document) = toml::read(root, &main)? {
            config.take(&document, &main)?;
        }
        for file in walk(root, &folder).into_iter().filter(|file| !ours.iter().any(|name| *file == folder.join(name))) {
            let Some(document) = toml::read(root, &file)? else { continue };
            if config.take(&document, &file)? {
                config.last_with_runtimes = Some(file);
            }
        }
        if let Some(said) = told(&["--default-runtime"], "CONTAINER_DEFAULT_RUNTIME") {
            config.default_runtime = Some(said);
        }
        if let Some(said) = told(&["--hooks-dir"], "CONTAINER_HOOKS_DIR") {
            let value = said.value.split(',').map(str::to_owned).collect();
            config.hooks = FromFile { value, file: said.file };
        }
        config.storage.graph = path(told(&["--root", "-r"], "CONTAINER_ROOT"), config.storage.graph);
        config.storage.run = path(told(&["--runroot"], "CONTAINER_RUNROOT"), config.storage.run);
        Ok(config)
    }

    /// Takes the settings of a file, and returns whether it names runtimes.
    fn take(&mut self, document: &DocumentMut, file: &Path) -> Result<bool, FileError> {
        let said = |value: String| FromFile { value, file: file.to_owned() };
        if let Some(item) = toml::get(document, &["crio", "runtime", "default_runtime"]).and_then(Item::as_str) {
            self.default_runtime = Some(said(item.to_owned())).filter(|said| !said.value.is_empty());
        }
        if let Some(value) = toml::texts(document, &["crio", "runtime", "hooks_dir"]) {
            self.hooks = FromFile { value, file: file.to_owned() };
        }
        if let Some(path) = toml::path(document, &["crio", "root"]) {
            self.storage.graph = path;
        }
        if let Some(path) = toml::path(document, &["crio", "runroot"]) {
            self.storage.run = path;
        }
        let Some(named) = toml::get(document, &["crio", "runtime", "runtimes"]).and_then(Item::as_table_like) else {
            return Ok(false);
        };
        for (name, item) in named.iter() {
            let table = item.clone().into_table();
            let value =
                table.map_err(|_| FileError::refused(file, format!("has a runtime `{name}` that is not a table")))?;
            self.runtimes.retain(|(other, _)| other != name);
            self.runtimes.push((name.to_owned(), FromFile { value, file: file.to_owned() }));
        }
        Ok(true)
    }
}

/// Every file of a folder and of those within, in the order of the names (filepath.Walk); links to folders are no folders.
fn walk(root: &Root, folder: &Path) -> Vec<PathBuf> {
    let mut found = vec![];
    for path in files::list(root, folder) {
        let is_folder = root
            .at(folder)
            .join(path.file_name().unwrap_or_default())
            .symlink_metadata()
            .is_ok_and(|meta| meta.is_dir());
        if is_folder {
            found.extend(walk(root, &path));
        } else {
            found.push(path);
        }
    }
    found
}

/// The storages in which CRI-O keeps what it knows of its containers, as we reach them.
#[must_use]
pub fn storages(root: &Root) -> Vec<PathBuf> {
    let storage = CrioConfig::read(root, &[]).map_or_else(|_| Storage::read(root), |config| config.storage);
    [storage.run, storage.graph].map(|folder| root.at(&folder)).into_iter().filter(|folder| folder.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::files::host;

    #[test]
    fn the_last_file_counts_wherever_it_lies_and_the_command_line_counts_more() {
        let files = [
            (
                "etc/crio/crio.conf",
                "[crio]\nrunroot = \"/a\"\n[crio.runtime]\ndefault_runtime = \"runc\"\nhooks_dir = []\n\
                 [crio.runtime.runtimes.runc]\nruntime_path = \"/first\"\nruntime_root = \"/run/runc\"\n",
            ),
            ("etc/crio/crio.conf.d/10-x/99-a.conf", "[crio.runtime.runtimes.runc]\nruntime_path = \"/second\"\n"),
            (
                "etc/crio/crio.conf.d/99-nvidia.toml",
                "[crio]\nrunroot = \"/b\"\n[crio.runtime]\ndefault_runtime = \"nvidia\"\n",
            ),
            ("etc/crio/crio.conf.d/99-ours.conf", "[crio.runtime.runtimes.ours]\n"),
            ("usr/lib/systemd/system/crio.service", "[Service]\nExecStart=/usr/bin/crio $MORE --root /g\n"),
        ];
        let (_folder, root) = host(&files);
        let config = CrioConfig::read(&root, &["99-ours.conf"]).unwrap();
        assert_eq!(config.default_runtime.unwrap().value, "nvidia");
        assert_eq!(config.storage, Storage { graph: "/g".into(), run: "/b".into() });
        assert!(config.hooks.value.is_empty());
        let [(name, said)] = &config.runtimes[..] else { panic!("{:?}", config.runtimes) };
        assert_eq!((name.as_str(), said.value.len()), ("runc", 1));
        assert_eq!(config.last_with_runtimes.as_deref(), Some(Path::new("/etc/crio/crio.conf.d/10-x/99-a.conf")));

        let unit = "[Service]\nEnvironment=\"MORE=--hooks-dir=/h --runtimes x:/x:/y\" CONTAINER_DEFAULT_RUNTIME=crun CONTAINER_HOOKS_DIR=/no\nExecStart=crio $MORE -d /d\n";
        let files =
            [files[0], ("d/1", "[crio.runtime]\ndefault_runtime = \"\"\n"), ("etc/systemd/system/crio.service", unit)];
        let (_folder, root) = host(&files);
        let config = CrioConfig::read(&root, &[]).unwrap();
        assert_eq!(
            (config.default_runtime.unwrap().value.as_str(), config.hooks.value),
            ("crun", vec!["/h".to_owned()])
        );
        assert!(config.runtimes_on_the_command_line.is_some());
    }
}

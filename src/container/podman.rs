//! podman: containers.conf and storage.conf, each a vendor's, the administrator's and drop-ins, which the containers' libraries merge.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Value};

use super::files::{self, FileError, FromFile};
use super::{Root, toml};

/// Read first, in this order (containers.conf(5)); podman 6 passes the vendor's over where there is the other.
const MAIN: [&str; 2] = ["/usr/share/containers/containers.conf", "/etc/containers/containers.conf"];
/// Read next, by name wherever they lie. Up to podman 5 only the last folder is known.
const FOLDERS: [&str; 4] = [
    "/usr/share/containers/containers.conf.d",
    "/usr/share/containers/containers.rootful.conf.d",
    "/etc/containers/containers.rootful.conf.d",
    "/etc/containers/containers.conf.d",
];
/// The one that is there counts, the first before the second (containers-storage.conf(5)).
const STORAGE: [&str; 2] = ["/etc/containers/storage.conf", "/usr/share/containers/storage.conf"];
const GRAPH_ROOT: &str = "/var/lib/containers/storage";
const RUN_ROOT: &str = "/run/containers/storage";
/// The folder for hooks that podman and CRI-O read by default.
pub const HOOKS: &str = "/usr/share/containers/oci/hooks.d";

/// What podman reads as root, as it merges it.
#[derive(Clone, Debug, Default)]
pub struct PodmanConfig {
    /// The name of the runtime that a container gets which asks for none, where a file names one.
    pub runtime: Option<FromFile<String>>,
    /// Programs by the name of the runtime; the last file that names one has it.
    pub runtimes: Vec<(String, FromFile<Vec<String>>)>,
    /// Where hooks are looked for, if a file names folders.
    pub hooks: Option<FromFile<Vec<String>>>,
}

impl PodmanConfig {
    /// Reads all of it but for these drop-ins, which are ours.
    ///
    /// # Errors
    /// [`FileError`] where a file cannot be read or is not valid TOML: podman would not start.
    pub fn read(root: &Root, ours: &[PathBuf]) -> Result<Self, FileError> {
        let mut config = Self::default();
        let drop_ins = drop_ins(root).into_iter().filter(|file| !ours.contains(file));
        for file in MAIN.map(PathBuf::from).into_iter().chain(drop_ins) {
            if let Some(document) = toml::read(root, &file)? {
                config.take(&document, &file)?;
            }
        }
        Ok(config)
    }

    fn take(&mut self, document: &DocumentMut, file: &Path) -> Result<(), FileError> {
        if let Some(value) = toml::text(document, &["engine", "runtime"]) {
            self.runtime = Some(FromFile { value, file: file.to_owned() });
        }
        if let Some(list) = toml::get(document, &["engine", "hooks_dir"]).and_then(Item::as_array) {
            let is_appended = list.iter().filter_map(Value::as_inline_table).any(|table| {
                // containers.conf(5), "append=true" as the last item of a list.
                table.get("append").and_then(Value::as_bool) == Some(true)
            });
            let before = self.hooks.take().filter(|_| is_appended).map(|said| said.value);
            let mut value = if is_appended { before.unwrap_or_else(|| vec![HOOKS.to_owned()]) } else { vec![] };
            value.extend(list.iter().filter_map(Value::as_str).map(str::to_owned));
            self.hooks = Some(FromFile { value, file: file.to_owned() });
        }
        let named = toml::get(document, &["engine", "runtimes"]).and_then(Item::as_table_like);
        for (name, item) in named.iter().flat_map(|table| table.iter()) {
            let list =
                item.as_array().ok_or_else(|| FileError::refused(file, format!("must name `{name}` by a list")))?;
            let value = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
            self.runtimes.retain(|(other, _)| other != name);
            self.runtimes.push((name.to_owned(), FromFile { value, file: file.to_owned() }));
        }
        Ok(())
    }
}

/// The drop-ins, in the order in which they are read.
fn drop_ins(root: &Root) -> Vec<PathBuf> {
    let mut found: Vec<_> = FOLDERS.iter().flat_map(|folder| files::list(root, Path::new(folder))).collect();
    found.retain(|file| file.extension().is_some_and(|ending| ending == "conf") && !root.at(file).is_dir());
    found.sort_by(|a, b| a.file_name().cmp(&b.file_name()));
    found
}

/// Where containers and what is known of them lie.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Storage {
    /// What outlives a boot; podman's lists of containers and their bundles.
    pub graph: PathBuf,
    /// What does not; CRI-O's bundles.
    pub run: PathBuf,
}

impl Storage {
    /// The host's own, by storage.conf.
    #[must_use]
    pub fn read(root: &Root) -> Self {
        let document =
            STORAGE.iter().find_map(|file| toml::read(root, Path::new(file)).ok().flatten()).unwrap_or_default();
        let path = |key: &str, usual: &str| toml::path(&document, &["storage", key]).unwrap_or_else(|| usual.into());
        Self { graph: path("graphroot", GRAPH_ROOT), run: path("runroot", RUN_ROOT) }
    }
}

/// The folders of storage in which podman keeps its lists of containers, root's and those of users (rootless), as we reach them.
#[must_use]
pub fn graph_roots(root: &Root) -> Vec<PathBuf> {
    let own = Storage::read(root).graph;
    let of_users = files::homes(root).into_iter().map(|home| {
        let file = toml::read_foreign(root, &home.join(".config/containers/storage.conf"));
        let moved = file.and_then(|document| toml::path(&document, &["storage", "graphroot"]));
        moved.unwrap_or_else(|| home.join(".local/share/containers/storage"))
    });
    std::iter::once(own).chain(of_users).map(|folder| root.at(&folder)).filter(|folder| folder.is_dir()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::files::host;

    #[test]
    fn the_last_file_counts_and_lists_can_be_appended_to() {
        let (_folder, root) = host(&[
            ("usr/share/containers/containers.conf", "[engine]\nruntime = \"youki\"\nhooks_dir = [\"/a\"]\n"),
            ("etc/containers/containers.conf", "[engine]\nruntime = \"crun\"\n[engine.runtimes]\ncrun = [\"/x\"]\n"),
            ("etc/containers/containers.conf.d/10-a.conf", "[engine]\nhooks_dir = [\"/b\", {append=true}]\n"),
            (
                "usr/share/containers/containers.conf.d/05-b.conf",
                "[engine.runtimes]\ncrun = [\"/y\"]\nown = [\"/z\"]\n",
            ),
            ("etc/containers/containers.conf.d/99-ours.conf", "[engine]\nruntime = \"ours\"\n"),
            ("etc/containers/containers.conf.d/20-folder.conf/x", ""),
            ("etc/containers/containers.conf.d/README", "not valid TOML"),
        ]);
        let config = PodmanConfig::read(&root, &["/etc/containers/containers.conf.d/99-ours.conf".into()]).unwrap();
        assert_eq!(config.runtime.unwrap().value, "crun");
        assert_eq!(config.hooks.unwrap().value, ["/a", "/b"]);
        let runtimes: Vec<_> =
            config.runtimes.iter().map(|(name, said)| (name.as_str(), said.value[0].as_str())).collect();
        assert_eq!(runtimes, [("crun", "/y"), ("own", "/z")]);
    }

    #[test]
    fn storage_is_where_its_file_says_and_users_have_their_own() {
        let (_folder, root) = host(&[
            ("usr/share/containers/storage.conf", "[storage]\ngraphroot = \"/vendor\"\n"),
            ("etc/containers/storage.conf", "[storage]\ndriver = \"overlay\"\ngraphroot = \"/srv/podman\"\n"),
            ("srv/podman/x", ""),
            ("home/ann/.local/share/containers/storage/x", ""),
            ("home/bob/x", ""),
        ]);
        let storage = Storage { graph: "/srv/podman".into(), run: RUN_ROOT.into() };
        assert_eq!(Storage::read(&root), storage);
        let all = ["/srv/podman", "/home/ann/.local/share/containers/storage"].map(|path| root.at(Path::new(path)));
        assert_eq!(graph_roots(&root), all);
        assert_eq!(Storage::read(&host(&[]).1).graph, Path::new(GRAPH_ROOT));
    }
}

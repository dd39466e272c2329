//! Docker: one JSON file and dockerd's command line, which it merges; a setting in both is refused, but for the runtimes.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use super::Root;
use super::files::{self, FileError, FromFile};
use super::unit::CommandLine;
use crate::sys::foreign;

/// dockerd's `--config-file`, unless another one is configured.
const FILE: &str = "/etc/docker/daemon.json";
/// dockerd's `--data-root`, unless another one is configured.
const DATA_ROOT: &str = "/var/lib/docker";
/// The snap sets both for its dockerd (docker-snap, `bin/dockerd-wrapper`).
const SNAPS: [&str; 3] = ["/var/snap/docker", "/snap/docker", "/var/lib/snapd/snap/docker"];
const SNAP_FILE: &str = "/var/snap/docker/current/config/daemon.json";
const SNAP_DATA_ROOT: &str = "/var/snap/docker/common/var-lib-docker";
/// No file is larger that dockerd keeps of a container.
const SIZE_MAX: u64 = 8 << 20;
/// The names by which dockerd knows its own runc (daemon/config, `StockRuntimeName` and `LinuxV2RuntimeName`).
pub const STOCK: [&str; 2] = ["runc", "io.containerd.runc.v2"];

/// What dockerd reads, as it merges it.
#[derive(Clone, Debug)]
pub struct DockerConfig {
    /// The file that it reads.
    pub file: PathBuf,
    /// Where another one than the usual is configured.
    pub told_by: Option<PathBuf>,
    value: Map<String, Value>,
    command_line: CommandLine,
}

impl DockerConfig {
    /// Reads what the host's own dockerd reads: not the snap's, not a user's.
    ///
    /// # Errors
    /// [`FileError`] where the file cannot be read, or dockerd would not understand it.
    pub fn read(root: &Root) -> Result<Self, FileError> {
        let config = Self::told(root);
        let text = files::read(root, &config.file)?.unwrap_or_default();
        let value = parse(&text).map_err(|what| FileError::refused(&config.file, what))?;
        Ok(Self { value, ..config })
    }

    /// The same, where what cannot be read says nothing.
    #[must_use]
    pub fn known(root: &Root) -> Self {
        Self::read(root).unwrap_or_else(|_| Self::told(root))
    }

    /// What the command line says, without the file.
    fn told(root: &Root) -> Self {
        let command_line = command_line(root);
        let told = command_line.value(&["--config-file"]);
        let (file, told_by) = match told {
            Some(said) if Path::new(&said.value) != Path::new(FILE) => (said.value.into(), Some(said.file)),
            _ => (PathBuf::from(FILE), None),
        };
        Self { file, told_by, value: Map::new(), command_line }
    }

    /// The name of the runtime that a container gets which asks for none; an empty one or null is none.
    #[must_use]
    pub fn default_runtime(&self) -> &str {
        self.text_of("default-runtime").unwrap_or("runc")
    }

    /// Whether the command line names the default runtime, and where: dockerd does not start if the file does as well.
    #[must_use]
    pub fn default_on_the_command_line(&self) -> Option<FromFile<String>> {
        self.command_line.value(&["--default-runtime"])
    }

    /// The runtimes by name: those of the file, and those of the command line that the file does not have.
    #[must_use]
    pub fn runtimes(&self) -> BTreeMap<String, Value> {
        // cmd/dockerd's `--add-runtime` makes names small (opts/runtime.go).
        let added = self.command_line.values(&["--add-runtime"]).into_iter().filter_map(|said| {
            let (name, path) = said.value.split_once('=')?;
            Some((name.trim().to_lowercase(), serde_json::json!({ "path": path.trim() })))
        });
        let mut runtimes: BTreeMap<String, Value> = added.collect();
        let named = self.value.get("runtimes").and_then(Value::as_object);
        runtimes.extend(named.into_iter().flatten().map(|(name, entry)| (name.clone(), entry.clone())));
        runtimes
    }

    /// Where it keeps its state.
    #[must_use]
    pub fn data_root(&self) -> PathBuf {
        let told = self.command_line.value(&["--data-root", "--graph", "-g"]).map(|said| said.value);
        let named = || self.text_of("data-root").or_else(|| self.text_of("graph")).map(str::to_owned);
        told.or_else(named).map_or_else(|| DATA_ROOT.into(), PathBuf::from)
    }

    fn text_of(&self, key: &str) -> Option<&str> {
        self.value.get(key).and_then(Value::as_str).filter(|text| !text.is_empty())
    }
}

/// A member of an object by its name in any case: so Go takes it.
#[must_use]
pub fn member<'a>(object: &'a Value, name: &str) -> Option<(&'a str, &'a Value)> {
    let members = object.as_object()?.iter();
    let same = |(key, _): &(&String, &Value)| key.eq_ignore_ascii_case(name);
    members.filter(same).map(|(key, value)| (key.as_str(), value)).next_back()
}

/// The text of a daemon.json as an object; `runtimes` is one too where there is any.
///
/// # Errors
/// What is wrong with the text, in words.
pub fn parse(text: &str) -> Result<Map<String, Value>, String> {
    let text = text.trim_start_matches('\u{feff}');
    if text.trim().is_empty() {
        return Ok(Map::new());
    }
    let value: Value = serde_json::from_str(text).map_err(|error| format!("is not valid JSON: {error}"))?;
    let Value::Object(value) = value else { return Err("is not a JSON object".to_owned()) };
    if value.get("default-runtime").is_some_and(|name| !name.is_string() && !name.is_null()) {
        return Err("its `default-runtime` is not a string".to_owned());
    }
    if value.get("runtimes").is_some_and(|runtimes| !runtimes.is_object() && !runtimes.is_null()) {
        return Err("its `runtimes` is not an object".to_owned());
    }
    Ok(value)
}

/// dockerd's words: by its unit, or where there is none by what its scripts for other inits hand on.
fn command_line(root: &Root) -> CommandLine {
    CommandLine::of_unit(root, &["docker.service"]).unwrap_or_else(|| {
        let scripts = [
            ("/etc/default/docker", "DOCKER_OPTS"),
            ("/etc/conf.d/docker", "DOCKER_OPTS"),
            ("/etc/sysconfig/docker", "OPTIONS"),
        ];
        CommandLine::of_variables(root, &scripts)
    })
}

/// The file that the snap's dockerd reads, where Docker is a snap.
#[must_use]
pub fn snap(root: &Root) -> Option<&'static Path> {
    SNAPS.iter().any(|folder| root.at(Path::new(folder)).is_dir()).then_some(Path::new(SNAP_FILE))
}

/// The users who have a dockerd of their own (rootless), by the folder of each.
#[must_use]
pub fn rootless(root: &Root) -> Vec<PathBuf> {
    let mut homes = files::homes(root);
    homes.retain(|home| root.at(&home.join(".local/share/docker")).is_dir());
    homes
}

/// The folders in which dockerd keeps what it knows of its containers, each in a folder by its id: the host's own, the snap's and users'
/// ones, and beside each those of remapped users. As we reach them, where they are there.
#[must_use]
pub fn containers_folders(root: &Root) -> Vec<PathBuf> {
    let own = DockerConfig::known(root).data_root();
    let of_snap = snap(root).map(|file| data_root_of(root, file).unwrap_or_else(|| SNAP_DATA_ROOT.into()));
    let of_users = rootless(root).into_iter().map(|home| {
        let moved = data_root_of(root, &home.join(".config/docker/daemon.json"));
        moved.unwrap_or_else(|| home.join(".local/share/docker"))
    });
    let all = std::iter::once(own).chain(of_snap).chain(of_users);
    all.flat_map(|data_root| containers_below(root, &data_root)).collect()
}

/// The same below one `data-root`: with `userns-remap`, everything lies in `DATA-ROOT/UID.GID`.
fn containers_below(root: &Root, data_root: &Path) -> Vec<PathBuf> {
    let is_remapped = |folder: &PathBuf| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|c| c.is_ascii_digit());
        name.split_once('.').is_some_and(|(uid, gid)| is_number(uid) && is_number(gid))
    };
    let remapped = files::list(root, data_root).into_iter().filter(is_remapped);
    let folders = std::iter::once(data_root.to_owned()).chain(remapped);
    folders.map(|folder| root.at(&folder.join("containers"))).filter(|folder| folder.is_dir()).collect()
}

fn data_root_of(root: &Root, file: &Path) -> Option<PathBuf> {
    let value = parse(&files::read_foreign(root, file)?).ok()?;
    value.get("data-root").and_then(Value::as_str).filter(|text| !text.is_empty()).map(PathBuf::from)
}

/// A container as dockerd keeps it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// Its name, or its id where that cannot be read.
    pub name: String,
    /// The name of the runtime that it was made with; empty where it was made before there were such names.
    pub runtime: String,
}

impl DockerConfig {
    /// The containers of this dockerd, those of remapped users among them.
    #[must_use]
    pub fn containers(&self, root: &Root) -> Vec<Made> {
        let folders = containers_below(root, &self.data_root());
        let all = folders.iter().filter_map(|folder| std::fs::read_dir(folder).ok()).flatten().flatten();
        all.filter_map(|entry| Made::read(&entry.path())).collect()
    }
}

impl Made {
    fn read(folder: &Path) -> Option<Self> {
        let read = |name: &str| -> Option<Value> {
            serde_json::from_slice(&foreign::read(&folder.join(name), SIZE_MAX).ok()?).ok()
        };
        let text = |value: &Value, key: &str| value.get(key).and_then(Value::as_str).map(str::to_owned);
        let runtime = text(&read("hostconfig.json")?, "Runtime").unwrap_or_default();
        let name = read("config.v2.json").and_then(|config| text(&config, "Name"));
        let id = || folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        Some(Self { name: name.map_or_else(id, |name| name.trim_start_matches('/').to_owned()), runtime })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::files::host;

    fn unit(arguments: &str) -> (&'static str, String) {
        ("usr/lib/systemd/system/docker.service", format!("[Service]\nExecStart=/usr/bin/dockerd {arguments}\n"))
    }

    #[test]
    fn what_is_empty_or_null_says_nothing_and_a_byte_order_mark_is_none() {
        for text in
            ["", " \n", "{}", "\u{feff}{\"default-runtime\": \"\"}", r#"{"default-runtime": null, "runtimes": null}"#]
        {
            let (_folder, root) = host(&[("etc/docker/daemon.json", text)]);
            let config = DockerConfig::read(&root).unwrap();
            assert_eq!(config.default_runtime(), "runc", "{text:?}");
            assert!(config.runtimes().is_empty(), "{text:?}");
        }
        for text in ["[]", "{", "{} {}", r#"{"runtimes": []}"#, r#"{"default-runtime": 1}"#] {
            let (_folder, root) = host(&[("etc/docker/daemon.json", text)]);
            assert!(DockerConfig::read(&root).is_err(), "{text:?}");
        }
    }

    #[test]
    fn the_command_line_is_merged_with_the_file() {
        let (path, text) =
            unit("--add-runtime Own=/opt/own --add-runtime kata=/flag --config-file /etc/other.json -g /srv/d");
        let file = r#"{"default-runtime": "own", "runtimes": {"kata": {"Path": "/file"}}}"#;
        let (_folder, root) = host(&[(path, &text), ("etc/other.json", file)]);
        let config = DockerConfig::read(&root).unwrap();
        assert_eq!((config.default_runtime(), config.data_root()), ("own", PathBuf::from("/srv/d")));
        assert_eq!(
            (config.file.as_path(), config.told_by.as_deref()),
            (Path::new("/etc/other.json"), Some(Path::new("/usr/lib/systemd/system/docker.service")))
        );
        let runtimes = config.runtimes();
        let path = |name: &str| member(&runtimes[name], "path").map(|(_, path)| path.clone());
        assert_eq!((path("own"), path("kata")), (Some("/opt/own".into()), Some("/file".into())));
    }

    #[test]
    fn containers_are_looked_for_wherever_a_dockerd_keeps_them() {
        let (path, text) = unit("--data-root=/srv/d");
        let (_folder, root) = host(&[
            (path, &text),
            ("etc/docker/daemon.json", "{ what nobody can read"),
            ("srv/d/containers/a/x", ""),
            ("srv/d/100000.100000/containers/b/x", ""),
            ("srv/d/overlay2/containers/no", ""),
            ("var/snap/docker/common/var-lib-docker/containers/c/x", ""),
            ("home/ann/.local/share/docker/containers/d/x", ""),
            ("home/bob/.config/docker/daemon.json", r#"{"data-root": "/srv/bob"}"#),
            ("home/bob/.local/share/docker/x", ""),
            ("srv/bob/containers/e/x", ""),
        ]);
        assert_eq!(
            containers_folders(&root),
            [
                "/srv/d/containers",
                "/srv/d/100000.100000/containers",
                "/var/snap/docker/common/var-lib-docker/containers",
                "/home/ann/.local/share/docker/containers",
                "/srv/bob/containers",
            ]
            .map(|path| root.at(Path::new(path)))
        );
    }
}

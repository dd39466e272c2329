//! containerd for Kubernetes: the wrapper as the binary of its runtimes, whose names stay as they are.
//!
//! containerd 1.x takes a whole plugin's section from the last file that has one, so a drop-in would throw the rest of the section
//! away; there the file itself is changed. containerd 2 merges, and there a drop-in does where the file imports a folder.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item};

use super::runtime::{Runtime, is_wrapper};
use super::{Change, Error, Host, Plan, toml};

/// Running containers belong to their shims and go on.
pub const AFTERWARDS: &str = "after `systemctl restart containerd`";

/// The shims of containers that run keep the wrapper's path.
pub const REMOVED: &str = "after `systemctl restart containerd`; containers that run are stopped through clockgate-oci, so leave it \
                           installed until they are started anew";

const FILE: &str = "/etc/containerd/config.toml";
/// The shim of runc, which runs a binary; other shims have none.
const SHIM: &str = "io.containerd.runc.v2";

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, Error> {
    let path = PathBuf::from(FILE);
    let before = host.read(&path)?;
    let text = before.clone().unwrap_or_else(|| "version = 2\n".to_owned());
    let refused = |what: String| Error::refused(FILE, what);
    let mut document = toml::parse(&text).map_err(refused)?;
    let version = document.get("version").and_then(Item::as_integer);
    let plugin = match version {
        Some(2) => "io.containerd.grpc.v1.cri",
        Some(3) => "io.containerd.cri.v1.runtime",
        _ => return Err(refused("is of no version that we know: wanted is `version = 2` or 3".to_owned())),
    };
    if toml::texts(document.get("disabled_plugins")).iter().any(|plugin| plugin.ends_with("cri")) {
        return Err(refused(
            "disables the plugin for Kubernetes; Docker's containers are held by the target docker".to_owned(),
        ));
    }
    let mut changes = vec![];
    let mut binaries = vec![];
    for (name, program) in runtimes(&document, plugin).map_err(refused)? {
        let (wrapper, links) = Runtime { folder: format!("containerd/{name}"), program }.wrap(host)?;
        changes.extend(links);
        binaries.push((name, wrapper));
    }
    if let Some(folder) = imported_folder(&document).filter(|_| version == Some(3)) {
        let path = folder.join("99-clockgate.toml");
        let mut dropin = toml::parse("version = 3\n").map_err(refused)?;
        set_binaries(&mut dropin, plugin, &binaries).map_err(refused)?;
        let text = format!(
            "# Written by `clockgate hooks install containerd`, and taken away by `clockgate hooks remove containerd`.\n{dropin}"
        );
        changes.push(Change::own_file(host, &path, text, 0o644)?);
    } else {
        set_binaries(&mut document, plugin, &binaries).map_err(refused)?;
        changes.push(Change::File { path, before, after: document.to_string(), mode: 0o644 });
    }
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes: vec![] })
}

/// The runtimes that run a binary, and which; the built-in `runc` where none is named.
fn runtimes(document: &DocumentMut, plugin: &str) -> Result<Vec<(String, PathBuf)>, String> {
    let named = toml::get(document, &["plugins", plugin, "containerd", "runtimes"]).and_then(Item::as_table_like);
    let mut found = vec![];
    let mut is_runc_named = false;
    for (name, item) in named.iter().flat_map(|table| table.iter()) {
        let table = item.as_table_like().ok_or_else(|| format!("has a runtime `{name}` that is no table"))?;
        is_runc_named |= name == "runc";
        if table.get("runtime_type").and_then(Item::as_str).is_some_and(|shim| shim != SHIM) {
            continue;
        }
        let options = table.get("options").and_then(Item::as_table_like);
        let binary = options.and_then(|options| options.get("BinaryName")).and_then(Item::as_str).unwrap_or_default();
        if is_wrapper(binary) {
            return Err(format!("has a wrapper of ours already in `{name}`, which somebody else put there"));
        }
        found.push((name.to_owned(), if binary.is_empty() { "runc".into() } else { PathBuf::from(binary) }));
    }
    if !is_runc_named {
        found.push(("runc".to_owned(), "runc".into()));
    }
    Ok(found)
}

fn set_binaries(document: &mut DocumentMut, plugin: &str, binaries: &[(String, PathBuf)]) -> Result<(), String> {
    for (name, wrapper) in binaries {
        let runtime = toml::table(document, &["plugins", plugin, "containerd", "runtimes", name])?;
        // A runtime that stands in a file replaces the built-in one of its name, its shim included.
        if runtime.get("runtime_type").is_none() {
            toml::set(runtime, "runtime_type", SHIM);
        }
        let options = toml::table(document, &["plugins", plugin, "containerd", "runtimes", name, "options"])?;
        toml::set(options, "BinaryName", &wrapper.to_string_lossy());
    }
    Ok(())
}

/// The folder whose files are read besides, where there is one.
fn imported_folder(document: &DocumentMut) -> Option<PathBuf> {
    let imports = toml::texts(document.get("imports"));
    let folders = imports.iter().filter_map(|import| import.strip_suffix("/*.toml"));
    folders.map(Path::new).find(|folder| folder.is_absolute()).map(Path::to_owned)
}

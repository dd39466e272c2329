//! CRI-O: the wrapper as the path of its runtimes, in a drop-in.
//!
//! A runtime in a drop-in replaces the one of its name as a whole, so everything else that was said of it is said again.

use std::path::{Path, PathBuf};

use toml_edit::{DocumentMut, Item, Table};

use super::runtime::{Runtime, is_wrapper};
use super::{Change, Error, Host, Plan, toml};

/// Running containers belong to their conmon and go on.
pub const AFTERWARDS: &str = "after `systemctl restart crio`";

const MAIN: &str = "/etc/crio/crio.conf";
const FOLDER: &str = "/etc/crio/crio.conf.d";
const FILE: &str = "/etc/crio/crio.conf.d/99-clockgate.conf";

/// What has to be written.
pub fn plan(host: &Host) -> Result<Plan, Error> {
    let mut runtimes = Table::new();
    let mut default = None;
    let mut files = vec![PathBuf::from(MAIN)];
    files.extend(host.list(Path::new(FOLDER), "")?.into_iter().filter(|file| file != Path::new(FILE)));
    for file in files {
        let Some(text) = host.read(&file)? else { continue };
        let document = toml::parse(&text).map_err(|what| Error::refused(&file, what))?;
        let named = toml::get(&document, &["crio", "runtime", "runtimes"]).and_then(Item::as_table_like);
        if named.is_some() && file.as_path() > Path::new(FILE) {
            return Err(Error::refused(
                file,
                format!("names runtimes and is read after {FILE}: give it an earlier name"),
            ));
        }
        for (name, item) in named.iter().flat_map(|table| table.iter()) {
            runtimes.insert(name, item.clone());
        }
        if let Some(name) = toml::get(&document, &["crio", "runtime", "default_runtime"]).and_then(Item::as_str) {
            default = Some(name.to_owned());
        }
    }
    if let Some(name) = default.filter(|name| !runtimes.contains_key(name)) {
        // The built-in one of that name has this root, and would lose it.
        let root = format!("/run/{name}");
        runtimes.insert(&name, Item::Table([("runtime_root", root)].into_iter().collect()));
    }
    let (dropin, mut changes) = wrap(host, &runtimes)?;
    if dropin.is_empty() {
        let what = "CRI-O's runtime is named nowhere, and which one it has built in depends on its version: set \
                    `default_runtime` in crio.conf first";
        return Err(Error::Wrong(what.to_owned()));
    }
    let text = format!(
        "# Written by `clockgate hooks install crio`, and taken away by `clockgate hooks remove crio`.\n{dropin}"
    );
    changes.push(Change::own_file(host, Path::new(FILE), text, 0o644)?);
    Ok(Plan { changes, afterwards: AFTERWARDS.to_owned(), notes: vec![] })
}

/// The same runtimes with the wrapper in front, and the links that it takes.
fn wrap(host: &Host, runtimes: &Table) -> Result<(DocumentMut, Vec<Change>), Error> {
    let mut dropin = DocumentMut::new();
    let mut changes = vec![];
    for (name, item) in runtimes {
        let runtime =
            item.as_table_like().ok_or_else(|| Error::Wrong(format!("CRI-O's runtime `{name}` is no table")))?;
        // Runtimes of virtual machines are shims of their own.
        if runtime.get("runtime_type").and_then(Item::as_str).is_some_and(|kind| !matches!(kind, "" | "oci")) {
            continue;
        }
        let program =
            runtime.get("runtime_path").and_then(Item::as_str).filter(|path| !path.is_empty()).unwrap_or(name);
        if is_wrapper(program) {
            return Err(Error::Wrong(format!(
                "CRI-O's `{name}` has a wrapper of ours already, which somebody else put there"
            )));
        }
        let (wrapper, links) = Runtime { folder: format!("crio/{name}"), program: program.into() }.wrap(host)?;
        changes.extend(links);
        let copy = toml::table(&mut dropin, &["crio", "runtime", "runtimes", name]).map_err(Error::Wrong)?;
        for (key, item) in runtime.iter() {
            if let Ok(value) = item.clone().into_value() {
                copy.insert(key, Item::Value(value.decorated(" ", "")));
            }
        }
        toml::set(copy, "runtime_path", &wrapper.to_string_lossy());
    }
    Ok((dropin, changes))
}

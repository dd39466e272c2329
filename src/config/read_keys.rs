//! Reads the keys of a file's mapping, each into its field; faults are reported with line and key.

use std::fmt::Write as _;
use std::path::Path;

use super::keys::{KEYS, Key, ORDERED, RENAMED};
use super::yaml::{Value, YamlNode};
use super::{Fault, Loaded, Origin};
use crate::reference::ServerName;

/// The version of the keys, which a file may name; a file without it is of this one.
const VERSION: i64 = 1;

/// Takes the keys of one file over what earlier files said.
pub(super) fn take(mut node: YamlNode, file: &Path, loaded: &mut Loaded, faults: &mut Vec<Fault>) {
    let mut taking = Taking { file, loaded, faults };
    if let Value::Map(entries) = &mut node.value
        && let Some(at) = entries.iter().position(|(name, _)| name == "version")
    {
        let (_, version) = entries.remove(at);
        if version.value != Value::Number(VERSION) {
            let what = format!("expected {VERSION}, found {}: no other line was read", version.value);
            return taking.fault(version.line, Some("version"), what);
        }
    }
    taking.section("", node);
}

/// Finds values that are right by themselves and do not go together.
pub(super) fn check_together(loaded: &Loaded, faults: &mut Vec<Fault>) {
    for (lesser, greater, values) in ORDERED {
        let (less, more) = values(&loaded.config);
        let known = |key: &str| faults.iter().any(|fault| fault.key.as_deref() == Some(key));
        if less <= more || known(lesser) || known(greater) {
            continue;
        }
        let (key, origin) = match (loaded.origins.get(lesser), loaded.origins.get(greater)) {
            (_, Some(origin)) => (greater, Some(origin)),
            (origin, None) => (lesser, origin),
        };
        let [less, more] = [less, more].map(crate::duration::print);
        faults.push(Fault {
            file: origin.map_or_else(Default::default, |o| o.file.clone()),
            line: origin.map(|o| o.line),
            key: Some(key.to_owned()),
            what: format!("{lesser} is {less} and may not exceed {greater}, which is {more}"),
        });
    }
    let (wanted, named) = (loaded.config.policy.min_references, &loaded.config.servers);
    // A clock of the hypervisor's may be one more, and a pool is as many as answer.
    let is_enough = named.is_empty() || wanted <= named.len() + 1 || named.iter().any(ServerName::is_pool);
    if let Some(origin) = loaded.origins.get("min-references").filter(|_| !is_enough) {
        faults.push(Fault {
            file: origin.file.clone(),
            line: Some(origin.line),
            key: Some("min-references".to_owned()),
            what: format!(
                "{wanted} references are required and servers names {}: no exchange can have enough answers",
                named.len()
            ),
        });
    }
}

struct Taking<'a> {
    file: &'a Path,
    loaded: &'a mut Loaded,
    faults: &'a mut Vec<Fault>,
}

impl Taking<'_> {
    /// Takes a mapping whose keys begin with `prefix`, which is empty or ends in a dot.
    fn section(&mut self, prefix: &str, node: YamlNode) {
        let Value::Map(entries) = node.value else {
            let what = format!("expected a mapping with the keys {}", within(prefix).join(", "));
            return self.fault(node.line, prefix.strip_suffix('.'), what);
        };
        for (name, node) in entries {
            let written = format!("{prefix}{name}");
            let full = current(&written);
            // A dot in a name would let `a.b` stand for `b` within `a`: one key, one way to write it.
            let plain = !name.contains('.');
            if let Some(key) = KEYS.iter().find(|key| plain && key.name == full) {
                if written != full {
                    let what = format!("is called {full} now: rename it");
                    self.loaded.warnings.push(self.at(node.line, Some(&written), what));
                }
                self.key(key, &node);
            } else if plain && KEYS.iter().any(|key| key.name.starts_with(&format!("{full}."))) {
                self.section(&format!("{full}."), node);
            } else {
                self.fault(node.line, Some(&full), unknown(prefix, &full));
            }
        }
    }

    fn key(&mut self, key: &'static Key, node: &YamlNode) {
        // One name can only be written once in a file; the old and the new name of one key could be both.
        let other = self.loaded.origins.get(key.name).filter(|origin| origin.file == self.file);
        if let Some(line) = other.map(|origin| origin.line) {
            let what = format!("is also given under its other name, in line {line}: remove one of them");
            return self.fault(node.line, Some(key.name), what);
        }
        match (key.value)(&mut self.loaded.config).take(&node.value) {
            Ok(()) => {
                let origin = Origin { file: self.file.to_owned(), line: node.line };
                self.loaded.origins.insert(key.name, origin);
            }
            Err(wrong) => {
                for (line, what) in wrong {
                    self.fault(line.unwrap_or(node.line), Some(key.name), what);
                }
            }
        }
    }

    fn fault(&mut self, line: u64, key: Option<&str>, what: String) {
        let fault = self.at(line, key, what);
        self.faults.push(fault);
    }

    fn at(&self, line: u64, key: Option<&str>, what: String) -> Fault {
        let line = (line > 0).then_some(line);
        Fault { file: self.file.to_owned(), line, key: key.map(str::to_owned), what }
    }
}

/// A key by the name that it has today; the names of earlier versions are read as well.
fn current(name: &str) -> String {
    RENAMED.iter().find(|(was, _)| *was == name).map_or(name, |(_, is)| *is).to_owned()
}

/// The names that a section may hold.
fn within(prefix: &str) -> Vec<&'static str> {
    let mut names: Vec<&str> = KEYS
        .iter()
        .filter_map(|key| key.name.strip_prefix(prefix))
        .map(|rest| rest.split_once('.').map_or(rest, |(name, _)| name))
        .collect();
    names.dedup();
    names
}

fn unknown(prefix: &str, full: &str) -> String {
    let mut what = String::from("unknown key");
    let near = KEYS.iter().map(|key| (distance(full, key.name), key.name)).min();
    if let Some((0, name)) = near {
        let (section, key) = name.split_once('.').unwrap_or(("", name));
        let _ = write!(what, "; it is written `{section}: {{{key}: ...}}`");
    } else if let Some((1..=3, name)) = near {
        let _ = write!(what, "; did you mean {name}?");
    } else {
        let _ = write!(what, "; known keys: {}", within(prefix).join(", "));
    }
    what
}

/// How many letters have to be added, removed or changed (Levenshtein).
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, ca) in a.chars().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, cb) in b.iter().enumerate() {
            let change = diagonal + usize::from(ca != *cb);
            diagonal = row[j + 1];
            row[j + 1] = change.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row.last().copied().unwrap_or_default()
}

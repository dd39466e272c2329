//! The source tree as data: files with their rooms, the modules that they are, and what each imports.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;

/// A file of `src`, or with `page/`, `run/` or `kubernetes/` before it of the crate of the page, of the waiter or of the publisher.
#[derive(Clone)]
pub struct Source {
    pub path: String,
    pub text: String,
}

impl Source {
    /// The text without its unit tests, which stand last and may use what they like.
    pub fn code(&self) -> &str {
        self.text.split("#[cfg(test)]").next().unwrap_or(&self.text)
    }

    /// Its lines but for comments.
    pub fn lines(&self) -> impl Iterator<Item = &str> {
        self.code().lines().filter(|line| !line.trim_start().starts_with("//"))
    }

    /// The first folder, or the file where there is none.
    pub fn room(&self) -> &str {
        self.path.split('/').next().unwrap_or_default().trim_end_matches(".rs")
    }

    pub fn is_of_another_crate(&self) -> bool {
        matches!(self.room(), "page" | "record" | "run" | "kubernetes")
    }

    /// The path of the module that it is: `decision::machine::proof`.
    fn module(&self) -> Vec<&str> {
        let path = self.path.trim_end_matches(".rs");
        path.trim_end_matches("/mod").split('/').collect()
    }
}

/// All of them, by path.
#[derive(Clone)]
pub struct Tree(pub Vec<Source>);

impl Tree {
    pub fn read() -> Self {
        let mut all = vec![];
        for (folder, before) in [
            ("src", ""),
            ("crates/clockgate-page/src", "page/"),
            ("crates/clockgate-history/src", "record/"),
            ("crates/clockgate-run/src", "run/"),
            ("crates/clockgate-kubernetes/src", "kubernetes/"),
        ] {
            let root = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
            let mut folders = vec![root.clone()];
            while let Some(folder) = folders.pop() {
                for entry in fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        folders.push(path);
                    } else if path.extension().is_some_and(|end| end == "rs") {
                        let text = fs::read_to_string(&path).unwrap();
                        let path = path.strip_prefix(&root).unwrap().display();
                        all.push(Source { path: format!("{before}{path}"), text });
                    }
                }
            }
        }
        all.sort_by(|a, b| a.path.cmp(&b.path));
        Self(all)
    }

    /// The same tree with another file, or another text of one.
    pub fn with(&self, path: &str, text: &str) -> Self {
        let mut all: Vec<_> = self.0.iter().filter(|source| source.path != path).cloned().collect();
        all.push(Source { path: path.to_owned(), text: text.to_owned() });
        Self(all)
    }

    /// The files of the program itself.
    pub fn ours(&self) -> impl Iterator<Item = &Source> {
        self.0.iter().filter(|source| !source.is_of_another_crate())
    }

    /// Which file imports which: by a type that it declares, through whatever it is exported again, or by its module's path. What a
    /// module imports from those above it is left out: a folder's files and its mod.rs are one.
    pub fn imports(&self) -> BTreeMap<&str, BTreeSet<&str>> {
        let sources: Vec<&Source> = self.ours().filter(|source| !source.path.ends_with("tests.rs")).collect();
        let modules: BTreeMap<Vec<&str>, &str> = sources.iter().map(|s| (s.module(), s.path.as_str())).collect();
        let mut declared = BTreeMap::<&str, &str>::new();
        for source in &sources {
            declared.extend(types(source.code()).into_iter().map(|name| (name, source.path.as_str())));
        }
        let mut all = BTreeMap::<&str, BTreeSet<&str>>::new();
        for source in &sources {
            let module = source.module();
            for path in paths(source) {
                let Some(path) = absolute(&path, &module, &modules) else { continue };
                let by_type = path.iter().find_map(|name| declared.get(name.as_str()).copied());
                let by_module = || {
                    let parts: Vec<&str> = path.iter().map(String::as_str).collect();
                    (0..=parts.len()).rev().find_map(|end| modules.get(&parts[..end]).copied())
                };
                let Some(to) = by_type.or_else(by_module).filter(|to| *to != source.path) else { continue };
                let above = sources.iter().find(|s| s.path == to).map(|s| s.module()).unwrap_or_default();
                if !module.starts_with(&above) {
                    all.entry(source.path.as_str()).or_default().insert(to);
                }
            }
        }
        all
    }
}

/// The structs, enums, traits and aliases that a text declares at its margin: not those of impls and traits.
pub fn types(text: &str) -> Vec<&str> {
    let declared = |line: &'_ str| -> Option<(usize, usize)> {
        let rest = line.strip_prefix("pub").map_or(line, |rest| match rest.strip_prefix('(') {
            Some(scoped) => scoped.split_once(')').map_or("", |(_, rest)| rest),
            None => rest,
        });
        let rest = rest.strip_prefix(' ').filter(|_| line.starts_with("pub")).unwrap_or(rest);
        let name = ["struct ", "enum ", "trait ", "type "].iter().find_map(|word| rest.strip_prefix(word))?;
        let length = name.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(name.len());
        Some((line.len() - name.len(), length))
    };
    text.lines().filter_map(|line| declared(line).map(|(at, length)| &line[at..at + length])).collect()
}

/// The paths that a file names: in `use`, one by one or in groups over several lines, and in its code behind `crate::`, `super::` and
/// `clockgate::`.
pub fn paths(source: &Source) -> Vec<String> {
    let code: String = source.lines().flat_map(|line| [line, "\n"]).collect();
    let mut all = vec![];
    let mut rest = code.as_str();
    while let Some(at) = rest.find("use ") {
        let begins = rest[..at].rsplit('\n').next().unwrap_or_default().trim();
        let is_one = begins.is_empty() || begins.starts_with("pub");
        let after = &rest[at + 4..];
        let (item, behind) = after.split_once(';').unwrap_or((after, ""));
        if is_one {
            members(item, "", &mut all);
            rest = behind;
        } else {
            rest = after;
        }
    }
    for root in ["crate::", "super::", "clockgate::"] {
        let is_path = |c: char| c.is_ascii_alphanumeric() || c == '_' || c == ':';
        for (at, _) in code.match_indices(root) {
            let is_begin = !code[..at].ends_with(is_path);
            let end = code[at..].find(|c: char| !is_path(c)).map_or(code.len(), |end| at + end);
            if is_begin {
                all.push(code[at..end].trim_end_matches(':').to_owned());
            }
        }
    }
    all
}

/// Takes a group of `use` apart.
fn members(item: &str, before: &str, all: &mut Vec<String>) {
    let item = item.trim();
    let Some((head, group)) = item.split_once('{') else {
        let name = item.split(" as ").next().unwrap_or_default().trim();
        if !name.is_empty() {
            all.push(format!("{before}{name}"));
        }
        return;
    };
    let before = format!("{before}{}", head.trim());
    let group = group.rsplit_once('}').map_or(group, |(group, _)| group);
    let (mut depth, mut from) = (0_u32, 0);
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth = depth.saturating_sub(1),
            ',' if depth == 0 => {
                members(&group[from..at], &before, all);
                from = at + 1;
            }
            _ => {}
        }
    }
    members(&group[from..], &before, all);
}

/// A path from the crate's root; none where it leads out of it.
fn absolute(path: &str, module: &[&str], modules: &BTreeMap<Vec<&str>, &str>) -> Option<Vec<String>> {
    let mut parts: Vec<&str> = path.split("::").collect();
    let mut at: Vec<&str> = module.to_vec();
    match parts.first().copied()? {
        "crate" | "clockgate" => {
            at.clear();
            parts.remove(0);
        }
        "self" | "super" => {
            while let Some(first @ ("self" | "super")) = parts.first().copied() {
                if first == "super" {
                    at.pop();
                }
                parts.remove(0);
            }
        }
        child => {
            at.push(child);
            let is_child = modules.contains_key(&at);
            at.pop();
            is_child.then_some(())?;
        }
    }
    at.extend(parts);
    Some(at.into_iter().map(str::to_owned).collect())
}

/// The rooms that a file names.
pub fn rooms(source: &Source) -> BTreeSet<String> {
    let room = |path: String| {
        let rest = ["crate::", "clockgate::"].iter().find_map(|root| path.strip_prefix(root).map(str::to_owned))?;
        Some(rest.split("::").next().unwrap_or_default().to_owned())
    };
    paths(source).into_iter().filter_map(room).collect()
}

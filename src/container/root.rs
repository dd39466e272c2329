//! The host's files as its engines see them: below `/`, or below another root.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

/// The kernel follows as many (path_resolution(7)).
const LINKS_MAX: usize = 40;

/// A host, with some of its files as they would be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Root {
    folder: PathBuf,
    planned: BTreeMap<PathBuf, Option<String>>,
}

impl Root {
    /// The host below `folder`.
    #[must_use]
    pub fn new(folder: &Path) -> Self {
        Self { folder: folder.to_owned(), planned: BTreeMap::new() }
    }

    /// The same host with `text` in a file, or without that file.
    #[must_use]
    pub fn with(mut self, path: &Path, text: Option<String>) -> Self {
        self.planned.insert(path.to_owned(), text);
        self
    }

    /// A host that has these files and no others.
    #[cfg(test)]
    pub fn of_texts(files: &[(&str, &str)]) -> Self {
        let with = |root: Self, (path, text): &(&str, &str)| root.with(Path::new(path), Some((*text).to_owned()));
        files.iter().fold(Self::new(Path::new("/nowhere")), with)
    }

    /// The text of a file, through the host's own links; none where it is not there.
    ///
    /// # Errors
    /// What the file system said, and `InvalidData` where it is not UTF-8 text.
    pub fn read(&self, path: &Path) -> io::Result<Option<String>> {
        if let Some(text) = self.planned.get(path) {
            return Ok(text.clone());
        }
        match fs::read_to_string(self.at(path)) {
            Ok(text) => Ok(Some(text)),
            Err(error) if matches!(error.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Whether there is such a file or folder.
    #[must_use]
    pub fn has(&self, path: &Path) -> bool {
        self.planned.get(path).map_or_else(|| self.at(path).exists(), Option::is_some)
    }

    /// A path of the host as we reach it, its links followed.
    #[must_use]
    pub fn at(&self, path: &Path) -> PathBuf {
        let mut links = 0;
        let mut ahead: Vec<PathBuf> = vec![path.to_owned()];
        let mut there = PathBuf::from("/");
        while let Some(next) = ahead.pop() {
            let mut parts = next.components();
            let Some(part) = parts.next() else { continue };
            ahead.push(parts.as_path().to_owned());
            match part {
                Component::RootDir | Component::Prefix(_) => there = PathBuf::from("/"),
                Component::CurDir => {}
                Component::ParentDir => drop(there.pop()),
                Component::Normal(name) => {
                    there.push(name);
                    if links < LINKS_MAX
                        && let Ok(target) = fs::read_link(self.below(&there))
                    {
                        links += 1;
                        there.pop();
                        ahead.push(target);
                    }
                }
            }
        }
        self.below(&there)
    }

    fn below(&self, path: &Path) -> PathBuf {
        self.folder.join(path.strip_prefix("/").unwrap_or(path))
    }

    /// The paths that a pattern matches, folder by folder in the order of their names (Go's `filepath.Glob`).
    #[must_use]
    pub fn glob(&self, pattern: &Path) -> Vec<PathBuf> {
        let mut found = vec![PathBuf::from("/")];
        for part in pattern.components() {
            let Component::Normal(part) = part else { continue };
            let part = part.to_string_lossy();
            found = found.iter().flat_map(|folder| self.matches(folder, &part)).collect();
        }
        found
    }

    fn matches(&self, folder: &Path, pattern: &str) -> Vec<PathBuf> {
        if !pattern.contains(['*', '?', '[']) {
            return vec![folder.join(pattern)];
        }
        let entries = fs::read_dir(self.at(folder)).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
        let planned = self.planned.keys().filter(|path| path.parent() == Some(folder));
        names.extend(planned.filter_map(|path| Some(path.file_name()?.to_string_lossy().into_owned())));
        names.sort();
        names.dedup();
        let pattern: Vec<char> = pattern.chars().collect();
        let fits = names.iter().filter(|name| is_match(&pattern, &name.chars().collect::<Vec<_>>()));
        fits.map(|name| folder.join(name)).filter(|path| self.has(path)).collect()
    }
}

/// Go's `filepath.Match` on one name: `*`, `?` and a class of characters.
fn is_match(pattern: &[char], name: &[char]) -> bool {
    match (pattern, name) {
        ([], name) => name.is_empty(),
        (['*', rest @ ..], name) => (0..=name.len()).any(|taken| is_match(rest, name.get(taken..).unwrap_or_default())),
        (['?', rest @ ..], [_, name @ ..]) => is_match(rest, name),
        (['[', rest @ ..], [first, name @ ..]) => {
            let Some(end) = rest.iter().skip(1).position(|c| *c == ']').map(|at| at + 1) else { return false };
            let (class, rest) = (rest.get(..end).unwrap_or_default(), rest.get(end + 1..).unwrap_or_default());
            let (wanted, class) = class.strip_prefix(&['^']).map_or((true, class), |class| (false, class));
            is_in(class, *first) == wanted && is_match(rest, name)
        }
        ([c, rest @ ..], [first, name @ ..]) => c == first && is_match(rest, name),
        _ => false,
    }
}

fn is_in(class: &[char], c: char) -> bool {
    match class {
        [from, '-', to, rest @ ..] => (*from..=*to).contains(&c) || is_in(rest, c),
        [one, rest @ ..] => *one == c || is_in(rest, c),
        [] => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_names_as_in_go() {
        let is = |pattern: &str, name: &str| {
            is_match(&pattern.chars().collect::<Vec<_>>(), &name.chars().collect::<Vec<_>>())
        };
        for (pattern, name) in
            [("*.toml", "a.toml"), ("*", ".a"), ("a*b*", "axxbyy"), ("[0-9]?-*", "10-x"), ("[^a]", "b")]
        {
            assert!(is(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.toml", "a.tom"), ("[0-9]", "a"), ("[^a]", "a"), ("a?", "a"), ("[a", "a")] {
            assert!(!is(pattern, name), "{pattern} {name}");
        }
    }

    #[test]
    fn links_are_the_hosts_own() {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir_all(folder.path().join("nix/store")).unwrap();
        fs::create_dir_all(folder.path().join("etc/conf.d")).unwrap();
        fs::write(folder.path().join("nix/store/x.toml"), "x").unwrap();
        std::os::unix::fs::symlink("/nix/store/x.toml", folder.path().join("etc/conf.d/b.toml")).unwrap();
        std::os::unix::fs::symlink("../etc/conf.d", folder.path().join("nix/d")).unwrap();
        let root = Root::new(folder.path());
        assert_eq!(root.read(Path::new("/nix/d/b.toml")).unwrap().as_deref(), Some("x"));
        assert_eq!(root.read(Path::new("/nix/d/c.toml")).unwrap(), None);
        let root = root.with(Path::new("/etc/conf.d/a.toml"), Some("a".to_owned()));
        let found = root.glob(Path::new("/etc/*.d/*.toml"));
        assert_eq!(found, [Path::new("/etc/conf.d/a.toml"), Path::new("/etc/conf.d/b.toml")]);
        let root = root.with(Path::new("/etc/conf.d/b.toml"), None);
        assert_eq!(root.glob(Path::new("/etc/conf.d/*.toml")), [Path::new("/etc/conf.d/a.toml")]);
    }
}

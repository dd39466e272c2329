//! What a configuration includes of other files: chrony.conf(5)'s `include`, `confdir` and `sourcedir`, NTPsec's `includefile`. Debian and
//! SUSE keep the servers there, and leave the main file without any.

use std::fs;
use std::path::{Path, PathBuf};

use crate::sys::foreign;
use crate::sys::glob::GlobPattern;

/// The most bytes read of a file.
const MOST_OF_A_FILE: u64 = 256 * 1024;
/// More files than any configuration has: one that includes itself ends there.
const MOST_FILES: usize = 64;

/// The text of a file with what it includes, in its place; none where it cannot be read.
pub fn read(root: &Path, file: &Path) -> Option<String> {
    let (mut all, mut left) = (String::new(), MOST_FILES);
    add(root, &text(file)?, &mut left, &mut all);
    Some(all)
}

/// One file as it is.
pub fn text(file: &Path) -> Option<String> {
    let bytes = foreign::read(file, MOST_OF_A_FILE).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

fn add(root: &Path, text: &str, left: &mut usize, all: &mut String) {
    for line in text.lines() {
        all.push_str(line);
        all.push('\n');
        let mut words = line.split_whitespace().map(|word| word.trim_matches('"'));
        let directive = words.next().unwrap_or_default().to_ascii_lowercase();
        let ending = match directive.as_str() {
            "include" | "includefile" => "",
            "confdir" => "/*.conf",
            "sourcedir" => "/*.sources",
            _ => continue,
        };
        for file in words.flat_map(|word| files(root, &format!("{word}{ending}"))) {
            if *left == 0 {
                return;
            }
            *left -= 1;
            add(root, &self::text(&file).unwrap_or_default(), left, all);
        }
    }
}

/// Those of a pattern, in the order of their names; only the last part of it is one.
fn files(root: &Path, pattern: &str) -> Vec<PathBuf> {
    let Some((folder, name)) = pattern.strip_prefix('/').and_then(|path| path.rsplit_once('/')) else { return vec![] };
    let folder = root.join(folder);
    let pattern = GlobPattern::new(name);
    if !pattern.has('*') && !pattern.has('?') {
        return vec![folder.join(name)];
    }
    let is_it =
        |path: &PathBuf| path.file_name().and_then(|name| name.to_str()).is_some_and(|name| pattern.matches(name));
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    let mut found: Vec<PathBuf> = entries.filter(is_it).collect();
    found.sort();
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_included_comes_in_its_place_and_a_file_that_includes_itself_ends() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let file = root.path().join("etc/chrony.conf");
        assert_eq!(read(root.path(), &file), None);
        put(
            "etc/chrony.conf",
            "rtcsync\nsourcedir /run/chrony-dhcp /etc/chrony/sources.d\ninclude /etc/chrony.d/p*l.c*f\nlogchange 1\n",
        );
        put("etc/chrony/sources.d/b.sources", "pool b.example iburst\n");
        put("etc/chrony/sources.d/a.sources", "pool a.example iburst\n");
        put("etc/chrony/sources.d/a.sources.dpkg-old", "pool no.example\n");
        put("etc/chrony.d/pool.conf", "makestep 1 3\n");
        let lines = read(root.path(), &file).unwrap();
        let servers: Vec<&str> = lines.lines().filter(|line| line.starts_with("pool")).collect();
        assert_eq!(servers, ["pool a.example iburst", "pool b.example iburst"]);
        assert!(lines.ends_with("makestep 1 3\nlogchange 1\n"));
        put("etc/chrony.conf", "include /etc/chrony.conf\ninclude relative.conf\nconfdir /nowhere\n");
        assert_eq!(read(root.path(), &file).unwrap().matches("confdir").count(), MOST_FILES);
    }
}

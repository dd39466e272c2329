//! The configuration as text: the sample with every default, and what is in force with its origin.

use std::fmt::Write as _;

use serde_json::json;

use super::keys::{KEYS, Key};
use super::{Config, Loaded};

const WIDTH: usize = 100;

/// A commented file with every key at its default: it changes nothing.
#[must_use]
pub fn sample() -> String {
    let config = Config::default();
    let mut text = String::from(
        "# clockgate's configuration with every key at its default: delete what you do not change.\n\
         # Files and their order: clockgate.yaml(5). Check with `clockgate config check FILE`.\n",
    );
    each(|opens, indent, name, key| {
        text.push('\n');
        if let Some(section) = opens {
            let _ = writeln!(text, "{section}:");
        }
        for line in wrap(key.does, WIDTH - indent.len() - 2) {
            let _ = writeln!(text, "{indent}# {line}");
        }
        let _ = writeln!(text, "{indent}# Allowed: {}.", key.allows());
        let _ = writeln!(text, "{indent}{name}: {}", key.print(&config));
    });
    text
}

/// What is in force, and where each key came from.
#[must_use]
pub fn show(loaded: &Loaded) -> String {
    let mut text = String::new();
    each(|opens, indent, name, key| {
        if let Some(section) = opens {
            let _ = writeln!(text, "{section}:");
        }
        let origin = loaded.origins.get(key.name);
        let origin = origin.map_or_else(|| "default".to_owned(), |o| format!("{}:{}", o.file.display(), o.line));
        let set = format!("{indent}{name}: {}", key.print(&loaded.config));
        let _ = writeln!(text, "{set:<44} # {origin}");
    });
    text
}

/// What is in force, for machines.
#[must_use]
pub fn json(loaded: &Loaded) -> serde_json::Value {
    let keys: serde_json::Map<_, _> = KEYS
        .iter()
        .map(|key| {
            let origin = loaded.origins.get(key.name).map(|o| json!({"file": o.file, "line": o.line}));
            (key.name.to_owned(), json!({"value": key.print(&loaded.config), "origin": origin}))
        })
        .collect();
    json!({"version": 2, "files": loaded.files, "keys": keys})
}

/// Visits every key with the section that it opens, its indent and its name within the section.
fn each(mut visit: impl FnMut(Option<&'static str>, &str, &'static str, &'static Key)) {
    let mut current = "";
    for key in &KEYS {
        let (section, name) = key.name.split_once('.').unwrap_or(("", key.name));
        let opens = (section != current && !section.is_empty()).then_some(section);
        visit(opens, if section.is_empty() { "" } else { "  " }, name, key);
        current = section;
    }
}

fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines: Vec<String> = vec![];
    for word in text.split_whitespace() {
        match lines.last_mut() {
            Some(line) if line.len() + 1 + word.len() <= width => {
                line.push(' ');
                line.push_str(word);
            }
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Loaded, crate::config::ConfigError> {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("config.yaml");
        std::fs::write(&file, text).unwrap();
        crate::config::load_file(&file)
    }

    #[test]
    fn the_sample_passes_its_own_check_and_changes_nothing() {
        let loaded = read(&sample()).unwrap();
        assert_eq!(loaded.config, Config::default());
        let named: Vec<_> = loaded.origins.keys().copied().collect();
        let mut all: Vec<_> = KEYS.iter().map(|key| key.name).collect();
        all.sort_unstable();
        assert_eq!(named, all);
    }

    #[test]
    fn no_line_of_the_sample_is_wider_than_a_screen() {
        assert!(sample().lines().all(|line| line.len() <= WIDTH), "{}", sample());
    }

    #[test]
    fn what_is_shown_can_be_read_again() {
        let text = "servers: ['2001:db8::1', 'ntp.example:1123', '7.example']\nchrony: {udp: '[::1]:323'}\n\
                    page: '/run/a b # c'\nthreshold: 50ms\nat-deadline: {unreachable: hold}\n\
                    freeze: {engines: [], exclude: ['/a b/*', 'k=v', '0123']}\n";
        let loaded = read(text).unwrap();
        let again = read(&show(&loaded)).unwrap();
        assert_eq!(again.config, loaded.config);
        assert_ne!(again.config, Config::default());
    }
}

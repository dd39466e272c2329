//! Data goes one way: which room may point to which, and what may stand where.

#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// Each room, and the rooms that it may point to. `cli` may point to all.
const ARROWS: &[(&str, &[&str])] = &[
    ("decision", &[]),
    ("exit", &[]),
    ("installer", &["container"]),
    ("container", &["daemon", "decision", "sys"]),
    ("duration", &[]),
    ("error_chain", &[]),
    ("sys", &["decision"]),
    ("disruption", &["decision", "reference", "sys"]),
    ("reference", &["decision", "error_chain", "sys"]),
    ("correction", &["decision", "sys"]),
    ("daemon", &["correction", "decision", "reference", "sys"]),
    ("workload", &["container", "decision", "error_chain", "sys"]),
    ("explain", &["decision", "duration"]),
    ("past", &["decision"]),
    ("config", &["container", "daemon", "decision", "duration", "explain", "page", "reference", "sys", "workload"]),
    ("publish", &["decision", "disruption", "page", "reference", "sys"]),
    ("waiter", &["container", "decision", "error_chain", "duration", "exit", "page", "reference", "sys"]),
    (
        "agent",
        &["config", "daemon", "decision", "error_chain", "disruption", "publish", "reference", "sys", "workload"],
    ),
];

fn sources() -> Vec<(PathBuf, String)> {
    sources_of("src")
}

/// The reader of the page, which is a crate of its own; its paths begin as those of [`sources`] do.
fn sources_of_the_page() -> Vec<(PathBuf, String)> {
    sources_of("crates/clockgate-page/src")
}

fn sources_of(folder: &str) -> Vec<(PathBuf, String)> {
    fn walk(folder: &Path, found: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                walk(&path, found);
            } else {
                found.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join(folder);
    let mut found = vec![];
    walk(&src, &mut found);
    found.sort();
    let read = |path: PathBuf| {
        let text = fs::read_to_string(&path).unwrap();
        (path.strip_prefix(&src).unwrap().to_owned(), text)
    };
    found.into_iter().map(read).collect()
}

/// The text without its unit tests, which stand last and may use what they like.
fn code(text: &str) -> &str {
    text.split("#[cfg(test)]").next().unwrap_or(text)
}

fn room(path: &Path) -> String {
    let first = path.components().next().unwrap().as_os_str().to_string_lossy().into_owned();
    first.trim_end_matches(".rs").to_owned()
}

/// The rooms that a text names behind `crate::`, one by one or in a group over several lines.
fn pointed_to(text: &str) -> BTreeSet<String> {
    let name = |rest: &str| {
        let word = rest.trim_start();
        word.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '_').collect::<String>()
    };
    let lines: Vec<&str> = code(text).lines().filter(|line| !line.trim_start().starts_with("//")).collect();
    let text = lines.join("\n");
    let named = |rest: &str| match rest.strip_prefix('{') {
        Some(group) => members(group).iter().map(|member| name(member)).collect(),
        None => vec![name(rest)],
    };
    text.split("crate::").skip(1).flat_map(named).filter(|n| !n.is_empty()).collect()
}

/// What stands between the commas of a group whose brace is open, without what its inner groups have.
fn members(group: &str) -> Vec<String> {
    let (mut depth, mut all) = (0_u32, vec![String::new()]);
    for c in group.chars() {
        match c {
            '}' if depth == 0 => break,
            '}' => depth -= 1,
            '{' => depth += 1,
            ',' if depth == 0 => all.push(String::new()),
            c if depth == 0 => all.last_mut().unwrap().push(c),
            _ => {}
        }
    }
    all
}

#[test]
fn a_room_is_found_however_it_is_imported() {
    for text in [
        "use crate::{page, agent::{a, b}};",
        "use crate::{\n    agent::{\n        x,\n    },\n    page,\n};",
        "crate::page::x(crate::agent::y)",
    ] {
        assert_eq!(pointed_to(text), ["agent", "page"].map(str::to_owned).into(), "{text}");
    }
    assert!(pointed_to("// crate::agent").is_empty());
}

#[test]
fn every_room_points_only_where_data_flows_from() {
    let mut wrong = vec![];
    for (path, text) in sources() {
        let from = room(&path);
        if ["bin", "cli", "main", "lib"].contains(&from.as_str()) {
            continue;
        }
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            wrong.push(format!("{}: no room of this name is known to this test", path.display()));
            continue;
        };
        for to in pointed_to(&text) {
            if to != from && !allowed.contains(&to.as_str()) {
                wrong.push(format!("{}: {from} -> {to}", path.display()));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn the_decision_does_no_io_and_the_waiter_has_no_runtime() {
    let forbidden: &[(&str, &[&str])] = &[
        (
            "decision",
            &["std::io", "std::fs", "std::net", "std::env", "tokio", "zbus", "nix", "libc", "tracing", "async "],
        ),
        ("waiter", &["tokio", "zbus", "async "]),
        // The waiter asks it.
        ("container", &["tokio", "zbus", "async "]),
    ];
    for (path, text) in sources() {
        for (_, words) in forbidden.iter().filter(|(name, _)| *name == room(&path)) {
            for word in *words {
                assert!(!code(&text).contains(word), "{} uses {word}", path.display());
            }
        }
    }
}

/// What the decision takes from the page's crate, and what that stands on: types that know no file and no clock.
const PURE_IN_THE_PAGE: [&str; 7] = ["agent", "gate", "judge", "layout", "leap", "text", "time"];

#[test]
fn the_page_s_crate_needs_libc_alone_and_what_the_decision_takes_from_it_does_no_io() {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/clockgate-page/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let dependencies = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    let names: Vec<_> = dependencies.lines().filter_map(|line| line.split_once(" =")).map(|(name, _)| name).collect();
    assert_eq!(names, ["libc"]);
    let pure = |(path, _): &(PathBuf, String)| PURE_IN_THE_PAGE.contains(&room(path).as_str());
    let files: Vec<_> = sources_of_the_page().into_iter().filter(pure).collect();
    assert_eq!(files.len(), PURE_IN_THE_PAGE.len(), "a file of this list is not there");
    for (path, text) in files {
        for word in ["std::io", "std::fs", "std::net", "std::env", "libc::", "use crate::sys", "crate::page"] {
            assert!(!code(&text).contains(word), "{} uses {word}", path.display());
        }
    }
    for (path, text) in sources().into_iter().filter(|(path, _)| room(path) == "decision") {
        for taken in code(&text).split("clockgate_page::").skip(1) {
            let is_pure = ["time", "layout", "Gate", "LeapSecond"].iter().any(|name| taken.starts_with(name));
            assert!(is_pure, "{} takes {} from the page", path.display(), taken.lines().next().unwrap());
        }
    }
}

#[test]
fn unsafe_stands_in_sys_alone() {
    for (path, text) in sources().into_iter().chain(sources_of_the_page()) {
        let is_unsafe = text.contains("unsafe {") || text.contains("unsafe fn") || text.contains("unsafe impl");
        assert!(!is_unsafe || room(&path) == "sys", "{}", path.display());
    }
}

/// Where the name of a time daemon may stand in code: in the room that knows them, and in the keys that people configure.
const KNOWS_DAEMONS: [&str; 2] = ["daemon/", "config/"];

#[test]
fn a_time_daemons_name_stands_in_its_room_alone() {
    let daemons =
        ["chrony", "timesync", "ntpd", "ntpsec", "ntp-daemon", "ntpctl", "connman", "phc2sys", "ptp4l", "timemaster"];
    let mut strays = vec![];
    for (path, text) in sources() {
        if KNOWS_DAEMONS.iter().any(|place| path.starts_with(place)) {
            continue;
        }
        let lines = code(&text).lines().filter(|line| !line.trim_start().starts_with("//"));
        let named = |line: &&str| daemons.iter().any(|name| line.to_ascii_lowercase().contains(name));
        strays.extend(lines.filter(named).map(|line| format!("{}: {}", path.display(), line.trim())));
    }
    assert!(strays.is_empty(), "{}", strays.join("\n"));
}

#[test]
fn no_file_is_too_long_to_read_in_one_sitting() {
    for (path, text) in sources().into_iter().chain(sources_of_the_page()) {
        let lines = text.lines().count();
        assert!(lines <= 400, "{} has {lines} lines", path.display());
    }
}

/// Whoever owns a process says what some of its files hold, and how long they are: [`clockgate::sys::foreign`] reads them.
#[test]
fn the_files_of_other_peoples_processes_are_read_by_one_door() {
    let files = ["\"comm\"", "\"cmdline\"", "\"status\"", "\"cgroup\"", "\"uid_map\"", "\"stat\"", "/proc/{"];
    for (path, text) in sources() {
        let by_hand: Vec<&str> = code(&text)
            .lines()
            .filter(|line| ["fs::read", "read_to_string(", "File::open("].iter().any(|way| line.contains(way)))
            .filter(|line| {
                files.iter().any(|file| line.contains(file))
                    && !line.contains("read_link")
                    && !line.contains("read_dir")
            })
            .collect();
        assert!(by_hand.is_empty(), "{}: {by_hand:#?}", path.display());
    }
}

/// What engines, and what they write, are called.
const ENGINES: &[&str] = &[
    "docker",
    "podman",
    "libpod",
    "buildah",
    "containerd",
    "cri-o",
    "crio",
    "kube",
    "k8s",
    "k3s",
    "lxc",
    "nspawn",
    "moby",
];

/// Words of ours that have an engine's name in them: keys of the configuration, and sentences that explain one.
const SPOKEN_OF: &[(&str, &str)] = &[
    (
        "config/keys.rs",
        "The engines whose containers are frozen until the clock is proven. containerd: those of nerdctl and ctr. []: none.",
    ),
    ("config/value.rs", "[docker, podman]"),
    ("waiter/oci/settings.rs", "max-wait.docker"),
];

/// The texts in double quotes, as far as a line has them whole.
fn literals(text: &str) -> Vec<&str> {
    let lines = code(text).lines().filter(|line| !line.trim_start().starts_with("//"));
    lines.flat_map(|line| line.split('"').skip(1).step_by(2)).collect()
}

#[test]
fn engines_are_known_in_one_room_alone() {
    let mut strays = vec![];
    let mut spoken_of: Vec<_> = SPOKEN_OF.to_vec();
    // The installer's targets are called as engines are.
    let is_of_others =
        |path: &Path| !["container", "installer"].contains(&room(path).as_str()) && !path.ends_with("tests.rs");
    for (path, text) in sources().iter().filter(|(path, _)| is_of_others(path)) {
        for literal in literals(text) {
            let named = ENGINES.iter().any(|engine| literal.to_lowercase().contains(engine));
            let place = path.to_string_lossy();
            match spoken_of.iter().position(|(file, words)| *file == place && *words == literal) {
                Some(at) => drop(spoken_of.remove(at)),
                None if named => strays.push(format!("{place}: \"{literal}\"")),
                None => {}
            }
        }
    }
    assert!(strays.is_empty(), "outside of src/container/:\n{}", strays.join("\n"));
    assert!(spoken_of.is_empty(), "not there any more: {spoken_of:?}");
}

/// Names that several rooms still have for types of their own, and how many. `Error` is one a module, clap's `Args` one a verb.
const OWED_NAMES: &[(&str, usize)] = &[
    ("Address", 3),
    ("Answer", 2),
    ("Authentication", 2),
    ("Bus", 2),
    ("Client", 2),
    ("Config", 4),
    ("Fields", 2),
    ("Heard", 2),
    ("Held", 4),
    ("Keeper", 2),
    ("Kind", 2),
    ("Known", 2),
    ("Line", 2),
    ("Mode", 2),
    ("NoAgent", 2),
    ("Node", 2),
    ("Object", 2),
    ("Patience", 2),
    ("Pattern", 2),
    ("Place", 4),
    ("Question", 2),
    ("Reading", 2),
    ("Runtime", 2),
    ("Said", 3),
    ("Seen", 2),
    ("Settings", 3),
    ("Source", 2),
    ("State", 3),
    ("Timesyncd", 2),
    ("Unit", 2),
    ("Verb", 2),
    ("Watch", 2),
    ("Way", 2),
    ("What", 2),
];

/// The structs, enums, traits and aliases that a text declares, without those of its unit tests and of its impls and traits.
fn types(text: &str) -> Vec<&str> {
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
    // Items of a file stand at its margin, associated types do not.
    let lines = code(text).lines();
    lines.filter_map(|line| declared(line).map(|(at, length)| &line[at..at + length])).collect()
}

/// The names that more types have than `owed` says, and what is owed no more.
fn equal_names(sources: &[(PathBuf, String)], owed: &[(&str, usize)]) -> Vec<String> {
    let mut counts = BTreeMap::<&str, usize>::new();
    for (_, text) in sources {
        for name in types(text).into_iter().filter(|name| !["Error", "Args"].contains(name)) {
            *counts.entry(name).or_default() += 1;
        }
    }
    let allowed = |name: &str| owed.iter().find(|(owed, _)| *owed == name).map_or(1, |(_, count)| *count);
    let mut wrong: Vec<String> = counts
        .iter()
        .filter(|(name, count)| **count > allowed(name))
        .map(|(name, count)| format!("{count} types are called {name}"))
        .collect();
    let paid = owed.iter().filter(|(name, count)| counts.get(name).is_none_or(|now| now < count));
    wrong.extend(paid.map(|(name, _)| format!("fewer types are called {name} than are owed")));
    wrong
}

#[test]
fn no_two_types_have_the_same_name() {
    let wrong = equal_names(&sources(), OWED_NAMES);
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn a_second_type_of_a_name_is_found_and_a_paid_debt_too() {
    let tree = |texts: &[&str]| -> Vec<_> {
        texts.iter().enumerate().map(|(at, text)| (PathBuf::from(format!("{at}.rs")), (*text).to_owned())).collect()
    };
    for second in ["struct Told;", "pub enum Told {", "pub(super) trait Told {", "pub(crate) type Told = u8;"] {
        assert_eq!(equal_names(&tree(&["pub struct Told {", second]), &[]).len(), 1, "{second}");
        assert!(equal_names(&tree(&["pub struct Told {", second]), &[("Told", 2)]).is_empty(), "{second}");
    }
    let apart =
        tree(&["pub struct Error;\nstruct Told;", "enum Error {\n    type Told = u8;", "#[cfg(test)]\nstruct Told;"]);
    assert!(equal_names(&apart, &[]).is_empty());
    assert_eq!(equal_names(&apart, &[("Told", 2)]).len(), 1);
}

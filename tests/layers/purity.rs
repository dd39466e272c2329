//! What a room may use: no I/O where things are decided, no runtime in a waiter, no unsafe code outside of `sys`.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::support::{Outcome, ensure, expect};
use crate::tree::Tree;

/// The decision does no I/O; the waiter, and what it asks, have no async runtime; clap's types are the command line's.
pub fn words(tree: &Tree) -> Vec<String> {
    let io = ["std::io", "std::fs", "std::net", "std::env", "tokio", "zbus", "nix::", "libc::", "tracing::", "async "];
    let forbidden: &[(&str, &[&str])] = &[
        ("decision", &io),
        ("transition", &io),
        ("explain", &io),
        // It writes to what it is handed.
        ("report", &io[1..]),
        ("waiter", &["tokio", "zbus", "async "]),
        ("run", &["tokio", "zbus", "async ", "std::net"]),
        ("container", &["tokio", "zbus", "async "]),
    ];
    let mut wrong = vec![];
    for source in tree.0.iter().filter(|source| source.room() != "page") {
        let words = forbidden.iter().filter(|(room, _)| *room == source.room()).flat_map(|(_, words)| *words);
        let code: String = source.lines().flat_map(|line| [line, "\n"]).collect();
        wrong.extend(words.filter(|word| code.contains(**word)).map(|word| format!("{} uses {word}", source.path)));
        if !["cli", "main"].contains(&source.room()) && code.contains("clap::") {
            wrong.push(format!("{} uses clap", source.path));
        }
    }
    wrong
}

/// Where a crate lies in the tree, and the room of it that may have unsafe code, as the threat model names it.
const UNSAFE: [(&str, &str); 4] = [
    ("sys/", "src/sys/"),
    ("page/sys/", "crates/clockgate-page/"),
    ("run/sys/", "crates/clockgate-run/"),
    ("kubernetes/sys/", "crates/clockgate-kubernetes/"),
];

/// Unsafe code stands in `sys` alone, in the crates that the threat model names.
pub fn unsafe_code(tree: &Tree) -> Vec<String> {
    let is_unsafe = |text: &str| ["unsafe {", "unsafe fn", "unsafe impl"].iter().any(|word| text.contains(word));
    let is_in_sys = |path: &str| UNSAFE.iter().any(|(folder, _)| path.starts_with(folder));
    let strays = tree.0.iter().filter(|source| is_unsafe(&source.text) && !is_in_sys(&source.path));
    strays.map(|source| source.path.clone()).collect()
}

/// The threat model names the folders with unsafe code and no others, and each of them has some.
pub fn folders_of_unsafe_code(tree: &Tree) -> Outcome {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/threat-model.md"))?;
    let sentence = page.rsplit_once("`unsafe` code is in ").and_then(|(_, rest)| rest.split_once(" alone,"));
    let named: Vec<&str> =
        sentence.map_or("", |(folders, _)| folders).split('`').filter(|word| word.contains('/')).collect();
    let allowed: Vec<&str> = UNSAFE.iter().map(|(_, name)| *name).collect();
    ensure(named == allowed, format!("docs/threat-model.md has {named:?}, the rule {allowed:?}"))?;
    let is_used = |folder: &str| tree.0.iter().any(|s| s.path.starts_with(folder) && s.text.contains("unsafe {"));
    let unused: Vec<&str> = UNSAFE.iter().map(|(folder, _)| *folder).filter(|folder| !is_used(folder)).collect();
    ensure(unused.is_empty(), format!("no unsafe code in {unused:?}"))
}

/// What the decision takes from the page's crate, and what that stands on: types that know no file and no clock.
const PURE_IN_THE_PAGE: [&str; 7] = ["agent", "gate", "judge", "layout", "leap", "text", "time"];

/// What the decision takes from the page's crate does no I/O.
pub fn page(tree: &Tree) -> Vec<String> {
    let mut wrong = vec![];
    for name in PURE_IN_THE_PAGE {
        let path = format!("page/{name}.rs");
        let Some(source) = tree.0.iter().find(|source| source.path == path) else {
            wrong.push(format!("there is no {path}"));
            continue;
        };
        let words = ["std::io", "std::fs", "std::net", "std::env", "libc::", "use crate::sys", "crate::page"];
        let found = words.into_iter().filter(|word| source.code().contains(word));
        wrong.extend(found.map(|word| format!("{path} uses {word}")));
    }
    for source in tree.ours().filter(|source| source.room() == "decision") {
        let taken = source.code().split("clockgate_page::").skip(1);
        let is_pure = |taken: &&str| {
            ["time", "layout", "ClockMeasurement", "Gate", "LeapSecond"].iter().any(|name| taken.starts_with(name))
        };
        let strays = taken.filter(|taken| !is_pure(taken));
        wrong.extend(strays.map(|taken| format!("{} takes {}", source.path, taken.lines().next().unwrap_or_default())));
    }
    wrong
}

/// What of the publisher decides: it knows no file, no clock and no runtime.
const PURE_IN_THE_PUBLISHER: [&str; 5] = ["condition", "disruption", "kubeconfig", "plan", "request_body"];

/// What the publisher decides it decides without I/O.
pub fn publisher(tree: &Tree) -> Vec<String> {
    let mut wrong = vec![];
    for name in PURE_IN_THE_PUBLISHER {
        let path = format!("kubernetes/{name}.rs");
        let Some(source) = tree.0.iter().find(|source| source.path == path) else {
            wrong.push(format!("there is no {path}"));
            continue;
        };
        let words = ["std::io", "std::fs", "std::net", "std::env", "tokio", "hyper", "::sys", "async "];
        let found = words.into_iter().filter(|word| source.code().contains(word));
        wrong.extend(found.map(|word| format!("{path} uses {word}")));
    }
    wrong
}

/// What the publisher has for HTTP is not linked into the agent, nor is it itself.
pub fn crates_of_the_publisher() -> Outcome {
    const ITS_OWN: [&str; 6] = ["clockgate-kubernetes", "hyper", "http", "http-body-util", "tokio-rustls", "base64"];
    let has = |package: &str| -> Outcome<Vec<&str>> {
        let mut command = Command::new(env!("CARGO"));
        command.args([
            "tree",
            "--offline",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        let output = command.current_dir(env!("CARGO_MANIFEST_DIR")).output()?;
        expect(output.status.success(), &output)?;
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let is_there = |name: &&str| text.lines().any(|line| line.starts_with(&format!("{name} v")));
        Ok(ITS_OWN.into_iter().filter(is_there).collect())
    };
    let found = has("clockgate-kubernetes")?;
    ensure(found == ITS_OWN, format!("the publisher itself has {found:?} alone"))?;
    let found = has("clockgate")?;
    ensure(found.is_empty(), format!("the agent has {found:?}"))
}

/// The names below `[dependencies]` of the page's crate.
pub fn dependencies_of_the_page() -> Vec<String> {
    let manifest = Path::new(env!("CARGO_MANIFEST_DIR")).join("crates/clockgate-page/Cargo.toml");
    let manifest = fs::read_to_string(manifest).unwrap();
    let table = manifest.split("[dependencies]").nth(1).unwrap().split("\n[").next().unwrap();
    table.lines().filter_map(|line| line.split_once(" =")).map(|(name, _)| name.to_owned()).collect()
}

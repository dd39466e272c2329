//! Which room may point to which, and that nothing points in a circle.

use std::collections::{BTreeMap, BTreeSet};

use crate::tree::{Tree, rooms};

/// Data flows one way: what has happened, what it means, what is done. A room may name those beside it and no other.
const ARROWS: &[(&str, &[&str])] = &[
    ("decision", &[]),
    ("sys", &["decision"]),
    ("explain", &["decision", "duration"]),
    ("correction", &["decision", "sys"]),
    ("reference", &["decision", "error_chain", "sys"]),
    ("disruption", &["decision", "reference", "sys"]),
    ("daemon", &["correction", "decision", "reference", "sys"]),
    ("container", &["daemon", "decision", "sys", "tolerance"]),
    ("installer", &["container", "sys"]),
    ("workload", &["container", "decision", "error_chain", "sys"]),
    (
        "config",
        &[
            "container",
            "daemon",
            "decision",
            "disruption",
            "duration",
            "error_chain",
            "explain",
            "page",
            "reference",
            "sys",
            "tolerance",
            "workload",
        ],
    ),
    ("transition", &["decision"]),
    ("history", &["decision", "transition"]),
    ("past", &["decision", "history", "transition"]),
    ("report", &["decision", "history", "page", "transition"]),
    ("metrics", &["decision", "page", "transition"]),
    (
        "publish",
        &[
            "decision",
            "disruption",
            "history",
            "metrics",
            "page",
            "reference",
            "sys",
            "transition",
            "waiter",
            "workload",
        ],
    ),
    ("waiter", &["container", "decision", "error_chain", "duration", "exit", "page", "reference", "sys", "tolerance"]),
    (
        "agent",
        &[
            "config",
            "daemon",
            "decision",
            "error_chain",
            "disruption",
            "publish",
            "reference",
            "sys",
            "transition",
            "workload",
        ],
    ),
    (
        "doctor",
        &[
            "config",
            "container",
            "daemon",
            "decision",
            "disruption",
            "error_chain",
            "installer",
            "page",
            "reference",
            "sys",
        ],
    ),
    (
        "cli",
        &[
            "agent",
            "config",
            "container",
            "daemon",
            "decision",
            "disruption",
            "doctor",
            "duration",
            "error_chain",
            "exit",
            "explain",
            "history",
            "installer",
            "metrics",
            "page",
            "past",
            "publish",
            "reference",
            "report",
            "sys",
            "tolerance",
            "waiter",
            "workload",
        ],
    ),
    ("main", &["cli", "error_chain", "sys"]),
    ("bin", &["error_chain", "exit", "sys", "waiter"]),
    ("lib", &[]),
];

/// Every room points only where data flows from.
pub fn arrows(tree: &Tree) -> Vec<String> {
    let mut wrong = vec![];
    for source in tree.ours() {
        let from = source.room();
        let Some((_, allowed)) = ARROWS.iter().find(|(name, _)| *name == from) else {
            wrong.push(format!("{}: no room of this name is known to this test", source.path));
            continue;
        };
        let strays = rooms(source).into_iter().filter(|to| to != from && !allowed.contains(&to.as_str()));
        wrong.extend(strays.map(|to| format!("{}: {from} -> {to}", source.path)));
    }
    let gone = ARROWS.iter().filter(|(name, _)| !tree.ours().any(|source| source.room() == *name));
    wrong.extend(gone.map(|(name, _)| format!("there is no room {name} any more")));
    wrong
}

/// No room points to itself by way of others.
pub fn circles_of_rooms(tree: &Tree) -> Vec<String> {
    let mut edges = BTreeMap::<String, BTreeSet<String>>::new();
    for source in tree.ours() {
        let to = rooms(source).into_iter().filter(|to| to != source.room());
        edges.entry(source.room().to_owned()).or_default().extend(to);
    }
    let edges = edges.iter().map(|(from, to)| (from.as_str(), to.iter().map(String::as_str).collect())).collect();
    circles(&edges)
}

/// No file imports itself by way of others.
pub fn circles_of_files(tree: &Tree) -> Vec<String> {
    circles(&tree.imports())
}

/// One circle through each node that is on one.
fn circles(edges: &BTreeMap<&str, BTreeSet<&str>>) -> Vec<String> {
    let mut found = BTreeMap::<BTreeSet<&str>, String>::new();
    for begin in edges.keys() {
        let mut ways = vec![vec![*begin]];
        let mut seen = BTreeSet::new();
        while let Some(way) = ways.pop() {
            for to in edges.get(way.last().unwrap()).into_iter().flatten() {
                if to == begin {
                    found
                        .entry(way.iter().copied().collect())
                        .or_insert_with(|| format!("{} -> {to}", way.join(" -> ")));
                } else if seen.insert(*to) {
                    ways.push(way.iter().copied().chain([*to]).collect());
                }
            }
        }
    }
    found.into_values().collect()
}

//! Names that pages have from the program: source files, variables of the environment and exit codes.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{all_pages, read, root};

/// Every file of Rust in the project's own folders, by its path from the root.
fn sources() -> Vec<(String, String)> {
    fn below(folder: &Path, found: &mut Vec<(String, String)>) {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                below(&path, found);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    let mut found = vec![];
    ["benches", "crates", "examples", "src", "tests"].iter().for_each(|folder| below(&root().join(folder), &mut found));
    found
}

/// Of the programs themselves, not of tests and benches.
fn is_of_the_program(path: &str) -> bool {
    path.starts_with("src/") || path.starts_with("crates/clockgate-run/src/")
}

/// The files of Rust that a page names between backquotes and that are not in the tree, by however much of their path.
fn missing_sources<'a>(text: &'a str, tree: &[String]) -> Vec<&'a str> {
    let named = text.split('`').skip(1).step_by(2).filter(|word| word.ends_with(".rs") && !word.contains([' ', '*']));
    named.filter(|name| !tree.iter().any(|path| format!("/{path}").ends_with(&format!("/{name}")))).collect()
}

/// The types that a page names between backquotes and that no source has.
fn missing_types<'a>(text: &'a str, sources: &[(String, String)]) -> Vec<&'a str> {
    let is_type = |word: &&str| {
        let mut letters = word.chars();
        letters.next().is_some_and(char::is_uppercase)
            && word.contains(char::is_lowercase)
            && letters.all(char::is_alphanumeric)
    };
    let is_there = |name: &&str| {
        let kinds = ["struct", "enum", "trait", "type"].map(|kind| format!("{kind} {name}"));
        let begins = |rest: &str| !rest.starts_with(|c: char| c.is_alphanumeric());
        let defines = |text: &str| kinds.iter().any(|kind| text.split(kind.as_str()).skip(1).any(begins));
        sources.iter().any(|(path, text)| is_of_the_program(path) && defines(text))
    };
    text.split('`').skip(1).step_by(2).filter(is_type).filter(|name| !is_there(name)).collect()
}

/// Of the program's own sources, without its tests: the variables of the environment that are read by name.
fn read_variables(sources: &[(String, String)]) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for (path, text) in sources.iter().filter(|(path, _)| is_of_the_program(path)) {
        let text = text.split("#[cfg(test)]").next().unwrap();
        for mark in ["env::var(", "env::var_os("] {
            for rest in text.split(mark).skip(1) {
                let argument = rest.split(')').next().unwrap();
                let literal = argument.trim_matches('"');
                let constant = || text.split(&format!("const {argument}: &str = \"")).nth(1)?.split('"').next();
                let name = if literal == argument { constant() } else { Some(literal) };
                assert!(name.is_some(), "{path}: what is {argument}?");
                found.extend(name.map(str::to_owned));
            }
        }
    }
    found
}

/// The variables in the section ENVIRONMENT of a manual page.
fn listed_variables(page: &str) -> Vec<&str> {
    let section = page.split(".Sh ENVIRONMENT\n").nth(1).and_then(|rest| rest.split("\n.Sh ").next());
    section.unwrap_or_default().lines().filter_map(|line| line.strip_prefix(".It Ev ")).collect()
}

/// The exit codes of a table of Markdown, or of a list of mdoc(7).
fn listed_codes(section: &str) -> BTreeSet<u8> {
    let heads = section.lines().filter_map(|line| line.strip_prefix("| ").or_else(|| line.strip_prefix(".It ")));
    let codes = heads.filter_map(|line| line.split('|').next()).flat_map(|head| head.split([' ', ',']));
    codes.filter_map(|word| word.parse().ok()).collect()
}

/// The codes that `Exit` has.
fn codes() -> BTreeSet<u8> {
    let values = read("crates/clockgate-run/src/exit.rs");
    let values = values.lines().filter_map(|line| line.trim().strip_suffix(',')?.split(" = ").nth(1)?.parse().ok());
    values.collect()
}

#[test]
fn every_source_file_that_a_page_names_is_in_the_tree() {
    let tree: Vec<String> = sources().into_iter().map(|(path, _)| path).collect();
    for page in all_pages().iter().filter(|page| page.as_str() != "CHANGELOG.md") {
        assert_eq!(missing_sources(&read(page), &tree), Vec::<&str>::new(), "{page}");
    }
    let mutant = "`machine/attempt.rs`, `main.rs`, `nowhere.rs`, `chine/attempt.rs`";
    assert_eq!(missing_sources(mutant, &tree), ["nowhere.rs", "chine/attempt.rs"]);
}

#[test]
fn every_type_that_the_architecture_names_is_in_the_sources() {
    let sources = sources();
    assert_eq!(missing_types(&read("docs/architecture.md"), &sources), Vec::<&str>::new());
    assert_eq!(missing_types("`Machine`, `Mach`, `Engine`, `NTP`, `x`, `Nowhere`", &sources), ["Mach", "Nowhere"]);
}

#[test]
fn every_variable_that_the_program_reads_is_in_a_manual_and_no_other() {
    let pages: Vec<String> = fs::read_dir(root().join("docs/man"))
        .unwrap()
        .map(|entry| fs::read_to_string(entry.unwrap().path()).unwrap())
        .collect();
    let listed: BTreeSet<String> = pages.iter().flat_map(|page| listed_variables(page)).map(str::to_owned).collect();
    assert_eq!(listed, read_variables(&sources()));
    assert_eq!(listed_variables(".Sh ENVIRONMENT\n.It Ev A\nb\n.It Ev C\n.Sh FILES\n.It Ev D\n"), ["A", "C"]);
    let seeded = "env::var(\"A\"); const B: &str = \"BE\"; env::var_os(B); #[cfg(test)] env::var(\"C\")";
    let found = read_variables(&[("src/a.rs".to_owned(), seeded.to_owned())]);
    assert_eq!(found.into_iter().collect::<Vec<_>>(), ["A", "BE"]);
}

#[test]
fn the_lists_of_exit_codes_are_those_of_the_program() {
    // INT and TERM end a waiter by their numbers, as the shell has them.
    let (signals, all) = (BTreeSet::from([130, 143]), codes());
    assert!(all.len() > 9, "{all:?}");
    let interfaces = read("docs/interfaces.md");
    let table = interfaces.split("## Exit codes\n").nth(1).unwrap();
    assert_eq!(listed_codes(table), &all | &signals, "docs/interfaces.md");
    let status = |page: &str| {
        let text = read(page);
        listed_codes(text.split(".Sh EXIT STATUS\n").nth(1).unwrap().split("\n.Sh ").next().unwrap())
    };
    let (program, run) = (status("docs/man/clockgate.8"), status("docs/man/clockgate-run.1"));
    assert!(run.is_subset(&(&all | &signals)), "docs/man/clockgate-run.1: {run:?}");
    let others: BTreeSet<u8> = all.difference(&run).copied().collect();
    assert!(program.is_subset(&all) && others.is_subset(&program), "docs/man/clockgate.8: {program:?}");
    assert_eq!(listed_codes("| 5, 6 | x |\n.It 7\n.It 8 , 9\n| x | 10 |\n"), BTreeSet::from([5, 6, 7, 8, 9]));
}

//! What a reader meets: links and paths that lead somewhere, pages that say what they are for, and examples that work.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

mod commands;
mod examples;
mod exempt;
mod facts;
mod names;
mod promises;
mod sentences;
mod stage;
#[path = "../support/mod.rs"]
mod support;
#[path = "../support/web.rs"]
mod web;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// The most lines of the README.
const README: usize = 120;
/// Folders of the tree by which a path in a text begins.
const FOLDERS: &[&str] = &["benches/", "docs/", "examples/", "fuzz/", "hooks/", "packaging/", "src/", "tests/"];
/// Texts that no reader of the project has, by the words with which they would be cited.
const ELSEWHERE: &[&str] = &["DESIGN", "the design, section", "the brief", "issue \""];
/// Where a path leads that a decision record may name: folders of every Linux, and cgroups of engines.
const ROOTS: &[&str] = &["dev", "docker", "etc", "libpod_parent", "lxc", "proc", "run", "sys", "usr", "var"];

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(page: &str) -> String {
    fs::read_to_string(root().join(page)).unwrap()
}

/// The pages of Markdown in a folder, by their paths from the root.
fn pages(folder: &str) -> Vec<String> {
    let named = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().file_name());
    let mut pages: Vec<String> = named
        .map(|name| name.into_string().unwrap())
        .filter(|name| Path::new(name).extension().is_some_and(|ending| ending == "md"))
        .map(|name| format!("{folder}/{name}").trim_start_matches("./").to_owned())
        .collect();
    pages.sort();
    pages
}

fn all_pages() -> Vec<String> {
    [".", "docs", "docs/decisions"].into_iter().flat_map(pages).collect()
}

fn too_long(readme: &str) -> bool {
    readme.lines().count() >= README
}

/// The targets of the links in `text`, without the parts of pages.
fn links(text: &str) -> Vec<&str> {
    let targets = text.split("](").skip(1).filter_map(|rest| rest.split(')').next());
    targets.filter_map(|target| target.split('#').next()).filter(|target| !target.is_empty()).collect()
}

/// The relative links of a page that lead nowhere.
fn broken_links<'a>(page: &str, text: &'a str) -> Vec<&'a str> {
    let folder: PathBuf = root().join(page).parent().unwrap().to_owned();
    let is_relative = |target: &&str| !target.contains("://") && !target.starts_with("mailto:");
    links(text).into_iter().filter(is_relative).filter(|target| !folder.join(target).exists()).collect()
}

/// The paths below a folder of the tree, between backquotes, that are not in the tree.
fn missing_paths(text: &str) -> Vec<&str> {
    let quoted = text.split('`').skip(1).step_by(2);
    let is_path = |word: &&str| {
        FOLDERS.iter().any(|folder| word.starts_with(folder)) && !word.contains([' ', '*', '{', 'N', '<', '\n'])
    };
    quoted.filter(is_path).filter(|path| !root().join(path).exists()).collect()
}

/// The first paragraph below the title says what the page is for.
fn opens_with_its_purpose(text: &str) -> bool {
    let mut lines = text.lines();
    let is_title = lines.next().is_some_and(|line| line.starts_with("# "));
    is_title && lines.next() == Some("") && lines.next().is_some_and(|line| line.starts_with("This page "))
}

fn not_in_the_index<'a>(pages: &'a [String], index: &str) -> Vec<&'a String> {
    let listed: BTreeSet<&str> = links(index).into_iter().collect();
    pages.iter().filter(|page| !listed.contains(page.trim_start_matches("docs/"))).collect()
}

/// What a text cites that is neither in the project nor on every Linux: by name, by an absolute path, or as a page that is not here.
fn cites_elsewhere(text: &str) -> Vec<&str> {
    let named = ELSEWHERE.iter().copied().filter(|word| text.contains(word));
    let words = text.split(|c: char| c.is_whitespace() || "`()[],;:*|\"".contains(c)).filter(|word| word.contains('/'));
    let is_elsewhere = |word: &&str| match word.strip_prefix('/') {
        Some(path) => {
            path.starts_with(|c: char| c.is_ascii_alphanumeric()) && {
                let first = path.split('/').next().unwrap_or_default();
                !ROOTS.contains(&first)
            }
        }
        None => {
            let page = word.trim_end_matches('.').split('#').next().unwrap_or_default();
            let found = ["", "docs", "docs/decisions"].iter().any(|folder| root().join(folder).join(page).exists());
            page.ends_with(".md") && !page.contains("//") && !found
        }
    };
    named.chain(words.filter(is_elsewhere)).collect()
}

#[test]
fn the_readme_is_short() {
    assert!(!too_long(&read("README.md")));
    assert!(too_long(&"a line\n".repeat(README)), "the mutant");
}

#[test]
fn every_relative_link_leads_to_a_file() {
    for page in all_pages() {
        let text = read(&page);
        assert_eq!(broken_links(&page, &text), Vec::<&str>::new(), "{page}");
    }
    let mutant = "[a](states.md), [b](nowhere.md#part), [c](https://example.net/nowhere.md), [d](#part)";
    assert_eq!(broken_links("docs/README.md", mutant), ["nowhere.md"]);
}

#[test]
fn every_path_that_a_page_names_is_in_the_tree() {
    for page in all_pages().iter().filter(|page| page.as_str() != "CHANGELOG.md") {
        assert_eq!(missing_paths(&read(page)), Vec::<&str>::new(), "{page}");
    }
    assert_eq!(missing_paths("`src/nowhere.rs` and `src/main.rs`, `tests/words/`, `target/lab`"), ["src/nowhere.rs"]);
}

#[test]
fn every_page_opens_with_what_it_is_for() {
    let silent: Vec<String> = pages("docs").into_iter().filter(|page| !opens_with_its_purpose(&read(page))).collect();
    assert_eq!(silent, Vec::<String>::new());
    assert!(!opens_with_its_purpose("# A title\n\n## A heading\n\nThis page is for readers.\n"), "a mutant");
    assert!(!opens_with_its_purpose("# A title\n\nThe clock is right.\n"), "a mutant");
}

#[test]
fn every_page_is_in_the_index() {
    let pages: Vec<String> = pages("docs").into_iter().filter(|page| page != "docs/README.md").collect();
    assert!(pages.len() > 10, "{pages:?}");
    assert_eq!(not_in_the_index(&pages, &read("docs/README.md")), Vec::<&String>::new());
    assert_eq!(not_in_the_index(&pages, &read("docs/README.md").replace("(states.md)", "()")), ["docs/states.md"]);
}

#[test]
fn decision_records_cite_nothing_that_is_not_in_the_project() {
    for page in pages("docs/decisions") {
        assert_eq!(cites_elsewhere(&read(&page)), Vec::<&str>::new(), "{page}");
    }
    let mutant =
        "as DESIGN 3 has it, notes/field.md, `/home/me/plan` and [x](../nowhere.md); /proc/stat, docs/states.md";
    assert_eq!(cites_elsewhere(mutant), ["DESIGN", "notes/field.md", "/home/me/plan", "../nowhere.md"]);
}

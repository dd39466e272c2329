//! A promise names the test that shows it, and that test is there.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use super::{all_pages, read, root};

/// The page with a table of promises, and the heading of that table.
const PROMISES: (&str, &str) = ("docs/threat-model.md", "## Tests of these promises\n");

/// What a page names between backquotes as a test: a sentence of four words and more, or a case by its number.
fn named_tests(text: &str) -> Vec<&str> {
    let letters =
        |word: &str, joint: char| word.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == joint);
    let is_sentence = |word: &&str| letters(word, '_') && word.matches('_').count() > 2;
    let is_case = |word: &&str| {
        letters(word, '-') && word.matches('-').count() > 1 && word.starts_with(|c: char| c.is_ascii_digit())
    };
    text.split('`').skip(1).step_by(2).filter(|word| is_sentence(word) || is_case(word)).collect()
}

/// The names of functions and what stands between quotation marks in every Rust file below a folder.
fn names(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            names(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "rs")
            && !["promises.rs", "sentences.rs"].iter().any(|own| path.ends_with(own))
        {
            let text = fs::read_to_string(&path).unwrap();
            let functions = text.split("fn ").skip(1).filter_map(|rest| rest.split(['(', '<']).next());
            found.extend(functions.chain(text.split('"')).filter(|name| name.contains('_')).map(str::to_owned));
        }
    }
}

pub fn tests() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    ["src", "tests", "crates"].iter().for_each(|folder| names(&root().join(folder), &mut found));
    let cases = fs::read_dir(root().join("tests/cases")).unwrap();
    found.extend(cases.map(|case| case.unwrap().file_name().into_string().unwrap()));
    found
}

/// The rows of the table of promises that name no test.
fn unshown<'a>(page: &'a str, heading: &str) -> Vec<&'a str> {
    let table = page.split(heading).nth(1).and_then(|rest| rest.split("\n## ").next()).unwrap_or_default();
    let rows = table.lines().filter(|line| line.starts_with("| ")).skip(1);
    rows.filter(|row| named_tests(row).is_empty()).collect()
}

#[test]
fn every_test_that_a_page_names_is_there() {
    let tests = tests();
    for page in all_pages().iter().filter(|page| page.as_str() != "CHANGELOG.md") {
        let text = read(page);
        let missing: Vec<&str> = named_tests(&text).into_iter().filter(|name| !tests.contains(*name)).collect();
        assert_eq!(missing, Vec::<&str>::new(), "{page}");
    }
    let mutant =
        "`every_test_that_a_page_names_is_there`, `a_test_that_is_not_there`, `99-no-such-case`, `real_minus_boot`";
    assert_eq!(named_tests(mutant).len(), 3);
    assert!(!tests.contains("a_test_that_is_not_there") && !tests.contains("99-no-such-case"));
    assert!(tests.contains("unsafe_stands_in_sys_alone") && tests.contains("14-frozen-for-too-long"));
}

#[test]
fn every_promise_of_the_threat_model_names_a_test() {
    let (page, heading) = (read(PROMISES.0), PROMISES.1);
    assert!(page.split(heading).nth(1).is_some_and(|table| table.matches("\n| ").count() > 10));
    assert_eq!(unshown(&page, heading), Vec::<&str>::new());
    let mutant = format!(
        "{heading}\n| promise | test |\n|---|---|\n| It is right | `a_test_of_that_is_here` |\n| So is this | |\n"
    );
    assert_eq!(unshown(&mutant, heading), ["| So is this | |"]);
}

//! Each sentence of the pages on security is shown by a test, or says that it is none that could be.

use super::promises::tests;
use super::read;

/// Which sentence is shown by what.
const SHOWN: &str = "tests/pages/sentences.txt";
const PAGES: [&str; 2] = ["SECURITY.md", "docs/threat-model.md"];
/// In the place of tests.
const NO_PROMISE: [&str; 2] = ["explains", "admits"];
/// What has a check of its own.
const TABLE: &str = "## Tests of these promises\n";

/// The sentences of a page, a row of a table as one.
fn sentences(page: &str) -> Vec<String> {
    let mut blocks = vec![String::new()];
    for line in page.lines() {
        let begins = line.starts_with(['|', '#']) || line.starts_with("- ") || line.is_empty();
        if begins || blocks.last().is_some_and(|block| block.starts_with('|')) {
            blocks.push(String::new());
        }
        if let Some(block) = blocks.last_mut() {
            block.push_str(line.trim_start_matches("- ").trim());
            block.push(' ');
        }
    }
    let is_text = |block: &&str| !block.is_empty() && !block.starts_with('#') && !block.starts_with("|---");
    blocks.iter().map(|block| block.trim()).filter(is_text).flat_map(split).collect()
}

fn split(block: &str) -> Vec<String> {
    if block.starts_with('|') {
        return vec![block.to_owned()];
    }
    let (mut found, mut from) = (vec![], 0);
    for (at, _) in block.match_indices(". ") {
        // A heading within a paragraph belongs to its first sentence, and `e.g.` to the one that goes on in small letters.
        let next = block[at + 2..].chars().next();
        if next.is_some_and(|next| {
            next.is_uppercase() || matches!(next, '`' | '[' | '*') || block[at + 2..].starts_with("chronyd ")
        }) {
            found.push(block[from..=at].to_owned());
            from = at + 2;
        }
    }
    found.push(block[from..].to_owned());
    found
}

/// The first words of a sentence, and what shows it.
fn shown<'a>(list: &'a str, page: &str) -> Vec<(&'a str, Vec<&'a str>)> {
    let part = list.split(&format!("\n{page}\n")).nth(1).and_then(|rest| rest.split("\n\n").next()).unwrap_or_default();
    part.lines().filter_map(|line| line.split_once(" = ")).map(|(begin, by)| (begin, by.split(' ').collect())).collect()
}

/// Sentences that nothing shows, entries that belong to no sentence, and tests that are not there.
fn faults(page: &str, entries: &[(&str, Vec<&str>)], is_test: impl Fn(&str) -> bool) -> Vec<String> {
    let sentences = sentences(page);
    let of = |sentence: &str| entries.iter().filter(|(begin, _)| sentence.starts_with(begin)).count();
    let bare = sentences.iter().filter(|sentence| of(sentence) == 0).map(|sentence| format!("not shown: {sentence}"));
    let ambiguous = entries.iter().filter(|(begin, _)| sentences.iter().filter(|s| s.starts_with(begin)).count() != 1);
    let ambiguous = ambiguous.map(|(begin, _)| format!("begins not one sentence: {begin}"));
    let is_word = |by: &[&str]| by.iter().all(|word| NO_PROMISE.contains(word)) && by.len() == 1;
    let unknown = entries.iter().filter(|(_, by)| !is_word(by)).flat_map(|(_, by)| by);
    let unknown = unknown.filter(|name| !is_test(name)).map(|name| format!("no such test: {name}"));
    bare.chain(ambiguous).chain(unknown).collect()
}

#[test]
fn every_sentence_on_security_is_shown_by_a_test_or_promises_nothing() {
    let (list, tests) = (read(SHOWN), tests());
    for page in PAGES {
        let text = read(page);
        let (before, rest) = text.split_once(TABLE).unwrap_or((&text, "\n## "));
        let text = format!("{before}\n## {}", rest.split_once("\n## ").map_or("", |(_, after)| after));
        let found = faults(&text, &shown(&list, page), |name| tests.contains(name));
        assert_eq!(found, [""; 0], "{page}, by {SHOWN}");
    }
}

#[test]
fn a_sentence_that_nothing_shows_and_a_test_that_is_gone_are_found() {
    let page = "# Title\n\nIt is right. So is\nthat. **Word.** It holds e.g. here.\n\n| a | b |\n|---|---|\n| c | d |\n- An item. Two\n";
    let all = sentences(page);
    assert_eq!(
        all,
        ["It is right.", "So is that.", "**Word.** It holds e.g. here.", "| a | b |", "| c | d |", "An item.", "Two"]
    );
    let entries = [
        ("It is", vec!["a_test_of_it"]),
        ("So", vec!["admits"]),
        ("**", vec!["gone"]),
        ("|", vec!["explains"]),
        ("x", vec!["explains"]),
    ];
    let found = faults(page, &entries, |name| name == "a_test_of_it");
    let wanted = [
        "not shown: An item.",
        "not shown: Two",
        "begins not one sentence: |",
        "begins not one sentence: x",
        "no such test: gone",
    ];
    assert_eq!(found, wanted);
}

//! The words of every text for people: README, docs, manual pages, help, comments of the configuration, log lines, errors, and the
//! comments of the source.
//!
//! `refused` has the phrases that are not written, with better ones; `docs/glossary.md` has the terms of our own.
#![allow(clippy::unwrap_used, reason = "a test that cannot read its own files has failed")]

mod texts;
#[path = "../support/verbs.rs"]
mod verbs;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use texts::{Kind, Text};

/// The most words of a sentence.
const LONGEST: usize = 35;
/// The most words of a sentence on average.
const AVERAGE: usize = 18;

/// The words of ours that a person who knows chrony.conf(5), systemd and Docker has not read there.
const TERMS: &[&str] = &[
    "accept",
    "anchor",
    "as_of",
    "bound",
    "carrier",
    "dead reckoning",
    "disruption",
    "epoch",
    "exempt",
    "floor",
    "foreign step",
    "freeze",
    "gate",
    "gate page",
    "guard",
    "hold",
    "ledger",
    "notify",
    "offset",
    "proof",
    "reading",
    "reference",
    "root distance",
    "slew",
    "step",
    "supported proof",
    "threshold",
    "voice",
    "waiter",
    "wave",
    "witness",
];

/// How often a text breaks a rule.
type Breaches = BTreeMap<(String, String), usize>;

fn here() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/words")
}

/// Lower case, with one blank between words and at both ends.
fn plain(paragraph: &str) -> String {
    let letters = paragraph.to_lowercase().replace(|c: char| !c.is_alphanumeric() && c != '\'' && c != '_', " ");
    format!(" {} ", letters.split_whitespace().collect::<Vec<_>>().join(" "))
}

fn refused() -> Vec<String> {
    let text = fs::read_to_string(here().join("refused")).unwrap();
    let lines = text.lines().filter(|line| !line.starts_with('#') && !line.is_empty());
    lines.map(|line| plain(line.split(" | ").next().unwrap())).collect()
}

fn phrases(texts: &[Text], refused: &[String], breaches: &mut Breaches) {
    for text in texts {
        let paragraphs: Vec<String> = text.paragraphs.iter().map(|paragraph| plain(paragraph)).collect();
        for phrase in refused {
            let times: usize = paragraphs.iter().map(|paragraph| paragraph.matches(phrase.as_str()).count()).sum();
            if times > 0 {
                breaches.insert((text.name.clone(), format!("\"{}\"", phrase.trim())), times);
            }
        }
    }
}

/// Code in backticks as one word, and so are names that follow one another in a list.
fn without_code(paragraph: &str) -> String {
    let parts = paragraph.split('`').enumerate();
    let names = parts.filter(|(i, part)| i % 2 == 1 || part.trim() != ",");
    names.map(|(i, part)| if i % 2 == 0 { part.to_owned() } else { "code".to_owned() }).collect()
}

/// Sentences; what is shorter than three words is a label. In prose a semicolon ends one too, and in a
/// message a colon as well: `cannot X: cause; what to do`.
fn sentences(text: &Text) -> Vec<String> {
    let ends: &[&str] = match text.kind {
        Kind::Reference | Kind::Comment => &[". ", "? ", "! "],
        Kind::Prose => &[". ", "? ", "! ", "; "],
        Kind::Message => &[". ", "? ", "! ", "; ", ": "],
    };
    let split = |paragraph: &String| {
        let marked = ends.iter().fold(without_code(paragraph), |text, end| text.replace(end, "\n"));
        marked.lines().map(str::to_owned).collect::<Vec<_>>()
    };
    text.paragraphs.iter().flat_map(split).filter(|sentence| words(sentence) > 2).collect()
}

fn words(sentence: &str) -> usize {
    sentence.split_whitespace().count()
}

fn lengths(texts: &[Text], breaches: &mut Breaches) {
    for text in texts.iter().filter(|text| text.kind != Kind::Comment) {
        let all = sentences(text);
        for long in all.iter().filter(|sentence| words(sentence) > LONGEST) {
            let start: Vec<&str> = long.split_whitespace().take(8).collect();
            let rule = format!("words, over {LONGEST}, in \"{} ...\"", start.join(" "));
            breaches.insert((text.name.clone(), rule), words(long));
        }
        let average = all.iter().map(|sentence| words(sentence)).sum::<usize>() / all.len().max(1);
        if average > AVERAGE {
            breaches.insert((text.name.clone(), format!("words a sentence on average, over {AVERAGE}")), average);
        }
    }
}

fn glossary(texts: &[Text], explained: &str, breaches: &mut Breaches) {
    for term in TERMS {
        let is_used = |text: &&Text| text.paragraphs.iter().any(|paragraph| plain(paragraph).contains(&plain(term)));
        let is_explained = explained.lines().any(|line| line.to_lowercase().starts_with(&format!("**{term}**")));
        if let (Some(text), false) =
            (texts.iter().filter(|text| !matches!(text.kind, Kind::Prose | Kind::Comment)).find(is_used), is_explained)
        {
            breaches.insert((text.name.clone(), format!("`{term}` is not in docs/glossary.md")), 1);
        }
    }
}

fn breaches() -> Breaches {
    let texts = texts::all();
    let mut breaches = Breaches::new();
    phrases(&texts, &refused(), &mut breaches);
    lengths(&texts, &mut breaches);
    let explained = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/glossary.md")).unwrap();
    glossary(&texts, &explained, &mut breaches);
    breaches
}

#[test]
fn no_text_breaks_a_rule() {
    let found: Vec<String> =
        breaches().iter().map(|((name, rule), times)| format!("{name}: {rule}: {times}")).collect();
    assert!(found.is_empty(), "write it plainly (tests/words/refused has better words):\n{}", found.join("\n"));
}

fn text(paragraph: &str) -> Vec<Text> {
    of(Kind::Reference, paragraph)
}

fn of(kind: Kind, paragraph: &str) -> Vec<Text> {
    vec![Text { name: "a".to_owned(), kind, paragraphs: vec![paragraph.to_owned()] }]
}

#[test]
fn a_refused_phrase_is_found_in_any_case_and_across_marks_and_not_inside_a_word() {
    let count = |paragraph: &str| {
        let mut breaches = Breaches::new();
        phrases(&text(paragraph), &refused(), &mut breaches);
        breaches.values().sum::<usize>()
    };
    assert_eq!(count("Whoever waits, is *let go*; they were told."), 3);
    assert_eq!(count("It is retold that a stool does not matter."), 0);
}

#[test]
fn a_long_sentence_and_a_long_average_are_found() {
    let count = |paragraph: &str| {
        let mut breaches = Breaches::new();
        lengths(&text(paragraph), &mut breaches);
        breaches.len()
    };
    assert_eq!(count(&"word ".repeat(36)), 2);
    assert_eq!(count(&"word ".repeat(35)), 1, "the average");
    assert_eq!(count(&"A sentence of six words only. ".repeat(9)), 0);

    let kinds = [Kind::Reference, Kind::Message, Kind::Prose, Kind::Comment];
    let count = |paragraph: &str| {
        kinds.map(|kind| {
            let mut breaches = Breaches::new();
            lengths(&of(kind, paragraph), &mut breaches);
            breaches.len()
        })
    };
    assert_eq!(count(&"a cause of four words: ".repeat(9)), [2, 0, 2, 0], "a colon ends a sentence of a message alone");
    assert_eq!(count(&"a clause of four words; ".repeat(9)), [2, 0, 0, 0], "a semicolon one of prose too");
    assert_eq!(count(&format!("The line `{}` is a word.", "word ".repeat(36))), [0; 4], "code is one word");
    assert_eq!(count(&format!("The names are {}`b`.", "`a`, ".repeat(36))), [0; 4], "a list of names is one word");
}

#[test]
fn a_refused_phrase_is_found_in_each_form_of_comment_and_not_in_code() {
    let found = |source: &str| {
        let text = Text { name: "a".to_owned(), kind: Kind::Comment, paragraphs: texts::comments(source) };
        let mut breaches = Breaches::new();
        phrases(&[text], &refused(), &mut breaches);
        breaches.values().sum::<usize>()
    };
    for source in
        ["//! Whoever waits.", "    /// Whoever waits.", "f(); // Whoever waits.", "// They let\n    // go of it."]
    {
        assert_eq!(found(source), 1, "{source}");
    }
    assert_eq!(found("let told = \"whoever\";\nlet url = \"http://whoever\";\n// It let\n\n// Go is a language."), 0);
}

#[test]
fn a_term_without_an_entry_is_found() {
    let count = |explained: &str| {
        let mut breaches = Breaches::new();
        glossary(&text("The gate has an epoch."), explained, &mut breaches);
        breaches.len()
    };
    assert_eq!((count(""), count("**gate** is\n"), count("**gate** is\n\n**epoch** is\n")), (2, 1, 0));
}

/// The terms that have an entry.
fn entries(explained: &str) -> Vec<String> {
    let term = |line: &str| Some(line.strip_prefix("**")?.split_once("**")?.0.to_lowercase());
    explained.lines().filter_map(term).collect()
}

#[test]
fn the_glossary_has_these_terms_and_no_others_in_their_order() {
    let explained = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/glossary.md")).unwrap();
    assert_eq!(entries(&explained), TERMS);
    assert_eq!(entries("**gate** is\n\n**Gate page** is\nno **epoch**\n"), ["gate", "gate page"]);
}

#[test]
fn every_kind_of_text_is_read() {
    let texts = texts::all();
    let daemons = texts.iter().find(|text| text.name == "docs/daemons.md").unwrap();
    assert!(daemons.paragraphs.iter().any(|cell| cell == "its command socket"), "the cells of tables");
    let sync = texts.iter().find(|text| text.name == "clockgate sync --help").unwrap();
    let option =
        "Set the clock by dead reckoning from the last proof in this boot, if no reference answers; no proof (root)";
    assert!(sync.paragraphs.iter().any(|line| line == option), "lines that go on: {sync:#?}");
    for name in [
        "README.md",
        "SECURITY.md",
        "docs/threat-model.md",
        "docs/decisions/0001",
        "docs/man/clockgate.8",
        "clockgate --help",
        "clockgate sync --help",
        "clockgate hooks install --help",
        "clockgate config sample",
        "src/agent",
        "comments of src/agent/mod.rs",
        "comments of src/decision/agreement/tests.rs",
        "comments of crates/clockgate-page/src/page.rs",
    ] {
        let found = texts.iter().find(|text| text.name.starts_with(name));
        assert!(found.is_some_and(|text| !text.paragraphs.is_empty()), "{name}");
    }
}

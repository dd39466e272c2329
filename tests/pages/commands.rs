//! Command lines, options and keys that texts for people have: each is one that the program takes.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::Path;
use std::process::Command;

use clockgate::config::keys::KEYS;

use super::{all_pages, read, root, support};

/// Options of engines and of other programs, in the pages that name them alone.
const OF_OTHERS: &[&str] = &[
    "add-runtime",
    "config",
    "config-dir",
    "config-file",
    "data-root",
    "default-runtime",
    "hooks-dir",
    "kubeconfig",
    "ca-file",
    "node",
    "network",
    "pid",
    "runc-binary",
    "runtime",
    "runtimes",
    "server",
    "version",
    "socket",
    "token-file",
    "uidmap",
];
/// Manual pages that mark keys of the configuration, and what else they mark so.
const MARKED: &[&str] = &["clockgate.8", "clockgate-run.1", "clockgate.yaml.5"];
const DIRECTIVES: &[&str] = &["ExecStartPre=", "ExecStopPost="];

/// Every verb of the program, with its options.
type Verbs = BTreeMap<String, BTreeSet<String>>;

fn help(verb: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_clockgate")).args(verb).arg("--help").output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The letters of an option's name at the beginning of a text.
fn name(text: &str) -> String {
    text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect()
}

fn verbs() -> Verbs {
    fn below(verb: &[&str], found: &mut Verbs) {
        let help = help(verb);
        let options = help.lines().map(str::trim_start).filter(|line| line.starts_with('-'));
        let options = options.filter_map(|line| line.split("--").nth(1).map(name)).collect();
        found.insert(verb.join(" "), options);
        support::verbs::below(verb).iter().for_each(|next| below(&[verb, &[next]].concat(), found));
    }
    let mut found = Verbs::new();
    below(&[], &mut found);
    assert!(found.len() > 15, "{:?}", found.keys());
    found
}

/// What is wrong with the rest of a command line that begins with `clockgate`: a verb or an option that is not there.
fn unknown(rest: &str, verbs: &Verbs) -> Vec<String> {
    let words: Vec<&str> = rest.split_whitespace().collect();
    let pair = words.iter().take(2).map(|word| name(word)).collect::<Vec<_>>().join(" ");
    let verb = if verbs.contains_key(&pair) { pair } else { words.first().map_or_else(String::new, |word| name(word)) };
    let Some(options) = verbs.get(&verb) else { return vec![verb] };
    let ends = |word: &str| word == "--" || word.starts_with(['|', ';', '#', '<', '>', '&']);
    let mut wrong = vec![];
    for word in words.into_iter().take_while(|word| !ends(word)) {
        let option = word.strip_prefix("--").map(name).filter(|option| !option.is_empty());
        wrong.extend(option.filter(|option| !options.contains(option)).map(|option| format!("{verb} --{option}")));
        if word.contains(['`', ';']) {
            break;
        }
    }
    wrong
}

/// What stands between backquotes on one line, or on two.
fn spans(text: &str) -> impl Iterator<Item = String> {
    text.split('`').skip(1).step_by(2).map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
}

/// The commands between backquotes whose verb or one of whose options is not there.
fn wrong_quotes(text: &str, verbs: &Verbs) -> Vec<String> {
    let quoted = spans(text).filter_map(|span| Some(span.strip_prefix("clockgate ")?.to_owned()));
    let quoted = quoted.filter(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()));
    quoted.flat_map(|rest| unknown(&rest, verbs)).collect()
}

/// The commands anywhere on a line one of whose options is not there.
fn wrong_lines(text: &str, verbs: &Verbs) -> Vec<String> {
    let rests = text.lines().flat_map(|line| line.split("clockgate ").skip(1));
    let commands = rests.filter(|rest| {
        let verb = name(rest);
        !verb.is_empty() && verbs.contains_key(&verb)
    });
    commands.flat_map(|rest| unknown(rest, verbs)).collect()
}

/// The options that a page names by themselves and that no verb has: between backquotes, or as mdoc(7) marks them.
fn wrong_options(text: &str, verbs: &Verbs) -> Vec<String> {
    let known: BTreeSet<&str> = verbs.values().flatten().map(String::as_str).chain(OF_OTHERS.iter().copied()).collect();
    let alone = spans(text).filter_map(|span| span.strip_prefix("--").map(name));
    let marked = text.split("Fl -").skip(1).map(name);
    alone.chain(marked).filter(|option| !option.is_empty() && !known.contains(option.as_str())).collect()
}

/// Whether the configuration has a key of that name, or a section.
fn is_key(name: &str) -> bool {
    KEYS.iter().any(|key| key.name == name || key.name.strip_prefix(name).is_some_and(|rest| rest.starts_with('.')))
}

/// The keys of sections that a page of Markdown names between backquotes and that are not there.
fn wrong_keys(text: &str) -> Vec<String> {
    let sections: BTreeSet<&str> =
        KEYS.iter().filter_map(|key| key.name.split_once('.')).map(|(name, _)| name).collect();
    let is_one = |span: &String| {
        let letters = span.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '.');
        let (section, key) = span.split_once('.').unwrap_or_default();
        letters && sections.contains(section) && !matches!(key, "conf" | "service")
    };
    spans(text).filter(is_one).filter(|span| !is_key(span)).collect()
}

/// The keys that a manual page marks so, and that are not there.
fn wrong_marks(manual: &str) -> Vec<&str> {
    let marked = manual.lines().filter_map(|line| line.strip_prefix(".Ic ").or_else(|| line.strip_prefix(".It Ic ")));
    let named = marked.filter_map(|line| line.split_whitespace().next());
    named.filter(|name| !is_key(name) && !DIRECTIVES.contains(name)).collect()
}

/// Every file below a folder of the tree, with its path from the root.
fn texts(folder: &str) -> Vec<(String, String)> {
    fn below(folder: &Path, found: &mut Vec<(String, String)>) {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                below(&path, found);
            } else if let Ok(text) = fs::read_to_string(&path) {
                found.push((path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(), text));
            }
        }
    }
    let mut found = vec![];
    below(&root().join(folder), &mut found);
    found
}

/// The pages of today, the manuals among them.
fn pages() -> Vec<(String, String)> {
    let markdown = all_pages().into_iter().filter(|page| page != "CHANGELOG.md");
    markdown.map(|page| (page.clone(), read(&page))).chain(texts("docs/man")).collect()
}

#[test]
fn every_command_that_a_text_names_has_that_verb_and_those_options() {
    let verbs = verbs();
    for (path, text) in pages() {
        assert_eq!(wrong_quotes(&text, &verbs), Vec::<String>::new(), "{path}");
    }
    for (path, text) in ["docs", "examples", "hooks", "packaging", "src"].into_iter().flat_map(texts) {
        assert_eq!(wrong_lines(&text, &verbs), Vec::<String>::new(), "{path}");
    }
    assert_eq!(wrong_lines(&read("README.md"), &verbs), Vec::<String>::new());
    assert_eq!(wrong_quotes("`clockgate fly`, `clockgate\nhooks list --al`", &verbs), ["fly", "hooks list --al"]);
    assert_eq!(wrong_quotes("`clockgate 1`, `clockgate run -- ls --all`", &verbs), Vec::<String>::new());
    let script = "clockgate run --max-weight 3s -- x --y | clockgate sync --all; a clockgate that is shut";
    assert_eq!(wrong_lines(script, &verbs), ["run --max-weight", "sync --all"]);
}

#[test]
fn every_verb_that_prints_has_json() {
    let verbs = verbs();
    let is_parent = |verb: &str| verbs.keys().any(|other| other.starts_with(&format!("{verb} ")));
    let silent: Vec<&String> =
        verbs.iter().filter(|(_, options)| !options.contains("json")).map(|(verb, _)| verb).collect();
    // The agent logs, help is for people, and what becomes an OCI runtime prints what that does.
    let silent: Vec<&str> = silent.into_iter().filter(|verb| !is_parent(verb)).map(String::as_str).collect();
    assert_eq!(silent, ["", "agent", "help", "oci"]);
}

#[test]
fn every_option_that_a_page_names_alone_is_one_of_some_verb() {
    let verbs = verbs();
    for (path, text) in pages() {
        assert_eq!(wrong_options(&text, &verbs), Vec::<String>::new(), "{path}");
    }
    assert_eq!(wrong_options("`--jason`, `--json`\n.Fl -rot Ar dir\n.Fl -root", &verbs), ["jason", "rot"]);
}

#[test]
fn every_key_that_a_page_names_is_one_of_the_configuration() {
    for (path, text) in pages() {
        assert_eq!(wrong_keys(&text), Vec::<String>::new(), "{path}");
        if MARKED.iter().any(|page| path == format!("docs/man/{page}")) {
            assert_eq!(wrong_marks(&text), Vec::<&str>::new(), "{path}");
        }
    }
    let table = read("docs/configuration.md");
    let table = table.split("## Decisions that are yours\n").nth(1).unwrap();
    let cells = table.lines().filter(|line| line.starts_with("| ")).skip(1).filter_map(|line| line.split(" | ").nth(1));
    let named: Vec<String> = cells.filter(|cell| !cell.contains("oci.conf")).flat_map(spans).collect();
    assert!(named.len() > 8, "{named:?}");
    assert_eq!(named.iter().filter(|name| !is_key(name)).collect::<Vec<_>>(), Vec::<&String>::new());
    assert_eq!(wrong_keys("`freeze.min`, `freeze.max`, `chrony.conf`, `a.b`"), ["freeze.min"]);
    assert_eq!(wrong_marks(".Ic freeze\n.It Ic freeze.min\n.Ic deadline ,\n"), ["freeze.min"]);
}

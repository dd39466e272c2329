//! Where the texts for people are, as paragraphs without their markup.

use std::fs;
use std::path::Path;
use std::process::Command;

use crate::verbs;

/// What a text is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// To be looked up in: help, manual pages, comments of the configuration.
    Reference,
    /// Errors and log lines.
    Message,
    /// To be read through.
    Prose,
    /// Comments of the source.
    Comment,
}

/// One text.
#[derive(Debug)]
pub struct Text {
    /// What the list of breaches calls it.
    pub name: String,
    pub kind: Kind,
    pub paragraphs: Vec<String>,
}

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// Every text.
pub fn all() -> Vec<Text> {
    let mut all = vec![];
    for file in ["README.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"] {
        all.push(markdown(file));
    }
    for file in ["docs", "docs/decisions"].into_iter().flat_map(|folder| files(folder, "md")) {
        all.push(markdown(&file));
    }
    for section in ["1", "5", "7", "8"] {
        for file in files("docs/man", section) {
            all.push(manual(&file));
        }
    }
    all.extend(help(&[]));
    let sample = program(&["config", "sample"]);
    let of_keys = sample.lines().filter_map(|line| line.trim_start().strip_prefix("# ")).collect::<Vec<_>>().join("\n");
    all.push(Text { name: "clockgate config sample".into(), kind: Kind::Reference, paragraphs: paragraphs(&of_keys) });
    for (name, source) in sources() {
        let code = source.split("#[cfg(test)]").next().unwrap_or_default();
        let said: Vec<String> = strings(code).into_iter().filter(|s| s.split_whitespace().count() > 2).collect();
        let is_said = name.starts_with("src/") || name.starts_with("crates/clockgate-run/src/");
        if is_said && !name.ends_with("tests.rs") && !said.is_empty() {
            all.push(Text { name: name.clone(), kind: Kind::Message, paragraphs: said });
        }
        all.push(Text { name: format!("comments of {name}"), kind: Kind::Comment, paragraphs: comments(&source) });
    }
    all
}

/// The files of a folder with this ending, sorted, by their paths.
fn files(folder: &str, ending: &str) -> Vec<String> {
    let entries = fs::read_dir(root().join(folder)).unwrap().map(|entry| entry.unwrap().path());
    let mut found: Vec<String> = entries
        .filter(|path| path.extension().is_some_and(|e| e == ending))
        .map(|path| format!("{folder}/{}", path.file_name().unwrap().to_string_lossy()))
        .collect();
    found.sort();
    found
}

fn paragraphs(text: &str) -> Vec<String> {
    text.split("\n\n").map(|p| p.split_whitespace().collect::<Vec<_>>().join(" ")).filter(|p| !p.is_empty()).collect()
}

/// Without code and drawings; each cell of a table is a paragraph.
fn markdown(file: &str) -> Text {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let mut is_code = false;
    let mut kept = String::new();
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            is_code = !is_code;
        } else if line.starts_with('|') && !is_code {
            kept.push_str(&line.replace('|', "\n\n"));
        } else if !is_code && !line.starts_with("    ") && !line.starts_with("<!--") {
            // An entry of a list is a paragraph of its own.
            kept.push_str(if line.trim_start().starts_with("- ") { "\n\n" } else { "\n" });
            kept.push_str(line);
        }
    }
    Text { name: file.to_owned(), kind: Kind::Prose, paragraphs: paragraphs(&kept) }
}

/// Without requests of mdoc(7); a line of text is kept, a request ends a paragraph where it begins an entry, and each line of a literal
/// display is one.
fn manual(file: &str) -> Text {
    let text = fs::read_to_string(root().join(file)).unwrap();
    let mut kept = String::new();
    let mut is_literal = false;
    for line in text.lines() {
        is_literal = line.starts_with(".Bd -literal") || is_literal && !line.starts_with(".Ed");
        if is_literal {
            kept.push_str(&format!("\n\n{line}"));
            continue;
        }
        let mut words = line.split(' ');
        match words.next() {
            Some(".Pp" | ".It" | ".Sh" | ".Ss" | ".Bl" | ".El" | ".Bd" | ".Ed" | ".Dl") => kept.push_str("\n\n"),
            Some(request) if request.starts_with('.') => {
                let rest =
                    words.filter(|w| w.len() > 2 || !w.starts_with(char::is_uppercase)).collect::<Vec<_>>().join(" ");
                kept.push_str(&format!("{rest}\n"));
            }
            _ => kept.push_str(&format!("{line}\n")),
        }
    }
    Text { name: file.to_owned(), kind: Kind::Reference, paragraphs: paragraphs(&kept) }
}

fn program(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_clockgate")).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

/// The help of these verbs, none for the program itself, and of all verbs below them.
fn help(verbs: &[&str]) -> Vec<Text> {
    let text = program(&[verbs, &["--help"]].concat());
    // An option and what it does are columns, three blanks apart; a line that is indented further goes on with the one above.
    let mut lines = String::new();
    for line in text.lines() {
        let words = line.trim_start();
        let goes_on = line.len() - words.len() >= 10 && !words.starts_with('-');
        lines.push_str(if goes_on { " " } else { "\n\n" });
        lines.push_str(words.rsplit("   ").next().unwrap_or_default());
    }
    let name = ["clockgate", verbs.join(" ").as_str(), "--help"].join(" ").replace("  ", " ");
    let mut found = vec![Text { name, kind: Kind::Reference, paragraphs: paragraphs(&lines) }];
    found.extend(verbs::below(verbs).iter().flat_map(|verb| help(&[verbs, &[verb]].concat())));
    found
}

/// The source files of the program and of its crates, sorted, with their text.
fn sources() -> Vec<(String, String)> {
    let mut found = vec![];
    let mut folders = vec![root().join("src")];
    folders.extend(["history", "page", "run"].map(|name| root().join("crates").join(format!("clockgate-{name}"))));
    while let Some(folder) = folders.pop() {
        for path in fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|ending| ending == "rs") {
                let name = path.strip_prefix(root()).unwrap().to_string_lossy().into_owned();
                found.push((name, fs::read_to_string(&path).unwrap()));
            }
        }
    }
    found.sort();
    found
}

/// The comments of a source file: lines of one kind that follow one another are a paragraph.
pub fn comments(source: &str) -> Vec<String> {
    let mut text = String::new();
    for line in source.lines() {
        let words = line.trim_start();
        match words.strip_prefix("//") {
            Some(rest) => text.push_str(rest.trim_start_matches(['/', '!'])),
            // A comment behind code has a blank on each side of its slashes; an address has none.
            None => {
                text.push_str(&words.split_once(" // ").map_or("\n".to_owned(), |(_, rest)| format!("\n\n{rest}\n")))
            }
        }
        text.push('\n');
    }
    paragraphs(&text)
}

/// The string literals outside of comments; a line that goes on is one.
fn strings(code: &str) -> Vec<String> {
    let code: String = code.lines().filter(|l| !l.trim_start().starts_with("//")).map(|l| format!("{l}\n")).collect();
    let mut found = vec![];
    let mut chars = code.chars().peekable();
    while let Some(c) = chars.next() {
        if c == '\'' {
            // A character, or a lifetime: neither has a quote of ours.
            if chars.peek() == Some(&'"') || chars.peek() == Some(&'\\') {
                chars.next();
                chars.next();
            }
            continue;
        }
        if c != '"' {
            continue;
        }
        let mut literal = String::new();
        while let Some(c) = chars.next() {
            match c {
                '"' => break,
                '\\' => match chars.next() {
                    Some('\n') => while chars.next_if(|c| c.is_whitespace()).is_some() {},
                    Some('n') => literal.push(' '),
                    Some(other) => literal.push(other),
                    None => break,
                },
                other => literal.push(other),
            }
        }
        found.push(without_values(&literal));
    }
    found
}

/// The names of what is put into a literal are not words of it.
fn without_values(literal: &str) -> String {
    let mut parts = literal.split('{');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        text.push_str("{}");
        text.push_str(part.split_once('}').map_or("", |(_, rest)| rest));
    }
    text
}

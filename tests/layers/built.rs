//! What is in things that are built: the wrapper by its symbols, the laboratory by its stamps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use libtest_mimic::Failed;

/// What the agent alone has need of, and what the wrapper has too: with that the test can find anything at all.
const AGENTS: [&str; 5] = ["tokio", "zbus", "clap_builder", "rustls", "tracing_subscriber"];
const WRAPPERS: &str = "serde_json";

/// The wrapper is in the way of every container: nothing of what the agent alone needs is linked into it.
pub fn wrapper() -> Result<(), Failed> {
    // A name is mangled with its length before it.
    let crates = AGENTS.into_iter().chain([WRAPPERS]);
    let symbols = AhoCorasick::new(crates.clone().map(|name| format!("N{}{name}", name.len())))?;
    let program = fs::read(env!("CARGO_BIN_EXE_clockgate-oci"))?;
    let found: BTreeSet<usize> = symbols.find_iter(&program).map(|found| found.pattern().as_usize()).collect();
    let found: Vec<&str> = found.into_iter().filter_map(|number| crates.clone().nth(number)).collect();
    if found == [WRAPPERS] {
        return Ok(());
    }
    Err(format!("expected {WRAPPERS} alone in clockgate-oci, of these crates, and found {found:?}").into())
}

/// A part of the laboratory is made anew where a file that goes into it changes.
pub fn laboratory() -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(folder.join("tests/setup"))?;
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    let (stamps, making): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.trim_start().starts_with("keep "));
    let words = making.iter().flat_map(|line| line.split([' ', '"', '$', '(', ')', '<', '>']));
    let files = words.filter(|word| word.starts_with("tests/") && folder.join(word).is_file());
    let (found, missing): (Vec<&str>, Vec<&str>) =
        files.partition(|file| stamps.iter().any(|stamp| stamp.contains(&format!("$(content {file})"))));
    if found.is_empty() || !missing.is_empty() {
        return Err(format!("in stamps: {found:?}; in none: {missing:?}").into());
    }
    Ok(())
}

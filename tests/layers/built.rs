//! What is in things that are built: the wrapper by its symbols, the laboratory by its stamps.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;

use aho_corasick::AhoCorasick;
use libtest_mimic::Failed;

use super::support::{packages, small};

/// What the agent alone has need of, and what the wrapper has too: with that the test can find anything at all.
const AGENTS: [&str; 5] = ["tokio", "zbus", "clap_builder", "rustls", "tracing_subscriber"];
const WRAPPERS: &str = "serde_json";

/// What reads a configuration.
const PARSERS: [&str; 4] = ["serde_saphyr", "toml_edit", "regex_lite", "httparse"];
/// What the small waiter has.
const WAITERS: &str = "clockgate_page";
/// By how much it may be larger than a program that does nothing, bytes.
const ROOM: u64 = 200 * 1024;

/// The wrapper is in the way of every container: nothing of what the agent alone needs is linked into it.
pub fn wrapper() -> Result<(), Failed> {
    has_only(WRAPPERS, &AGENTS, env!("CARGO_BIN_EXE_clockgate-oci").as_ref())
}

/// The gate of pods is asked before each of their containers, and has neither what the agent alone needs nor a parser.
pub fn gate_of_pods() -> Result<(), Failed> {
    has_only(WAITERS, &[&AGENTS[..], &PARSERS].concat(), env!("CARGO_BIN_EXE_clockgate-nri").as_ref())
}

/// No program names one that loads its libraries (elf(5), `PT_INTERP`), so it runs in an empty root and loads nothing of the host's.
pub fn loads_nothing() -> Result<(), Failed> {
    for program in
        [env!("CARGO_BIN_EXE_clockgate"), env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")]
    {
        let wanted = interpreter(&fs::read(program)?).ok_or_else(|| format!("{program} is no program of 64 bits"))?;
        if wanted {
            return Err(format!("{program} is loaded by another program").into());
        }
    }
    // Each shell of a distribution is.
    if interpreter(&fs::read("/bin/sh")?) == Some(true) { Ok(()) } else { Err("nothing is found in /bin/sh".into()) }
}

/// Whether a program names another one that loads it.
fn interpreter(elf: &[u8]) -> Option<bool> {
    const PT_INTERP: u64 = 3;
    let number = |at: usize, length: usize| -> Option<u64> {
        let mut bytes = [0; 8];
        bytes[..length].copy_from_slice(elf.get(at..at + length)?);
        Some(u64::from_le_bytes(bytes))
    };
    let is_64 = elf.starts_with(b"\x7fELF\x02\x01");
    let (first, size, count) = (number(32, 8)?, number(54, 2)?, number(56, 2)?);
    let kinds = (0..count).map(|n| number(usize::try_from(first + n * size).ok()?, 4));
    let kinds = kinds.collect::<Option<Vec<_>>>()?;
    is_64.then(|| kinds.contains(&PT_INTERP))
}

/// The small waiter goes into images.
pub fn small_waiter() -> Result<(), Failed> {
    let built = small::build(&["--bins"])?;
    let program = built.first().ok_or("cargo names no program")?;
    has_only(WAITERS, &[&AGENTS[..], &PARSERS, &["clap_lex", "rustls_native_certs"]].concat(), program)
}

/// Both by the release profile, in one run of cargo.
pub fn size() -> Result<(), Failed> {
    let built = small::build(&["--release", "--bins", "--examples"])?;
    let size = |name: &str| -> Result<u64, Failed> {
        let program = built.iter().find(|path| path.ends_with(name)).ok_or(format!("no {name} among {built:?}"))?;
        Ok(fs::metadata(program)?.len())
    };
    let (waiter, empty) = (size("clockgate-run")?, size("empty")?);
    if waiter <= empty + ROOM { Ok(()) } else { Err(format!("{waiter} bytes, and nothing is {empty}").into()) }
}

/// The publisher has a client of HTTP and TLS, and is small all the same.
pub fn size_of_the_publisher() -> Result<(), Failed> {
    let built = small::build_of("clockgate-kubernetes", &["--release", "--bins"])?;
    let size = fs::metadata(built.first().ok_or("cargo names no program")?)?.len();
    if size < packages::PUBLISHER_LIMIT {
        return Ok(());
    }
    Err(format!("{size} bytes, and it is to be smaller than {}", packages::PUBLISHER_LIMIT).into())
}

/// Of these crates only the wanted one is in a program, by its symbols.
fn has_only(wanted: &str, unwanted: &[&str], program: &Path) -> Result<(), Failed> {
    // A name is mangled with its length before it.
    let crates = unwanted.iter().copied().chain([wanted]);
    let symbols = AhoCorasick::new(crates.clone().map(|name| format!("N{}{name}", name.len())))?;
    let text = fs::read(program)?;
    let found: BTreeSet<usize> = symbols.find_iter(&text).map(|found| found.pattern().as_usize()).collect();
    let found: Vec<&str> = found.into_iter().filter_map(|number| crates.clone().nth(number)).collect();
    if found == [wanted] {
        return Ok(());
    }
    Err(format!("expected {wanted} alone in {}, of these crates, and found {found:?}", program.display()).into())
}

/// A part of the laboratory is made anew where a file that goes into it changes.
pub fn laboratory() -> Result<(), Failed> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR"));
    let script = fs::read_to_string(folder.join("tests/setup"))?;
    let lines = script.lines().filter(|line| !line.trim_start().starts_with('#'));
    let (stamps, making): (Vec<&str>, Vec<&str>) = lines.partition(|line| line.trim_start().starts_with("keep "));
    // What is downloaded is said with its size, for each of them.
    let names = stamps.iter().filter_map(|line| line.split_whitespace().nth(1)?.trim_matches('"').split('/').next());
    let unsaid: Vec<&str> = names.filter(|name| !script.contains(&format!("\n    \"{name}|"))).collect();
    if !unsaid.is_empty() {
        return Err(format!("without a size in `parts`: {unsaid:?}").into());
    }
    let words = making.iter().flat_map(|line| line.split([' ', '"', '$', '(', ')', '<', '>']));
    let files = words.filter(|word| word.starts_with("tests/") && folder.join(word).is_file());
    let (found, missing): (Vec<&str>, Vec<&str>) =
        files.partition(|file| stamps.iter().any(|stamp| stamp.contains(&format!("$(content {file})"))));
    if found.is_empty() || !missing.is_empty() {
        return Err(format!("in stamps: {found:?}; in none: {missing:?}").into());
    }
    Ok(())
}

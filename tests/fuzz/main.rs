//! The targets of `fuzz/` without libFuzzer: each check runs on inputs taken from the tests' own files, on those in `fuzz/corpus/TARGET`
//! and `fuzz/crashes/TARGET`, and on mutations of all of them.
//!
//! `CLOCKGATE_FUZZ_MUTATIONS` says how many, `CLOCKGATE_FUZZ_SEED` from which number they are drawn. `CLOCKGATE_FUZZ_SEEDS=FOLDER` writes
//! the inputs there instead, for `fuzz/run` to begin from.

#![allow(clippy::unwrap_used, clippy::panic, reason = "a test that cannot read its own files has failed")]

mod bus_seeds;
mod checks;
mod mutate;
mod seeds;

use std::fs;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::{Path, PathBuf};

use libtest_mimic::{Arguments, Failed, Trial};

use crate::checks::{Format, FuzzTarget, TARGETS};
use crate::mutate::Mutations;

/// As many as a debug build does in a few seconds.
const MUTATIONS: u64 = 200;

fn main() -> std::process::ExitCode {
    if let Some(folder) = std::env::var_os("CLOCKGATE_FUZZ_SEEDS") {
        TARGETS.iter().for_each(|target| write_seeds(target, Path::new(&folder)));
        return std::process::ExitCode::SUCCESS;
    }
    let trials = TARGETS.iter().map(|target| {
        let kind = match target.format {
            Format::Binary => "fixed fields",
            Format::Text => "words",
        };
        Trial::test(target.name, || replay(target)).with_kind(kind)
    });
    let others = [Trial::test("every_target_has_its_program_and_its_row_in_the_table", each_has_its_place)];
    libtest_mimic::run(&Arguments::from_args(), trials.chain(others).collect()).exit_code()
}

fn number(name: &str, usual: u64) -> u64 {
    std::env::var(name).ok().and_then(|number| number.parse().ok()).unwrap_or(usual)
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

/// Name and input, of the tests and of the folders.
fn inputs(target: &FuzzTarget) -> Vec<(String, Vec<u8>)> {
    let mut inputs = seeds::of(target.name);
    for folder in ["fuzz/corpus", "fuzz/crashes"] {
        let folder = root().join(folder).join(target.name);
        for entry in fs::read_dir(folder).into_iter().flatten() {
            let path = entry.unwrap().path();
            inputs.push((path.display().to_string(), fs::read(&path).unwrap()));
        }
    }
    inputs.sort();
    inputs
}

fn replay(target: &FuzzTarget) -> Result<(), Failed> {
    let inputs = inputs(target);
    if inputs.len() < 3 {
        return Err(format!("only {} inputs to begin from", inputs.len()).into());
    }
    for (name, input) in &inputs {
        holds(target, name, input)?;
    }
    let seed = number("CLOCKGATE_FUZZ_SEED", 1);
    let all: Vec<&[u8]> = inputs.iter().map(|(_, input)| input.as_slice()).collect();
    let mut mutations = Mutations::new(seed, &all);
    for count in 0..number("CLOCKGATE_FUZZ_MUTATIONS", MUTATIONS) {
        let input = mutations.draw();
        holds(target, &format!("mutation {count} of seed {seed}"), &input)?;
    }
    Ok(())
}

/// An input that breaks a check is written down, to be kept in `fuzz/crashes` with what mends it.
fn holds(target: &FuzzTarget, name: &str, input: &[u8]) -> Result<(), Failed> {
    catch_unwind(AssertUnwindSafe(|| (target.check)(input))).map_err(|_| {
        let folder = root().join("target/fuzz-crashes").join(target.name);
        let kept = folder.join(name.replace(['/', ' '], "-").trim_start_matches('-'));
        let _ = fs::create_dir_all(&folder).and_then(|()| fs::write(&kept, input));
        Failed::from(format!("{name}: {} (kept as {})", input.escape_ascii(), kept.display()))
    })
}

fn write_seeds(target: &FuzzTarget, folder: &Path) {
    let folder = folder.join(target.name);
    fs::create_dir_all(&folder).unwrap();
    for (number, (_, input)) in inputs(target).iter().enumerate() {
        fs::write(folder.join(format!("seed-{number:04}")), input).unwrap();
    }
}

fn each_has_its_place() -> Result<(), Failed> {
    let read = |file: &str| fs::read_to_string(root().join(file));
    let (manifest, page) = (read("fuzz/Cargo.toml")?, read("docs/testing.md")?);
    for FuzzTarget { name, .. } in &TARGETS {
        let program = read(&format!("fuzz/targets/{name}.rs"))?;
        if !program.contains(&format!("checks::{name}::check")) || !manifest.contains(&format!("\"{name}\"")) {
            return Err(format!("fuzz/ has no program for {name}").into());
        }
        if !page.contains(&format!("\n| `{name}` | ")) {
            return Err(format!("docs/testing.md has no row for {name}").into());
        }
    }
    let programs = fs::read_dir(root().join("fuzz/targets"))?.count();
    if programs == TARGETS.len() { Ok(()) } else { Err(format!("{programs} programs in fuzz/targets").into()) }
}

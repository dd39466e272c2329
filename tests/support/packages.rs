//! Packages as `make` makes them, of programs that cargo has built already.

use std::path::{Path, PathBuf};
use std::process::Command;

use super::outcome::{Outcome, expect, fail};
use super::process::CLOCKGATE;
use super::small;

/// A time for all that is packed: 1 October 2026.
pub const EPOCH: &str = "1790812800";

/// The publisher is smaller than this as it is released, bytes (docs/decisions/0030-the-publisher.md).
pub const PUBLISHER_LIMIT: u64 = 3_000_000;

/// Programs without symbols, as the release profile leaves them: `BINARY` of the Makefile, in `folder`.
pub fn strip(programs: &[PathBuf], folder: &Path) -> Outcome<PathBuf> {
    std::fs::create_dir_all(folder)?;
    for program in programs {
        run(Command::new("strip").arg("-o").arg(folder.join(program.file_name().unwrap_or_default())).arg(program))?;
    }
    Ok(folder.join("clockgate"))
}

/// What of `CLOCKGATE_CACHE/tools` is not there: without it, nothing can be packed.
pub fn missing() -> Option<String> {
    let home = std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache"));
    let cache = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from).or(home)?.join("clockgate");
    let tools = std::env::var_os("CLOCKGATE_CACHE").map_or(cache, PathBuf::from).join("tools");
    let has = |name: &str| {
        let kept = std::fs::read_dir(&tools).into_iter().flatten().flatten();
        kept.map(|entry| entry.path().join("bin").join(name)).any(|program| program.exists())
    };
    let absent = ["cargo-deb", "cargo-generate-rpm"].into_iter().find(|name| !has(name))?;
    Some(format!("{absent}: run tests/setup"))
}

/// Copies the source to `folder`, as a clone of the repository has it.
pub fn copy_source(folder: &Path) -> Outcome {
    std::fs::create_dir_all(folder)?;
    let script = "git ls-files -z -co --exclude-standard | tar --null --ignore-failed-read -T - -c | tar -x -C \"$1\"";
    let project = env!("CARGO_MANIFEST_DIR");
    run(Command::new("bash").args(["-o", "pipefail", "-c", script, "sh"]).arg(folder).current_dir(project))
}

/// Performs goals of the Makefile in a copy of the source; what they leave lies in `target/dist` below it.
pub fn make(source: &Path, variables: &[(&str, &str)], goals: &[&str]) -> Outcome<PathBuf> {
    let mut command = Command::new("make");
    command.args(["--no-print-directory", "--silent", "-C"]).arg(source).args(goals);
    command.env("SOURCE_DATE_EPOCH", EPOCH).env("CARGO_NET_OFFLINE", "true").envs(variables.iter().copied());
    // Flags of a make that called us are not for this one; nor is the folder that cargo builds us in.
    for name in ["MAKEFLAGS", "MAKELEVEL", "CARGO_TARGET_DIR", "RUSTFLAGS"] {
        command.env_remove(name);
    }
    run(&mut command)?;
    Ok(source.join("target/dist"))
}

/// Packages of the programs under test below `folder`, in these revisions, each with its goals of the Makefile; where they lie.
pub fn of_this_build(folder: &Path, revisions: &[(&str, &[&str])]) -> Outcome<PathBuf> {
    if let Some(missing) = missing() {
        return fail(missing);
    }
    let mut programs = small::build(&[])?;
    programs.extend(small::build_of("clockgate-kubernetes", &[])?);
    programs.extend(
        [CLOCKGATE, env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")].map(PathBuf::from),
    );
    let binary = strip(&programs, &folder.join("programs"))?;
    let source = folder.join("source");
    copy_source(&source)?;
    for (revision, goals) in revisions {
        let variables = [("BINARY", &*binary.to_string_lossy()), ("REVISION", *revision), ("FAST", "yes")];
        make(&source, &variables, goals)?;
    }
    Ok(source.join("target/dist"))
}

/// Runs a command that has to succeed.
pub fn run(command: &mut Command) -> Outcome {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    expect(output.status.success(), &output)
}

/// What a command that has to succeed prints.
pub fn said(command: &mut Command) -> Outcome<String> {
    let output = command.output().map_err(|error| format!("cannot run {command:?}: {error}"))?;
    expect(output.status.success(), &output)?;
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

//! How large the packages of this program are, as `make packages` makes them, and how long it takes from nothing to a gated container with
//! them. The tables go to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::path::{Path, PathBuf};
use std::process::ExitCode;

mod installation;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../../tests/uml/scenarios/night.rs"]
#[allow(dead_code, reason = "the scenarios do more to a guest")]
mod night;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
#[path = "../../tests/support/mod.rs"]
mod support;

use lab::world::World;
use report::Table;
use support::{CLOCKGATE, Outcome, laboratory, packages, small};

/// How the name of a package ends, what it is, and the command that makes it.
const PACKAGES: [(&str, &str, &str); 4] = [
    (".deb", "for Debian", "make deb"),
    (".rpm", "for Fedora, RHEL and SUSE", "make rpm"),
    ("-linux.tar.gz", "for any other", "make tarball"),
    (".oci.tar", "image with one file", "make image"),
];

fn main() -> ExitCode {
    if let Some(done) = lab::inside::perform_verb() {
        return done;
    }
    let missing = || lab::missing().or_else(|| laboratory::missing(&["inits", "hands"])).or_else(packages::missing);
    report_guest::run(missing(), measure)
}

fn measure() -> Outcome {
    let world = World::new()?;
    let folder = std::fs::canonicalize(world.run())?.join("packed");
    let mut programs = small::build(&["--release"])?;
    let ours = [CLOCKGATE, env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")];
    programs.extend(ours.map(PathBuf::from));
    let binary = packages::strip(&programs, &folder.join("programs"))?;
    let source = folder.join("source");
    packages::copy_source(&source)?;
    let dist = packages::make(&source, &[("BINARY", &*binary.to_string_lossy())], &["deb", "rpm", "tarball", "image"])?;
    sizes(&binary, &dist)?;
    installation::measure(&world, &dist, &binary)
}

fn sizes(binary: &Path, dist: &Path) -> Outcome {
    let mut table = Table::new(&["what", "bytes", "made by"]);
    for (name, what) in [("clockgate", "the program, unpacked"), ("clockgate-run", "the small waiter, unpacked")] {
        let size = std::fs::metadata(binary.with_file_name(name))?.len();
        table.row(&[&format!("`{name}`, {what}"), &size, &"`make build`"]);
    }
    for (end, what, command) in PACKAGES {
        let size = std::fs::metadata(package(dist, end)?)?.len();
        table.row(&[&format!("`{end}`, {what}"), &size, &format!("`{command}`")]);
    }
    table.write("sizes")
}

/// The package whose name ends so.
fn package(dist: &Path, end: &str) -> Outcome<PathBuf> {
    let mut found = std::fs::read_dir(dist)?.flatten().map(|entry| entry.path());
    let found = found.find(|path| path.to_string_lossy().ends_with(end));
    found.ok_or_else(|| format!("no package in {} ends in {end}", dist.display()).into())
}

//! How large the packages of this program are, as `make packages` makes them. The table goes to docs/performance.md.

use std::path::PathBuf;

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::Table;
use support::{CLOCKGATE, Outcome, packages, small};

/// How the name of a package ends, what it is, and the command that makes it.
const PACKAGES: [(&str, &str, &str); 4] = [
    (".deb", "for Debian", "make deb"),
    (".rpm", "for Fedora, RHEL and SUSE", "make rpm"),
    ("-linux.tar.gz", "for any other", "make tarball"),
    (".oci.tar", "image with one file", "make image"),
];

fn main() -> Outcome {
    if let Some(missing) = packages::missing() {
        return Err(missing.into());
    }
    let folder = tempfile::tempdir()?;
    let mut programs = small::build(&["--release"])?;
    let ours = [CLOCKGATE, env!("CARGO_BIN_EXE_clockgate-oci"), env!("CARGO_BIN_EXE_clockgate-nri")];
    programs.extend(ours.map(PathBuf::from));
    let binary = packages::strip(&programs, &folder.path().join("programs"))?;
    let source = folder.path().join("source");
    packages::copy_source(&source)?;
    let dist = packages::make(&source, &[("BINARY", &*binary.to_string_lossy())], &["packages"])?;
    let mut table = Table::new(&["what", "bytes", "made by"]);
    for (name, what) in [("clockgate", "the program, unpacked"), ("clockgate-run", "the small waiter, unpacked")] {
        let size = std::fs::metadata(binary.with_file_name(name))?.len();
        table.row(&[&format!("`{name}`, {what}"), &size, &"`make build`"]);
    }
    for (end, what, command) in PACKAGES {
        let found =
            std::fs::read_dir(&dist)?.flatten().find(|entry| entry.file_name().to_string_lossy().ends_with(end));
        let found = found.ok_or_else(|| format!("no package in {} ends in {end}", dist.display()))?;
        table.row(&[&format!("`{end}`, {what}"), &found.metadata()?.len(), &format!("`{command}`")]);
    }
    table.write("sizes")
}

//! The licences of all crates, which packages have to pass on.

use std::collections::BTreeSet;
use std::process::Command;

use super::support::{Outcome, ensure, packages};
use super::{package, twins};

pub fn all_crates() -> Outcome {
    let at = twins()?.folder.path().join("licences");
    packages::run(Command::new("dpkg-deb").arg("-x").arg(package(".deb")?).arg(&at))?;
    let text = packages::said(Command::new("zcat").arg(at.join("usr/share/doc/clockgate/licences.txt.gz")))?;
    let named: BTreeSet<&str> = text.lines().filter_map(|line| Some(line.split_once(": ")?.0)).collect();
    let crates = linked()?;
    let absent: Vec<_> = crates.iter().filter(|name| !named.contains(name.as_str())).collect();
    ensure(absent.is_empty(), format!("not in the licences: {absent:?}"))?;
    for needed in ["Permission is hereby granted, free of charge", "Apache License", "Community Data License Agreement"]
    {
        ensure(text.contains(needed), format!("the text has no {needed:?}"))?;
    }
    Ok(())
}

/// Name and version of each crate that cargo says is linked into the programs: neither what builds them nor what tests them.
pub fn linked() -> Outcome<BTreeSet<String>> {
    let mut tree = Command::new(env!("CARGO"));
    tree.args([
        "tree",
        "--offline",
        "--workspace",
        "--exclude",
        "clockgate-model",
        "--edges",
        "normal,no-proc-macro",
        "--prefix",
        "none",
    ]);
    let tree = packages::said(tree.args(["--format", "{p}"]).current_dir(env!("CARGO_MANIFEST_DIR")))?;
    let mut crates = BTreeSet::new();
    for line in tree.lines().filter(|line| !line.is_empty()) {
        let mut words = line.split(' ');
        let (Some(name), Some(version)) = (words.next(), words.next()) else { continue };
        crates.insert(format!("{name} {}", version.trim_start_matches('v')));
    }
    ensure(crates.len() > 50, format!("only {} crates", crates.len()))?;
    Ok(crates)
}

//! What the previous release installed into a host: known, and taken away; what a later one did is left alone.

use std::fs;
use std::path::Path;
use std::process::{Command, Output};

use super::files::{put_script, tree};
use super::kept;
use super::support::host::HostFolder;
use super::support::{CLOCKGATE, Outcome, ensure, expect, texts};

/// What a host with Docker has before anything is hooked.
pub const BEFORE: &str = "{\n  \"log-driver\": \"journald\"\n}\n";
/// Docker's configuration.
pub const DAEMON: &str = "etc/docker/daemon.json";
/// Where a target's record is kept.
pub const RECORD: &str = "var/lib/clockgate/hooks/docker.json";

/// A host with the programs that `hooks` looks for.
pub fn host() -> Outcome<HostFolder> {
    let host = HostFolder::new(&[(DAEMON, BEFORE)])?;
    for program in ["usr/lib/clockgate/clockgate-oci", "usr/bin/clockgate", "usr/bin/runc", "usr/sbin/dockerd"] {
        put_script(&host, program)?;
    }
    std::os::unix::fs::symlink("clockgate-oci", host.at("usr/lib/clockgate/clockgate-runc"))?;
    Ok(host)
}

/// `hooks` by a program, on that host.
pub fn hooks(program: &Path, arguments: &[&str], host: &HostFolder) -> Outcome<Output> {
    Ok(Command::new(program).arg("hooks").args(arguments).arg("--root").arg(host.path()).output()?)
}

fn ours(arguments: &[&str], host: &HostFolder) -> Outcome<Output> {
    hooks(Path::new(CLOCKGATE), arguments, host)
}

/// The host as the previous release left it.
fn hooked() -> Outcome<HostFolder> {
    let host = host()?;
    host.put(DAEMON, &fs::read_to_string(kept("daemon.json"))?)?;
    host.put(RECORD, &fs::read_to_string(kept("docker.json"))?)?;
    Ok(host)
}

pub fn previous() -> Outcome {
    let host = hooked()?;
    let list = ours(&["list"], &host)?;
    let line = texts(&list).0.lines().find(|line| line.starts_with("docker ")).unwrap_or_default().to_owned();
    expect(list.status.success() && line.contains("installed"), &list)?;
    let removed = ours(&["remove", "docker"], &host)?;
    expect(removed.status.success(), &removed)?;
    ensure(fs::read_to_string(host.at(DAEMON))? == BEFORE, "the file is not as it was before clockgate")?;
    ensure(!host.at(RECORD).exists(), "the record is there still")
}

pub fn later() -> Outcome {
    let host = hooked()?;
    // Another shape, too: nothing of it but the version is looked at.
    host.put(RECORD, "{\"version\": 2, \"edits\": [{\"in\": \"/etc/docker/daemon.json\"}]}\n")?;
    let before = tree(&host.at("etc"))?;
    for arguments in [&["remove", "docker"][..], &["install", "docker"]] {
        let output = ours(arguments, &host)?;
        let said = texts(&output).1;
        let words = "is a record of version 2, and this clockgate reads version 1";
        expect(!output.status.success() && said.contains(words), &output)?;
    }
    let list = ours(&["list"], &host)?;
    let (stdout, stderr) = texts(&list);
    expect(format!("{stdout}{stderr}").contains("is a record of version 2"), &list)?;
    ensure(tree(&host.at("etc"))? == before, "something was changed")
}

//! History, ledger and configuration of the previous release and of a later one.

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, Output, Stdio};

use clockgate::history::{FOLDER, HistoryFiles};
use serde_json::Value;

use super::kept;
use super::support::agent::CONFIG;
use super::support::host::HostFolder;
use super::support::{CLOCKGATE, Outcome, clockgate, ensure, expect, texts};

/// A verb of ours on a host that is a folder.
fn verb(arguments: &[&str], host: &HostFolder) -> Outcome<Output> {
    Ok(Command::new(CLOCKGATE).args(arguments).arg("--root").arg(host.path()).stdin(Stdio::null()).output()?)
}

pub fn history() -> Outcome {
    let text = fs::read_to_string(kept("events.jsonl"))?;
    let host = HostFolder::new(&[(&format!("{FOLDER}/events.jsonl"), &text)])?;
    let read = || -> Outcome<Value> {
        let output = verb(&["history", "--json"], &host)?;
        expect(output.status.success(), &output)?;
        Ok(serde_json::from_slice(&output.stdout)?)
    };
    let all = read()?;
    let records = all["records"].as_array().ok_or("no records")?;
    ensure(records.len() == text.lines().count() && all["skipped"] == 0, format!("{all:#}"))?;
    ensure(records.iter().all(|record| record["dated_by"] == "proof"), format!("{all:#}"))?;
    for (line, record) in text.lines().zip(records) {
        let line: Value = serde_json::from_str(line)?;
        for field in ["event", "epoch", "cause", "message", "boottime_ns", "offset_ns"] {
            ensure(line[field] == record[field], format!("{field} of {line} is {}", record[field]))?;
        }
    }
    let report = verb(&["report", "--json", "--since", "2020-01-01T00:00:00Z"], &host)?;
    expect(report.status.success(), &report)?;
    let report: Value = serde_json::from_slice(&report.stdout)?;
    ensure(report["skipped"] == 0, format!("{report:#}"))?;
    // Our own line behind them, and one of a later version, which is counted.
    let ours = text.lines().last().ok_or("no line")?;
    let later = ours.replacen("\"version\":1", "\"version\":2", 1);
    ensure(later != ours, "the last line has no version")?;
    let files = HistoryFiles::below(host.path());
    files.append(&format!("{ours}\n"), None)?;
    files.append(&format!("{later}\n"), None)?;
    let all = read()?;
    let count = all["records"].as_array().map(Vec::len);
    ensure((count, &all["skipped"]) == (Some(records.len() + 1), &1.into()), format!("{all:#}"))?;
    let said = texts(&verb(&["history"], &host)?).0;
    ensure(said.contains("1 line") && said.contains("later version"), said)
}

/// The boot that the ledger was kept in.
fn its_boot(text: &str) -> Outcome<String> {
    Ok(text.split_whitespace().nth(2).ok_or("no boot id")?.to_owned())
}

/// A host that is in that boot, with the ledger that was kept and this behind it.
fn host_of_the_ledger(more: &str) -> Outcome<HostFolder> {
    let text = fs::read_to_string(kept("ledger"))?;
    let boot = its_boot(&text)?;
    let host = HostFolder::new(&[
        ("run/clockgate/ledger", &(text + more)),
        ("proc/sys/kernel/random/boot_id", &boot),
        ("proc/self/mountinfo", "30 23 0:26 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n"),
        ("proc/self/cgroup", "0::/\n"),
        ("cgroup/cgroup.controllers", ""),
    ])?;
    Ok(host)
}

fn thaw(host: &HostFolder, more: &[&str]) -> Outcome<Output> {
    let mut command = clockgate();
    command.args(["thaw", "--root"]).arg(host.path()).arg("--cgroup").arg(host.at("cgroup")).args(more);
    Ok(command.stdin(Stdio::null()).output()?)
}

pub fn ledger() -> Outcome {
    let host = host_of_the_ledger("")?;
    let path = host.at("run/clockgate/ledger");
    let text = fs::read_to_string(&path)?;
    let cgroup = text.trim().splitn(7, ' ').last().ok_or("no cgroup")?;
    ensure(cgroup == "docker", cgroup)?;
    // Its cgroup is long gone: there is nothing to thaw, and the ledger is done.
    let output = thaw(&host, &["--json"])?;
    expect(output.status.success(), &output)?;
    let said: Value = serde_json::from_slice(&output.stdout)?;
    let read = said["gone"] == serde_json::json!([format!("/{cgroup}")]);
    ensure(read && said["damaged_lines"] == 0 && said["later_lines"] == 0, format!("{said}"))?;
    ensure(fs::metadata(&path)?.len() == 0, "it is tidied up")
}

pub fn later_ledger() -> Outcome {
    let boot = its_boot(&fs::read_to_string(kept("ledger"))?)?;
    let line = format!("freeze2 {boot} runc 1 2 3 docker/b");
    let sum = line
        .bytes()
        .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| (sum ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3));
    let host = host_of_the_ledger(&format!("\n{sum:016x} {line}\n"))?;
    let output = thaw(&host, &[])?;
    let (stdout, stderr) = texts(&output);
    expect(output.status.code() == Some(75) && !stdout.contains("nothing is frozen"), &output)?;
    let words = "1 line(s) of ";
    expect(stderr.contains(words) && stderr.contains("of a later version of clockgate"), &output)?;
    let kept = fs::read_to_string(host.at("run/clockgate/ledger"))?;
    ensure(kept.contains("freeze2"), "the line of the later version was cut away")
}

pub fn configuration() -> Outcome {
    let host = HostFolder::new(&[(CONFIG, &fs::read_to_string(kept("config.yaml"))?)])?;
    let check = verb(&["config", "check"], &host)?;
    expect(check.status.success() && check.stderr.is_empty(), &check)?;
    let shown = verb(&["config", "show", "--json"], &host)?;
    expect(shown.status.success(), &shown)?;
    let shown: Value = serde_json::from_slice(&shown.stdout)?;
    let was: Value = serde_json::from_str(&fs::read_to_string(kept("config-show.json"))?)?;
    let (is, was) = (keys(&shown)?, keys(&was)?);
    for (key, value) in was {
        let now = is.iter().find(|(name, _)| *name == key).map(|(_, value)| value);
        ensure(now == Some(&value), format!("{key} was {value}, and is {now:?}"))?;
    }
    Ok(())
}

/// Each key with its value.
fn keys(shown: &Value) -> Outcome<Vec<(String, Value)>> {
    let keys = shown["keys"].as_object().ok_or(format!("no keys in {shown}"))?;
    Ok(keys.iter().map(|(key, entry)| (key.clone(), entry["value"].clone())).collect())
}

pub fn later_configuration() -> Outcome {
    let host = HostFolder::new(&[(CONFIG, "threshold: 50ms\nat-noon: open\nversion: 2\n")])?;
    let words = "config.yaml:3: version: expected 1, found 2: no other line was read";
    for arguments in [&["config", "check"][..], &["agent"]] {
        let mut command = clockgate();
        command.args(arguments).arg("--root").arg(host.path()).stdin(Stdio::null()).env_remove("CLOCKGATE_SERVERS");
        let output = command.output()?;
        let (stdout, stderr) = texts(&output);
        expect(output.status.code() == Some(78) && format!("{stdout}{stderr}").contains(words), &output)?;
    }
    ensure(!page_is_open(&host), "a gate was opened by a configuration that was refused")?;
    host.put(CONFIG, "version: 1\nthreshold: 50ms\n")?;
    let check = verb(&["config", "check"], &host)?;
    expect(check.status.success(), &check)
}

fn page_is_open(host: &HostFolder) -> bool {
    let page = clockgate::page::Page::open(&host.at("run/clockgate/public"));
    page.is_ok_and(|page| page.read().gate != clockgate::decision::Gate::Shut)
}

/// A program of a host: an empty script.
pub fn put_script(host: &HostFolder, path: &str) -> Outcome {
    host.put(path, "#!/bin/sh\n")?;
    Ok(fs::set_permissions(host.at(path), fs::Permissions::from_mode(0o755))?)
}

/// Every file of a folder with what is in it.
pub fn tree(folder: &Path) -> Outcome<Vec<(String, String)>> {
    let mut files = vec![];
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() && !path.is_symlink() {
            files.extend(tree(&path)?);
        } else {
            files.push((path.display().to_string(), fs::read_to_string(&path).unwrap_or_default()));
        }
    }
    files.sort();
    Ok(files)
}

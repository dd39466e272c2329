//! What the files run, at a page of this machine.

use std::path::Path;
use std::process::Command;

use clockgate::decision::{Gate, Snapshot};

use super::support::gate_page::{proven, public, publish, shut};
use super::support::{CLOCKGATE, Outcome, clockgate, ensure, expect, texts};
use super::{folder, read};

/// The plugin at the page below `host`: its code, and the line that becomes the condition's message.
fn check(program: &str, host: &Path) -> Outcome<(Option<i32>, String)> {
    let mut script = Command::new("sh");
    script.arg(folder().join("check-clock")).env("CLOCKGATE", program).env("CLOCKGATE_PAGE", public(host));
    let output = script.output()?;
    Ok((output.status.code(), texts(&output).0))
}

pub fn plugin() -> Outcome {
    let host = tempfile::tempdir()?;
    let unproven = Snapshot { gate: Gate::Unproven, why: "no reference answers".into(), ..proven() };
    for (snapshot, code, word) in
        [(proven(), 0, "OK"), (shut(), 1, "CRITICAL"), (unproven, 2, "WARNING"), (proven(), 0, "OK")]
    {
        let _page = publish(host.path(), &snapshot)?;
        let (found, line) = check(CLOCKGATE, host.path())?;
        ensure(found == Some(code), format!("{word}: {found:?} {line}"))?;
        let is_one_line = line.matches('\n').count() == 1 && !line.contains('|');
        ensure(line.starts_with(&format!("CLOCKGATE {word}: ")) && is_one_line, &*line)?;
        // What is cut off after 80 characters is not the reason.
        ensure(code != 1 || line.get(..80.min(line.len())).is_some_and(|line| line.contains("resume")), line)?;
    }
    Ok(())
}

pub fn unknown() -> Outcome {
    let host = tempfile::tempdir()?;
    let (code, line) = check(CLOCKGATE, host.path())?;
    ensure(code == Some(2) && line.starts_with("CLOCKGATE UNKNOWN: "), format!("{code:?} {line}"))?;
    let (code, line) = check("/nowhere/clockgate", host.path())?;
    ensure(code == Some(2) && line == "cannot run clockgate\n", format!("{code:?} {line}"))
}

/// The words behind the program, with another patience, at the page below `host`: the exit code.
fn waits(words: &[&str], host: &Path) -> Outcome<Option<i32>> {
    let mut command = clockgate();
    command.args(words).arg("--page").arg(public(host));
    let output = command.output()?;
    expect(output.status.code().is_some(), &output)?;
    Ok(output.status.code())
}

pub fn init_container() -> Outcome {
    let text = read("init-container.yaml")?;
    let words = text.split("command: [/clockgate, ").nth(1).and_then(|rest| rest.split(']').next());
    let words: Vec<&str> = words.ok_or("no command")?.split(", ").collect();
    for mount in
        ["{name: clockgate, mountPath: /clockgate,", "mountPath: /run/clockgate/public,", "path: /usr/bin/clockgate,"]
    {
        ensure(text.contains(mount), mount)?;
    }
    let host = tempfile::tempdir()?;
    let impatient: Vec<&str> = words.iter().map(|word| if *word == "10min" { "100ms" } else { word }).collect();
    assert_ne!(words, impatient);
    let unproven = Snapshot { gate: Gate::Unproven, ..proven() };
    for (snapshot, code) in [(shut(), 75), (unproven, 75), (proven(), 0)] {
        let gate = snapshot.gate;
        let _page = publish(host.path(), &snapshot)?;
        let found = waits(if code == 0 { &words } else { &impatient }, host.path())?;
        ensure(found == Some(code), format!("{gate:?}: {found:?}"))?;
    }
    Ok(())
}

pub fn drop_in() -> Outcome {
    let text = read("wait-for-the-clock.conf")?;
    let command = text.lines().find_map(|line| line.strip_prefix("ExecStartPre=/usr/bin/clockgate "));
    let words: Vec<&str> = command.ok_or("no command")?.split(' ').collect();
    let host = tempfile::tempdir()?;
    let impatient: Vec<&str> = words.iter().map(|word| if *word == "infinity" { "100ms" } else { word }).collect();
    let unproven = Snapshot { gate: Gate::Unproven, ..proven() };
    // A node whose references cannot be reached joins all the same.
    for (snapshot, code) in [(shut(), 75), (unproven, 0), (proven(), 0)] {
        let gate = snapshot.gate;
        let _page = publish(host.path(), &snapshot)?;
        let found = waits(if code == 0 { &words } else { &impatient }, host.path())?;
        ensure(found == Some(code), format!("{gate:?}: {found:?}"))?;
    }
    Ok(())
}

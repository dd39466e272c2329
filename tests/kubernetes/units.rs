//! The drop-in below each unit that it is for, read by systemd.

use std::fs;
use std::path::Path;
use std::process::Command;

use super::read;
use super::support::{Outcome, ensure, texts};

const DROP_IN: &str = "wait-for-the-clock.conf";

/// The units that the head of the drop-in names.
fn units(text: &str) -> Vec<String> {
    let lines = text.lines().filter_map(|line| line.strip_prefix("#   "));
    let names = lines.filter_map(|line| line.split("  ").next());
    names.flat_map(|names| names.split(", ")).map(|name| format!("{name}.service")).collect()
}

/// What systemd says of the units with this drop-in.
fn said(text: &str, units: &[String]) -> Outcome<String> {
    let root = tempfile::tempdir()?;
    let at = |path: &str| root.path().join(path);
    let copy = |from: &Path, to: &str| -> Outcome {
        let output = Command::new("cp").arg("-R").arg(from).arg(at(to)).output()?;
        ensure(output.status.success(), texts(&output).1)
    };
    for folder in ["usr/lib/systemd", "usr/bin", "etc/systemd/system", "bin"] {
        fs::create_dir_all(at(folder))?;
    }
    copy(Path::new("/usr/lib/systemd/system"), "usr/lib/systemd/")?;
    copy(&Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/usr"), "")?;
    for program in ["usr/bin/clockgate", "usr/bin/clockgate-nri", "usr/bin/node", "bin/sh"] {
        fs::copy("/bin/true", at(program))?;
    }
    for unit in units {
        let folder = at(&format!("etc/systemd/system/{unit}.d"));
        fs::create_dir(&folder)?;
        fs::write(folder.join(DROP_IN), text)?;
        fs::write(
            at(&format!("etc/systemd/system/{unit}")),
            "[Service]\nType=notify\nExecStart=/usr/bin/node\nRestart=always\n",
        )?;
    }
    let mut verify = Command::new("systemd-analyze");
    verify.args(["verify", "--man=no"]).arg(format!("--root={}", root.path().display())).args(units);
    let (out, err) = texts(&verify.output()?);
    // Its complaints have exit code 0 mostly; those about the units of this machine are not ours.
    let ours = |line: &&str| line.contains(DROP_IN) || units.iter().any(|unit| line.contains(unit.as_str()));
    Ok((out + &err).lines().filter(ours).map(|line| format!("{line}\n")).collect())
}

pub fn verified() -> Outcome {
    let text = read(DROP_IN)?;
    let units = units(&text);
    let expected = ["kubelet", "k3s", "k3s-agent", "rke2-server", "rke2-agent", "k0scontroller", "k0sworker"];
    assert_eq!(units, expected.map(|name| format!("{name}.service")));
    let said = said(&text, &units)?;
    ensure(said.is_empty(), said)
}

pub fn mutants() -> Outcome {
    let text = read(DROP_IN)?;
    let units = units(&text);
    for (from, to) in [
        ("ExecStartPre=/usr/bin/clockgate", "ExecStartPre=/usr/bin/klockgate"),
        ("TimeoutStartSec=infinity", "TimeoutStartSec=for ever"),
        ("Wants=", "Desires="),
    ] {
        ensure(text.contains(from), from)?;
        ensure(!said(&text.replace(from, to), &units)?.is_empty(), format!("nothing was said of {to}"))?;
    }
    Ok(())
}

//! What the wrapping runtime adds to what an engine waits for: to `runc --version`, and to a container's whole life, which is five calls
//! of the runtime; and how large both programs are. Real runc, an open gate. Its table goes to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::{Table, in_turn, met, millis};
use support::gate_page::{proven, publish};
use support::{CLOCKGATE, Outcome, laboratory};

const OCI: &str = env!("CARGO_BIN_EXE_clockgate-oci");
/// What it may add (issue "Every container on the host").
const GOAL: Duration = Duration::from_millis(2);
/// How much longer a command that starts Python may take behind the small waiter.
const PYTHON: f64 = 1.1;

fn main() -> Outcome {
    if let Some(lacks) = laboratory::missing(&["engines"]) {
        return Err(lacks.into());
    }
    let folder = tempfile::tempdir()?;
    let _page = publish(folder.path(), &proven())?;
    let runc = lab().join("usr/sbin/runc");
    let wrapper = wrap(folder.path(), &runc)?;
    let bundle = bundle(folder.path(), &runc)?;
    let mut table = Table::new(&["what", "with the wrapper", "without", "it adds", "goal"]);
    let mut row = |what: &str, rounds: usize, run: &mut dyn FnMut(&Path) -> Outcome<Duration>| -> Outcome {
        let run = std::cell::RefCell::new(run);
        let (a, b) = in_turn(rounds, || run.borrow_mut()(&wrapper), || run.borrow_mut()(&runc))?;
        let added = a.saturating_sub(b);
        let goal = format!("under {}: {}", millis(GOAL), met(added < GOAL));
        table.row(&[&what, &millis(a), &millis(b), &millis(added), &goal]);
        Ok(())
    };
    row("`runc --version`", 200, &mut |runc| timed(Command::new(runc).arg("--version")))?;
    row("a container's start: `runc create`, `runc start`", 50, &mut |runc| start(runc, &bundle))?;
    for (what, program, most) in
        [("the wrapper itself", OCI, 1.75), ("`clockgate`, which has all the rest", CLOCKGATE, 7.5)]
    {
        let size = std::fs::metadata(program)?.len() as f64 / 1e6;
        let goal = format!("under {most} MB: {}", met(size < most));
        table.row(&[&what, &format!("{size:.2} MB"), &"-", &"-", &goal]);
    }
    python(&mut table, folder.path())?;
    table.write("wrapper")
}

/// The small waiter before a command that does nothing but start: as a ratio, which is the goal of issue "In the hands of people".
fn python(table: &mut Table, folder: &Path) -> Outcome {
    let built = support::small::build(&["--release", "--bins"])?;
    let waiter = built.first().ok_or("cargo names no program")?;
    let page = folder.join("public");
    let bare = || timed(Command::new("python3").args(["-c", "pass"]));
    let gated = || timed(Command::new(waiter).arg("--page").arg(&page).args(["--", "python3", "-c", "pass"]));
    let (a, b) = in_turn(100, gated, bare)?;
    let ratio = a.as_secs_f64() / b.as_secs_f64();
    let goal = format!("under {PYTHON} times: {}", met(ratio < PYTHON));
    let what = "`clockgate-run -- python3 -c pass`";
    table.row(&[&what, &millis(a), &millis(b), &format!("{ratio:.3} times"), &goal]);
    Ok(())
}

fn lab() -> PathBuf {
    laboratory::folder().join("engines")
}

/// As an installed one: by its name beside the runtime's.
fn wrap(folder: &Path, runc: &Path) -> Outcome<PathBuf> {
    let wrapper = folder.join("clockgate-runc");
    std::os::unix::fs::symlink(OCI, &wrapper)?;
    std::os::unix::fs::symlink(std::fs::canonicalize(runc)?, folder.join("runc"))?;
    std::fs::write(folder.join("clockgate-runc.conf"), format!("page = {}\n", folder.join("public").display()))?;
    Ok(wrapper)
}

/// A container that does nothing, from busybox alone.
fn bundle(folder: &Path, runc: &Path) -> Outcome<PathBuf> {
    let bundle = folder.join("bundle");
    std::fs::create_dir_all(bundle.join("rootfs/bin"))?;
    std::fs::copy(lab().join("bin/busybox"), bundle.join("rootfs/bin/true"))?;
    let spec = Command::new(runc).arg("spec").current_dir(&bundle).status()?;
    if !spec.success() {
        return Err("runc writes no specification".into());
    }
    let file = bundle.join("config.json");
    let mut config: serde_json::Value = serde_json::from_slice(&std::fs::read(&file)?)?;
    config["process"]["terminal"] = false.into();
    config["process"]["args"] = serde_json::json!(["/bin/true"]);
    config["linux"]["cgroupsPath"] = format!("/clockgate-bench-{}", std::process::id()).into();
    std::fs::write(file, config.to_string())?;
    Ok(bundle)
}

/// From the call of `create` until `start` has returned; the rest of its life is not timed.
fn start(runc: &Path, bundle: &Path) -> Outcome<Duration> {
    let name = format!("clockgate-bench-{}", std::process::id());
    let call = |args: &[&str]| {
        let mut call = Command::new(runc);
        timed(call.arg("--root").arg(bundle.with_file_name("state")).args(args).arg(&name).current_dir(bundle))
    };
    let took = call(&["create"])? + call(&["start"])?;
    call(&["delete", "--force"])?;
    Ok(took)
}

fn timed(command: &mut Command) -> Outcome<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let took = started.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?} ended with {status}").into()) }
}

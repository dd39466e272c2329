//! `run` through a gate that is open: what every start of a container pays.

use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::daemons::Daemons;
use crate::report::{Table, in_turn, met, millis, ratio};
use crate::support::{CLOCKGATE, Outcome};

/// What one `run` may cost beside another exec.
const ALLOWANCE: Duration = Duration::from_micros(300);

pub fn measure(folder: &Path, daemons: &Daemons, table: &mut Table) -> Outcome {
    let empty = empty_program(folder)?;
    let empty = [empty.to_str().ok_or("a path that is no text")?];
    let public = folder.join("public");
    let gated = |command: &[&str]| {
        let mut run = Command::new(CLOCKGATE);
        run.args(["run", "--page"]).arg(&public).arg("--").args(command);
        timed(run)
    };
    let bare = |command: &[&str]| {
        let mut run = Command::new(command[0]);
        run.args(&command[1..]);
        timed(run)
    };

    let (a, b) = in_turn(500, || gated(&empty), || bare(&empty))?;
    let allowed = b * 2 + ALLOWANCE;
    let goal = format!("one more exec of it and 0.3 ms, {}: {}", millis(allowed), met(a <= allowed));
    let what = "`run -- EMPTY`, a static program that does nothing; the program alone";
    table.row(&[&what, &millis(a), &millis(b), &format!("{:.2}", ratio(a, b)), &goal]);

    // Debian's own, not a wrapper script of somebody's version manager.
    let python = ["/usr/bin/python3", "-c", "pass"];
    let (a, b) = in_turn(100, || gated(&python), || bare(&python))?;
    table.compare("`run -- python3 -c pass`; the same alone", a, b, 1.1);

    let (a, b) = in_turn(100, || gated(&empty), || timed(daemons.waitsync()))?;
    table.compare("`run -- EMPTY`; `chronyc waitsync 1 0.1 0 0.1` where chronyd is synchronised", a, b, 1.0);
    Ok(())
}

fn timed(mut command: Command) -> Outcome<Duration> {
    command.stdin(Stdio::null()).stdout(Stdio::null());
    let started = Instant::now();
    let status = command.status()?;
    let took = started.elapsed();
    if status.success() { Ok(took) } else { Err(format!("{command:?} ended with {status}").into()) }
}

/// The smallest program that our own compiler makes: static, and at once at its end.
fn empty_program(folder: &Path) -> Outcome<PathBuf> {
    let (source, program) = (folder.join("empty.rs"), folder.join("empty"));
    std::fs::write(&source, "fn main() {}")?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let made = Command::new(rustc)
        .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"])
        .args([&program, &source])
        .status()?;
    if made.success() { Ok(program) } else { Err("cannot compile the empty program".into()) }
}

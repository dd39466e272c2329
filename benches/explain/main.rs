//! `explain` on a log of 100 MB beside `grep -cF -f` with the same literals, its memory there, and on a short text. Its table goes to
//! docs/performance.md.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::config::patterns;
use nix::sys::resource::{UsageWho, getrusage};

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::{Table, in_turn, median, met, millis};
use support::Outcome;

const LOG_BYTES: usize = 100_000_000;
/// Goals of the issue "Why: explain the error, find the cause, know the past".
const GOAL_RATIO: f64 = 10.0;
const GOAL_MEMORY_KIB: i64 = 32 * 1024;
const GOAL_SHORT: Duration = Duration::from_millis(20);
const SHORT: &str =
    "Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T143000Z - 15 min.)";

fn main() -> Outcome {
    let folder = tempfile::tempdir()?;
    let (log, literals) = (folder.path().join("log"), folder.path().join("literals"));
    write_log(&log)?;
    write_literals(&literals)?;
    let mut table = Table::new(&["what", "explain", "beside", "ratio", "goal"]);

    let explain = || timed(Command::new(env!("CARGO_BIN_EXE_clockgate")).args(["explain", "--offline"]), &log);
    explain()?;
    // Of all children so far: nobody else has run.
    let memory_kib = getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss();
    let grep = || timed(Command::new("grep").env("LC_ALL", "C").args(["-cF", "-f"]).arg(&literals), &log);
    let (ours, beside) = in_turn(5, explain, grep)?;
    table.compare("a log of 100 MB; `grep -cF -f` with the same literals", ours, beside, GOAL_RATIO);
    let goal = format!("under 32 MiB: {}", met(memory_kib < GOAL_MEMORY_KIB));
    table.row(&[&"memory for it", &format!("{:.1} MiB", memory_kib as f64 / 1024.0), &"-", &"-", &goal]);

    let none = Path::new("/dev/null");
    let mut all = vec![];
    for _ in 0..50 {
        all.push(timed(Command::new(env!("CARGO_BIN_EXE_clockgate")).args(["explain", "--offline", SHORT]), none)?);
    }
    let short = median(&all);
    let goal = format!("under {}: {}", millis(GOAL_SHORT), met(short < GOAL_SHORT));
    table.row(&[&"a short text, offline", &millis(short), &"-", &"-", &goal]);
    table.write("explain")
}

/// An ordinary log, which speaks of times and errors and of no clock.
fn write_log(path: &Path) -> Outcome {
    let mut log = BufWriter::new(File::create(path)?);
    let (mut written, mut number) = (0, 0_usize);
    while written < LOG_BYTES {
        let line = format!(
            "2026-06-27T14:{:02}:{:02}Z worker-{} level=info msg=\"GET /api/v1/items/{number} 200\" took={}ms signature=ok token=valid\n",
            number / 60 % 60,
            number % 60,
            number % 7,
            number * 31 % 977,
        );
        log.write_all(line.as_bytes())?;
        written += line.len();
        number += 1;
    }
    Ok(log.flush()?)
}

/// Those of the patterns that come with the program.
fn write_literals(path: &Path) -> Outcome {
    let patterns = patterns::load(Path::new("/nonexistent"))?;
    let literals: Vec<String> = patterns.into_iter().flat_map(|pattern| pattern.literals).collect();
    Ok(std::fs::write(path, literals.join("\n") + "\n")?)
}

/// Both end with 1 where they find nothing.
fn timed(command: &mut Command, input: &Path) -> Outcome<Duration> {
    command.stdin(File::open(input)?).stdout(Stdio::null()).stderr(Stdio::null());
    report::timed(command)
}

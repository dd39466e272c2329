//! How long `clockgate report` takes over a history of 100,000 disruptions, and how much memory, in each of its forms. Its table goes to
//! docs/performance.md.

use std::fs::{self, File};
use std::io::{BufWriter, Write as _};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::decision::{Offset, Realtime};
use clockgate::history::FOLDER;
use nix::sys::resource::{UsageWho, getrusage};

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/report/simulated.rs"]
#[allow(dead_code, reason = "the tests of the report use the rest")]
mod simulated;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::{Table, median, met, millis};
use simulated::{SimulatedHost, SimulatedServer};
use support::{CLOCKGATE, Outcome};

const DISRUPTIONS: usize = 100_000;
const ROUNDS: usize = 5;
/// Goals of the issue "What happened".
const GOAL: Duration = Duration::from_secs(2);
const GOAL_MEMORY_KIB: i64 = 64 * 1024;

fn main() -> Outcome {
    let folder = tempfile::tempdir()?;
    let size = write_history(&folder.path().join(FOLDER))?;
    let mut table = Table::new(&["form", "time", "memory of all so far", "goal"]);
    for (form, options) in
        [("text", &[][..]), ("JSON", &["--json"]), ("picture", &["--svg", "-"]), ("page", &["--html", "-"])]
    {
        let mut all = vec![];
        for _ in 0..ROUNDS {
            let mut command = Command::new(CLOCKGATE);
            command.arg("report").args(options).arg("--root").arg(folder.path()).stdout(Stdio::null());
            all.push(report::timed(&mut command)?);
        }
        let (took, memory_kib) = (median(&all), getrusage(UsageWho::RUSAGE_CHILDREN)?.max_rss());
        let is_met = took < GOAL && memory_kib < GOAL_MEMORY_KIB;
        let what = format!("{form}, of {DISRUPTIONS} disruptions in {} MB", size / 1_000_000);
        let memory = format!("{:.1} MiB", memory_kib as f64 / 1024.0);
        table.row(&[&what, &millis(took), &memory, &format!("under 2 s and 64 MiB: {}", met(is_met))]);
    }
    table.write("history")
}

/// As the agent writes it, without the limit of its files; how many bytes.
fn write_history(folder: &Path) -> Outcome<u64> {
    fs::create_dir_all(folder)?;
    let server = |name, wrong| SimulatedServer {
        name,
        wrong: Offset::from_nanos(wrong),
        root_distance: Duration::from_millis(5),
    };
    let servers = [server("ntp1.example", 100_000), server("ntp2.example", -300_000), server("ntp3.example", 200_000)];
    let mut host = SimulatedHost::boot(Realtime::from_secs(1_795_456_800), Offset::ZERO, &servers);
    host.start();
    let (mut written, files) = (0, ["events.3.jsonl", "events.2.jsonl", "events.1.jsonl", "events.jsonl"]);
    for (part, name) in files.into_iter().enumerate() {
        let mut file = BufWriter::new(File::create(folder.join(name))?);
        for number in part * DISRUPTIONS / files.len()..(part + 1) * DISRUPTIONS / files.len() {
            match number % 3 {
                0 => host.set_back(Offset::from_nanos(number as i64 * 40_000 - 2_000_000_000)),
                _ => host.request(),
            }
            host.pass(Duration::from_secs(60 + number as u64 % 3000));
            for line in host.lines.drain(..) {
                written += line.len() as u64;
                file.write_all(line.as_bytes())?;
            }
        }
        // What is written back to the disk meanwhile is none of the reader's work.
        file.into_inner().map_err(|failed| failed.into_error())?.sync_all()?;
    }
    Ok(written)
}

//! What clockgate costs, as ratios within one run: `run` in front of a command, many waiters let go at once, the memory and
//! the wake-ups of an idle agent. Its tables go to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::path::Path;
use std::process::ExitCode;

use clockgate::decision::Boottime;

#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
#[path = "../../tests/support/mod.rs"]
mod support;

#[allow(dead_code, reason = "another bench uses the rest")]
mod daemons;
mod idle;
mod open;
mod released;

use daemons::Daemons;
use idle::Idle;
use report::Table;
use support::Outcome;
use support::gate_page::{proven, publish};

fn main() -> ExitCode {
    // As one of its own waiters: a bare futex, nothing around it.
    if let Some(path) = std::env::args_os().skip_while(|arg| arg != released::BARE).nth(1) {
        return released::bare_waiter(Path::new(&path));
    }
    report_guest::run(lab::missing(), measure)
}

fn measure() -> Outcome {
    report::write("machine", &report::machine::describe())?;
    let folder = tempfile::tempdir()?;
    let daemons = Daemons::start(&folder.path().join("idle"))?;
    let mut table = Table::new(&["what", "clockgate", "beside it", "ratio", "goal"]);
    let mut page = publish(folder.path(), &proven())?;
    page.alive(Boottime::NEVER)?;
    open::measure(folder.path(), &daemons, &mut table)?;
    // The others go on for longer than it has to be watched, and it is not asked for anything meanwhile.
    let idle = Idle::watch(&daemons)?;
    released::measure(folder.path(), &mut page, &mut table)?;
    table.write("ratios")?;
    idle.report()?.write("idle")
}

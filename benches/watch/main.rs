//! What the watch for silent pauses costs: one look at each clock of this machine beside the system's, and at the VMClock
//! page. A machine without an RTC has a file in its place, and the row says so. Its table goes to docs/performance.md.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clockgate::reference::local::{phc, rtc, vmclock};
use clockgate::sys::clock::{boottime, realtime};
use clockgate::sys::vmclock::VmClock;

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::Table;
use support::Outcome;

const LOOKS: u32 = 500;

fn main() -> Outcome {
    let mut table = Table::new(&["a look at", "costs", "of one processor", "every"]);
    let root = Path::new("/");
    for clock in phc::find(root) {
        row(&mut table, &clock.name, Duration::from_secs(1), || drop(clock.measure()));
    }
    if vmclock::measure(root).is_ok() {
        row(&mut table, "the VMClock's time", Duration::from_secs(1), || drop(vmclock::measure(root)));
    }
    if let Ok(page) = VmClock::open(root) {
        row(&mut table, "the VMClock page", Duration::from_millis(100), || drop(page.read()));
    }
    if rtc::evidence(root).is_ok() {
        row(&mut table, "the RTC", Duration::from_secs(2), || drop(rtc::evidence(root)));
    } else {
        let fake = tempfile::tempdir()?;
        let folder = fake.path().join("sys/class/rtc/rtc0");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("since_epoch"), realtime().as_secs().to_string())?;
        row(&mut table, "a file in an RTC's place", Duration::from_secs(2), || drop(rtc::evidence(fake.path())));
    }
    table.write("watch")
}

fn row(table: &mut Table, what: &str, every: Duration, look: impl Fn()) {
    look();
    let began = boottime();
    (0..LOOKS).for_each(|_| look());
    let each = boottime().since(began) / LOOKS;
    let share = each.as_secs_f64() / every.as_secs_f64() * 100.0;
    table.row(&[
        &what,
        &format!("{:.1} µs", each.as_secs_f64() * 1e6),
        &format!("{share:.4} %"),
        &format!("{every:?}"),
    ]);
}

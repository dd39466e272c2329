//! What the watch for silent pauses costs: one look at each clock of this machine beside the system's, and at the VMClock
//! page. A machine that lacks one has a fake in its place, and the row says so. Prints rows for docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

use clockgate::reference::{phc, rtc, vmclock};
use clockgate::sys::clock::realtime;
use clockgate::sys::vmclock::VmClock;

const LOOKS: u32 = 500;

fn main() {
    println!("| a look at | every | costs | of one processor |\n|---|---:|---:|---:|");
    let root = Path::new("/");
    for clock in phc::find(root) {
        row(&clock.name, Duration::from_secs(1), || drop(clock.measure()));
    }
    if vmclock::measure(root).is_ok() {
        row("the VMClock's time", Duration::from_secs(1), || drop(vmclock::measure(root)));
    }
    match VmClock::open(root) {
        Ok(page) => row("the VMClock page", Duration::from_millis(100), || drop(page.read())),
        Err(error) => println!("| the VMClock page: {error} | | | |"),
    }
    if rtc::evidence(root).is_ok() {
        row("the RTC", Duration::from_secs(2), || drop(rtc::evidence(root)));
    } else {
        let fake = std::env::temp_dir().join(format!("clockgate-bench-{}", std::process::id()));
        let folder = fake.join("sys/class/rtc/rtc0");
        if fs::create_dir_all(&folder).is_ok() {
            let _ = fs::write(folder.join("since_epoch"), realtime().as_secs().to_string());
            row("a file in the RTC's place", Duration::from_secs(2), || drop(rtc::evidence(&fake)));
            let _ = fs::remove_dir_all(&fake);
        }
    }
}

fn row(what: &str, every: Duration, look: impl Fn()) {
    look();
    let began = Instant::now();
    (0..LOOKS).for_each(|_| look());
    let each = began.elapsed() / LOOKS;
    let share = each.as_secs_f64() / every.as_secs_f64() * 100.0;
    println!("| {what} | {every:?} | {:.1} µs | {share:.4} % |", each.as_secs_f64() * 1e6);
}

//! Somebody in the guest who asks at the gate as a waiter does, thousands of times.

use std::io;
use std::path::Path;
use std::time::Duration;

use clockgate::decision::{Gate, nanos_u64};
use clockgate::page::{DIRECTORY, Page};
use clockgate::sys::{clock, nap};

use super::Outcome;
use super::guest::Guest;

/// The first argument that makes this program look so often, and print how many looks saw a gate open on a proof, the bound as the
/// last look had it, nanoseconds, and why it was shut.
pub const VERB: &str = "look";

/// The first argument that makes this program wait until the clock was slewed by so many milliseconds.
pub const VERB_SLEWED: &str = "slewed";

/// Waits for a slew.
pub fn wait_for_slew(millis: u64) {
    let mono_minus_raw = || clock::standing().mono_minus_raw;
    let before = mono_minus_raw();
    while (mono_minus_raw() - before).abs() < Duration::from_millis(millis) {
        nap(Duration::from_millis(1));
    }
}

/// What came of the looks.
#[derive(Debug)]
pub struct Looks {
    pub open: u32,
    pub bound: u64,
    pub why: String,
}

/// Looks `times`, every other time at a page that was just opened.
pub fn look(times: u32) -> io::Result<()> {
    let open = || Page::open(Path::new(DIRECTORY)).map_err(io::Error::other);
    let (mut page, mut opened) = (open()?, 0);
    let mut view = page.read();
    for n in 0..times {
        if n % 2 == 0 {
            page = open()?;
        }
        view = page.read();
        opened += u32::from(view.gate == Gate::Proven);
    }
    println!("{opened} {} {}", view.bound_now.map_or(0, nanos_u64), view.why);
    Ok(())
}

impl Looks {
    /// Lets somebody look so often.
    pub fn of(guest: &Guest, times: u32) -> Outcome<Self> {
        let said = guest.sh(&format!("setpriv --reuid 65534 --clear-groups /usr/lib/lab/part {VERB} {times}"))?;
        let mut words = said.splitn(3, ' ');
        let mut next = || words.next().unwrap_or_default().to_owned();
        Ok(Self { open: next().parse()?, bound: next().parse()?, why: next() })
    }
}

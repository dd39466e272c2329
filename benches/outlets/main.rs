//! What it costs the walk that it is recorded: the log alone, and beside it every outlet at once with a hundred slow scrapers, in one
//! boot of user-mode Linux. Its table goes to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::process::ExitCode;
use std::time::Duration;

use clockgate::decision::{Boottime, Realtime};

#[path = "../../tests/uml/scenarios/gate.rs"]
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod gate;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
mod scrapers;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../wake/watch.rs"]
mod watch;

use lab::guest::Guest;
use lab::stage::Begins;
use lab::world::World;
use lab::{Outcome, pass, until};
use report::{Table, median, met, millis, ratio};
use scrapers::SlowScrapers;
use watch::Seen;

/// How often both are measured, in turn.
const TURNS: usize = 8;
/// How often in each turn.
const ROUNDS: usize = 5;
/// A server answers two questions of each round, and one in two seconds in the long run.
const PAUSE: Duration = Duration::from_secs(4);
const PATIENCE: Duration = Duration::from_secs(20);
/// Far more than a clock creeps.
const WRONG: Duration = Duration::from_secs(60);
const GOAL: f64 = 1.02;
const SCRAPERS: usize = 100;
const PORT: u16 = 9975;
const DROP_IN: &str = "/etc/systemd/system/clockgate.service.d/zz-outlets.conf";

fn main() -> ExitCode {
    if let Some(done) = watch::perform_verb().or_else(lab::inside::perform_verb) {
        return done;
    }
    report_guest::run(lab::missing(), measure)
}

fn measure() -> Outcome {
    let world = World::new()?;
    let guest = Guest::boot(&world, Begins::Installed)?;
    tables(&guest, &world).inspect_err(|_| eprintln!("{}", guest.last_words()))
}

fn tables(guest: &Guest, world: &World) -> Outcome {
    guest.set_right()?;
    gate::start(guest, world)?;
    watch::start(guest)?;
    let (mut alone, mut all) = (vec![], vec![]);
    for _ in 0..TURNS {
        log_alone(guest, world)?;
        alone.extend(walks(guest)?);
        every_outlet(guest, world)?;
        let scrapers = SlowScrapers::start((world.guest_address(), PORT).into(), SCRAPERS)?;
        all.extend(walks(guest)?);
        scrapers.end()?;
    }
    let mut table = Table::new(&["outlets", "walks", "median", "middle half", "beside the log alone", "goal"]);
    let (log, every) = (median(&alone), median(&all));
    table.row(&[&"the log alone", &alone.len(), &millis(log), &middle_half(&alone), &"1", &"-"]);
    let times = ratio(every, log);
    table.row(&[
        &format!("journal, history, metrics by listener and textfile, ClockBound; {SCRAPERS} slow scrapers"),
        &all.len(),
        &millis(every),
        &middle_half(&all),
        &format!("{times:.3}"),
        &format!("at most {GOAL}: {}", met(times <= GOAL)),
    ]);
    table.write("outlets")
}

/// What a quarter of them is below, and what a quarter is above: a ratio of medians says little where these are far apart.
fn middle_half(walks: &[Duration]) -> String {
    let mut sorted = walks.to_vec();
    sorted.sort();
    let at = |quarters: usize| sorted.get(sorted.len() * quarters / 4).copied().unwrap_or_default();
    format!("{} to {}", millis(at(1)), millis(at(3)))
}

/// Lines on standard error, and no folder that a history could be in.
fn log_alone(guest: &Guest, world: &World) -> Outcome {
    begin(guest, "[Service]\nStateDirectory=\n", "rm -rf /var/lib/clockgate", &config(world, ""))
}

/// The journal in its own form, history, ClockBound's file, and metrics in both ways.
fn every_outlet(guest: &Guest, world: &World) -> Outcome {
    let metrics = format!("metrics: {{listen: '0.0.0.0:{PORT}', textfile: /var/lib/clockgate/clockgate.prom}}\n");
    begin(
        guest,
        "[Service]\nUnsetEnvironment=\n",
        "",
        &config(world, &format!("{metrics}clockbound: {{enabled: true}}\n")),
    )
}

fn config(world: &World, more: &str) -> String {
    format!("servers: [{}]\n{more}", world.truth.address())
}

fn begin(guest: &Guest, drop_in: &str, before: &str, config: &str) -> Outcome {
    guest.put(DROP_IN, drop_in)?;
    guest.sh(&format!("systemctl stop clockgate; systemctl daemon-reload; {before}"))?;
    guest.set_right()?;
    gate::start_with(guest, config)?;
    gate::proven(guest).map(drop)
}

fn walks(guest: &Guest) -> Outcome<Vec<Duration>> {
    (0..ROUNDS).map(|_| walk(guest)).collect()
}

/// From a clock that was set back to a waiter that may go on.
fn walk(guest: &Guest) -> Outcome<Duration> {
    pass(PAUSE);
    let (clocks, before) = (guest.clocks()?, gate::read(guest)?);
    let from = Boottime::from_nanos(clocks.boottime);
    let right = Realtime::from_nanos(clocks.realtime) - from.as_realtime();
    guest.sh("date -u -s '1 hour ago'")?;
    // Asking the guest takes its one processor: not while it is measured.
    pass(PAUSE / 4);
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    until("the opening was seen", PATIENCE, || {
        let seen = watch::seen(guest, from)?;
        let is_set =
            |seen: &Seen| matches!(seen, Seen::Clock { real_minus_boot } if (*real_minus_boot - right).abs() > WRONG);
        let set = seen.iter().find(|(_, seen)| is_set(seen)).map(|(at, _)| *at);
        // Whoever waits for a processor may see the gate open again, and not that it was shut.
        let opened = seen.iter().rev().find(|(_, seen)| matches!(seen, Seen::Gate(true))).map(|(at, _)| *at);
        Ok(set.zip(opened).filter(|(set, opened)| opened > set).map(|(set, opened)| opened.since(set)))
    })
}

//! From a clock that is an hour behind to a workload that may go on: clockgate, and what people do without it, in one boot of
//! user-mode Linux. Its tables go to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::process::ExitCode;
use std::time::Duration;

#[path = "../../tests/uml/scenarios/gate.rs"]
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod gate;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
mod rounds;
#[path = "../../tests/support/mod.rs"]
mod support;
mod watch;

use lab::Outcome;
use lab::guest::Guest;
use lab::stage::Begins;
use lab::world::World;
use report::{Table, median, met, millis};
use rounds::{Bench, PARTS, Round};

/// How often each is done, in turn.
const ROUNDS: usize = 3;
const GOAL: Duration = Duration::from_millis(50);
const GOAL_FASTER: f64 = 100.0;

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
    let bench = Bench::prepare(guest, world)?;
    let (mut set, mut woken, mut script) = (vec![], vec![], vec![]);
    bench.chronyd("")?;
    for _ in 0..ROUNDS {
        bench.agent()?;
        set.push(bench.set_back()?);
        set.push(bench.set_back()?);
        woken.push(bench.wake_up()?);
        bench.no_agent()?;
        script.push(bench.script()?);
    }
    bench.timesyncd()?;
    let restart = (0..ROUNDS).map(|_| bench.restart()).collect::<Outcome<Vec<_>>>()?;
    // A chronyd that was told to expect a near server takes its samples in half a second.
    bench.chronyd("minpoll 0 maxpoll 0")?;
    let eager = (0..ROUNDS).map(|_| bench.script()).collect::<Outcome<Vec<_>>>()?;
    let hook = bench.hook()?;
    bench.chronyd("")?;
    bench.verbose_agent()?;
    let told = (0..ROUNDS).map(|_| bench.set_back()).collect::<Outcome<Vec<_>>>()?;

    let mut table = Table::new(&["what", "rounds", "clock right", "work released", "at the latest", "goal"]);
    let goal = |rounds: &[Round]| format!("under {} ms: {}", GOAL.as_millis(), met(go(rounds) < GOAL));
    row(&mut table, "clockgate, another program sets the clock", &set, &goal(&set));
    row(&mut table, "clockgate, asleep through logind", &woken, &goal(&woken));
    row(&mut table, SCRIPT, &script, &faster(&set, &script));
    row(&mut table, "the same, chronyd with `minpoll 0`", &eager, &faster(&set, &eager));
    row(
        &mut table,
        "timesyncd restarted",
        &restart,
        &format!("none set; clockgate {:.0} times faster", times(&set, &restart)),
    );
    table.row(&[&"`chronyc makestep`, the usual hook", &1, &hook, &"at once", &"at once", &"-"]);
    table.write("wake")?;
    parts(&told)?.write("parts")?;
    Ok(())
}

const SCRIPT: &str = "`chronyc`: `reset sources`, `burst 4/4`, wait for `^*`, `makestep`, `waitsync`";

fn row(table: &mut Table, what: &str, rounds: &[Round], goal: &str) {
    let right: Vec<Duration> = rounds.iter().map(|round| round.right).collect();
    let slowest = rounds.iter().map(Round::end).max().unwrap_or_default();
    let cells = [millis(median(&right)), millis(go(rounds)), millis(slowest)];
    table.row(&[&what, &rounds.len(), &cells[0], &cells[1], &cells[2], &goal]);
}

/// The median of when work may go on.
fn go(rounds: &[Round]) -> Duration {
    median(&rounds.iter().map(Round::end).collect::<Vec<_>>())
}

fn faster(ours: &[Round], theirs: &[Round]) -> String {
    let times = times(ours, theirs);
    format!("clockgate {GOAL_FASTER:.0} times faster: {times:.0} times, {}", met(times >= GOAL_FASTER))
}

fn times(ours: &[Round], theirs: &[Round]) -> f64 {
    go(theirs).as_secs_f64() / go(ours).as_secs_f64()
}

fn parts(told: &[Round]) -> Outcome<Table> {
    let mut table = Table::new(&["part", "over after", "what it is"]);
    for (name, what, mark) in PARTS {
        let ends = told.iter().map(|round| round.end_of(mark)).collect::<Outcome<Vec<_>>>()?;
        table.row(&[&name, &millis(median(&ends)), &what]);
    }
    Ok(table)
}

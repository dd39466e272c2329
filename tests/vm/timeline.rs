//! How long everything took, by the machine's own clock that nobody sets and the agent's own words.

use std::time::Duration;

use clockgate::decision::{Boottime, Offset, Realtime, nanos_u64};

use crate::gate;
use crate::lab::guest::Guest;
use crate::lab::{Outcome, fail};

/// The moment at which the machine went on, on its own clock.
#[derive(Clone, Copy, Debug)]
pub struct Moment(Boottime);

impl Moment {
    /// `done` was true time, as the host knows it.
    pub fn of(guest: &Guest, done: Realtime) -> Outcome<Self> {
        let truth = guest.truth()?;
        let nanos = u64::try_from((done - Realtime::from_nanos(truth.as_nanos())).as_nanos())?;
        Ok(Self(Boottime::from_nanos(nanos)))
    }

    /// On the machine's own clock.
    pub fn on_the_machine(self) -> Boottime {
        self.0
    }
}

/// What came after that moment.
#[derive(Clone, Copy, Debug)]
pub struct Timeline {
    /// Until the agent was told.
    pub noticed: Duration,
    /// Until the gate was shut.
    pub shut: Duration,
    /// Until the clock was stepped, if it was.
    pub stepped: Option<Duration>,
    /// Until the gate was open on a proof.
    pub open: Duration,
}

impl Timeline {
    /// Reads the agent's log from the first that it noticed since then to the open gate.
    pub fn read(guest: &Guest, since: Moment) -> Outcome<Self> {
        let log = gate::log(guest)?;
        let lines = log.lines().filter_map(|line| Some((time(line)?, line)));
        let lines: Vec<_> = lines.filter(|(at, _)| *at >= since.0).collect();
        let find = |what: &str| lines.iter().find(|(_, line)| line.contains(what));
        let after = |at: Boottime| at.since(since.0);
        let (Some(&(shut, line)), Some(&(open, _))) = (find("gate shut"), find("gate open")) else {
            return fail(format!("the gate was not shut and opened since {since:?}:\n{log}"));
        };
        // The line says how long ago that was which it is about.
        let Some(ago) = ago(line) else { return fail(format!("no time in {line}")) };
        let stepped = find("clock stepped").map(|&(at, _)| at).filter(|at| *at < open);
        Ok(Self { noticed: after(minus(shut, ago)), shut: after(shut), stepped: stepped.map(after), open: after(open) })
    }

    /// A row of the table: what happened, and how many milliseconds after it each thing was.
    pub fn print(&self, what: &str, off: Offset) {
        let stepped = self.stepped.map_or_else(|| "-".to_owned(), ms);
        println!(
            "| {what} | noticed {} | shut {} | stepped {stepped} | open {} ms | then off by {off} |",
            ms(self.noticed),
            ms(self.shut),
            ms(self.open)
        );
    }
}

/// Milliseconds, as they are printed.
pub fn ms(duration: Duration) -> String {
    format!("{:.1}", duration.as_secs_f64() * 1e3)
}

/// `[   35.565359]  INFO ...`: seconds since boot.
fn time(line: &str) -> Option<Boottime> {
    let (secs, _) = line.strip_prefix('[')?.split_once(']')?;
    let secs: f64 = secs.trim().parse().ok()?;
    Some(Boottime::default() + Duration::from_secs_f64(secs))
}

/// `... after_us=624`
fn ago(line: &str) -> Option<Duration> {
    let (_, micros) = line.rsplit_once("after_us=")?;
    micros.trim().parse().ok().map(Duration::from_micros)
}

fn minus(at: Boottime, duration: Duration) -> Boottime {
    Boottime::from_nanos(at.as_nanos().saturating_sub(nanos_u64(duration)))
}

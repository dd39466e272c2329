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
    /// Reads the agent's log for an epoch that has ended well.
    pub fn read(guest: &Guest, since: Moment, epoch: u64) -> Outcome<Self> {
        let log = gate::log(guest)?;
        let of_the_epoch = format!("epoch={epoch} ");
        let mut lines = log.lines().filter(|line| line.contains(&of_the_epoch));
        let Some(shut) = lines.find(|line| line.contains("gate shut")) else {
            return fail(format!("the gate was not shut in epoch {epoch}:\n{log}"));
        };
        let at = |line: &str| time(line).map(|at| at.since(since.0));
        // The line says how long ago that was which it is about.
        let noticed = time(shut).zip(after(shut)).map(|(at, after)| minus(at, after).since(since.0));
        let stepped =
            log.lines().find(|line| line.contains(&of_the_epoch) && line.contains("clock stepped")).and_then(at);
        let open = log.lines().find(|line| line.contains(&of_the_epoch) && line.contains("gate open")).and_then(at);
        match (noticed, at(shut), open) {
            (Some(noticed), Some(shut), Some(open)) => Ok(Self { noticed, shut, stepped, open }),
            _ => fail(format!("no timeline of epoch {epoch} in:\n{log}")),
        }
    }

    /// A row of the table: what happened, and how many milliseconds after it each thing was.
    pub fn print(&self, what: &str, off: Offset) {
        let ms = |duration: Duration| format!("{:.1}", duration.as_secs_f64() * 1e3);
        let stepped = self.stepped.map_or_else(|| "-".to_owned(), ms);
        println!(
            "| {what} | noticed {} | shut {} | stepped {stepped} | open {} ms | then off by {off} |",
            ms(self.noticed),
            ms(self.shut),
            ms(self.open)
        );
    }
}

/// `[   35.565359]  INFO ...`: seconds since boot.
fn time(line: &str) -> Option<Boottime> {
    let (secs, _) = line.strip_prefix('[')?.split_once(']')?;
    let secs: f64 = secs.trim().parse().ok()?;
    Some(Boottime::default() + Duration::from_secs_f64(secs))
}

/// `... after_us=624`
fn after(line: &str) -> Option<Duration> {
    let (_, micros) = line.rsplit_once("after_us=")?;
    micros.trim().parse().ok().map(Duration::from_micros)
}

fn minus(at: Boottime, duration: Duration) -> Boottime {
    Boottime::from_nanos(at.as_nanos().saturating_sub(nanos_u64(duration)))
}

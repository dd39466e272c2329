//! From the event to the open gate, by who is asked: near and far servers, silent ones and lying ones, beside what chrony's user does
//! and beside two bare round trips, in one boot of user-mode Linux. Its tables go to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::process::ExitCode;
use std::time::Duration;

#[allow(dead_code, reason = "another bench uses the rest")]
mod bare;
#[path = "../../tests/uml/scenarios/gate.rs"]
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod gate;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
#[path = "../wake/rounds.rs"]
#[allow(dead_code, reason = "another bench uses the rest")]
mod rounds;
#[path = "../../tests/support/mod.rs"]
mod support;
#[path = "../wake/watch.rs"]
mod watch;
mod world;

use lab::Outcome;
use lab::guest::Guest;
use lab::liar::Liar;
use lab::stage::Begins;
use lab::world::World;
use report::{Table, met, millis};
use rounds::{Bench, Round};
use world::{ALL, DISTANCES, WELL, sources};

/// How often each is done, in turn.
const ROUNDS: usize = 3;
/// Beside two bare round trips, where a majority answers.
const GOAL: Duration = Duration::from_millis(10);
/// Where the servers are near.
const GOAL_NEAR: Duration = Duration::from_millis(10);
const GOAL_FASTER: f64 = 100.0;

/// When work could go on, and nothing if it could not.
type Took = Option<Duration>;

fn main() -> ExitCode {
    if let Some(done) = watch::perform_verb().or_else(bare::perform_verb).or_else(lab::inside::perform_verb) {
        return done;
    }
    report_guest::run(lab::missing(), measure)
}

fn measure() -> Outcome {
    let world = World::new()?;
    let guest = Guest::boot(&world, Begins::Installed)?;
    let bench = Bench::prepare(&guest, &world)?;
    let place = Place { guest: &guest, world: &world, bench };
    place.tables().inspect_err(|_| eprintln!("{}", guest.last_words()))
}

/// Where it is measured.
struct Place<'a> {
    guest: &'a Guest,
    world: &'a World,
    bench: Bench<'a>,
}

impl<'a> Place<'a> {
    fn tables(&self) -> Outcome {
        let columns =
            ["servers", "there and back", "two bare round trips", "clock set", "at the latest", "asleep", "goal"];
        let mut table = Table::new(&columns);
        let mut well = vec![];
        for distance in DISTANCES {
            for servers in ALL {
                let all = servers.start(self.world, distance)?;
                self.bench.chronyd_that_follows(&sources(&all, ""))?;
                let bare = bare::round_trips(self.guest, all.last().ok_or("no server")?)?;
                let set = self.rounds(&all, Bench::set_back)?;
                let woken = self.rounds(&all, Bench::wake_up)?;
                let goal = match (servers.have_a_majority(), distance.is_zero()) {
                    (false, _) => "none set".to_owned(),
                    (true, true) => goal(median(&set), GOAL_NEAR),
                    (true, false) => goal(median(&set), bare + GOAL),
                };
                let latest = set.iter().max_by_key(|took| took.unwrap_or(Duration::MAX)).copied().flatten();
                let cells = [Some(bare), median(&set), latest, median(&woken)].map(told);
                let far = format!("{} ms", distance.as_millis());
                table.row(&[&servers.name, &far, &cells[0], &cells[1], &cells[2], &cells[3], &goal]);
                if servers.name == WELL.name {
                    well.push(median(&set));
                }
            }
        }
        table.write("walk")?;
        self.beside_chrony(&well)?.write("recipe")?;
        Ok(())
    }

    /// What chrony's user does, on the same servers.
    fn beside_chrony(&self, ours: &[Took]) -> Outcome<Table> {
        let mut table = Table::new(&["there and back", "chronyd", "the recipe", "clockgate", "goal"]);
        for (distance, ours) in DISTANCES.into_iter().zip(ours) {
            for polling in ["", "minpoll 0 maxpoll 0"] {
                let all = WELL.start(self.world, distance)?;
                self.bench.chronyd_that_follows(&sources(&all, polling))?;
                let theirs = median(&self.tries(&all, polling, Bench::script)?);
                let times = theirs.zip(*ours).map(|(theirs, ours)| theirs.as_secs_f64() / ours.as_secs_f64());
                let times = match times {
                    None => "-".to_owned(),
                    Some(times) if distance.is_zero() => {
                        format!("{GOAL_FASTER:.0} times faster: {times:.0} times, {}", met(times >= GOAL_FASTER))
                    }
                    Some(times) => format!("none set; {times:.0} times faster"),
                };
                let chronyd = if polling.is_empty() { "as packaged" } else { "`minpoll 0`" };
                let far = format!("{} ms", distance.as_millis());
                table.row(&[&far, &chronyd, &told(theirs), &told(*ours), &times]);
            }
        }
        Ok(table)
    }

    /// Rounds with the agent, which asks whom chronyd follows.
    fn rounds(&self, servers: &[Liar], play: fn(&Bench<'a>) -> Outcome<Round>) -> Outcome<Vec<Took>> {
        if let Err(never) = gate::start_with(self.guest, "{}\n").and_then(|()| gate::proven(self.guest)) {
            eprintln!("not even once: {}", never.message().unwrap_or_default());
            self.anew(servers, "")?;
            return Ok(vec![None]);
        }
        let took = self.tries(servers, "", play)?;
        self.bench.no_agent()?;
        Ok(took)
    }

    /// Rounds of which each may fail: that nobody gets there is a result, too.
    fn tries(&self, servers: &[Liar], polling: &str, play: fn(&Bench<'a>) -> Outcome<Round>) -> Outcome<Vec<Took>> {
        let mut took = vec![];
        for _ in 0..ROUNDS {
            match play(&self.bench) {
                Ok(round) => took.push(Some(round.end())),
                Err(never) => {
                    eprintln!("not in this round: {}", never.message().unwrap_or_default());
                    took.push(None);
                    self.anew(servers, polling)?;
                    break;
                }
            }
        }
        Ok(took)
    }

    /// All as before the round that failed.
    fn anew(&self, servers: &[Liar], polling: &str) -> Outcome {
        self.guest.sh("rm -f /lib/systemd/system-sleep/zz-*; systemctl stop clockgate; systemctl reset-failed")?;
        self.bench.chronyd_that_follows(&sources(servers, polling))
    }
}

fn median(all: &[Took]) -> Took {
    let mut sorted: Vec<Duration> = all.iter().map(|took| took.unwrap_or(Duration::MAX)).collect();
    sorted.sort();
    sorted.get(sorted.len() / 2).copied().filter(|took| *took < Duration::MAX)
}

fn told(took: Took) -> String {
    took.map_or_else(|| "never".to_owned(), millis)
}

fn goal(took: Took, goal: Duration) -> String {
    format!("under {}: {}", millis(goal), met(took.is_some_and(|took| took < goal)))
}

//! Scenarios on a real kernel whose clock may be broken: user-mode Linux with systemd, logind and real time daemons.
//!
//! The scenarios of one night share a guest, since a boot costs more than most of them; one that fails takes its guest
//! with it, and the next one boots another.

use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};

use libtest_mimic::{Arguments, Trial};

#[path = "../publisher/api.rs"]
#[allow(dead_code, reason = "the tests of the publisher need more of it")]
mod api;
#[path = "../publisher/authority.rs"]
#[allow(dead_code, reason = "the tests of the publisher need more of it")]
mod authority;
#[path = "../publisher/cluster.rs"]
#[allow(dead_code, reason = "the tests of the publisher need more of it")]
mod cluster;
mod lab;
mod scenarios;
#[path = "../http/site.rs"]
mod site;
#[path = "../support/mod.rs"]
mod support;

use lab::guest::Guest;
use lab::stage::Begins;
use lab::world::World;
use lab::{Outcome, fail};
use scenarios::daemons::table::Daemon;

fn main() -> ExitCode {
    if let Some(done) = lab::inside::perform_verb() {
        return done;
    }
    let arguments = Arguments::from_args();
    let missing = lab::missing().or_else(|| lab::laboratory::missing(&["hands"]));
    if missing.is_none()
        && !arguments.list
        && let Err(error) = lab::namespace::enter()
    {
        eprintln!("{}", error.message().unwrap_or("cannot enter namespaces"));
        return ExitCode::FAILURE;
    }
    let trials = scenarios::all().into_iter().map(|scenario| {
        let missing = missing.clone().or_else(|| scenario.night.begins.missing());
        trial(scenario, missing.as_deref())
    });
    let trials = trials.collect();
    libtest_mimic::run(&arguments, trials).exit_code()
}

/// Where the scenarios of one night happen.
#[derive(Debug)]
pub struct Night {
    begins: Begins,
    place: Mutex<Option<(Guest, World)>>,
}

/// One thing to show, and the night it happens in.
#[derive(Debug)]
pub struct Scenario {
    name: String,
    night: Arc<Night>,
    play: Play,
}

/// What is done to a guest.
#[derive(Clone, Copy, Debug)]
pub enum Play {
    /// Something that happens once.
    Once(fn(&Guest, &World) -> Outcome),
    /// The same for each time daemon.
    With(fn(&Guest, &World, &'static Daemon) -> Outcome, &'static Daemon),
}

impl Play {
    fn on(self, guest: &Guest, world: &World) -> Outcome {
        match self {
            Self::Once(play) => play(guest, world),
            Self::With(play, daemon) => play(guest, world, daemon),
        }
    }
}

fn trial(scenario: Scenario, missing: Option<&str>) -> Trial {
    let Some(missing) = missing else {
        return Trial::test(scenario.name, move || scenario.night.host(scenario.play));
    };
    if std::env::var_os("CI").is_some() {
        let text = missing.to_owned();
        return Trial::test(scenario.name, move || fail(text));
    }
    println!("skipped: {}: {missing}", scenario.name);
    Trial::test(scenario.name, || Ok(())).with_ignored_flag(true)
}

impl Night {
    fn new(begins: Begins) -> Self {
        Self { begins, place: Mutex::new(None) }
    }

    fn host(&self, play: Play) -> Outcome {
        let mut place = self.place.lock().unwrap_or_else(PoisonError::into_inner);
        // Taken out, so that a scenario that panics drops its guest.
        let (guest, world) = match place.take() {
            Some(ready) => ready,
            None => {
                let world = World::new()?;
                (Guest::boot(&world, self.begins)?, world)
            }
        };
        play.on(&guest, &world).map_err(|failed| {
            let said = failed.message().unwrap_or("failed").to_owned();
            format!("{said}\n{}", guest.last_words())
        })?;
        *place = Some((guest, world));
        Ok(())
    }
}

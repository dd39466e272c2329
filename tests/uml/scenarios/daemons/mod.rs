//! Every time daemon beside the agent: a sleep after which an hour is missing, and in the night strangers' steps, restarts, and a
//! daemon that gives up; after each it keeps the clock again.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::Duration;

use clockgate::decision::Boottime;

use super::{crowd, gate, night};
use crate::lab::guest::Guest;
use crate::lab::resolver::Resolver;
use crate::lab::stage::Begins;
use crate::lab::work::{Stamp, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, pass, until};
use crate::{Night, Play, Scenario};

pub mod table;

use crowd::RIGHT;
use table::{DAEMONS, Daemon, SmallStep};

/// As far off as a clock may be that somebody keeps.
const KEPT: Duration = Duration::from_millis(50);
/// How long a daemon is waited for before the agent starts.
const BOOT: Duration = Duration::from_secs(10);
/// How long a daemon is watched after the gate was opened: what it still meant to do it does by then.
const WATCHED: Duration = Duration::from_secs(4);
/// How long it is left alone with a wrong clock; the quickest look at their servers every eight seconds, twice.
const ALONE: Duration = Duration::from_secs(40);

type Listed = (&'static str, fn(&Guest, &World, &'static Daemon) -> Outcome);

const SCENARIOS: &[Listed] = &[("after_a_sleep_nothing_that_waits_runs_stale", after_a_sleep)];
const AT_NIGHT: &[Listed] = &[
    ("is_in_charge_after_a_strangers_step_and_a_restart", after_a_step_and_a_restart),
    ("is_in_charge_after_it_was_left_alone_with_a_wrong_clock", after_it_was_left_alone),
];

/// Each in a guest of its own.
pub fn nights() -> Vec<Vec<Scenario>> {
    let at_night = super::at_night(AT_NIGHT);
    let all = || SCENARIOS.iter().chain(at_night);
    DAEMONS.iter().flat_map(|daemon| all().map(|listed| vec![scenario(*listed, daemon)])).collect()
}

fn scenario((name, play): Listed, daemon: &'static Daemon) -> Scenario {
    let begins = Begins::Over { installed: true, root: daemon.root, tree: daemon.tree };
    Scenario {
        name: format!("daemons::{}::{name}", daemon.name),
        night: Arc::new(Night::new(begins)),
        play: Play::With(play, daemon),
    }
}

/// A daemon that keeps the clock, and nobody else's servers to ask.
struct Kept<'g> {
    guest: &'g Guest,
    daemon: &'static Daemon,
    server: Ipv4Addr,
    others: Resolver,
}

fn after_a_sleep(guest: &Guest, world: &World, daemon: &'static Daemon) -> Outcome {
    let kept = Kept::start(guest, world, daemon)?;
    let before = kept.begin()?;
    night::stale_sleeps(guest)?;
    let work = Work::behind_the_gate(guest, "work")?;
    guest.suspend()?;
    guest.wake()?;
    let woken = Boottime::from_nanos(guest.clocks()?.boottime);
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    work.first_after(guest, woken)?;
    kept.stays_right()?;
    careful(&work.end(guest)?)?;
    guest.sh(daemon.afterwards)?;
    kept.runs()?;
    kept.its_server_was_asked()
}

fn after_a_step_and_a_restart(guest: &Guest, world: &World, daemon: &'static Daemon) -> Outcome {
    let kept = Kept::start(guest, world, daemon)?;
    let before = kept.begin()?;
    let work = Work::behind_the_gate(guest, "work")?;
    let restart = daemon.unit.map(|unit| format!("; systemctl restart {unit}")).unwrap_or_default();
    guest.sh(&format!("{}{restart}", crowd::AN_HOUR_BACK))?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    kept.stays_right()?;
    kept.is_in_charge()?;
    careful(&work.end(guest)?)?;
    kept.its_server_was_asked()?;
    kept.small_step()
}

/// The agent does not run for a while, as under a debugger or on a machine that is too busy.
fn after_it_was_left_alone(guest: &Guest, world: &World, daemon: &'static Daemon) -> Outcome {
    let kept = Kept::start(guest, world, daemon)?;
    kept.begin()?;
    guest.sh("systemctl kill -s STOP clockgate")?;
    guest.sh(crowd::AN_HOUR_BACK)?;
    guest.sh(daemon.left_alone)?;
    match daemon.unit.filter(|_| daemon.quits) {
        Some(unit) => until("it has quit", ALONE, || {
            Ok((guest.run(&format!("systemctl is-failed {unit}"))?.code == 0).then_some(()))
        })?,
        None => pass(ALONE),
    }
    guest.sh("systemctl kill -s CONT clockgate")?;
    // A daemon that has corrected it all by itself leaves nothing to be seen.
    gate::proven(guest)?;
    kept.stays_right()?;
    kept.is_in_charge()?;
    kept.its_server_was_asked()
}

impl<'g> Kept<'g> {
    /// Starts the daemon; returns when it is synchronised, or has had the time for it that a boot takes.
    fn start(guest: &'g Guest, world: &World, daemon: &'static Daemon) -> Outcome<Self> {
        let others = Resolver::start(guest, world)?;
        let kept = Self { guest, daemon, server: world.truth.address(), others };
        for (path, text) in daemon.files {
            guest.put(path, &kept.words(text))?;
        }
        guest.sh(daemon.prepare)?;
        if let Some(unit) = daemon.unit {
            guest.sh(&format!("systemctl start {unit}"))?;
            let _: Outcome = kept.says_so(BOOT);
        }
        Ok(kept)
    }

    /// Starts the agent; returns when the gate is open on a proof.
    fn begin(&self) -> Outcome<gate::Gate> {
        gate::start_with(self.guest, &self.words(self.daemon.agent))?;
        gate::proven(self.guest)
    }

    fn words(&self, text: &str) -> String {
        let server = self.server.to_string();
        let network = server.rsplit_once('.').map_or("", |(network, _)| network);
        text.replace("SERVER", &server).replace("NETWORK", network)
    }

    /// It says that it is synchronised to its server.
    fn says_so(&self, within: Duration) -> Outcome {
        let script = self.words(&format!("set -e; {}", self.daemon.is_synchronised));
        until("the daemon says that it is synchronised to its server", within, || {
            let said = self.guest.run(&script)?;
            pass(Duration::from_millis(200));
            Ok((said.code == 0).then_some(()))
        })
        .map_err(|failed| {
            let said = self.guest.run("cat /run/said /run/says").map(|ran| ran.out).unwrap_or_default();
            format!("{}; it said:\n{said}", failed.message().unwrap_or_default()).into()
        })
    }

    fn runs(&self) -> Outcome {
        let Some(unit) = self.daemon.unit else { return Ok(()) };
        let state = self.guest.run(&format!("systemctl is-active {unit}"))?.out;
        ensure(state.trim() == "active", format!("{unit} is {state}"))
    }

    fn stays_right(&self) -> Outcome {
        let mut worst = Duration::ZERO;
        let _: Outcome = until("the clock stays", WATCHED, || {
            worst = worst.max(self.guest.offset()?.abs());
            pass(Duration::from_millis(200));
            Ok(None)
        });
        ensure(worst < RIGHT, format!("off by {worst:?}"))
    }

    /// Nobody keeps the clock but the daemon, and it does.
    fn is_in_charge(&self) -> Outcome {
        self.says_so(self.daemon.says_so_within)?;
        self.runs()?;
        let off = self.guest.offset()?;
        ensure(off.abs() < KEPT, format!("off by {off}"))
    }

    fn its_server_was_asked(&self) -> Outcome {
        self.others.was_never_asked()?;
        if self.daemon.unit.is_none() {
            return Ok(());
        }
        let log = gate::log(self.guest)?;
        ensure(log.contains(&self.server.to_string()), format!("its server was not asked:\n{log}"))
    }

    /// The agent is gone: what happens now is the daemon's doing.
    fn small_step(&self) -> Outcome {
        let SmallStep::Corrected(within) = self.daemon.small_step else { return Ok(()) };
        self.guest.sh("systemctl stop clockgate; date -u -s '0.3 seconds ago'")?;
        let off = self.guest.offset()?;
        ensure(off.abs() > KEPT, format!("nothing was set: off by {off}"))?;
        until("the daemon takes back 300 ms", within, || {
            pass(Duration::from_millis(500));
            Ok((self.guest.offset()?.abs() < KEPT).then_some(()))
        })
    }
}

fn careful(stamps: &[Stamp]) -> Outcome {
    match stamps.iter().find(|stamp| stamp.off.abs() > RIGHT) {
        Some(wrong) => fail(format!("work was done on a clock that was off by {}", wrong.off)),
        None => Ok(()),
    }
}

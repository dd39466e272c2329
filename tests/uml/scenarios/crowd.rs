//! What the scenarios about the rules of the proof share: a crowd of servers, a guest that remembers nothing, and what was done to its
//! clock.

use std::net::SocketAddr;
use std::time::Duration;

use clockgate::decision::Offset;

use super::{gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::{Liar, Manner};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

/// How near to the truth a proven clock is: the threshold.
pub const RIGHT: Duration = Duration::from_millis(200);
pub const AN_HOUR_BACK: &str = "date -u -s '1 hour ago'";
/// The first of the world's addresses that is free.
const FIRST: u8 = 2;

/// A server so many milliseconds away, there and back.
pub fn far(millis: u64) -> Manner {
    Manner::far(Duration::from_millis(millis))
}

/// The same, so many seconds off.
pub fn off(millis: u64, secs: i64) -> Manner {
    far(millis).off(Offset::from_secs(secs))
}

/// Servers at the world's addresses from 2 on; they answer for as long as they are held.
pub fn crowd<const N: usize>(world: &World, manners: [Manner; N]) -> Outcome<Vec<Liar>> {
    let all = (FIRST..).zip(manners);
    all.map(|(last, manner)| Ok(Liar::that(SocketAddr::from((world.address(last), 123)), manner)?)).collect()
}

/// The line of the configuration that names them all.
pub fn servers(all: &[Liar]) -> String {
    let names: Vec<String> = all.iter().map(|server| server.address().ip().to_string()).collect();
    format!("servers: [{}]\n", names.join(", "))
}

/// Lines of chrony.conf(5) that name them all.
pub fn sources(all: &[Liar]) -> String {
    let line = |server: &Liar| format!("server {} iburst minpoll 0 maxpoll 0\n", server.address().ip());
    all.iter().map(line).collect()
}

/// Forgets what the agents of earlier scenarios knew, and sets the clock right.
pub fn fresh(guest: &Guest) -> Outcome {
    night::over(guest)?;
    guest.sh("rm -rf /run/clockgate/* /var/lib/clockgate/* /etc/clockgate/*").map(drop)
}

/// Sets the clock so that it is behind by so much: by ADJ_SETOFFSET, with the time at byte 72 of struct timex: date(1) would add what starting a program takes on a busy machine.
pub fn set_behind_by(guest: &Guest, behind: Offset) -> Outcome {
    let by = guest.offset()? - behind;
    let (secs, micros) = (by.as_nanos().div_euclid(1_000_000_000), by.as_nanos().rem_euclid(1_000_000_000) / 1000);
    guest
        .sh(&format!(r#"perl -e '$t = pack("L x68 q q x120", 0x100, {secs}, {micros}); exit(syscall(159, $t) < 0)'"#))
        .map(drop)
}

/// Starts the agent on these servers alone, with more lines of configuration.
pub fn start(guest: &Guest, all: &[Liar], more: &str) -> Outcome {
    gate::start_with(guest, &format!("{}{more}", servers(all)))
}

/// The steps that the agent made, in seconds.
pub fn steps(guest: &Guest) -> Outcome<Vec<f64>> {
    let log = gate::log(guest)?;
    let made = log.lines().filter(|line| line.contains("clock stepped"));
    made.map(|line| {
        let moved = line.split("moved=").nth(1).unwrap_or_default();
        let number = moved.split(['s', ' ']).next().unwrap_or_default().trim_matches('"');
        number.parse().map_err(|error| format!("{error}: {line}").into())
    })
    .collect()
}

/// Whether no step of the agent's was longer than this, and the clock is right.
pub fn right_without_a_step_over(guest: &Guest, secs: f64) -> Outcome {
    let (off, steps, log) = (guest.offset()?, steps(guest)?, gate::log(guest)?);
    ensure(off.abs() < RIGHT, format!("off by {off}\n{log}"))?;
    ensure(steps.iter().all(|step| step.abs() <= secs), format!("stepped by {steps:?}\n{log}"))
}

/// For so long the gate is never open on a proof.
pub fn never_proven(guest: &Guest, during: Duration) -> Outcome {
    for _ in 0..during.as_millis() / 250 {
        pass(Duration::from_millis(250));
        let now = gate::read(guest)?;
        ensure(!now.is_proven(), format!("proven: {now:?}, off by {}\n{}", guest.offset()?, gate::log(guest)?))?;
    }
    Ok(())
}

/// A stranger sets the clock back by an hour; returns when a later epoch is proven.
pub fn set_back_and_proven(guest: &Guest) -> Outcome {
    let before = gate::read(guest)?;
    guest.sh(AN_HOUR_BACK)?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven()).map(drop)
}

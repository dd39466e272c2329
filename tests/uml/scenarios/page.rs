//! A page whose agent is stopped: whoever asks at the gate sees by clocks of their own what became of the clock since the proof.

use std::time::Duration;

use clockgate::decision::{Offset, Realtime};
use clockgate::sys::clock;

use super::crowd::{self, crowd, off, set_behind_by, steps};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::looks::{Looks, VERB_SLEWED};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] = &[
    ("page::a_step_behind_a_stopped_agent_s_back_lets_nobody_through", a_step),
    ("page::a_slew_behind_a_stopped_agent_s_back_counts_in_its_own_direction", a_slew),
    ("page::a_leap_second_behind_a_stopped_agent_s_back_shuts_nobody_out", a_leap_second),
    ("page::a_stopped_agent_ends_and_its_gate_is_the_next_one_s", stopped_and_ended),
];

const LOOKS: u32 = 2000;

fn stop(guest: &Guest) -> Outcome {
    guest.sh("kill -STOP $(systemctl show -p MainPID --value clockgate)").map(drop)
}

fn go_on(guest: &Guest) -> Outcome {
    guest.sh("kill -CONT $(systemctl show -p MainPID --value clockgate)").map(drop)
}

fn all_open(guest: &Guest, what: &str) -> Outcome<Looks> {
    let looks = Looks::of(guest, LOOKS)?;
    ensure(looks.open == LOOKS, format!("{what}: {looks:?}"))?;
    Ok(looks)
}

fn none_open(guest: &Guest, what: &str, why: &str) -> Outcome {
    let looks = Looks::of(guest, LOOKS)?;
    ensure(looks.open == 0 && looks.why.contains(why), format!("{what}: {looks:?}"))?;
    let started = guest.run("clockgate run --require-proof --max-wait 100ms -- echo through")?;
    ensure(started.code == 75 && started.out.is_empty(), format!("{what}: {}{}", started.out, started.err))
}

fn a_step(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    stop(guest)?;
    all_open(guest, "nobody has touched the clock")?;
    for (step, undo, why) in [
        ("1 hour ago", "1 hour", "set back by"),
        ("1 hour", "1 hour ago", "set forward by"),
        ("1 second ago", "1 second", "set back by"),
    ] {
        guest.sh(&format!("date -u -s '{step}'"))?;
        none_open(guest, step, why)?;
        guest.sh(&format!("date -u -s '{undo}'"))?;
    }
    guest.set_right()?;
    go_on(guest)?;
    gate::proven(guest)?;
    night::over(guest)
}

/// Bends the clock's rate by a tenth until it has moved by so much: `tick` of adjtimex(2), as chronyd slews.
fn slew(guest: &Guest, tick: u32, millis: u32) -> Outcome {
    let set = |tick: u32| {
        // struct timex of x86-64: modes ADJ_TICK, and the tick at byte 88.
        format!(r#"perl -e '$t = pack("L x84 q x112", 0x4000, {tick}); exit(syscall(159, $t) < 0)'"#)
    };
    let wait = format!("/usr/lib/lab/part {VERB_SLEWED} {millis}");
    guest.sh(&format!("{} && {wait} && {}", set(tick), set(10_000))).map(drop)
}

fn a_slew(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    stop(guest)?;
    all_open(guest, "nobody has touched the clock")?;
    slew(guest, 11_000, 350)?;
    none_open(guest, "0.35 s fast", "slewed forward by")?;
    // Back to where it was: right again, and seen to be.
    slew(guest, 9_000, 350)?;
    all_open(guest, "slewed back again")?;
    go_on(guest)?;
    gate::proven(guest)?;
    // A clock that a daemon makes right stays open, and its bound gets smaller.
    set_behind_by(guest, Offset::from_nanos(150_000_000))?;
    let far = until("the agent has measured the small step", Duration::from_secs(60), || {
        let looks = Looks::of(guest, 1)?;
        Ok((looks.open == 1 && looks.bound > 140_000_000).then_some(looks))
    })?;
    stop(guest)?;
    slew(guest, 11_000, 130)?;
    let near = all_open(guest, "slewed to the right time")?;
    ensure(near.bound + 50_000_000 < far.bound, format!("{near:?} after {far:?}"))?;
    go_on(guest)?;
    night::over(guest)
}

const ROOM: Duration = Duration::from_millis(600);
/// 2027-02-01 00:00:00 UTC.
const MONTH_ENDS: Realtime = Realtime::from_secs(1_801_440_000);
const LEAP_ON_PAGE: &str = "od -An -t d8 -j 416 -N 8 /run/clockgate/public/gate";

/// The servers insert it too; they do not warn, as many do not.
fn a_leap_second(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let ahead = MONTH_ENDS + Offset::from_secs(-45) - clock::realtime();
    let servers = crowd(world, [off(1, 0), off(1, 0)].map(|manner| manner.off(ahead)))?;
    let off_by = |ahead: Offset| -> Outcome<Offset> { Ok(guest.offset()? + ahead) };
    let now = clock::realtime() + ahead;
    guest.sh(&format!("date -u -s @{}.{:09}", now.as_secs(), now.as_nanos() % 1_000_000_000))?;
    // Room for a clock that was set by a busy machine, and for looks that it interrupts; none for a second.
    crowd::start(guest, &servers, "threshold: 600ms\n")?;
    let (before, made) = (gate::proven(guest)?, steps(guest)?);
    // struct timex of x86-64: modes ADJ_STATUS, and the status STA_INS at byte 40; a route that changes wakes the agent.
    guest.sh(r#"perl -e '$t = pack("L x36 l x164", 0x10, 0x10); exit(syscall(159, $t) < 0)' && ip route add 10.99.0.0/24 dev lo"#)?;
    until("the leap second is on the page", Duration::from_secs(20), || {
        Ok((guest.sh(LEAP_ON_PAGE)?.trim() == "-1000000000").then_some(()))
    })?;
    let off = off_by(ahead)?;
    ensure(off.abs() < ROOM, format!("off by {off} before it"))?;
    stop(guest)?;
    let leaps_at = MONTH_ENDS + -ahead;
    let mut looks = 0;
    while clock::realtime() < leaps_at + Offset::from_secs(1) {
        all_open(guest, "about the leap second")?;
        looks += LOOKS;
    }
    servers.iter().for_each(|server| server.change(|manner| manner.offset = ahead + Offset::from_secs(-1)));
    let off = off_by(ahead + Offset::from_secs(-1))?;
    ensure(off.abs() < ROOM && looks > 5 * LOOKS, format!("off by {off} after it, {looks} looks"))?;
    all_open(guest, "after the leap second")?;
    go_on(guest)?;
    until("it was measured", Duration::from_secs(20), || {
        all_open(guest, "the agent goes on")?;
        Ok((guest.sh(LEAP_ON_PAGE)?.trim() == "0").then_some(()))
    })?;
    let (after, steps) = (gate::proven(guest)?, steps(guest)?);
    ensure(after.epoch == before.epoch && steps == made, format!("{before:?}, {after:?}, stepped by {steps:?}"))?;
    // STA_UNSYNC alone; and no later scenario is to know of a time so late.
    guest.sh(r#"perl -e '$t = pack("L x36 l x164", 0x10, 0x40); exit(syscall(159, $t) < 0)' && ip route del 10.99.0.0/24 dev lo"#)?;
    crowd::fresh(guest)
}

fn stopped_and_ended(guest: &Guest, world: &World) -> Outcome {
    let before = gate::start(guest, world)?;
    stop(guest)?;
    guest.sh("systemctl kill -s KILL clockgate")?;
    let after = gate::when(guest, "the next agent's gate", |now| now.epoch > before.epoch && now.is_proven())?;
    guest.sh("systemctl stop clockgate")?;
    let ran = guest.run("clockgate status")?;
    ensure(ran.code == 69 && ran.out.contains("it was stopped"), format!("{after:?}: {}{}", ran.out, ran.err))?;
    // A start that fails has the last word.
    guest.put("/etc/clockgate/config.yaml", "treshold: 5ms\n")?;
    let started = guest.run("systemctl start clockgate")?;
    let ran = guest.run("clockgate status")?;
    let said = ran.code == 69 && ran.out.contains("treshold");
    ensure(said, format!("start: {}; status {}: {}{}", started.code, ran.code, ran.out, ran.err))?;
    guest.sh("systemctl reset-failed clockgate")?;
    night::over(guest)
}

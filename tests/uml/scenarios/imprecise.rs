//! Answers that agree with the clock and cannot tell finely enough hold nothing; and a floor that a wrong clock wrote.

use std::time::Duration;

use clockgate::decision::Offset;

use super::crowd::{self, crowd, far};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::Manner;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure};

pub const SCENARIOS: &[Listed] = &[
    ("imprecise::a_server_that_knows_the_time_to_a_second_opens_unproven_at_the_deadline", vague),
    ("imprecise::one_server_against_another_on_a_clock_that_reckoning_agrees_with_opens_unproven", one_against_one),
    ("imprecise::three_servers_that_agree_are_believed_against_a_floor_that_a_wrong_clock_wrote", poisoned_floor),
    ("imprecise::one_server_below_the_floor_is_refused_and_the_file_is_named", floor_is_named),
];

const DEADLINE: &str = "deadline: 5s\n";
const POISON: &str = "mkdir -p /var/lib/clockgate; touch -d \"@$(($(date +%s) + 36000))\" /var/lib/clockgate/clock";

fn vague(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    // 0.9 s, in units of 2^-16 s.
    let all = crowd(world, [Manner { root_dispersion: 58_982, ..far(1).off(Offset::from_nanos(9_000_000)) }])?;
    crowd::start(guest, &all, DEADLINE)?;
    let now = gate::when(guest, "the deadline is over", |now| now.gate != "shut")?;
    night::over(guest)?;
    ensure(now.gate == "unproven", format!("{now:?}"))
}

fn one_against_one(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1), far(1)])?;
    crowd::set_behind_by(guest, Offset::ZERO)?;
    // More than a busy machine adds to a sample, and less than what the two are apart.
    crowd::start(guest, &all, &format!("{DEADLINE}threshold: 100ms\n"))?;
    gate::proven(guest)?;
    all[1].change(|manner| manner.offset = Offset::from_nanos(400_000_000));
    // Nothing paused the machine: somebody wants to know.
    let looked = guest.run("clockgate sync --timeout 20s")?;
    ensure(looked.code == 75, format!("{looked:?}"))?;
    let now = gate::when(guest, "the deadline is over", |now| now.gate == "unproven")?;
    let off = guest.offset()?;
    night::over(guest)?;
    ensure(off.abs() < Duration::from_millis(200), format!("{now:?}, off by {off}"))
}

fn poisoned_floor(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    guest.sh(POISON)?;
    let all = crowd(world, [far(1), far(1), far(1)])?;
    crowd::start(guest, &all, "")?;
    gate::proven(guest)?;
    crowd::set_back_and_proven(guest)?;
    crowd::right_without_a_step_over(guest, 3700.0)?;
    night::over(guest)
}

fn floor_is_named(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    guest.sh(POISON)?;
    let all = crowd(world, [far(1)])?;
    crowd::start(guest, &all, "")?;
    let now =
        gate::when(guest, "it says why", |now| now.gate == "shut" && now.why.contains("/var/lib/clockgate/clock"));
    crowd::fresh(guest)?;
    now.map(drop)
}

//! What is known without asking, where nobody answers: a clock that is known to be wrong is held, one that may be right is not.

use std::time::Duration;

use super::crowd::{self, AN_HOUR_BACK, crowd, far};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::{Answer, Liar};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

pub const SCENARIOS: &[Listed] = &[
    ("knowledge::a_clock_set_to_1980_where_nobody_answers_is_held_and_the_status_says_by_how_much", to_1980),
    ("knowledge::a_clock_set_back_by_an_hour_where_nobody_answers_is_held_and_the_status_says_so", an_hour_back),
    ("knowledge::a_right_clock_where_nobody_answers_opens_unproven_at_the_deadline", right_and_silent),
    ("knowledge::a_time_that_is_meant_is_accepted_and_opens_unproven", accepted),
    ("knowledge::a_strangers_step_is_undone_by_reckoning_when_root_says_so", reckoned),
];

const DEADLINE: &str = "deadline: 5s\n";
/// A deadline and as much again.
const LONGER: Duration = Duration::from_secs(8);

fn to_1980(guest: &Guest, world: &World) -> Outcome {
    let _silent = proven_and_then_silent(guest, world)?;
    guest.sh("date -u -s 1980-01-01")?;
    held(guest, "d ")?;
    night::over(guest)
}

fn an_hour_back(guest: &Guest, world: &World) -> Outcome {
    let _silent = proven_and_then_silent(guest, world)?;
    guest.sh(AN_HOUR_BACK)?;
    held(guest, "1 h 0 min")?;
    night::over(guest)
}

fn right_and_silent(guest: &Guest, world: &World) -> Outcome {
    let _silent = proven_and_then_silent(guest, world)?;
    guest.sh("clockgate notify post-restore")?;
    gate::when(guest, "the gate shuts", |now| now.gate == "shut")?;
    let now = gate::when(guest, "the deadline is over", |now| now.gate != "shut")?;
    night::over(guest)?;
    ensure(now.gate == "unproven", format!("{now:?}"))
}

fn accepted(guest: &Guest, world: &World) -> Outcome {
    let _silent = proven_and_then_silent(guest, world)?;
    guest.sh(AN_HOUR_BACK)?;
    held(guest, "1 h 0 min")?;
    let nobody = guest.run("setpriv --reuid 65534 --clear-groups clockgate accept")?;
    let still = gate::read(guest)?;
    guest.sh("clockgate accept")?;
    let now = gate::when(guest, "the gate is open", |now| now.gate != "shut")?;
    let off = guest.offset()?;
    night::over(guest)?;
    ensure(nobody.code != 0 && still.gate == "shut", format!("{nobody:?}, {still:?}"))?;
    ensure(now.gate == "unproven" && off.abs() > Duration::from_secs(3000), format!("{now:?}, off by {off}"))
}

fn reckoned(guest: &Guest, world: &World) -> Outcome {
    let silent = proven_and_then_silent(guest, world)?;
    guest.sh(AN_HOUR_BACK)?;
    held(guest, "1 h 0 min")?;
    guest.sh("clockgate sync --reckoned")?;
    let now = gate::when(guest, "the gate is open", |now| now.gate != "shut")?;
    let off = guest.offset()?;
    ensure(now.gate == "unproven" && off.abs() < crowd::RIGHT, format!("{now:?}, off by {off}"))?;
    // Whoever answers later proves it.
    silent[0].change(|manner| manner.answer = Answer::Time);
    guest.sh("clockgate notify resume")?;
    gate::proven(guest)?;
    crowd::right_without_a_step_over(guest, 3700.0)?;
    night::over(guest)
}

fn proven_and_then_silent(guest: &Guest, world: &World) -> Outcome<Vec<Liar>> {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    crowd::start(guest, &all, DEADLINE)?;
    gate::proven(guest)?;
    all[0].change(|manner| manner.answer = Answer::Silence);
    Ok(all)
}

/// Past the deadline it is shut, and says how wrong the clock is.
fn held(guest: &Guest, by: &str) -> Outcome {
    gate::when(guest, "the gate shuts", |now| now.gate == "shut")?;
    pass(LONGER);
    let now = gate::read(guest)?;
    ensure(now.gate == "shut" && now.why.contains(by), format!("not shut by {by:?}: {now:?}"))
}

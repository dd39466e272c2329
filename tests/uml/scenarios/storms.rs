//! Somebody sets the clock again and again.

use std::time::Duration;

use clockgate::sys::clock;

use super::crowd::{self, crowd, far};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::Answer;
use crate::lab::work::{PART, VERB};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

pub const SCENARIOS: &[Listed] = &[
    ("storms::steps_every_three_seconds_where_nobody_answers_do_not_renew_the_deadline_for_ever", steps_and_silence),
    ("storms::a_clock_set_by_20_ms_twice_a_second_costs_hardly_a_question_and_is_said_once", small_steps),
];

fn steps_and_silence(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    crowd::start(guest, &all, "deadline: 6s\nmeasure-timeout: 1s\n")?;
    gate::proven(guest)?;
    all[0].change(|manner| manner.answer = Answer::Silence);
    for seconds in ["+30", "-30", "+30", "-30", "+30"] {
        guest.sh(&format!("date -u -s \"@$(($(date +%s) {seconds}))\""))?;
        pass(Duration::from_secs(3));
    }
    let log = gate::log(guest)?;
    night::over(guest)?;
    // Open, or held because reckoning says that it is wrong: the policy was applied, whatever it was.
    let applied = ["without a proof", "past the deadline"].iter().any(|words| log.contains(words));
    ensure(applied, format!("after fifteen seconds no policy was applied:\n{log}"))
}

fn small_steps(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    crowd::start(guest, &all, "threshold: 1s\nremeasure: {min: 5s}\n")?;
    let before = gate::proven(guest)?;
    let from = clock::boottime();
    // To and fro around where it stands by the time since boot, so that what setting it takes does not add up.
    guest.put_program(
        "/run/storm",
        &format!(
            "#!/bin/sh\nset -- $({PART} {VERB})\nahead=$(($2 - $1)) by=20000000\n\
             while sleep 0.5; do set -- $({PART} {VERB}); now=$(($1 + ahead + by)); by=$((-by))\n\
             date -u -s @$((now / 1000000000)).$(printf %09d $((now % 1000000000))); done\n"
        ),
    )?;
    guest.sh("systemd-run -q --unit=storm /run/storm")?;
    let mut shut = 0;
    for _ in 0..20 {
        pass(Duration::from_millis(450));
        shut += u32::from(!gate::read(guest)?.is_proven());
    }
    let (after, log) = (gate::read(guest)?, gate::log(guest)?);
    guest.sh("systemctl stop storm")?;
    let asked = all[0].asked_since(from);
    night::over(guest)?;
    ensure(shut == 0 && after.epoch == before.epoch, format!("shut {shut} times; {before:?}, {after:?}\n{log}"))?;
    // One measurement may take up to two questions.
    ensure(asked <= 6, format!("{asked} questions in ten seconds\n{log}"))?;
    let said = log.lines().filter(|line| line.contains("WARN")).count();
    ensure(said == 1, format!("{said} warnings:\n{log}"))
}

//! Servers that lie, nearer than those that do not.

use std::time::Duration;

use clockgate::decision::Offset;
use clockgate::sys::clock;

use super::crowd::{self, crowd, far, off};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::{Liar, Manner};
use crate::lab::told;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] = &[
    ("liars::a_near_liar_is_not_believed_against_three_far_ones", a_near_liar),
    ("liars::two_references_that_are_wanted_are_waited_for_however_far_the_second_is", two_are_wanted),
    ("liars::a_twin_that_answers_first_does_not_silence_the_server_that_it_copies", a_twin),
    ("liars::two_near_liars_of_five_are_outvoted_by_three_far_ones", two_near_of_five),
    ("liars::one_liar_and_one_silent_server_of_four_do_not_keep_the_other_two_from_being_believed", silent_and_lying),
    (
        "liars::late_answers_of_a_slow_honest_majority_shut_the_gate_that_two_near_liars_opened_and_make_it_right",
        late_majority,
    ),
    ("liars::a_time_that_is_told_is_not_believed_against_three_far_servers", told_against_three),
    ("liars::one_liar_moves_the_clock_by_a_thousand_seconds_at_most_in_twenty_steps", twenty_steps),
    ("liars::timesyncd_led_away_by_its_only_server_does_not_lead_the_gate", timesyncd_is_led_away),
    ("liars::chronyd_led_away_by_its_only_server_does_not_lead_the_gate", chronyd_is_led_away),
];

const A_MONTH: i64 = 30 * 86_400;
const FAR: u64 = 150;

fn a_near_liar(guest: &Guest, world: &World) -> Outcome {
    let all = crowd(world, [off(2, A_MONTH), far(FAR), far(FAR), far(FAR)])?;
    proven_without_the_lie(guest, &all, "")
}

fn two_near_of_five(guest: &Guest, world: &World) -> Outcome {
    let all = crowd(world, [off(1, 7200), off(1, 7200), far(FAR), far(FAR), far(FAR)])?;
    proven_without_the_lie(guest, &all, "")
}

fn silent_and_lying(guest: &Guest, world: &World) -> Outcome {
    let all = crowd(world, [off(1, 7200), far(20).silent(), far(20), far(20)])?;
    proven_without_the_lie(guest, &all, "")
}

fn two_are_wanted(guest: &Guest, world: &World) -> Outcome {
    let all = crowd(world, [far(1), far(FAR)])?;
    proven_without_the_lie(guest, &all, "min-references: 2\n")
}

fn a_twin(guest: &Guest, world: &World) -> Outcome {
    let set = Manner {
        reference_id: Some([203, 0, 113, 7]),
        reference_time: Some(clock::realtime() + Offset::from_nanos(-20_123_456_789)),
        ..far(FAR)
    };
    let twin = Manner { round_trip: Duration::from_millis(1), ..set.clone() }.off(Offset::from_secs(7200));
    let all = crowd(world, [twin, set, far(FAR)])?;
    proven_without_the_lie(guest, &all, "")?;
    ensure(!gate::log(guest)?.contains("counted once"), gate::log(guest)?)
}

/// At the start, and again after a stranger's step of an hour; nobody's lie is nearer to the truth than two.
fn proven_without_the_lie(guest: &Guest, all: &[Liar], more: &str) -> Outcome {
    crowd::fresh(guest)?;
    crowd::start(guest, all, more)?;
    gate::proven(guest)?;
    crowd::set_back_and_proven(guest)?;
    crowd::right_without_a_step_over(guest, 3700.0)?;
    night::over(guest)
}

/// Nobody was ever heard, so nobody is waited for longer than a second; who is slow says so, and is as precise as the others.
fn late_majority(guest: &Guest, world: &World) -> Outcome {
    let slow = || far(1).slow(Duration::from_millis(1500));
    let all = crowd(world, [off(1, 60), off(1, 60), slow(), slow(), slow()])?;
    crowd::fresh(guest)?;
    crowd::start(guest, &all, "")?;
    gate::when(guest, "it is proven anew", |now| now.cause == "drifted" && now.is_proven())?;
    let (steps, log) = (crowd::steps(guest)?, gate::log(guest)?);
    let believed = log.split("drifted").next().is_some_and(|before| before.contains("gate open"));
    ensure(believed, format!("the liars were not believed first:\n{log}"))?;
    let about = |secs: f64| steps.iter().any(|step| (step - secs).abs() < 1.0);
    ensure(steps.len() == 2 && about(60.0) && about(-60.0), format!("stepped by {steps:?}\n{log}"))?;
    crowd::right_without_a_step_over(guest, 61.0)?;
    night::over(guest)
}

fn told_against_three(guest: &Guest, world: &World) -> Outcome {
    let all = crowd(world, [far(FAR), far(FAR), far(FAR)])?;
    crowd::fresh(guest)?;
    crowd::start(guest, &all, "")?;
    gate::proven(guest)?;
    let tell = "clockgate notify post-restore --bound 100ms --time $now";
    let told = guest.run(&format!("{}{tell}", told::now(guest, 800)?))?;
    let now = gate::proven(guest)?;
    ensure(now.cause == "restore", format!("{now:?}: {told:?}"))?;
    crowd::right_without_a_step_over(guest, 1.0)?;
    night::over(guest)
}

fn twenty_steps(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(0), far(0)])?;
    let sync = |servers: &[Liar]| {
        let named: Vec<String> = servers.iter().map(|server| format!("--server {}", server.address().ip())).collect();
        guest.run(&format!("clockgate sync --timeout 2s {}", named.join(" ")))
    };
    // Two that agree: from here on it counts.
    let first = sync(&all)?;
    ensure(first.code == 0, format!("{first:?}"))?;
    let mut last = None;
    for tries in 1..=20 {
        all[0].change(|manner| manner.offset = Offset::from_secs(900 * tries));
        last = Some(sync(&all[..1])?);
    }
    let moved = guest.offset()?;
    night::over(guest)?;
    ensure(moved.abs() < Duration::from_secs(1001), format!("moved by {moved}; the last said {last:?}"))
}

fn timesyncd_is_led_away(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    guest.put("/etc/systemd/timesyncd.conf.d/lab.conf", &format!("[Time]\nNTP={}\n", all[0].address().ip()))?;
    guest.sh("systemctl restart systemd-timesyncd")?;
    is_not_led_away(guest, &all[0], "systemctl restart systemd-timesyncd")
}

fn chronyd_is_led_away(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    night::chronyd_that_hears(guest, &crowd::sources(&all), 4)?;
    is_not_led_away(guest, &all[0], "chronyc -m 'reset sources' 'burst 4/4'; sleep 3; chronyc makestep")
}

/// The daemon follows its server ten hours ahead; the agent asks the same one.
fn is_not_led_away(guest: &Guest, server: &Liar, hurry: &str) -> Outcome {
    gate::start_with(guest, "{}\n")?;
    gate::proven(guest)?;
    server.change(|manner| manner.offset = Offset::from_secs(36_000));
    guest.sh(hurry)?;
    until("the daemon follows its server", Duration::from_secs(30), || {
        Ok((guest.offset()?.abs() > Duration::from_secs(30_000)).then_some(()))
    })?;
    gate::when(guest, "the gate shuts", |now| !now.is_proven())?;
    let never = crowd::never_proven(guest, Duration::from_secs(5));
    server.change(|manner| manner.offset = Offset::ZERO);
    night::over(guest)?;
    never
}

//! Whom the agent asks, and how politely.

use std::time::Duration;

use clockgate::sys::clock;

use super::crowd::{self, crowd, far};
use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::liar::{Answer, Manner};
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] = &[
    ("ask::a_server_that_chronyd_is_given_later_is_asked_at_the_next_disruption", added_later),
    ("ask::the_servers_of_a_corrected_chrony_conf_are_asked_once_chronyd_was_restarted", corrected),
    ("ask::a_name_that_nobody_resolves_any_more_is_asked_at_its_last_address", dead_dns),
    ("ask::a_server_with_a_guard_time_of_two_seconds_costs_less_than_ten", guard_time),
    ("ask::a_server_that_says_rate_three_times_costs_less_than_ten_seconds", rate),
    ("ask::run_without_a_page_goes_by_the_error_that_chronyd_gives_the_kernel", without_a_page),
];

const AT_MOST: Duration = Duration::from_secs(10);

fn added_later(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1), far(1)])?;
    night::chronyd_that_hears(guest, &crowd::sources(&all[..1]), 4)?;
    gate::start_with(guest, "{}\n")?;
    gate::proven(guest)?;
    guest.sh(&format!("chronyc add server {} iburst minpoll 0 maxpoll 0", all[1].address().ip()))?;
    all[0].change(|manner| manner.answer = Answer::Silence);
    crowd::set_back_and_proven(guest)?;
    crowd::right_without_a_step_over(guest, 3700.0)?;
    night::over(guest)
}

fn corrected(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1).silent(), far(1)])?;
    night::chronyd_that_hears(guest, &crowd::sources(&all[..1]), 0)?;
    gate::start_with(guest, "{}\n")?;
    gate::when(guest, "nobody answers", |now| now.gate == "shut" && now.why.contains("no reference has answered"))?;
    night::chronyd_that_hears(guest, &crowd::sources(&all[1..]), 4)?;
    crowd::set_back_and_proven(guest)?;
    crowd::right_without_a_step_over(guest, 3700.0)?;
    night::over(guest)
}

fn dead_dns(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    guest.sh(&format!("cp /etc/hosts /run/hosts; echo '{} ntp.lab' >>/etc/hosts", all[0].address().ip()))?;
    gate::start_with(guest, "servers: [ntp.lab]\n")?;
    gate::proven(guest)?;
    guest.sh("systemctl stop clockgate; cp /run/hosts /etc/hosts; systemctl start clockgate")?;
    let proven = gate::proven(guest).and_then(|_| crowd::set_back_and_proven(guest));
    let right = proven.and_then(|()| crowd::right_without_a_step_over(guest, 3700.0));
    night::over(guest)?;
    right
}

fn guard_time(guest: &Guest, world: &World) -> Outcome {
    let strict = Manner { guard: Duration::from_secs(2), ..far(1) };
    costs_less_than_ten_seconds(guest, world, strict, |_| {})
}

fn rate(guest: &Guest, world: &World) -> Outcome {
    costs_less_than_ten_seconds(guest, world, far(1), |manner| manner.kisses = 3)
}

fn costs_less_than_ten_seconds(guest: &Guest, world: &World, server: Manner, then: fn(&mut Manner)) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [server])?;
    crowd::start(guest, &all, "")?;
    gate::proven(guest)?;
    all[0].change(then);
    let from = clock::boottime();
    crowd::set_back_and_proven(guest)?;
    let took = clock::boottime().since(from);
    crowd::right_without_a_step_over(guest, 3700.0)?;
    night::over(guest)?;
    let asked: Vec<Duration> = all[0].asked().iter().map(|at| at.since(from)).collect();
    ensure(took < AT_MOST, format!("took {took:?}, asked after {asked:?}"))
}

/// Without rtcsync chronyd leaves STA_UNSYNC, and says how wrong the clock may be.
fn without_a_page(guest: &Guest, world: &World) -> Outcome {
    crowd::fresh(guest)?;
    let all = crowd(world, [far(1)])?;
    guest.put("/etc/chrony/chrony.conf", &format!("{}driftfile /run/chrony.drift\n", crowd::sources(&all)))?;
    guest.sh("systemctl stop systemd-timesyncd clockgate; rm -rf /run/clockgate; systemctl restart chrony")?;
    until("chronyd is synchronised", Duration::from_secs(20), || {
        Ok((guest.run("chronyc tracking | grep -q '^Leap status *: Normal'")?.code == 0).then_some(()))
    })?;
    let ran = guest.run("clockgate run --max-wait 5s -- echo let go")?;
    night::over(guest)?;
    ensure(ran.code == 0 && ran.out.contains("let go") && ran.err.contains("error"), format!("{ran:?}"))
}

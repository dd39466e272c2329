//! The units as they are shipped, sandbox and all.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] = &[
    ("unit::the_agent_has_three_capabilities_and_no_other", three_capabilities),
    ("unit::the_page_is_for_everybody_and_the_folder_beside_it_is_not_to_be_written", modes),
    ("unit::a_chronyd_that_starts_after_the_agent_is_reached_all_the_same", chronyd_comes_later),
    ("unit::the_gate_of_a_killed_agent_is_shut_behind_it", killed),
    ("unit::time_sync_target_waits_for_the_gate", time_sync_waits),
    ("unit::a_wrong_configuration_is_not_tried_again", wrong_at_start),
    ("unit::a_wrong_configuration_is_not_taken_at_a_reload", wrong_at_reload),
    ("unit::clockbounds_page_is_written_out_of_the_sandbox", clockbound),
];

const SOON: Duration = Duration::from_secs(15);

fn three_capabilities(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    let pid = guest.sh("systemctl show -P MainPID clockgate")?;
    let status = guest.sh(&format!("grep -E 'Cap(Eff|Bnd)|NoNewPrivs|Seccomp:' /proc/{pid}/status"))?;
    let limits =
        guest.sh("systemctl show -P MemoryMax -P TasksMax -P UMask -P OOMScoreAdjust -P KeyringMode clockgate")?;
    night::over(guest)?;
    let mut limits: Vec<&str> = limits.split_whitespace().collect();
    limits.sort_unstable();
    ensure(limits == ["-500", "0077", "134217728", "64", "private"], format!("{limits:?}"))?;
    // CAP_DAC_OVERRIDE is 1, CAP_SYS_TIME 25, CAP_SYSLOG 34 (linux/capability.h); seccomp mode 2 is a filter.
    let words: Vec<&str> = status.split_whitespace().collect();
    let wanted = ["CapEff:", "0000000402000002", "CapBnd:", "0000000402000002", "NoNewPrivs:", "1", "Seccomp:", "2"];
    ensure(words == wanted, status)
}

fn modes(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world)?;
    let found = guest.sh("cd /run/clockgate && stat -c '%a %U %G %n' . public public/gate bus proof.json")?;
    night::over(guest)?;
    // The page is everybody's to read, though the unit's umask is 0077; what is known is not.
    let wanted = "755 root root .\n755 root root public\n644 root root public/gate\n660 root clockgate bus\n\
                  600 root root proof.json";
    ensure(found == wanted, found)
}

/// chrony's unit removes /run/chrony when it stops and makes it anew; the agent puts its socket in there.
fn chronyd_comes_later(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    let before = gate::start(guest, world)?;
    guest.sh("systemctl stop chrony; test ! -e /run/chrony; systemctl start chrony")?;
    until("chronyd answers", SOON, || Ok((guest.run("chronyc tracking")?.code == 0).then_some(())))?;
    guest.sh("date -u -s '1 hour ago'")?;
    gate::when(guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    let said = guest.sh("journalctl -u clockgate --no-pager -o cat")?;
    let told = guest.sh("journalctl -u chrony --no-pager -o cat")?;
    night::over(guest)?;
    // That the clock was far behind is worth a warning; nothing else is.
    let warned = said.lines().any(|line| line.contains("WARN") && !line.contains("WARN the clock is "));
    ensure(!warned, format!("the agent: {said}\nchronyd: {told}"))
}

fn killed(guest: &Guest, world: &World) -> Outcome {
    let drop_in = "/run/systemd/system/clockgate.service.d/test.conf";
    guest.put(drop_in, "[Service]\nRestart=no\n")?;
    guest.sh("systemctl daemon-reload")?;
    let before = gate::start(guest, world)?;
    guest.sh("systemctl kill --kill-whom=main --signal=KILL clockgate")?;
    until("the unit has failed", SOON, || Ok((guest.run("systemctl is-failed clockgate")?.code == 0).then_some(())))?;
    let after = gate::read(guest)?;
    guest.sh(&format!("rm {drop_in}; systemctl daemon-reload; systemctl reset-failed clockgate"))?;
    ensure(!after.is_proven() && after.epoch == before.epoch, format!("{after:?}"))?;
    let again = gate::start(guest, world)?;
    night::over(guest)?;
    ensure(again.epoch > before.epoch, format!("{before:?}, {again:?}"))
}

fn time_sync_waits(guest: &Guest, world: &World) -> Outcome {
    guest.sh("systemctl stop time-sync.target")?;
    // Nobody is there to ask (RFC 5737), and the policy is to hold.
    gate::start_with(guest, "servers: [192.0.2.1]\nat-deadline: {unreachable: hold}\n")?;
    guest.sh("systemctl start --no-block clockgate-wait")?;
    until("somebody waits", SOON, || {
        Ok((guest.sh("systemctl show -P ActiveState clockgate-wait")? == "activating").then_some(()))
    })?;
    ensure(guest.run("systemctl is-active time-sync.target")?.code != 0, "time-sync.target did not wait")?;
    guest.put("/etc/clockgate/config.yaml", &format!("servers: [{}]\n", world.truth.address()))?;
    guest.sh("systemctl reload clockgate")?;
    until("time-sync.target is reached", SOON, || {
        Ok((guest.run("systemctl is-active time-sync.target clockgate-wait")?.code == 0).then_some(()))
    })?;
    guest.sh("systemctl stop clockgate-wait")?;
    night::over(guest)
}

fn wrong_at_start(guest: &Guest, _world: &World) -> Outcome {
    guest.put("/etc/clockgate/config.yaml", "treshold: 50ms\n")?;
    let started = guest.run("systemctl start clockgate")?;
    let shown = guest.sh("systemctl show -P Result -P ExecMainStatus -P NRestarts -P ActiveState clockgate")?;
    let said = guest.sh("journalctl -u clockgate --no-pager -o cat -n 20")?;
    guest.sh("systemctl reset-failed clockgate")?;
    night::over(guest)?;
    let shown: Vec<&str> = shown.split_whitespace().collect();
    ensure(started.code != 0 && shown.contains(&"78") && shown.contains(&"failed"), format!("{shown:?}: {said}"))?;
    ensure(said.contains("config.yaml:1: treshold"), said)
}

fn wrong_at_reload(guest: &Guest, world: &World) -> Outcome {
    let before = gate::start(guest, world)?;
    guest.put("/etc/clockgate/config.yaml", "treshold: 50ms\n")?;
    let reload = guest.run("systemctl reload clockgate")?;
    until("the agent complains", SOON, || {
        let said = guest.sh("journalctl -u clockgate --no-pager -o cat -n 20")?;
        let status = guest.sh("systemctl show -P StatusText clockgate")?;
        Ok((said.contains("config.yaml:1: treshold") && status.contains("config.yaml:1: treshold")).then_some(()))
    })?;
    ensure(reload.code != 0, "the reload of a wrong configuration did not fail")?;
    let after = gate::read(guest)?;
    night::over(guest)?;
    ensure(after.is_proven() && after.epoch == before.epoch, format!("{before:?}, {after:?}"))
}

fn clockbound(guest: &Guest, world: &World) -> Outcome {
    gate::start_with(guest, &format!("servers: [{}]\nclockbound: {{enabled: true}}\n", world.truth.address()))?;
    gate::proven(guest)?;
    let status = "od -An -j68 -N4 -td4 /run/clockbound/shm0";
    let proven = guest.sh(&format!("stat -c %a /run/clockbound/shm0; {status}"))?;
    guest.sh("systemctl stop clockgate")?;
    let left = guest.sh(status)?;
    night::over(guest)?;
    ensure(proven.split_whitespace().eq(["644", "1"]) && left == "0", format!("{proven}, then {left}"))
}

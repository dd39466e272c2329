//! What is thawed late, little by little, or not at all, and the sleep that comes meanwhile.

use std::time::Duration;

use super::{Listed, gate, night};
use crate::lab::guest::Guest;
use crate::lab::work::Work;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};

pub const SCENARIOS: &[Listed] = &[
    ("thaw::a_container_that_cannot_be_thawed_does_not_switch_freezing_off", cannot_be_thawed),
    ("thaw::a_sleep_announced_between_two_waves_finds_all_containers_frozen", between_waves),
];

const SCOPES: &str = "/sys/fs/cgroup/system.slice/docker-*.scope";
const SOON: Duration = Duration::from_secs(15);

fn frozen(guest: &Guest) -> Outcome<usize> {
    Ok(guest.sh(&format!("cat {SCOPES}/cgroup.events | grep -c 'frozen 1' || true"))?.parse()?)
}

fn when_frozen(guest: &Guest, count: usize) -> Outcome {
    until("so many are frozen", SOON, || Ok((frozen(guest)? == count).then_some(())))
}

fn contained(guest: &Guest, names: &[&str]) -> Outcome {
    names.iter().try_for_each(|name| Work::in_a_scope(guest, name).map(drop))
}

fn over(guest: &Guest) -> Outcome {
    guest.sh(&format!("for scope in {SCOPES}; do echo 0 >$scope/cgroup.freeze; echo 1 >$scope/cgroup.kill; done"))?;
    night::over(guest)
}

/// By a read-only mount over its mark, in the agent's own view of the host.
fn cannot_be_thawed(guest: &Guest, world: &World) -> Outcome {
    contained(guest, &["a", "b"])?;
    gate::start(guest, world)?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    ensure(frozen(guest)? == 2, "not both are frozen before a snapshot")?;
    let in_agent = |command: &str| {
        guest.sh(&format!(
            "mark=$(ls -d {SCOPES} | head -n 1)/cgroup.freeze
             nsenter --mount --target $(systemctl show -P MainPID clockgate) sh -c \"{command}\""
        ))
    };
    in_agent("mount --bind $mark $mark && mount -o remount,bind,ro $mark")?;
    guest.sh("clockgate notify post-restore")?;
    gate::proven(guest)?;
    let tries = || Ok::<_, libtest_mimic::Failed>(gate::log(guest)?.matches("cannot thaw; trying again").count());
    until("it is tried twice", SOON, || Ok((tries()? >= 2).then_some(())))?;
    pass(Duration::from_secs(4));
    let tries = tries()?;
    ensure(tries <= 6, format!("tried {tries} times in some seconds"))?;
    ensure(frozen(guest)? == 1, "not one alone is frozen still")?;
    // As any user sees it.
    let status = guest.run("setpriv --reuid 65534 --clear-groups clockgate status")?.out;
    let named: Vec<&str> = status.lines().filter(|line| line.contains("Frozen: docker: container 0")).collect();
    ensure(named.len() == 1 && named[0].contains(", for "), format!("status does not name it:\n{status}"))?;

    guest.sh("clockgate notify pre-snapshot --wait")?;
    ensure(frozen(guest)? == 2, "the next freeze has not frozen the other")?;
    pass(Duration::from_secs(2));
    ensure(frozen(guest)? == 2, "a late answer to the thaw has thawed what was frozen after it")?;
    in_agent("umount $mark")?;
    guest.sh("clockgate notify post-restore")?;
    when_frozen(guest, 0)?;
    over(guest)
}

fn between_waves(guest: &Guest, world: &World) -> Outcome {
    contained(guest, &["a", "b", "c"])?;
    let servers = world.truth.address();
    gate::start_with(guest, &format!("servers: [{servers}]\nfreeze: {{wave-size: 1, wave-pause: 10s}}\n"))?;
    gate::proven(guest)?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    ensure(frozen(guest)? == 3, "not all three are frozen before a snapshot")?;
    guest.sh("clockgate notify post-restore")?;
    when_frozen(guest, 2)?;
    guest.sh("clockgate notify pre-snapshot --wait")?;
    ensure(frozen(guest)? == 3, "it was let go with a container that runs")?;
    // Longer than the rest of the old thaw would have taken to come to its next wave.
    pass(Duration::from_secs(12));
    ensure(frozen(guest)? == 3, "the thaw of before goes on")?;
    guest.sh("clockgate notify post-restore")?;
    when_frozen(guest, 2)?;
    // An agent that ends thaws the rest at once.
    guest.sh("systemctl stop clockgate")?;
    ensure(frozen(guest)? == 0, "cannot thaw everything")?;
    over(guest)
}

//! What doctor prints in a Debian that has never heard of clockgate, as a user without rights: each failure is true.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Listed, night};
use crate::lab::guest::Guest;
use crate::lab::stage::succeed;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};
use crate::support::check_list::is_listed;

pub const SCENARIOS: &[Listed] = &[
    ("doctor::a_fresh_debian_prints_what_is_listed", fresh),
    ("doctor::an_hour_behind_and_without_a_daemon_is_both_told", behind),
];
/// In a guest of its own: chronyd leaves the kernel's tick as it bent it last, and doctor says so.
pub const WITH_A_DAEMON: &[Listed] = &[("doctor::with_chronyd_and_the_right_time_nothing_fails", kept)];

const SOON: Duration = Duration::from_secs(60);
const PROGRAM: &str = "/run/doctor/clockgate";

fn fresh(guest: &Guest, world: &World) -> Outcome {
    is_listed("guest", &right(guest, world)?)
}

fn behind(guest: &Guest, world: &World) -> Outcome {
    guest.sh("date -u -s '1 hour ago'")?;
    let said = doctor(guest, world);
    guest.set_right()?;
    let said = said?;
    is_listed("guest-an-hour-behind", &said)?;
    let causes: Vec<&str> =
        said["causes"].as_array().into_iter().flatten().filter_map(|one| one["id"].as_str()).collect();
    ensure(causes.first() == Some(&"no-daemon"), format!("{causes:?}"))
}

fn kept(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    is_listed("guest-with-a-daemon", &right(guest, world)?)
}

/// With the right time: a guest falls behind while its host is busy, and doctor says so, rightly.
fn right(guest: &Guest, world: &World) -> Outcome<Value> {
    until("the guest's clock is right while doctor looks at it", SOON * 2, || {
        guest.set_right()?;
        let said = doctor(guest, world)?;
        let is_right = said["checks"]
            .as_array()
            .is_some_and(|checks| checks.iter().any(|one| one["id"] == "clock.offset" && one["result"] == "ok"));
        Ok(is_right.then_some(said))
    })
}

/// The program is read from the host: nothing is installed.
fn doctor(guest: &Guest, world: &World) -> Outcome<Value> {
    let built = std::fs::canonicalize(world.run())?.join("doctor");
    if !built.exists() {
        std::fs::create_dir(&built)?;
        // The guest's memory is small.
        let program = Path::new(env!("CARGO_BIN_EXE_clockgate"));
        succeed(Command::new("strip").arg("-o").args([&built.join("clockgate"), program]))?;
        guest.sh(&format!("mkdir -p /run/doctor && mount -t hostfs -o {} none /run/doctor", built.display()))?;
    }
    let server = world.truth.address();
    let as_nobody = "setpriv --reuid=65534 --regid=65534 --clear-groups --no-new-privs --bounding-set=-all --";
    let ran = guest.run_within(&format!("{as_nobody} {PROGRAM} doctor --json --server {server}"), SOON)?;
    serde_json::from_str(&ran.out).map_err(|error| format!("{error}: {ran:?}").into())
}

//! What happens without clockgate: why it exists.

use std::time::Duration;

use super::Listed;
use super::night;
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass};

pub const SCENARIOS: &[Listed] = &[
    ("without::chronyd_synchronises_the_guest", chronyd_synchronises_the_guest),
    ("without::chronyd_stays_an_hour_wrong_after_a_stale_wake", chronyd_stays_an_hour_wrong),
    ("without::the_usual_hook_steps_by_nothing", the_usual_hook_steps_by_nothing),
];

const WRONG: Duration = Duration::from_secs(3590);

fn chronyd_synchronises_the_guest(guest: &Guest, world: &World) -> Outcome {
    guest.sh("date -u -s '10 seconds ago'")?;
    night::chronyd(guest, world)?;
    let off = guest.offset()?;
    let leap = guest.sh("chronyc tracking | grep 'Leap status'")?;
    night::over(guest)?;
    ensure(leap.ends_with("Normal"), leap)?;
    ensure(off.abs() < Duration::from_millis(50), format!("off by {off}"))
}

fn chronyd_stays_an_hour_wrong(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    night::stale_sleeps(guest)?;
    guest.suspend()?;
    guest.wake()?;
    pass(Duration::from_secs(8));
    let off = guest.offset()?;
    let tracking = guest.sh("chronyc tracking")?;
    night::over(guest)?;
    ensure(off.abs() > WRONG, format!("off by {off}"))?;
    ensure(tracking.contains(": Normal"), format!("chronyd admits it: {tracking}"))
}

fn the_usual_hook_steps_by_nothing(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    night::stale_sleeps(guest)?;
    guest.put_program(
        "/lib/systemd/system-sleep/zz-usual",
        "#!/bin/sh\nif [ \"$1\" = post ]; then chronyc makestep; fi >/run/usual\n",
    )?;
    guest.suspend()?;
    guest.wake()?;
    pass(Duration::from_secs(8));
    let said = guest.sh("cat /run/usual")?;
    let off = guest.offset()?;
    night::over(guest)?;
    ensure(said == "200 OK", format!("said {said:?}"))?;
    ensure(off.abs() > WRONG, format!("off by {off}"))
}

//! The laboratory shows itself: what the other scenarios rely on, without clockgate.

use std::time::Duration;

use clockgate::sys::clock;

use super::Listed;
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, pass, until};

pub const SCENARIOS: &[Listed] = &[
    ("laboratory::a_script_tells_its_output_and_its_code", a_script_tells_its_output_and_its_code),
    ("laboratory::a_set_clock_moves_the_guest_alone", a_set_clock_moves_the_guest_alone),
    ("laboratory::logind_announces_a_sleep_that_lasts_until_it_is_woken", logind_announces_a_sleep),
];

fn a_script_tells_its_output_and_its_code(guest: &Guest, _: &World) -> Outcome {
    let ran = guest.run("seq 200000; echo oops >&2; exit 7")?;
    ensure(ran.code == 7 && ran.err == "oops\n", format!("code {}, error {:?}", ran.code, ran.err))?;
    ensure(ran.out.ends_with("199999\n200000\n") && ran.out.len() == 1_288_895, format!("{} bytes", ran.out.len()))?;
    let killed = guest.run_within("sleep 60", Duration::from_millis(100))?;
    ensure(killed.code == 137, format!("{killed:?}"))
}

fn a_set_clock_moves_the_guest_alone(guest: &Guest, _: &World) -> Outcome {
    let host = clock::standing().real_minus_boot;
    guest.sh("date -u -s '1 hour ago'")?;
    let off = guest.offset()?;
    ensure(off.abs().abs_diff(Duration::from_secs(3600)) < Duration::from_secs(10), format!("guest is off by {off}"))?;
    guest.set_right()?;
    let off = guest.offset()?;
    ensure(off.abs() < Duration::from_millis(500), format!("guest is off by {off} after it was set right"))?;
    let moved = (clock::standing().real_minus_boot - host).abs();
    ensure(moved < Duration::from_millis(10), format!("the host's clock moved by {moved:?}"))
}

fn logind_announces_a_sleep(guest: &Guest, _: &World) -> Outcome {
    guest.sh("systemd-run -q --unit=watch dbus-monitor --system \"interface='org.freedesktop.login1.Manager'\"
         systemd-run -q --unit=ticker sh -c 'while sleep 0.1; do cut -d\" \" -f1 /proc/uptime; done'")?;
    guest.suspend()?;
    pass(Duration::from_secs(2));
    guest.wake()?;
    let heard = until("PrepareForSleep true and false", Duration::from_secs(10), || {
        let heard = guest.sh("journalctl -u watch -o cat | grep -A1 PrepareForSleep | grep -o 'boolean .*'")?;
        Ok((heard.lines().count() == 2).then_some(heard))
    })?;
    ensure(heard == "boolean true\nboolean false", format!("heard {heard:?}"))?;
    let gaps = "!/^[0-9.]+$/ { next } last && $1 - last > gap { gap = $1 - last } { last = $1 } END { print gap }";
    let gap: f64 =
        guest.sh(&format!("systemctl stop watch ticker; journalctl -u ticker -o cat | awk '{gaps}'"))?.parse()?;
    ensure((2.0..10.0).contains(&gap), format!("nothing ran for {gap} s"))
}

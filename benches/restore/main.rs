//! A whole machine is taken back to an image of itself: how long its clock is wrong, with clockgate and with what people do
//! without it, all in one machine. Its table goes to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::process::ExitCode;
use std::time::{Duration, Instant};

use clockgate::decision::Offset;

#[path = "../../tests/uml/scenarios/gate.rs"]
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod gate;
#[path = "../../tests/uml/lab/mod.rs"]
mod lab;
#[path = "../../tests/vm/machine.rs"]
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod machine;
#[path = "../../tests/uml/scenarios/night.rs"]
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod night;
#[path = "../../tests/vm/qmp.rs"]
mod qmp;
#[path = "../report/mod.rs"]
mod report;

use lab::guest::Guest;
use lab::world::World;
use lab::{Outcome, fail, pass, until};
use machine::Machine;
use report::{Table, millis};

/// How old the image is.
const OLD: Duration = Duration::from_secs(20);
/// Who has not set the clock right by then does not do it soon.
const PATIENCE: Duration = Duration::from_secs(60);
/// Right is this near to the truth, for this long.
const RIGHT: Duration = Duration::from_millis(100);
const FOR: Duration = Duration::from_secs(2);
const IMAGE: &str = "image";

/// What somebody does about it: what runs before the image is taken, and what is done when it was loaded.
struct Way {
    name: &'static str,
    before: fn(&Guest, &World) -> Outcome,
    /// A script; how it ended is told in the table.
    after: &'static str,
}

const WAYS: &[Way] = &[
    Way { name: "clockgate, with chronyd", before: |g, w| chronyd(g, w).and_then(|()| agent(g, w)), after: "" },
    Way { name: "clockgate, with nothing", before: agent, after: "" },
    Way {
        name: "clockgate, told: `notify post-restore --wait`",
        before: agent,
        after: "clockgate notify post-restore --wait",
    },
    Way { name: "chronyd, Debian's configuration", before: chronyd, after: "" },
    Way { name: "the same, and the usual hook: `chronyc makestep`", before: chronyd, after: "chronyc makestep" },
    Way {
        name: "the same, and `burst`, `makestep`, `waitsync 60 0.1`",
        before: chronyd,
        after: "chronyc burst 4/4 >/dev/null; sleep 10; chronyc makestep >/dev/null; chronyc waitsync 60 0.1 >/dev/null",
    },
    Way {
        name: "the same, and `reset sources`, `burst`, wait, `makestep`, `waitsync`",
        before: chronyd,
        after: "chronyc reset sources >/dev/null; chronyc burst 4/4 >/dev/null
            until chronyc -c sources | grep -q '^^,\\*'; do sleep 0.1; done
            chronyc makestep >/dev/null; chronyc waitsync 60 0.1 >/dev/null",
    },
    Way { name: "timesyncd, which asks every 32 s at first and every 34 min later", before: timesyncd, after: "" },
    Way { name: "timesyncd, restarted", before: timesyncd, after: "systemctl restart systemd-timesyncd" },
    Way { name: "nothing", before: |_, _| Ok(()), after: "" },
];

fn main() -> ExitCode {
    if let Some(done) = lab::inside::perform_verb() {
        return done;
    }
    let done = match lab::missing().or_else(machine::missing) {
        Some(missing) => fail(missing),
        None => lab::namespace::enter(),
    };
    match done.and_then(|()| measure()) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("the bench failed: {}", failed.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn measure() -> Outcome {
    let world = World::new()?;
    let machine = Machine::boot(&world)?;
    let mut table = Table::new(&["what is done", "clock right after", "then off by", "what was said"]);
    for way in WAYS {
        machine.begin_again()?;
        (way.before)(&machine.guest, &world)?;
        machine.save(IMAGE)?;
        pass(OLD);
        machine.load(IMAGE)?;
        let began = Instant::now();
        let said = machine.guest.run_within(way.after, PATIENCE)?;
        let said = match (way.after, said.out.lines().next()) {
            ("", _) => "-".to_owned(),
            (_, Some(line)) if !line.is_empty() => {
                format!("`{line}`, exit {}, after {}", said.code, millis(began.elapsed()))
            }
            _ => format!("exit {}, after {}", said.code, millis(began.elapsed())),
        };
        let (right, off) = until_right(&machine.guest, began)?;
        let right = right.map_or_else(|| format!("not in {} s", PATIENCE.as_secs()), millis);
        table.row(&[&way.name, &right, &off, &said]);
    }
    table.write("restore").map_err(|e| e.to_string().into())
}

/// When the clock began to be right and stayed so, and how far off it is at the end.
fn until_right(guest: &Guest, began: Instant) -> Outcome<(Option<Duration>, Offset)> {
    let mut since = None;
    loop {
        let looked = began.elapsed();
        let off = guest.offset()?;
        since = if off.abs() < RIGHT { since.or(Some(looked)) } else { None };
        match since {
            Some(since) if looked - since > FOR => return Ok((Some(since), off)),
            None if looked > PATIENCE => return Ok((None, off)),
            _ => {}
        }
    }
}

/// As Debian sets it up: its three updates that may step are used up, and it asks every 64 s or less often.
fn chronyd(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    let server = world.truth.address();
    guest.sh(&format!("chronyc maxpoll {server} 10 && chronyc minpoll {server} 6")).map(drop)
}

fn agent(guest: &Guest, world: &World) -> Outcome {
    gate::start(guest, world).map(drop)
}

fn timesyncd(guest: &Guest, world: &World) -> Outcome {
    guest.put("/etc/systemd/timesyncd.conf.d/lab.conf", &format!("[Time]\nNTP={}\n", world.truth.address()))?;
    guest.sh("systemctl restart systemd-timesyncd")?;
    until("timesyncd has synchronised", PATIENCE, || {
        Ok((guest.sh("timedatectl show -p NTPSynchronized --value")? == "yes").then_some(()))
    })
}

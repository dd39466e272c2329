//! A whole machine goes on after a time in which it did not run: how long its clock is wrong, with clockgate and with what
//! people do without it, all in machines of one kind. Its table goes to docs/performance.md.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::process::ExitCode;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use clockgate::decision::{Offset, Realtime};
use clockgate::sys::clock::realtime;

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
#[allow(dead_code, reason = "the scenarios ask more of it")]
mod qmp;
#[path = "../report/mod.rs"]
mod report;
#[path = "../report/guest.rs"]
mod report_guest;
#[path = "../../tests/support/mod.rs"]
mod support;

use lab::guest::Guest;
use lab::world::World;
use lab::{Outcome, fail, pass, until};
use machine::Machine;
use report::{Table, millis};

/// How long the machine does not run, and how old its image is at least.
const GONE: Duration = Duration::from_secs(20);
/// How long it sleeps: the kernel sets the clock after it, however long it was.
const ASLEEP: Duration = Duration::from_secs(5);
/// Who has not set the clock right by then does not do it soon.
const PATIENCE: Duration = Duration::from_secs(60);
/// Right is this near to the truth, for this long.
const RIGHT: Duration = Duration::from_millis(100);
const FOR: Duration = Duration::from_secs(2);
const IMAGE: &str = "image";
const ANOTHER_GENERATION: &str = "7d2e8a62-0a3b-4ab5-9a37-2d9d4d1f3c55";

/// What happens to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Event {
    Stopped,
    Loaded,
    Elsewhere,
    Slept,
}

/// In an order in which one image does for three of them.
const ALL: &[Event] = &[Event::Stopped, Event::Loaded, Event::Elsewhere, Event::Slept];
const LOADED: &[Event] = &[Event::Loaded];

/// What somebody does about it: what runs before, and what is done when the machine goes on.
#[derive(Clone, Copy, Debug)]
struct Way {
    name: &'static str,
    before: fn(&Guest, &World) -> Outcome,
    /// A script; how it ended is told in the table.
    after: &'static str,
    events: &'static [Event],
}

/// One machine has the processors to itself, since its times are short.
const OURS: &[Way] = &[
    Way {
        name: "clockgate, with chronyd",
        before: |g, w| chronyd(g, w).and_then(|()| agent(g, w)),
        after: "",
        events: ALL,
    },
    Way { name: "clockgate, with nothing", before: agent, after: "", events: LOADED },
    Way {
        name: "clockgate, notified: `notify post-restore --wait`",
        before: agent,
        after: "clockgate notify post-restore --wait",
        events: LOADED,
    },
];

/// Those of one line share a machine, and the lines are of a length. All run side by side: to wait is most of what they do.
const PEERS: &[&[Way]] = &[
    &[Way { name: "chronyd, Debian's configuration", before: chronyd, after: "", events: ALL }],
    &[Way {
        name: "the same, and the usual hook: `chronyc makestep`",
        before: chronyd,
        after: "chronyc makestep",
        events: ALL,
    }],
    &[
        Way {
            name: "the same, and `burst`, `makestep`, `waitsync 60 0.1`",
            before: chronyd,
            after: "chronyc burst 4/4 >/dev/null; sleep 10; chronyc makestep >/dev/null
                chronyc waitsync 60 0.1 >/dev/null",
            events: LOADED,
        },
        Way {
            name: "the same, and `reset sources`, `burst`, wait, `makestep`, `waitsync`",
            before: chronyd,
            after: "chronyc reset sources >/dev/null; chronyc burst 4/4 >/dev/null
                until chronyc -c sources | grep -q '^^,\\*'; do sleep 0.1; done
                chronyc makestep >/dev/null; chronyc waitsync 60 0.1 >/dev/null",
            events: LOADED,
        },
        Way {
            name: "timesyncd, which asks every 32 s at first and every 34 min later",
            before: timesyncd,
            after: "",
            events: ALL,
        },
    ],
    &[
        Way {
            name: "timesyncd, restarted",
            before: timesyncd,
            after: "systemctl restart systemd-timesyncd",
            events: LOADED,
        },
        Way { name: "nothing", before: |_, _| Ok(()), after: "", events: ALL },
    ],
];

fn main() -> ExitCode {
    if let Some(done) = lab::inside::perform_verb() {
        return done;
    }
    report_guest::run(lab::missing().or_else(machine::missing), measure)
}

fn measure() -> Outcome {
    // They boot together, and lie still until it is their turn.
    let mut machines = side_by_side((0..=PEERS.len()).map(|_| boot))?.into_iter();
    let mut rows = vec![];
    if let Some(first) = machines.next() {
        rows.extend(play(OURS, first)?);
    }
    let peers = PEERS.iter().zip(machines).map(|(ways, machine)| move || play(ways, machine));
    rows.extend(side_by_side(peers)?.into_iter().flatten());

    let columns =
        ["what is done", "`stop`, 20 s, `cont`", "`loadvm`", "another QEMU, new vmgenid", "S3, 5 s", "what was said"];
    let mut table = Table::new(&columns);
    for Row { name, cells, said } in rows {
        let cell = |event: Event| cells.iter().find(|(of, _)| *of == event).map_or("-", |(_, text)| text);
        let [stopped, loaded, elsewhere, slept] =
            [Event::Stopped, Event::Loaded, Event::Elsewhere, Event::Slept].map(cell);
        table.row(&[&name, &stopped, &loaded, &elsewhere, &slept, &said]);
    }
    table.write("restore")
}

fn side_by_side<T: Send>(all: impl Iterator<Item = impl FnOnce() -> Outcome<T> + Send>) -> Outcome<Vec<T>> {
    std::thread::scope(|scope| {
        let running: Vec<_> = all.map(|one| scope.spawn(one)).collect();
        running.into_iter().map(|one| one.join().unwrap_or_else(|_| fail("panicked"))).collect()
    })
}

fn boot() -> Outcome<(World, Machine)> {
    let world = World::new()?;
    let machine = Machine::boot(&world)?;
    machine.stop()?;
    Ok((world, machine))
}

/// What came of one way.
#[derive(Debug)]
struct Row {
    name: &'static str,
    cells: Vec<(Event, String)>,
    /// What the script said and how it ended, the last time.
    said: String,
}

/// A machine stands still while its image is taken: one at a time, so that it is short.
static TAKING: Mutex<()> = Mutex::new(());

fn play(ways: &[Way], (world, mut machine): (World, Machine)) -> Outcome<Vec<Row>> {
    let mut rows = vec![];
    for way in ways {
        let mut row = Row { name: way.name, cells: vec![], said: "-".to_owned() };
        let mut taken = None;
        for &event in way.events {
            let of_the_image = matches!(event, Event::Loaded | Event::Elsewhere);
            if !of_the_image || taken.is_none() {
                machine.begin_again()?;
                (way.before)(&machine.guest, &world)?;
            }
            if event != Event::Slept && taken.is_none() {
                let _alone = TAKING.lock().unwrap_or_else(PoisonError::into_inner);
                machine.save(IMAGE)?;
                taken = Some(Instant::now());
            }
            let went_on;
            (machine, went_on) = happen(event, machine, &world, taken)?;
            let began = Instant::now() - (realtime() - went_on).abs();
            let (right, said) = watched(&machine.guest, way.after, began)?;
            eprintln!("{}, {event:?}: {right}", way.name);
            row.cells.push((event, right));
            row.said = said.unwrap_or(row.said);
        }
        rows.push(row);
    }
    Ok(rows)
}

/// Runs what is to be done, if anything is, and watches the clock meanwhile: when it was right, and how the script ended.
fn watched(guest: &Guest, script: &str, began: Instant) -> Outcome<(String, Option<String>)> {
    std::thread::scope(|scope| {
        let running = (!script.is_empty()).then(|| {
            scope.spawn(|| {
                let ran = guest.run_within(script, PATIENCE)?;
                let line = ran.out.lines().next().map_or_else(String::new, |line| format!("`{line}`, "));
                Ok(format!("{line}exit {}, after {}", ran.code, millis(began.elapsed())))
            })
        });
        let (right, off) = until_right(guest, began)?;
        let right = right.map_or_else(|| format!("not in {} s: {off}", PATIENCE.as_secs()), millis);
        let said = running.map(|running| running.join().unwrap_or_else(|_| fail("panicked"))).transpose()?;
        Ok((right, said))
    })
}

/// Lets it happen to a machine of which an image was taken at `taken`; the true time at which it went on.
fn happen(event: Event, machine: Machine, world: &World, taken: Option<Instant>) -> Outcome<(Machine, Realtime)> {
    let until_it_is_old = || pass(taken.map_or(GONE, |taken| GONE.saturating_sub(taken.elapsed())));
    let went_on = match event {
        Event::Stopped => {
            machine.stop()?;
            pass(GONE);
            machine.go_on()?
        }
        Event::Loaded => {
            until_it_is_old();
            machine.load(IMAGE)?
        }
        Event::Elsewhere => {
            until_it_is_old();
            return machine.restored_elsewhere(world, IMAGE, ANOTHER_GENERATION);
        }
        Event::Slept => {
            machine.suspend()?;
            pass(ASLEEP);
            machine.wake()?
        }
    };
    Ok((machine, went_on))
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
        // Whoever takes long is not asked so often, beside others that are measured.
        pass(looked / 100);
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

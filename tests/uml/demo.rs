//! `make demo`: the same night twice. Once with the hook that people use, once with clockgate.

use std::process::ExitCode;
use std::time::Duration;

use clockgate::decision::{Boottime, Offset};

mod lab;
#[path = "scenarios/night.rs"]
mod night;
#[path = "../support/demo.rs"]
mod support;

use lab::guest::Guest;
use lab::stage::Begins;
use lab::work::{Stamp, Work};
use lab::world::World;
use lab::{Outcome, fail, pass, podman, until};

/// How long the machine sleeps, and how long each night is watched after it.
const SLEEP: Duration = Duration::from_secs(2);
const WATCH: Duration = Duration::from_secs(8);
const CALM: Duration = Duration::from_millis(20);
const PATIENCE: Duration = Duration::from_secs(60);

// How the moments begin that are looked up again.
const HEARD: &str = "gate shut (resume)";
const STEPPED: &str = "clock stepped";
const OPEN: &str = "gate open";

fn main() -> ExitCode {
    if let Some(done) = lab::inside::perform_verb() {
        return done;
    }
    let played = match lab::missing() {
        Some(missing) => fail(missing),
        None => lab::namespace::enter().and_then(|()| play()),
    };
    match played {
        Ok(()) => ExitCode::SUCCESS,
        Err(failed) => {
            eprintln!("the demo failed: {}", failed.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn play() -> Outcome {
    println!(
        "\nA machine in a machine: user-mode Linux with systemd, logind and chronyd. Its clock is its own; the host's"
    );
    println!("clock is the truth that it is measured by, and stays as it is.\n");
    let world = World::new()?;
    let guest = Guest::boot(&world, Begins::Installed)?;
    podman::install(&guest)?;
    let versions = "echo Linux $(uname -r), $(systemctl --version | head -n 1), $(chronyd --version | sed 's/ (+.*//'), \
         $(podman --version)";
    println!("{}", guest.sh(versions)?);
    let usual = usual_night(&guest, &world)?;
    podman::end(&guest)?;
    night::over(&guest)?;
    let gated = gated_night(&guest, &world)?;
    compare(&usual, &gated);
    Ok(())
}

/// What a night came to.
struct Night {
    /// From waking up to the step, if there was one.
    stepped: Option<Duration>,
    /// From hearing of it to the open gate, if there was one.
    walk: Option<Duration>,
    /// From waking up to the first piece of work.
    first_work: Duration,
    /// Work done after waking up.
    works: Vec<Stamp>,
    /// What the containers wrote after waking up; they ask nobody.
    lines: Vec<Stamp>,
    /// How wrong the clock is when the night is over.
    off: Offset,
}

fn usual_night(guest: &Guest, world: &World) -> Outcome<Night> {
    println!(
        "\nThe first night: a sleep hook runs `chronyc makestep`, as many do. Two workloads and ten\ncontainers of Podman's, which do not ask."
    );
    settle(guest, world)?;
    guest.put_program(
        "/lib/systemd/system-sleep/zz-usual",
        "#!/bin/sh\n[ \"$1\" = post ] && { cut -d' ' -f1 /proc/uptime; chronyc makestep; } >/run/usual\n",
    )?;
    let works = [Work::careless(guest, "work-1")?, Work::careless(guest, "work-2")?];
    let boxes = Work::contained(guest, 10)?;
    let mut timeline = Timeline::new(guest)?;
    timeline.sleep_and_wake(guest)?;
    for work in &works {
        timeline.first_work(guest, work)?;
    }
    let said = guest.sh("cat /run/usual")?;
    let (uptime, answer) = said.split_once('\n').unwrap_or((&said, ""));
    let seconds: f64 = uptime.parse()?;
    timeline
        .add(Boottime::default() + Duration::from_secs_f64(seconds), format!("hook: chronyc makestep: \"{answer}\""));
    pass(WATCH);
    let night = timeline.end(guest, works, boxes)?;
    let claim = guest.sh("chronyc tracking | sed -n 's/^Leap status *: //p'")?;
    timeline.print();
    println!("  and {} s later the clock is off by {}; chronyd's leap status: {claim}", WATCH.as_secs(), night.off);
    Ok(night)
}

fn gated_night(guest: &Guest, world: &World) -> Outcome<Night> {
    println!(
        "\nThe second night: clockgate's agent runs. Two workloads: `clockgate run -- ...`;\nand ten containers, which do not ask."
    );
    settle(guest, world)?;
    guest.put(
        "/etc/systemd/system/clockgate.service.d/verbose.conf",
        "[Service]\nExecStart=\nExecStart=/usr/bin/clockgate agent --verbose\n",
    )?;
    guest.sh("systemctl daemon-reload; systemctl start clockgate; clockgate wait")?;
    let works = [Work::behind_the_gate(guest, "work-1")?, Work::behind_the_gate(guest, "work-2")?];
    let boxes = Work::contained(guest, 10)?;
    let mut timeline = Timeline::new(guest)?;
    timeline.sleep_and_wake(guest)?;
    for work in &works {
        timeline.first_work(guest, work)?;
    }
    pass(WATCH);
    let log = guest.sh("journalctl -u clockgate -o cat")?;
    timeline.agent(&log);
    let night = timeline.end(guest, works, boxes)?;
    timeline.print();
    println!("  and {} s later the clock is off by {}", WATCH.as_secs(), night.off);
    Ok(night)
}

/// chronyd right and calm, and every sleep from here on ends an hour wrong.
fn settle(guest: &Guest, world: &World) -> Outcome {
    night::chronyd(guest, world)?;
    // Whatever it has found to slew is slewed: it bends the clock that everything here is measured by.
    until("chronyd is calm", PATIENCE, || Ok((guest.offset()?.abs() < CALM).then_some(())))?;
    night::stale_sleeps(guest)?;
    println!(
        "  chronyd is synchronised (off by {}); the steps that `makestep 1 3` allows are used up",
        guest.offset()?
    );
    Ok(())
}

/// What happened in a night, on the guest's clock that nobody sets.
struct Timeline {
    /// True time minus the guest's time since boot.
    truth: Offset,
    from: Boottime,
    woken: Boottime,
    moments: Vec<(Boottime, String)>,
}

impl Timeline {
    fn new(guest: &Guest) -> Outcome<Self> {
        let from = Boottime::from_nanos(guest.clocks()?.boottime);
        Ok(Self { truth: guest.truth()?, from, woken: from, moments: vec![] })
    }

    fn add(&mut self, at: Boottime, what: impl Into<String>) {
        self.moments.push((at, what.into()));
    }

    fn sleep_and_wake(&mut self, guest: &Guest) -> Outcome {
        let asleep = guest.suspend()?;
        self.add(self.boottime(asleep)?, "asleep");
        pass(SLEEP);
        self.woken = self.boottime(guest.wake()?)?;
        self.add(self.woken, "woken, an hour behind");
        Ok(())
    }

    fn boottime(&self, truth: clockgate::decision::Realtime) -> Outcome<Boottime> {
        Ok(Boottime::from_nanos(u64::try_from((truth + -self.truth).as_nanos())?))
    }

    fn first_work(&mut self, guest: &Guest, work: &Work) -> Outcome {
        let stamp = work.first_after(guest, self.woken)?;
        self.add(stamp.at, format!("{} works, on a clock that is off by {}", work.name(), stamp.off));
        Ok(())
    }

    /// Takes in the agent's log.
    fn agent(&mut self, log: &str) {
        let mut measured = "offset found";
        let from = self.from;
        for (at, text) in log.lines().filter_map(stamped).filter(|(at, _)| *at >= from) {
            if text.contains("frozen=") && self.when("frozen").is_none() {
                self.add(at, format!("frozen: {} of {} containers", field(text, "frozen="), field(text, "of=")));
            } else if text.contains("gate shut") {
                let what = format!("gate shut ({})", field(text, "cause="));
                // The sleep hook says what logind has said before.
                if self.when(&what).is_none() {
                    self.add(at, what);
                }
            } else if text.contains("event=Measured") {
                self.add(at, std::mem::replace(&mut measured, "measured once more"));
            } else if text.contains("clock stepped") {
                self.add(at, format!("{STEPPED} by {}", field(text, "moved=")));
            } else if text.contains("gate open") {
                // The proof is the last thing of interest; what the agent measures later is another night's.
                self.add(at, format!("{OPEN}: proven, wrong by at most {} us", field(text, "bound_us=")));
                break;
            }
        }
    }

    fn when(&self, what: &str) -> Option<Boottime> {
        self.moments.iter().find(|(_, text)| text.starts_with(what)).map(|(at, _)| *at)
    }

    fn end(&self, guest: &Guest, works: [Work; 2], boxes: Vec<Work>) -> Outcome<Night> {
        let off = guest.offset()?;
        let mut after = vec![];
        for work in works {
            after.extend(work.end(guest)?.into_iter().filter(|stamp| stamp.at > self.woken));
        }
        let mut lines = vec![];
        for container in boxes {
            lines.extend(container.stamps(guest)?.into_iter().filter(|stamp| stamp.at > self.woken));
        }
        let Some(first) = after.iter().map(|stamp| stamp.at).min() else { return fail("no work was done") };
        let stepped = self.when(STEPPED).map(|at| at.since(self.woken));
        let walk = self.when(OPEN).zip(self.when(HEARD)).map(|(open, heard)| open.since(heard));
        Ok(Night { stepped, walk, first_work: first.since(self.woken), works: after, lines, off })
    }

    fn print(&mut self) {
        self.moments.sort_by_key(|(at, _)| *at);
        for (at, what) in &self.moments {
            println!("  {:>10} ms  {}", relative(*at, self.woken), what.trim_end());
        }
    }
}

fn relative(at: Boottime, zero: Boottime) -> String {
    let sign = if at < zero { '-' } else { '+' };
    let size = at.since(zero).max(zero.since(at));
    format!("{sign}{:.1}", size.as_secs_f64() * 1e3)
}

/// A line of the agent's log: seconds since boot, and the text.
fn stamped(line: &str) -> Option<(Boottime, &str)> {
    let (stamp, text) = line.strip_prefix('[')?.split_once(']')?;
    let seconds: f64 = stamp.trim().parse().ok()?;
    Some((Boottime::default() + Duration::from_secs_f64(seconds), text))
}

fn field<'a>(text: &'a str, key: &str) -> &'a str {
    text.split_whitespace().find_map(|word| word.strip_prefix(key)).unwrap_or("?")
}

fn compare(usual: &Night, gated: &Night) {
    let wrong = |stamps: &[Stamp]| {
        let wrong = stamps.iter().filter(|stamp| stamp.off.abs() > Duration::from_millis(200)).count();
        format!("{wrong} of {}", stamps.len())
    };
    let maybe = |duration: Option<Duration>, absent: &str| duration.map_or(absent.to_owned(), millis);
    let rows = [
        ("", "the usual hook".to_owned(), "clockgate".to_owned()),
        ("clock stepped after waking up", maybe(usual.stepped, "never"), maybe(gated.stepped, "never")),
        ("from hearing of it to the proof", maybe(usual.walk, "-"), maybe(gated.walk, "-")),
        ("first work after waking up", millis(usual.first_work), millis(gated.first_work)),
        ("work done on a wrong clock", wrong(&usual.works), wrong(&gated.works)),
        ("containers' lines, wrong clock", wrong(&usual.lines), wrong(&gated.lines)),
        ("clock off at the end", usual.off.to_string(), gated.off.to_string()),
    ];
    println!();
    for (what, usual, gated) in rows {
        println!("  {what:<32}{usual:>18}{gated:>18}");
    }
    println!();
}

fn millis(duration: Duration) -> String {
    format!("{:.1} ms", duration.as_secs_f64() * 1e3)
}

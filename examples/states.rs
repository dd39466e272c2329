//! Prints the drawing of docs/states.md: `cargo run --example states`. Nobody drew it: the machine is walked at random, with a
//! fixed seed, and what it did is what is printed.

#![allow(clippy::wildcard_enum_match_arm, reason = "the drawing tells a few of the kinds apart")]

use std::collections::BTreeMap;
use std::time::Duration;

use clockgate::decision::{
    Action, AtDeadline, Boottime, Cause, Clocks, ContainerList, DaemonVerdict, Epoch, Event, Forgotten, FreezeOutcome,
    Leap, Machine, Measurement, Notifier, Offset, Policy, Reading, Realtime, ReferenceKind, State, StepError, Voice,
    forward,
};

fn main() {
    print!("{}", drawing());
}

/// The drawing, in Mermaid's words.
pub fn drawing() -> String {
    let mut edges: BTreeMap<(String, String), Vec<&'static str>> = BTreeMap::new();
    let mut dice = Dice(1);
    for unreachable in [AtDeadline::Hold, AtDeadline::Open] {
        for _ in 0..400 {
            walk(&mut dice, unreachable, &mut edges);
        }
    }
    let mut text = String::from("stateDiagram-v2\n    [*] --> Unknown\n");
    for ((from, to), mut why) in edges {
        why.sort_unstable();
        why.dedup();
        text.push_str(&format!("    {from} --> {to}: {}\n", why.join(", ")));
    }
    text
}

fn walk(dice: &mut Dice, unreachable: AtDeadline, edges: &mut BTreeMap<(String, String), Vec<&'static str>>) {
    let mut machine = Machine::new(Policy { unreachable, ..Policy::default() }, Epoch::default());
    let mut now = Boottime::from_nanos(1_000_000_000);
    let mut asked = vec![];
    let mut next = Some(("started", Event::Started));
    for _ in 0..200 {
        let Some((why, event)) = next.take().or_else(|| happening(dice, &mut asked, &machine, &mut now)) else {
            continue;
        };
        let before = name(machine.state());
        let actions = machine.step(event, clocks(now));
        let after = name(machine.state());
        if before != after {
            edges.entry((before, after)).or_default().push(why);
        }
        asked.extend(actions);
        now = now + Duration::from_millis(1);
    }
}

fn happening(
    dice: &mut Dice,
    asked: &mut Vec<Action>,
    machine: &Machine,
    now: &mut Boottime,
) -> Option<(&'static str, Event)> {
    Some(match dice.throw(12) {
        0 => ("sleep", Event::Sleeping(Notifier::Logind)),
        1 => ("woken", Event::Woken(Notifier::Logind)),
        2 => ("disrupted", Event::Disrupted(Cause::ForeignStep { change: Offset::from_secs(5) })),
        3 if machine.alarm() != Boottime::NEVER => {
            *now = machine.alarm().max(*now);
            (alarm(machine, *now), Event::Alarm)
        }
        _ if asked.is_empty() => return None,
        _ => answer(dice, asked.remove(0), machine, *now)?,
    })
}

fn alarm(machine: &Machine, now: Boottime) -> &'static str {
    match machine.state() {
        State::Synchronized | State::FreeRunning if now >= machine.snapshot().valid_until => "the proof ends",
        _ => "deadline",
    }
}

fn answer(dice: &mut Dice, question: Action, machine: &Machine, now: Boottime) -> Option<(&'static str, Event)> {
    Some(match question {
        Action::ResetDaemon(epoch, _) => ("forgotten", Event::Forgotten(epoch, Forgotten::default())),
        // Late answers count as well, and would be drawn as what they are not.
        Action::Measure(_, round, _) if round != machine.round() => return None,
        Action::Measure(epoch, round, _) => {
            let (why, readings) = match dice.throw(3) {
                0 => ("no answer", vec![]),
                1 => ("wrong", vec![reading(now, 500)]),
                _ => ("right", vec![reading(now, 0)]),
            };
            (why, Event::Measured(epoch, round, Measurement { readings, ..Measurement::default() }))
        }
        Action::Step { order, offset, .. } if dice.throw(4) > 0 => ("stepped", Event::Stepped(order, Ok(offset))),
        Action::Step { order, .. } => ("not stepped", Event::Stepped(order, Err(StepError::Failed(String::new())))),
        Action::ResyncDaemon(epoch) => ("handed over", Event::HandedOver(epoch, Ok(()))),
        Action::AskDaemon(epoch) => {
            let offset = Offset::from_secs(1);
            ("the daemon disagrees", Event::DaemonAsked(epoch, DaemonVerdict::Disagrees { offset }))
        }
        Action::Freeze(order, _) => ("frozen", Event::Frozen(order, FreezeOutcome::default())),
        Action::ThawCarriers(order) => ("thawed", Event::CarriersThawed(order, Ok(ContainerList::default()))),
        Action::ThawTolerant(order, _) => ("thawed", Event::TolerantThawed(order, Ok(ContainerList::default()))),
        Action::Thaw(order) => ("thawed", Event::Thawed(order, Ok(()))),
        Action::Prolong(..) | Action::AllowSleep | Action::Warn(_) => return None,
    })
}

fn reading(now: Boottime, offset_ms: i64) -> Reading {
    Reading {
        source: "server".to_owned(),
        voice: Voice::server("reference"),
        kind: ReferenceKind::Ntp,
        as_of: now,
        local: clocks(now).real,
        offset: Offset::from_nanos(offset_ms * 1_000_000),
        root_distance: Duration::from_millis(1),
        authenticated: false,
        leap: Leap::None,
        stratum: Some(2),
        delay: None,
        upstream: None,
    }
}

/// A machine that never sleeps and whose clock nobody moves.
fn clocks(boot: Boottime) -> Clocks {
    let raw = boot.since(Boottime::default());
    Clocks { boot, raw, asleep: Duration::ZERO, real: Realtime::from_secs(1_800_014_400) + forward(raw) }
}

fn name(state: State) -> String {
    match state {
        State::GaveUp(AtDeadline::Hold) => "GaveUp_hold".to_owned(),
        State::GaveUp(AtDeadline::Open) => "GaveUp_open".to_owned(),
        state => state.to_string(),
    }
}

/// Xorshift: the same throws on every machine.
struct Dice(u64);

impl Dice {
    fn throw(&mut self, sides: u64) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 % sides
    }
}

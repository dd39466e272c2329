//! The soak in a whole machine: what only a hypervisor does to one, drawn from a seed, one disruption after the other, two of them at once
//! now and then.
//!
//! CLOCKGATE_VM_SOAK says how many (`tests/soak vm`: 10 in each of five boots), CLOCKGATE_VM_SOAK_SEED which. It is judged from outside,
//! by the true time: once the gate was shut it is not open on a wrong clock again; whoever asked since then did not run on one; whoever is
//! frozen until the step goes on behind it.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use clockgate::decision::{Boottime, Offset};
use clockgate::sys::clock;

use crate::gate;
use crate::lab::dice::{Dice, wanted};
use crate::lab::guest::Guest;
use crate::lab::work::{PART, VERB, Work};
use crate::lab::world::World;
use crate::lab::{Outcome, fail, pass};
use crate::machine::Machine;
use crate::soak_judge::{Begin, Judge};
use crate::timeline::{Moment, ms};

const SEED: u64 = 1;
const USUAL: u64 = 2;
const IMAGE: &str = "soak";
/// A machine in software on a busy host takes tens of seconds for what takes one elsewhere.
const PATIENT: &str = "deadline: 10min\nfreeze: {max: 10min}\n";

/// One thing that is done to the machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    /// The hypervisor stops it for so long.
    Pause(Duration),
    /// It is taken back to an image of so long ago.
    Restore(Duration),
    /// The same, announced to it before the image was taken.
    AnnouncedRestore(Duration),
    /// An image of so long ago goes on in another QEMU, as another machine.
    RestoreElsewhere(Duration),
    /// It goes on in another QEMU, as the same machine.
    Migration,
    /// It sleeps for so long.
    Sleep(Duration),
    /// Another program in it sets its clock.
    Step(Offset),
}

impl Act {
    const fn kind(self) -> &'static str {
        match self {
            Self::Pause(_) => "pause",
            Self::Restore(_) => "restore",
            Self::AnnouncedRestore(_) => "announced restore",
            Self::RestoreElsewhere(_) => "restore in another QEMU",
            Self::Migration => "migration",
            Self::Sleep(_) => "sleep",
            Self::Step(_) => "step by another program",
        }
    }

    fn drawn(dice: &mut Dice) -> Self {
        match dice.below(9) {
            0 | 1 => Self::Pause(dice.millis(2_000, 15_000)),
            2 => Self::Restore(dice.millis(2_000, 12_000)),
            3 => Self::AnnouncedRestore(dice.millis(2_000, 12_000)),
            4 => Self::RestoreElsewhere(dice.millis(2_000, 8_000)),
            5 => Self::Migration,
            6 | 7 => Self::Sleep(dice.millis(1_000, 12_000)),
            _ => {
                let size = clockgate::decision::forward(dice.millis(2_000, 86_400_000));
                Self::Step(if dice.below(2) == 0 { size } else { -size })
            }
        }
    }

    /// Whether it is announced to the machine, whose gate is shut then when it goes on.
    const fn begin(self) -> Begin {
        match self {
            Self::AnnouncedRestore(_) | Self::Sleep(_) => Begin::Shut,
            Self::Pause(_) | Self::Restore(_) | Self::RestoreElsewhere(_) | Self::Migration | Self::Step(_) => {
                Begin::Open
            }
        }
    }

    /// Does it; the machine, and the moment since which it runs.
    fn perform(self, machine: Machine, world: &World) -> Outcome<(Machine, Moment)> {
        let (machine, went_on) = match self {
            Self::Pause(lasts) => {
                machine.stop()?;
                pass(lasts);
                let went_on = machine.go_on()?;
                (machine, went_on)
            }
            Self::Restore(ago) => {
                machine.save(IMAGE)?;
                pass(ago);
                let went_on = machine.load(IMAGE)?;
                (machine, went_on)
            }
            Self::AnnouncedRestore(ago) => {
                machine.guest.sh("clockgate notify pre-snapshot --wait")?;
                machine.save(IMAGE)?;
                machine.guest.sh("clockgate notify post-restore")?;
                pass(ago);
                let went_on = machine.load(IMAGE)?;
                machine.guest.sh("clockgate notify post-restore")?;
                (machine, went_on)
            }
            Self::RestoreElsewhere(ago) => {
                machine.save(IMAGE)?;
                pass(ago);
                let number = clock::realtime().as_nanos() & 0xFFFF_FFFF;
                machine.restored_elsewhere(world, IMAGE, &format!("7d2e8a62-0a3b-4ab5-9a37-{number:012x}"))?
            }
            Self::Migration => machine.migrated(world)?,
            Self::Sleep(lasts) => {
                machine.suspend()?;
                pass(lasts);
                let went_on = machine.wake()?;
                (machine, went_on)
            }
            Self::Step(by) => {
                let set = clock::realtime();
                let ago = if by.is_backward() { " ago" } else { "" };
                let size = by.abs();
                let (secs, millis) = (size.as_secs(), size.subsec_millis());
                machine.guest.sh(&format!("date -u -s '{secs}.{millis:03} seconds{ago}'"))?;
                (machine, set)
            }
        };
        let since = Moment::of(&machine.guest, went_on)?;
        Ok((machine, since))
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Pause(lasts) | Self::Sleep(lasts) => write!(f, "{} of {lasts:?}", self.kind()),
            Self::Restore(ago) | Self::AnnouncedRestore(ago) | Self::RestoreElsewhere(ago) => {
                write!(f, "{}, {ago:?} old", self.kind())
            }
            Self::Migration => f.write_str(self.kind()),
            Self::Step(by) => write!(f, "step by {by}"),
        }
    }
}

/// What happens at once: one of three times a second thing, before the machine is done with the first.
fn disruption(dice: &mut Dice) -> Vec<(Duration, Act)> {
    let mut acts = vec![(Duration::ZERO, Act::drawn(dice))];
    if dice.below(3) == 0 {
        acts.push((dice.millis(0, 2_000), Act::drawn(dice)));
    }
    acts
}

pub fn disruptions(machine: Machine, world: &World) -> Outcome<Machine> {
    let (seed, rounds) = (wanted("CLOCKGATE_VM_SOAK_SEED", SEED)?, wanted("CLOCKGATE_VM_SOAK", USUAL)?);
    println!("vm-soak: {rounds} disruptions, CLOCKGATE_VM_SOAK_SEED={seed}");
    let mut done = vec![];
    let (mut dice, mut survived) = (Dice::new(seed), BTreeMap::<&str, usize>::new());
    gate::start_with(&machine.guest, &format!("servers: [{}]\n{PATIENT}", world.truth.address()))?;
    gate::proven(&machine.guest)?;
    let mut judge = Judge::start(&machine.guest)?;
    let mut machine = machine;
    for number in 1..=rounds {
        let acts = disruption(&mut dice);
        let words: Vec<String> = acts
            .iter()
            .map(
                |(after, act)| {
                    if after.is_zero() { act.to_string() } else { format!("{} ms later {act}", after.as_millis()) }
                },
            )
            .collect();
        done.push(format!("{number:3}  {}", words.join(", ")));
        let began = clock::boottime();
        let failed = |failed: libtest_mimic::Failed| {
            let said = failed.message().unwrap_or_default().to_owned();
            libtest_mimic::Failed::from(format!(
                "CLOCKGATE_VM_SOAK_SEED={seed}: {said}\nafter these disruptions:\n{}",
                done.join("\n")
            ))
        };
        machine = round(machine, world, &mut judge, &acts).map_err(failed)?;
        acts.iter().for_each(|(_, act)| *survived.entry(act.kind()).or_default() += 1);
        let took = clock::boottime().since(began);
        println!("vm-soak: {number:3} {:>8} ms  {}", ms(took), words.join(", "));
    }
    let kinds: Vec<String> = survived.iter().map(|(kind, count)| format!("{kind} {count}")).collect();
    println!("vm-soak: survived: {}", kinds.join("; "));
    println!(
        "vm-soak: {} pieces of work; the gate was shut {:?} after the machine went on at the latest",
        judge.pieces, judge.latest
    );
    Ok(machine)
}

fn round(machine: Machine, world: &World, judge: &mut Judge, acts: &[(Duration, Act)]) -> Outcome<Machine> {
    let before = gate::proven(&machine.guest)?;
    let mut last = None;
    let mut machine = machine;
    for (after, act) in acts {
        pass(*after);
        let (moved, since) = act.perform(machine, world)?;
        machine = moved;
        last = Some((since, act.begin()));
    }
    let Some((since, begin)) = last else { return fail("nothing happened") };
    gate::when(&machine.guest, "a later epoch is proven", |now| now.epoch > before.epoch && now.is_proven())?;
    // What was not announced finds the gate as the first of two left it.
    let begin = if acts.len() > 1 && begin == Begin::Open { Begin::Unknown } else { begin };
    judge.judge(&machine.guest, since, begin)?;
    Ok(machine)
}

/// A workload that asks at the gate before each piece of work, and says when it asked.
pub fn asking(guest: &Guest, name: &str) -> Outcome<Work> {
    let asked = format!("asked=$({PART} {VERB})");
    let done = format!("done=$(clockgate run --max-wait infinity --require-proof -- {PART} {VERB})");
    Work::over_and_over(guest, name, &format!("{asked}; {done}; echo $done $asked"))
}

/// Nanoseconds since boot.
pub fn boottime(nanos: &str) -> Option<Boottime> {
    nanos.parse().ok().map(Boottime::from_nanos)
}

//! The soak: disruptions of random kind, size, direction and overlap, one after the other, in one guest.
//!
//! CLOCKGATE_SOAK says how many (`make soak`: 200 in each of five boots), CLOCKGATE_SOAK_SEED which. Whether all went well is judged from outside:
//! not one look at an open gate, and not one piece of work, on a clock that is off by more than the threshold; but for work that
//! was let go just before a stranger's step and got to its clock just after it, which nobody can hold.

use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::sys::clock;

use super::{Listed, gate, night};
use crate::lab::dice::wanted;
use crate::lab::guest::Guest;
use crate::lab::watch::Sight;
use crate::lab::world::World;
use crate::lab::{Outcome, engine, ensure};

mod act;
mod judge;
mod plan;

use act::Surroundings;
use judge::{Judge, Tally};
use plan::{Act, Disruption, Plan};

pub const SCENARIOS: &[Listed] = &[
    ("soak::disruptions_of_every_kind_let_nothing_run_on_an_unproven_clock", without_a_deadline),
    ("soak::with_a_deadline_what_opens_unproven_is_listed_and_nobody_takes_it_for_a_proof", with_a_deadline),
];

const SEED: u64 = 4;
const USUAL: u64 = 20;
/// From the end of a disruption to the proof: retries come every four seconds while the gate is shut.
const PROVEN_WITHIN: Duration = Duration::from_secs(30);
/// So long there is no other epoch, where a step was undone before the agent looked.
const UNDONE_NANOS: u64 = 1_000_000_000;
const FOR_EVER: &str = "at-deadline: {unreachable: hold, imprecise: hold, wrong: hold}\n";

/// Nobody gives up, so there is no opening without a proof at all.
fn without_a_deadline(guest: &Guest, world: &World) -> Outcome {
    let (seed, rounds) = (wanted("CLOCKGATE_SOAK_SEED", SEED)?, wanted("CLOCKGATE_SOAK", USUAL)?);
    println!("soak: {rounds} disruptions, CLOCKGATE_SOAK_SEED={seed}; times in ms since the event:");
    println!("soak:   no  notice    shut stepped    open    took");
    let mut plan = Plan::new(seed);
    let disruptions: Vec<Disruption> = (0..rounds).map(|_| plan.disruption()).collect();
    let mut done = vec![];
    let tally = let_all_happen(guest, world, &disruptions, &mut done).map_err(|failed| {
        let said = failed.message().unwrap_or_default();
        format!("CLOCKGATE_SOAK_SEED={seed}: {said}\nafter these disruptions:\n{}", done.join("\n"))
    })?;
    ensure(tally.openings.is_empty() && tally.unproven == 0, format!("opened without a proof: {tally:?}"))
}

fn let_all_happen(guest: &Guest, world: &World, disruptions: &[Disruption], done: &mut Vec<String>) -> Outcome<Tally> {
    let mut soak = Soak::start(guest, world, FOR_EVER)?;
    for (n, disruption) in disruptions.iter().enumerate() {
        done.push(format!("{:4}  {disruption}", n + 1));
        soak.disrupt(n + 1, disruption)?;
    }
    soak.end()
}

/// The policy as it is shipped, all servers silent past its deadline. Shortened where the soak is.
fn with_a_deadline(guest: &Guest, world: &World) -> Outcome {
    let whole = wanted("CLOCKGATE_SOAK", USUAL)? > USUAL;
    let (config, lasts, rounds) = if whole { ("", 33, 3) } else { ("deadline: 2s\n", 10, 2) };
    let mut soak = Soak::start(guest, world, config)?;
    for n in 1..=rounds {
        let silence = Act::Silence { lasts: Duration::from_secs(lasts) };
        // A clock that is known to be wrong is held; a machine that was restored may be any time later than it thinks.
        let acts = [silence, Act::Notify("post-restore"), Act::Step(Offset::from_secs(3600))];
        soak.disrupt(n, &Disruption(acts.map(|act| (Duration::ZERO, act)).to_vec()))?;
    }
    let tally = soak.end()?;
    ensure(tally.openings.len() == rounds, format!("{rounds} silences past the deadline, and {:?}", tally.openings))?;
    ensure(tally.unproven > 0, "nobody went through the gate that opened without a proof")
}

struct Soak<'g> {
    guest: &'g Guest,
    around: Surroundings<'g>,
    judge: Judge<'g>,
}

impl<'g> Soak<'g> {
    fn start(guest: &'g Guest, world: &'g World, config: &str) -> Outcome<Self> {
        night::chronyd(guest, world)?;
        let around = Surroundings::start(guest, world)?;
        gate::start_with(guest, &format!("{}{config}", around.configured()))?;
        gate::proven(guest)?;
        Ok(Self { guest, around, judge: Judge::start(guest, 2)? })
    }

    /// Lets it happen, waits for the proof that has to follow, and prints a line about it.
    fn disrupt(&mut self, number: usize, disruption: &Disruption) -> Outcome {
        self.judge.truths.calibrate(self.guest)?;
        self.judge.expect(disruption)?;
        let seen = self.judge.sights().len();
        let epoch = self.judge.sights().last().map_or(0, |last| last.epoch);
        let (began, then) = (self.guest.clocks()?.boottime, clock::boottime());
        let undid = self.around.undoes_steps_at_once();
        act::perform(self.guest, &mut self.around, &mut self.judge.truths, disruption)?;
        let guest = self.guest;
        let over = guest.clocks()?.raw;
        // It may have made way for another one just after it.
        let undone_at_once = disruption.only_steps() && (undid || self.around.undoes_steps_at_once());
        self.judge.proven(PROVEN_WITHIN, |sights| {
            let since = &sights[seen..];
            let restarted = !disruption.kills() || since.iter().any(is_started);
            let noticed = sights.last().is_some_and(|last| last.epoch > epoch);
            // The clock stands where it stood before the agent gets the processor, so its proof holds. Whoever asked meanwhile may have seen
            // the gate shut.
            let goes_on = || guest.clocks().is_ok_and(|now| now.raw > over + UNDONE_NANOS);
            restarted && (!disruption.disrupts() || noticed || undone_at_once && goes_on())
        })?;
        if disruption.acts().any(|act| act == Act::RestartEngine) {
            engine::is_answered(guest, judge::STARTED)?;
            self.judge.look()?;
        }
        let times = Times::of(disruption, began, epoch, &self.judge.sights()[seen.saturating_sub(1)..]);
        for act in disruption.acts() {
            *self.judge.tally.survived.entry(act.kind()).or_default() += 1;
        }
        let took = clock::boottime().since(then).as_millis();
        println!("soak: {number:4} {times} {took:>7}  {disruption}");
        Ok(())
    }

    /// All has to be well, and stay so.
    fn end(mut self) -> Outcome<Tally> {
        self.judge.all_answered(PROVEN_WITHIN)?;
        self.judge.proven(PROVEN_WITHIN, |sights| sights.last().is_some_and(is_synchronized))?;
        let tally = self.judge.tally.clone();
        self.judge.end()?;
        let off = self.guest.offset()?;
        night::over(self.guest)?;
        self.guest.sh("umount /var/lib/clockgate")?;
        ensure(off.abs() <= judge::THRESHOLD, format!("off by {off} at the end"))?;
        println!(
            "soak: {} pieces of work, none of them on a clock off by more than {:?} but {} let go just before a step by somebody \
             else and {} let go unproven; the worst clock that the gate called proven was off by {:?}",
            tally.stamps,
            judge::THRESHOLD,
            tally.on_their_way,
            tally.unproven,
            tally.worst
        );
        let survived = tally.survived.iter().map(|(kind, count)| format!("{kind} {count}")).collect::<Vec<_>>();
        println!("soak: survived: {}", survived.join("; "));
        for opening in &tally.openings {
            println!("soak: open without a proof for {opening:?}");
        }
        Ok(tally)
    }
}

fn is_started(sight: &Sight) -> bool {
    sight.cause == 0
}

fn is_synchronized(sight: &Sight) -> bool {
    sight.state == 4
}

/// When what happened, in milliseconds since the event; none where it did not.
struct Times([Option<i64>; 4]);

impl Times {
    /// From what was seen since; the first of it is how all stood before.
    fn of(disruption: &Disruption, began: u64, epoch: u64, sights: &[Sight]) -> Self {
        let (before, since) = sights.split_first().map_or((None, sights), |(first, rest)| (Some(first), rest));
        let first_jump = |matters: fn(&Sight, &Sight) -> bool| {
            sights.windows(2).find(|pair| matters(&pair[0], &pair[1])).map(|pair| pair[1].at.boot)
        };
        let event = match disruption.acts().next() {
            Some(Act::Sleep { .. }) => first_jump(|a, b| !a.at.same_waking(&b.at)),
            Some(Act::Step(_)) => first_jump(jumped),
            Some(_) | None => None,
        };
        let event = event.unwrap_or(began);
        let new = since.iter().find(|sight| sight.epoch > epoch);
        let shut = since.iter().find(|sight| sight.gate != Gate::Proven);
        let stepped = sights.windows(2).rev().find(|pair| jumped(&pair[0], &pair[1]) && pair[1].gate != Gate::Proven);
        let open = since.last().filter(|_| shut.is_some() && before.is_some());
        let since_event =
            |nanos: u64| (i64::try_from(nanos).unwrap_or(0) - i64::try_from(event).unwrap_or(0)) / 1_000_000;
        Self([
            new.map(|sight| since_event(sight.since)),
            shut.map(|sight| since_event(sight.at.boot)),
            stepped.map(|pair| since_event(pair[1].at.boot)),
            open.map(|sight| since_event(sight.at.boot)),
        ])
    }
}

fn jumped(before: &Sight, after: &Sight) -> bool {
    before.at.same_waking(&after.at) && before.at.standing().abs_diff(after.at.standing()) > 10_000_000
}

impl std::fmt::Display for Times {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let words = self.0.map(|time| time.map_or_else(|| "-".to_owned(), |time| time.to_string()));
        write!(f, "{:>7} {:>7} {:>7} {:>7}", words[0], words[1], words[2], words[3])
    }
}

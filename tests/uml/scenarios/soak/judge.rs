//! What must hold throughout, judged from outside: by what a process in the guest saw, and by the true time.

use std::collections::BTreeMap;
use std::time::Duration;

use clockgate::decision::{Gate, Offset, State};

use super::plan::Disruption;
use crate::lab::guest::Guest;
use crate::lab::watch::{Moment, Sight, Tail, Truths, VERB, VERB_OFTEN, VERB_ONCE};
use crate::lab::{Outcome, engine, fail, until};

/// As far off as the clock may be while the gate says that it is proven.
pub const THRESHOLD: Duration = Duration::from_millis(200);
const ON_ITS_WAY: Duration = Duration::from_millis(500);
/// From the wrapper that is let go over the shim and the engine to the client that starts the container.
const THROUGH_THE_ENGINE: Duration = Duration::from_secs(5);
/// The containers: one that runs all the time, and one whose start is held when the engine is restarted.
pub const CONTAINED: &str = "soak-box";
pub const STARTED: &str = "soak-held";
/// The watcher and the work read their clocks one after the other.
const SLACK_NANOS: u64 = 20_000_000;
/// A step is seen as one; a clock that creeps is not.
const STEP: Duration = Duration::from_millis(300);

/// Watches one guest from its side and judges it from ours.
pub struct Judge<'g> {
    guest: &'g Guest,
    pub truths: Truths,
    watch: Tail,
    works: Vec<Work>,
    sights: Vec<Sight>,
    /// When a stranger's step hit an open gate.
    strikes: Vec<Moment>,
    /// Whether what runs in a container may be thawed on a wrong clock: nobody keeps it frozen.
    unguarded: bool,
    pub tally: Tally,
}

/// A workload that asks at the gate before each piece of work.
struct Work {
    name: String,
    done: Tail,
    last: Option<Moment>,
    kind: Kind,
}

/// How it comes to its work.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// It takes nothing but a proof.
    Careful,
    /// It takes what the gate gives.
    TakesUnproven,
    /// It does not ask: it is in a container that is frozen, and runs on when there is no agent to freeze it.
    Contained,
    /// It is in a container whose start is held at the gate.
    Started,
}

impl Kind {
    /// How long after it was let go it may get to its clock: what a stranger sets meanwhile, nobody can hold it for.
    const fn on_its_way(self) -> Duration {
        match self {
            Self::Careful | Self::TakesUnproven | Self::Contained => ON_ITS_WAY,
            Self::Started => THROUGH_THE_ENGINE,
        }
    }
}

/// What there was to see.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// Pieces of work.
    pub stamps: usize,
    /// Those that were let go so shortly before a stranger's step that they got to their clock after it.
    pub on_their_way: usize,
    /// Those that were let go without a proof, on a clock that was wrong.
    pub unproven: usize,
    /// How long the gate was open without a proof, each time.
    pub openings: Vec<Duration>,
    /// The worst clock that was seen while the gate said that it is proven.
    pub worst: Duration,
    /// How many of each kind of act there were.
    pub survived: BTreeMap<&'static str, usize>,
}

impl<'g> Judge<'g> {
    /// Starts to watch, and `careful` workloads that take nothing but a proof beside one that takes what the gate gives.
    pub fn start(guest: &'g Guest, careful: usize) -> Outcome<Self> {
        let mut truths = Truths::default();
        truths.calibrate(guest)?;
        // Before everybody else: what it does not look at in time it does not see.
        let first = "--property=CPUSchedulingPolicy=fifo --property=CPUSchedulingPriority=9";
        start(guest, "soak-watch", first, &format!("exec /usr/lib/lab/part {VERB}"))?;
        let mut works = vec![];
        for n in 0..=careful {
            let name = format!("soak-work-{n}");
            let proof = if n == 0 { "" } else { "--require-proof " };
            let run = format!("clockgate run --max-wait infinity {proof}-- /usr/lib/lab/part {VERB_ONCE}");
            start(guest, &name, "", &format!("while sleep 0.4; do {run}; done"))?;
            let done = Tail::new(format!("/var/tmp/{name}"));
            let kind = if n == 0 { Kind::TakesUnproven } else { Kind::Careful };
            works.push(Work { name, done, last: None, kind });
        }
        engine::start(guest, CONTAINED, VERB_OFTEN)?;
        guest.sh(&format!(": >/var/tmp/{STARTED}"))?;
        for (name, kind) in [(CONTAINED, Kind::Contained), (STARTED, Kind::Started)] {
            works.push(Work { name: name.to_owned(), done: Tail::new(format!("/var/tmp/{name}")), last: None, kind });
        }
        let watch = Tail::new("/var/tmp/soak-watch");
        Ok(Self {
            guest,
            truths,
            watch,
            works,
            sights: vec![],
            strikes: vec![],
            unguarded: false,
            tally: Tally::default(),
        })
    }

    /// Ends all that was started.
    pub fn end(self) -> Outcome {
        engine::end(self.guest)?;
        self.guest.sh("systemctl stop 'soak-*'").map(drop)
    }

    /// What comes from now on is judged as of a machine to which this is done.
    pub fn expect(&mut self, disruption: &Disruption) -> Outcome {
        self.look()?;
        self.unguarded = disruption.thaws();
        Ok(())
    }

    /// Reads and judges what came since the last call.
    pub fn look(&mut self) -> Outcome {
        // The work first: so the gate was seen until after it.
        let mut stamps = vec![];
        for work in &mut self.works {
            stamps.push(work.done.news::<Moment>(self.guest)?);
        }
        for sight in self.watch.news::<Sight>(self.guest)? {
            self.judge_sight(sight)?;
            self.sights.push(sight);
        }
        for (n, stamps) in stamps.into_iter().enumerate() {
            for stamp in stamps {
                self.judge_stamp(n, &stamp)?;
                self.works[n].last = Some(stamp);
            }
        }
        Ok(())
    }

    /// No look at all at an open gate on a wrong clock: whoever asks sees a step at once.
    fn judge_sight(&mut self, sight: Sight) -> Outcome {
        let off = self.truths.off(&sight.at)?;
        let lying = sight.gate == Gate::Proven && off.abs() > THRESHOLD;
        let before = self.sights.last().copied();
        self.note_unproven(before, sight);
        if lying {
            return fail(format!(
                "the gate was open on a clock that was off by {off}: {sight:?}, before it {before:?}"
            ));
        }
        if sight.gate == Gate::Proven {
            self.tally.worst = self.tally.worst.max(off.abs());
        }
        if let Some(before) = before
            && before.gate == Gate::Proven
            && sight.at.same_waking(&before.at)
            && sight.at.standing().abs_diff(before.at.standing()) > u64::try_from(STEP.as_nanos())?
        {
            self.strikes.push(sight.at);
        }
        Ok(())
    }

    fn note_unproven(&mut self, before: Option<Sight>, sight: Sight) {
        if let Some(before) = before.filter(|before| before.gate == Gate::Unproven) {
            let was_open = Duration::from_nanos(sight.at.boot - before.at.boot);
            if let Some(opening) = self.tally.openings.last_mut() {
                *opening += was_open;
            }
        } else if sight.gate == Gate::Unproven {
            self.tally.openings.push(Duration::ZERO);
        }
    }

    /// A process that was let go reads the clock a moment later, and what happens in between is seen by nobody.
    fn judge_stamp(&mut self, work: usize, stamp: &Moment) -> Outcome {
        self.tally.stamps += 1;
        let off = self.truths.off(stamp)?;
        let kind = self.works[work].kind;
        if off.abs() <= THRESHOLD {
            return Ok(());
        }
        if kind == Kind::Contained {
            return self.judge_contained(stamp, off);
        }
        let (before, after): (Vec<&Sight>, Vec<&Sight>) = self.sights.iter().partition(|seen| seen.at.raw <= stamp.raw);
        let just = |since: &Moment| {
            // While the watcher, who comes before everybody else, could not look, nobody in the guest ran.
            let seen = before.iter().rev().take_while(|seen| seen.at.raw > since.raw).chain(after.first());
            let stood = Duration::from_nanos(seen.map(|seen| seen.unseen).sum());
            let passed = Duration::from_nanos(stamp.raw.saturating_sub(since.raw)).saturating_sub(stood);
            let is_after = stamp.raw + SLACK_NANOS > since.raw;
            since.same_waking(stamp) && is_after && passed <= kind.on_its_way()
        };
        if self.strikes.iter().any(just) {
            self.tally.on_their_way += 1;
            return Ok(());
        }
        // Let go before the gate was shut, it had not got to its clock when that was set. There is a sight only where something changed:
        // the gate was open until the one after it.
        let open = before.iter().rposition(|seen| seen.gate == Gate::Proven);
        let left = open.and_then(|at| before.get(at + 1).or_else(|| before.get(at)));
        if left.is_some_and(|seen| just(&seen.at)) {
            self.tally.on_their_way += 1;
            return Ok(());
        }
        let unproven = before.last().is_some_and(|seen| seen.gate == Gate::Unproven)
            || before.iter().rev().nth(1).is_some_and(|seen| seen.gate == Gate::Unproven)
                && before.last().is_some_and(|seen| just(&seen.at));
        if unproven && kind == Kind::TakesUnproven {
            self.tally.unproven += 1;
            return Ok(());
        }
        let around = (before.last(), after.first());
        fail(format!(
            "{} did work at {stamp:?} on a clock that was off by {off}; the gate: {around:?}",
            self.works[work].name
        ))
    }

    /// What does not ask runs on a wrong clock until it is frozen: before the agent's step at the latest. Where a sleep or a snapshot was
    /// announced it is frozen before it, and reads no wrong clock until the gate is open.
    fn judge_contained(&self, stamp: &Moment, off: Offset) -> Outcome {
        let seen = self.sights.iter().rev().skip_while(|seen| seen.at.raw > stamp.raw);
        let announced =
            seen.take_while(|seen| seen.gate == Gate::Shut).filter(|seen| seen.state == State::Suspended.code());
        let Some(first) = announced.last() else { return Ok(()) };
        let passed = Duration::from_nanos(stamp.raw.saturating_sub(first.at.raw));
        if self.unguarded || stamp.same_waking(&first.at) && passed <= Kind::Contained.on_its_way() {
            return Ok(());
        }
        fail(format!("a frozen container ran at {stamp:?} on a clock that was off by {off}; announced at {first:?}"))
    }

    /// Waits until the gate is open on a proof, in an epoch and for a cause that `counts`; all that came before is judged.
    pub fn proven(&mut self, within: Duration, counts: impl Fn(&[Sight]) -> bool) -> Outcome {
        let waited = until("the gate is open on a proof", within, || {
            self.look()?;
            let open = self.sights.last().is_some_and(|last| last.gate == Gate::Proven) && counts(&self.sights);
            Ok(open.then_some(()))
        });
        waited.map_err(|e| format!("{}; last seen: {:?}", e.message().unwrap_or_default(), self.sights.last()).into())
    }

    /// Waits until every workload has worked after this moment.
    pub fn all_answered(&mut self, within: Duration) -> Outcome {
        let since = self.guest.clocks()?.raw;
        until("every waiter is answered", within, || {
            self.look()?;
            let works = self.works.iter().filter(|work| work.kind != Kind::Started);
            Ok(works.into_iter().all(|work| work.last.is_some_and(|last| last.raw > since)).then_some(()))
        })
    }

    /// What was seen so far, in order.
    pub fn sights(&self) -> &[Sight] {
        &self.sights
    }
}

fn start(guest: &Guest, name: &str, how: &str, script: &str) -> Outcome {
    guest.sh(&format!(
        ": >/var/tmp/{name}; systemd-run -q --unit={name} {how} --property=StandardOutput=append:/var/tmp/{name} \
         --property=StandardError=journal sh -c '{script}'"
    ))?;
    until("it works", Duration::from_secs(10), || {
        Ok((!guest.lines(&format!("/var/tmp/{name}"), 0)?.is_empty()).then_some(()))
    })
}

//! What must hold after each disruption of the soak, judged by what processes in the machine saw and by the true time.

use std::time::Duration;

use clockgate::decision::{Boottime, Gate, Offset, Realtime};

use crate::lab::guest::Guest;
use crate::lab::watch::{self, Sight};
use crate::lab::work::Work;
use crate::lab::{Outcome, ensure, fail, until};
use crate::scenarios::{SOON, THRESHOLD};
use crate::soak::{asking, boottime};
use crate::timeline::Moment;

const WATCH: &str = "soak-watch";
/// A step is seen as one; a clock that creeps is not.
const STEP: Duration = Duration::from_millis(100);
/// As often as the work behind the gate is waited for.
const AGAIN: usize = 2;

/// How the gate stood when the machine went on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Begin {
    /// Open: nobody had said that the clock would be wrong.
    Open,
    /// Shut.
    Shut,
    /// As the disruption just before had left it.
    Unknown,
}

/// Who watches, and works, in the machine.
#[derive(Debug)]
pub struct Judge {
    asking: Work,
    contained: Work,
    /// Pieces of work behind the gate.
    pub pieces: usize,
    /// How long after the machine went on the gate was shut at the latest.
    pub latest: Duration,
}

/// A piece of work behind the gate.
#[derive(Debug)]
struct Piece {
    asked: Boottime,
    at: Boottime,
    said: Realtime,
}

impl Judge {
    /// The gate is open.
    pub fn start(guest: &Guest) -> Outcome<Self> {
        guest.sh(&format!(
            ": >/run/{WATCH}; systemd-run -q --unit={WATCH} --property=CPUSchedulingPolicy=fifo --property=CPUSchedulingPriority=9 \
             --property=StandardOutput=append:/run/{WATCH} /usr/lib/lab/part {}",
            watch::VERB
        ))?;
        let contained = Work::in_a_scope(guest, "box")?;
        Ok(Self { asking: asking(guest, "asking")?, contained, pieces: 0, latest: Duration::ZERO })
    }

    /// The machine runs since then, and its gate is proven again.
    pub fn judge(&mut self, guest: &Guest, since: Moment, begin: Begin) -> Outcome {
        let (from, truth) = (since.on_the_machine(), guest.truth()?);
        let off = |at: Boottime, said: Realtime| off_by(at, said, truth);
        let sights = sights(guest, from)?;
        let told = || format!("since {from:?}, {begin:?}: {sights:?}");
        let Some(shut) = sights.iter().position(|sight| sight.gate != Gate::Proven) else {
            return fail(format!("nothing was noticed: {}", told()));
        };
        let lies = |sight: &&Sight| {
            let said = Realtime::from_nanos(sight.at.real);
            sight.gate == Gate::Proven && off(Boottime::from_nanos(sight.at.boot), said).abs() > THRESHOLD
        };
        if let Some(lie) = sights[shut..].iter().find(lies) {
            return fail(format!("the gate is open on a wrong clock: {lie:?}, {}", told()));
        }
        ensure(begin != Begin::Shut || shut == 0, format!("announced, and open before it was noticed: {}", told()))?;
        let was_shut = Boottime::from_nanos(sights[shut].at.boot);
        if begin == Begin::Open {
            self.latest = self.latest.max(was_shut.since(from));
            ensure(was_shut.since(from) < SOON, told())?;
        }
        // Who asked before may be on its way when the gate is shut.
        let until_then = if begin == Begin::Shut { from } else { was_shut };
        let pieces = self.pieces_after(guest, from)?;
        let wrong = |piece: &&Piece| off(piece.at, piece.said).abs() > THRESHOLD && piece.asked >= until_then;
        if let Some(piece) = pieces.iter().find(wrong) {
            return fail(format!("work was let go on a wrong clock: {piece:?}, {}", told()));
        }
        self.pieces += pieces.len();
        self.was_frozen(guest, from, &sights, begin)?;
        self.goes_on(guest)
    }

    /// What runs in a container reads no clock from the step until the gate is open; where it was announced, not since the machine went on.
    fn was_frozen(&self, guest: &Guest, from: Boottime, sights: &[Sight], begin: Begin) -> Outcome {
        let frozen = if begin == Begin::Shut { Some(from) } else { last_step(sights) };
        let Some(frozen) = frozen else { return Ok(()) };
        let opens = |sight: &&Sight| sight.gate == Gate::Proven && sight.at.boot > frozen.as_nanos();
        let Some(open) = sights.iter().find(opens) else { return fail(format!("it was not opened: {sights:?}")) };
        // The gate was open before the watcher looked.
        let opened = Boottime::from_nanos(open.at.boot.saturating_sub(open.unseen));
        let stamps = self.contained.stamps_after(guest, frozen)?;
        match stamps.iter().find(|stamp| stamp.at < opened) {
            Some(early) => fail(format!("a container ran at {early:?}, frozen at {frozen:?} until {open:?}")),
            None => Ok(()),
        }
    }

    /// Nothing is left frozen, and every waiter is answered.
    fn goes_on(&self, guest: &Guest) -> Outcome {
        let now = Boottime::from_nanos(guest.clocks()?.boottime);
        until("the container goes on", SOON, || {
            Ok((!self.contained.stamps_after(guest, now)?.is_empty()).then_some(()))
        })?;
        until("whoever asks is answered", SOON, || Ok((self.pieces_after(guest, now)?.len() >= AGAIN).then_some(())))?;
        let marks = guest.sh("cat /sys/fs/cgroup/system.slice/docker-*.scope/cgroup.freeze")?;
        ensure(marks.lines().all(|mark| mark == "0"), format!("something is left frozen: {marks}"))
    }

    fn pieces_after(&self, guest: &Guest, at: Boottime) -> Outcome<Vec<Piece>> {
        let text = guest.sh(&format!("awk 'NF == 4 && $1 > {}' /run/{}", at.as_nanos(), self.asking.name()))?;
        let read = |line: &str| {
            let words: Vec<&str> = line.split(' ').collect();
            let &[at, said, asked, _] = words.as_slice() else { return None };
            Some(Piece { asked: boottime(asked)?, at: boottime(at)?, said: Realtime::from_nanos(said.parse().ok()?) })
        };
        // Whoever is ended in the middle of a line leaves half of it.
        Ok(text.lines().filter_map(read).collect())
    }
}

/// What the watcher saw since then.
fn sights(guest: &Guest, from: Boottime) -> Outcome<Vec<Sight>> {
    let text = guest.sh(&format!("awk 'NF == 10 && $3 > {}' /run/{WATCH}", from.as_nanos()))?;
    text.lines().map(|line| line.parse().or_else(|_| fail(format!("not a sight: {line}")))).collect()
}

/// When the clock was stepped last while the gate was shut.
fn last_step(sights: &[Sight]) -> Option<Boottime> {
    let jumped = |pair: &&[Sight]| {
        let moved = pair[0].at.standing().abs_diff(pair[1].at.standing());
        u128::from(moved) > STEP.as_nanos() && pair[1].gate != Gate::Proven
    };
    sights.windows(2).rev().find(jumped).map(|pair| Boottime::from_nanos(pair[1].at.boot))
}

/// True time minus what was said, on a machine whose true time minus its time since boot is `truth`.
fn off_by(at: Boottime, said: Realtime, truth: Offset) -> Offset {
    Realtime::from_nanos(i64::try_from(at.as_nanos()).unwrap_or(i64::MAX)) + truth - said
}

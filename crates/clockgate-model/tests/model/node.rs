//! A state of the search: the world, and what may still happen in it.

use std::time::Duration;

use clockgate::decision::{
    Action, Boottime, Cause, Event, HttpDate, Notifier, Offset, Policy, RestoreSign, State, StepBy, forward,
};

use crate::alphabet::{ASKED_AFTER, FAR_MS, LATENCY, Letter, NARROW_MS, NEAR_MS, SLEPT, WIDE_MS};
use crate::arrows::{Arrow, name, why};
use crate::fingerprint::{self, Origin};
use crate::world::{Answer, MS, Question, Subject, World, answered, http_date};

/// How often the letters of each group may come, in the order of [`crate::alphabet::GROUPS`].
pub type Budget = [u8; 6];

/// What a path told the machine, for who wants to print it.
pub enum Told<'a> {
    Event(&'a Event),
    Crash,
    Reload,
    /// The state is another one now.
    Arrow(Arrow),
}

impl Told<'_> {
    pub const fn arrow(&self) -> Option<Arrow> {
        match self {
            Self::Arrow(arrow) => Some(*arrow),
            Self::Event(_) | Self::Crash | Self::Reload => None,
        }
    }
}

#[derive(Clone, Debug)]
pub struct Node<S> {
    pub world: World<S>,
    left: Budget,
}

impl<S: Subject> Node<S> {
    pub fn new(subject: S, policy: Policy, left: Budget) -> Self {
        let mut world = World::new(subject, policy, Boottime::from_nanos(1_000_000_000_000));
        only_what_is_answered(&mut world.open);
        Self { world, left }
    }

    pub fn fingerprint(&self) -> u128 {
        let (world, machine) = (&self.world, self.world.machine());
        let origin = Origin {
            boot: world.now,
            awake: world.clocks().awake(),
            truth: world.truth(),
            epoch: machine.epoch(),
            round: machine.round(),
            order: world.orders(),
        };
        fingerprint::of(self, &origin)
    }

    /// The same state after this letter; none where it cannot come.
    pub fn after(&self, letter: Letter, tell: &mut impl FnMut(Boottime, Told)) -> Option<Self> {
        let group = letter.group().map(|group| group as usize);
        if group.is_some_and(|group| self.left[group] == 0) || !self.can(letter) {
            return None;
        }
        let mut next = self.clone();
        group.into_iter().for_each(|group| next.left[group] -= 1);
        next.take(letter, tell);
        only_what_is_answered(&mut next.world.open);
        Some(next)
    }

    /// The question that this letter answers, by its place.
    fn question(&self, letter: Letter) -> Option<usize> {
        let machine = self.world.machine();
        let is_asked = |action: &Action| match letter {
            Letter::Forgotten | Letter::Authenticated => matches!(action, Action::ResetDaemon(..)),
            Letter::Right | Letter::Liar | Letter::Vague | Letter::Nobody => {
                matches!(action, Action::Measure(_, round, _) if *round == machine.round())
            }
            // The daemon speaks with one voice.
            Letter::TwoRight | Letter::OneOfTwo => {
                matches!(action, Action::Measure(_, round, StepBy::Own) if *round == machine.round())
            }
            Letter::LateRight | Letter::LateLiar => {
                matches!(action, Action::Measure(_, round, _) if *round != machine.round())
            }
            Letter::Stepped | Letter::StepRefused | Letter::StepSuperseded => matches!(action, Action::Step { .. }),
            Letter::DaemonAgrees | Letter::DaemonDisagrees => matches!(action, Action::AskDaemon(_)),
            Letter::Frozen => matches!(action, Action::Freeze(..)),
            Letter::Thawed | Letter::ThawFailed => matches!(action, Action::Thaw(_)),
            Letter::CarriersThawed => matches!(action, Action::ThawCarriers(_)),
            Letter::TolerantThawed => matches!(action, Action::ThawTolerant(..)),
            Letter::Alarm
            | Letter::Sleeping
            | Letter::Woken
            | Letter::Slept
            | Letter::Snapshot
            | Letter::Restore
            | Letter::Paused
            | Letter::SteppedByOthers
            | Letter::SteppedALittleByOthers
            | Letter::Requested
            | Letter::Unseen
            | Letter::NetworkChanged
            | Letter::Accepted
            | Letter::Reckon
            | Letter::Dated
            | Letter::DatedTruly
            | Letter::SetByDate
            | Letter::SetByFalseDate
            | Letter::Crash
            | Letter::Reload => false,
        };
        self.world.open.iter().position(|question| is_asked(&question.action))
    }

    fn can(&self, letter: Letter) -> bool {
        match letter {
            Letter::Alarm => self.world.subject.alarm() != Boottime::NEVER,
            // At any other time it means nothing.
            Letter::Woken => self.world.machine().state() == State::Suspended,
            Letter::Sleeping
            | Letter::Slept
            | Letter::Snapshot
            | Letter::Restore
            | Letter::Paused
            | Letter::SteppedByOthers
            | Letter::SteppedALittleByOthers
            | Letter::Requested
            | Letter::Unseen
            | Letter::NetworkChanged
            | Letter::Accepted
            | Letter::Reckon
            | Letter::Dated
            | Letter::DatedTruly
            | Letter::SetByDate
            | Letter::SetByFalseDate
            | Letter::Crash
            | Letter::Reload => true,
            Letter::Forgotten
            | Letter::Authenticated
            | Letter::Right
            | Letter::TwoRight
            | Letter::OneOfTwo
            | Letter::Liar
            | Letter::Vague
            | Letter::Nobody
            | Letter::LateRight
            | Letter::LateLiar
            | Letter::Stepped
            | Letter::StepRefused
            | Letter::StepSuperseded
            | Letter::DaemonAgrees
            | Letter::DaemonDisagrees
            | Letter::Frozen
            | Letter::Thawed
            | Letter::ThawFailed
            | Letter::CarriersThawed
            | Letter::TolerantThawed => self.question(letter).is_some(),
        }
    }

    fn take(&mut self, letter: Letter, tell: &mut impl FnMut(Boottime, Told)) {
        let far = Offset::from_nanos(FAR_MS * MS.cast_signed());
        let disruption = match letter {
            Letter::Alarm => return self.wait(tell),
            Letter::Crash => {
                tell(self.world.now, Told::Crash);
                self.world.crash();
                return tell(self.world.now, Told::Arrow((UNKNOWN, "started", name(self.world.machine().state()))));
            }
            Letter::Reload => {
                tell(self.world.now, Told::Reload);
                return self.world.reload(other_rules(self.world.policy()));
            }
            Letter::Sleeping => Event::Sleeping(Notifier::Logind),
            Letter::Woken => Event::Woken(Notifier::Logind),
            Letter::Slept => Event::Disrupted(Cause::Resume { slept: SLEPT }),
            Letter::Snapshot => Event::Disrupted(Cause::Snapshot),
            Letter::Restore => {
                self.world.lost += SLEPT;
                Event::Disrupted(Cause::Restore(RestoreSign::Notice))
            }
            Letter::Paused => Event::Disrupted(Cause::Pause { lost: SLEPT }),
            Letter::SteppedByOthers => Event::Disrupted(Cause::ForeignStep { change: far }),
            Letter::SteppedALittleByOthers => {
                // After what was asked a moment ago has read the clocks; every other letter voids or leaves what it says.
                self.world.now = self.world.now + ASKED_AFTER + ASKED_AFTER;
                let change = Offset::from_nanos(NEAR_MS * MS.cast_signed());
                Event::Disrupted(Cause::ForeignStep { change })
            }
            Letter::Requested => Event::Disrupted(Cause::Requested),
            Letter::Unseen => Event::Unseen("vmgenid"),
            Letter::NetworkChanged => Event::NetworkChanged,
            Letter::Accepted => Event::Accepted,
            Letter::Reckon => Event::Reckon,
            Letter::Dated => Event::Dated(self.world.machine().epoch(), self.date(FAR_MS)),
            Letter::DatedTruly => Event::Dated(self.world.machine().epoch(), self.date(0)),
            Letter::SetByDate => Event::StepByDate(self.date(0)),
            Letter::SetByFalseDate => Event::StepByDate(self.date(FAR_MS)),
            Letter::Forgotten
            | Letter::Authenticated
            | Letter::Right
            | Letter::TwoRight
            | Letter::OneOfTwo
            | Letter::Liar
            | Letter::Vague
            | Letter::Nobody
            | Letter::LateRight
            | Letter::LateLiar
            | Letter::Stepped
            | Letter::StepRefused
            | Letter::StepSuperseded
            | Letter::DaemonAgrees
            | Letter::DaemonDisagrees
            | Letter::Frozen
            | Letter::Thawed
            | Letter::ThawFailed
            | Letter::CarriersThawed
            | Letter::TolerantThawed => return self.answer(letter, tell),
        };
        self.happen(disruption, tell);
    }

    /// What a web server says whose time is off by so much.
    fn date(&self, off_ms: i64) -> HttpDate {
        http_date(&self.world.clocks(), self.world.error().as_nanos() / MS.cast_signed() + off_ms)
    }

    /// Time passes until the alarm, which rings until nothing is due.
    fn wait(&mut self, tell: &mut impl FnMut(Boottime, Told)) {
        self.world.now = self.world.now.max(self.world.subject.alarm());
        for _ in 0..16 {
            self.happen(Event::Alarm, tell);
            if self.world.subject.alarm() > self.world.now {
                return;
            }
        }
        panic!("the alarm rings without end");
    }

    fn answer(&mut self, letter: Letter, tell: &mut impl FnMut(Boottime, Told)) {
        let Some(place) = self.question(letter) else { return };
        let Question { mut asked, action, truth } = self.world.open[place].clone();
        let is_kept = letter == Letter::OneOfTwo;
        if !is_kept {
            self.world.open.remove(place);
        }
        self.world.now = self.world.now.max(asked.boot + LATENCY);
        if letter == Letter::Stepped {
            // What was asked a moment ago has read the clocks before.
            self.world.now = self.world.now + ASKED_AFTER + ASKED_AFTER;
        }
        (asked.boot, asked.raw) = (asked.boot + ASKED_AFTER, asked.raw + ASKED_AFTER);
        asked.real = asked.real + forward(ASKED_AFTER);
        let true_ms = (truth + forward(ASKED_AFTER) - asked.real).as_nanos() / MS.cast_signed();
        let one = |offset_ms, distance_ms| Answer::Truth { offset_ms, distance_ms };
        let answer = match letter {
            Letter::Authenticated => Answer::Authenticated,
            Letter::TwoRight | Letter::OneOfTwo => Answer::TwoAgree { offset_ms: true_ms, first_alone: is_kept },
            Letter::Liar | Letter::LateLiar => one(true_ms + FAR_MS, NARROW_MS),
            Letter::Vague => one(true_ms, WIDE_MS),
            Letter::Nobody => Answer::Nobody,
            Letter::StepRefused | Letter::ThawFailed => Answer::Refused,
            Letter::StepSuperseded => Answer::Superseded,
            Letter::DaemonDisagrees => one(FAR_MS, NARROW_MS),
            Letter::DaemonAgrees => one(0, NARROW_MS),
            Letter::Alarm
            | Letter::Forgotten
            | Letter::Right
            | Letter::LateRight
            | Letter::Stepped
            | Letter::Frozen
            | Letter::Thawed
            | Letter::CarriersThawed
            | Letter::TolerantThawed
            | Letter::Sleeping
            | Letter::Woken
            | Letter::Slept
            | Letter::Snapshot
            | Letter::Restore
            | Letter::Paused
            | Letter::SteppedByOthers
            | Letter::SteppedALittleByOthers
            | Letter::Requested
            | Letter::Unseen
            | Letter::NetworkChanged
            | Letter::Accepted
            | Letter::Reckon
            | Letter::Dated
            | Letter::DatedTruly
            | Letter::SetByDate
            | Letter::SetByFalseDate
            | Letter::Crash
            | Letter::Reload => one(true_ms, NARROW_MS),
        };
        self.world.was_lied_to |= matches!(letter, Letter::Liar | Letter::LateLiar);
        if let Some(event) = answered(&action, &answer, &asked) {
            self.happen(event, tell);
        }
    }

    fn happen(&mut self, event: Event, tell: &mut impl FnMut(Boottime, Told)) {
        // A sleep passes before it is reported.
        let slept = if let Event::Disrupted(Cause::Resume { slept }) = event { slept } else { Duration::ZERO };
        tell(self.world.now + slept, Told::Event(&event));
        let (from, why) = (name(self.world.machine().state()), why(&event, self.world.machine()));
        self.world.take(event);
        let to = name(self.world.machine().state());
        if from != to {
            tell(self.world.now, Told::Arrow((from, why, to)));
        }
    }
}

/// The state of a machine that has not begun.
const UNKNOWN: &str = "Unknown";

/// Other rules that can be read anew.
pub fn other_rules(policy: &Policy) -> Policy {
    Policy { deadline: Duration::from_secs(5), ..policy.clone() }
}

/// What is kept of the questions: the newest of each kind, the round before it, and a step for as long as it can come. An answer to
/// an older one is not a letter, since a law has it that it changes nothing.
fn only_what_is_answered(open: &mut Vec<Question>) {
    let newest =
        open.iter().rev().find_map(|q| if let Action::Measure(epoch, ..) = q.action { Some(epoch) } else { None });
    let kinds: Vec<_> = open.iter().map(|q| std::mem::discriminant(&q.action)).collect();
    let mut place = 0;
    open.retain(|question| {
        let kind = kinds[place];
        place += 1;
        let later = kinds[place..].iter().filter(|other| **other == kind).count();
        match &question.action {
            Action::Measure(epoch, ..) => later < 2 && Some(*epoch) == newest,
            Action::Step { .. } | Action::ResetDaemon(..) | Action::AskDaemon(_) => later == 0,
            Action::Freeze(..) | Action::Thaw(_) | Action::ThawCarriers(_) | Action::ThawTolerant(..) => later == 0,
            Action::ResyncDaemon(_) | Action::Prolong(..) | Action::AllowSleep | Action::Warn(_) => false,
        }
    });
}

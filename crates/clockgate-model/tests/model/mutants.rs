//! Machines with one fault each. The search has to find every one of them, and by the law that the fault breaks: a law that nothing can
//! break would be none.

#![allow(clippy::wildcard_enum_match_arm, reason = "a fault is in what it names")]

use std::time::Duration;

use clockgate::decision::{
    Action, Boottime, Cause, ClockMeasurement, Clocks, Differences, Epoch, Event, Forgotten, Gate, Machine, Offset,
    OrderId, Policy, RestoreSign, Snapshot, State,
};

use crate::node::Budget;
use crate::scopes::{freezing, uncorrected};
use crate::world::Subject;

/// What is wrong with a machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// It is published as proven while nothing is known.
    ProvenWhileDisrupted,
    /// It is published as proven after the first exchange.
    OpenEarly,
    /// The proof is one from before the disruption.
    OldProof,
    /// A step by another program leaves the proof as it is.
    ProofKept,
    /// Readers compare their clocks with those of another moment.
    OldDifferences,
    /// A thaw is not ordered.
    ThawDropped,
    /// A disruption begins the limit of a freeze anew, and the deadline with it.
    LimitRenewed,
    /// The guard is given longer than the limit.
    GuardLate,
    /// No alarm is set while somebody waits.
    AlarmLost,
    /// No alarm is set for the end of a proof.
    ProofWithoutEnd,
    /// The policy applies long after the deadline that was promised.
    DeadlineLate,
    /// An answer is taken for one of this epoch.
    EpochIgnored,
    /// The answer to an older order is taken for one to the last.
    OrderIgnored,
    /// The answer to an older step is taken for one to the step that is under way.
    StepIgnored,
    /// A machine that was killed counts from the beginning.
    EpochForgotten,
    /// What is published is of the epoch before.
    EpochBack,
    /// A step is ordered twice.
    SteppedTwice,
    /// References are asked twice.
    AskedTwice,
    /// The daemon is reset twice.
    ResetTwice,
    /// The daemon is asked twice.
    DaemonAskedTwice,
    /// A freeze is ordered twice.
    FrozenTwice,
    /// A thaw is ordered twice.
    ThawedTwice,
    /// A sleep is allowed twice.
    AllowedTwice,
    /// A machine may sleep before anything is frozen.
    AsleepUnfrozen,
    /// Nothing is frozen before a sleep.
    FreezeDropped,
    /// A sleep is never allowed.
    SleepHeld,
    /// Plain answers count beside authenticated sources.
    Outranked,
    /// A tolerance is served by the first exchange.
    MeasuredEarly,
    /// A tolerance is served by what was measured before the disruption.
    MeasuredBefore,
    /// What was measured is said to be exact, and the clock right.
    MeasuredFiner,
    /// What was measured is good for a day.
    MeasuredForTooLong,
    /// What was measured goes on beside a proof.
    MeasuredBesideProof,
    /// Waiters compare their clocks with those of another moment.
    MeasuredElsewhere,
    /// What waits for the gate is thawed as if it tolerated more.
    ThawedByThreshold,
    /// What tolerates less than what is measured is thawed with the others.
    ThawedTooEarly,
    /// The thaw is of no freeze that is.
    ThawedOfAnother,
    /// What a web server says is taken for an operator's word.
    DateTakenForOrder,
    /// A web server's `Date` makes the proof a supported one.
    DateSupports,
    /// An operator's step by a `Date` does the same.
    StepByDateSupports,
    /// After an operator's step by a `Date` the gate is open.
    DateOpens,
    /// It stays open while the clock is stepped so.
    DateStepsBehindOpenGate,
    /// A `Date` is a proof of its own.
    DateProves,
    /// An operator's step by a `Date` is a proof.
    StepByDateProves,
    /// One `Date` serves a tolerance.
    MeasuredByOneDate,
    /// What two exchanges say serves a tolerance, whatever is known.
    EvidenceIgnored,
    /// One voice is said to be two.
    SupportedByOne,
}

impl Fault {
    /// The rules under which it can be seen, and how often the letters of each group may come.
    pub fn scope(self) -> (Policy, Budget) {
        match self {
            Self::MeasuredEarly
            | Self::MeasuredBefore
            | Self::MeasuredFiner
            | Self::MeasuredForTooLong
            | Self::MeasuredElsewhere
            | Self::ThawedByThreshold
            | Self::ThawedOfAnother => (uncorrected(), [1, 1, 1, 0, 0, 0]),
            Self::ThawedTooEarly => (uncorrected(), [1, 1, 0, 0, 0, 0]),
            Self::EvidenceIgnored => (uncorrected(), [1, 0, 2, 0, 0, 0]),
            Self::Outranked | Self::SupportedByOne => (freezing(), [1, 0, 1, 0, 0, 0]),
            Self::DateTakenForOrder
            | Self::DateSupports
            | Self::StepByDateSupports
            | Self::DateOpens
            | Self::DateStepsBehindOpenGate
            | Self::DateProves
            | Self::StepByDateProves
            | Self::MeasuredByOneDate => (Policy::default(), [1, 0, 0, 1, 1, 0]),
            _ => (freezing(), [2, 1, 0, 0, 0, 1]),
        }
    }
}

/// Each with what the law says that finds it.
pub const FAULTS: [(Fault, &str); 46] = [
    (Fault::ProvenWhileDisrupted, "Started leaves the gate open"),
    (Fault::OpenEarly, "proven while Settling"),
    (Fault::OldProof, "a proof from before the last disruption"),
    (Fault::ProofKept, "begins no epoch"),
    (Fault::OldDifferences, "after Measured"),
    (Fault::ThawDropped, "frozen beyond the guard's end"),
    (Fault::LimitRenewed, "the machine's limit, and the guard knows it"),
    (Fault::GuardLate, "the machine's limit, and the guard knows it"),
    (Fault::AlarmLost, "whoever waits is told nothing"),
    (Fault::ProofWithoutEnd, "a proof without an end"),
    (Fault::DeadlineLate, "nobody was told at the deadline"),
    (Fault::EpochIgnored, "an answer from an older epoch, or to an older order"),
    (Fault::OrderIgnored, "an answer from an older epoch, or to an older order"),
    (Fault::StepIgnored, "an answer from an older epoch, or to an older order"),
    (Fault::EpochForgotten, "begins no epoch"),
    (Fault::EpochBack, "the epoch went back"),
    (Fault::SteppedTwice, "stepped again while that is under way"),
    (Fault::AskedTwice, "asked twice at once"),
    (Fault::ResetTwice, "reset twice in an epoch"),
    (Fault::DaemonAskedTwice, "the daemon is asked again meanwhile"),
    (Fault::FrozenTwice, "an order of its own"),
    (Fault::ThawedTwice, "thawed again without a pause"),
    (Fault::AllowedTwice, "allowed twice at once"),
    (Fault::AsleepUnfrozen, "asleep with nothing frozen"),
    (Fault::FreezeDropped, "a sleep with nothing frozen"),
    (Fault::SleepHeld, "a sleep is held back"),
    (Fault::Outranked, "a plain voice over an authenticated one"),
    (Fault::MeasuredEarly, "after 1 exchanges and 0 Dates"),
    (Fault::MeasuredBefore, "older than the disruption"),
    (Fault::MeasuredFiner, "is served"),
    (Fault::MeasuredForTooLong, "for longer than remeasure-max"),
    (Fault::MeasuredBesideProof, "beside a proof"),
    (Fault::MeasuredElsewhere, "the clock has moved since"),
    (Fault::ThawedByThreshold, "waits for the gate"),
    (Fault::ThawedTooEarly, "is not served"),
    (Fault::ThawedOfAnother, "of the freeze that is"),
    (Fault::DateTakenForOrder, "a Date steps nothing by itself"),
    (Fault::DateSupports, "a Date is no voice"),
    (Fault::StepByDateSupports, "a Date supports nothing"),
    (Fault::DateOpens, "a Date opened the gate"),
    (Fault::DateStepsBehindOpenGate, "a step behind an open gate"),
    (Fault::DateProves, "a Date is no voice"),
    (Fault::StepByDateProves, "a Date proves nothing"),
    (Fault::MeasuredByOneDate, "after 0 exchanges and 1 Dates"),
    (Fault::EvidenceIgnored, "is served although"),
    (Fault::SupportedByOne, "supported by one voice"),
];

#[derive(Clone, Debug)]
pub struct Mutant {
    pub machine: Machine,
    fault: Fault,
    /// The last freeze or thaw, and the last step.
    last: Option<OrderId>,
    step: Option<OrderId>,
    /// What it publishes of the tolerances, when it publishes what it should not.
    measured: Option<ClockMeasurement>,
    /// Exchanges of this epoch that were answered.
    answers: (Epoch, u32),
    /// What happened last was such an event.
    is_dated: bool,
    is_set_by_date: bool,
    /// The gate before it.
    gate: Gate,
}

impl Mutant {
    /// A machine that has not begun.
    pub fn new(policy: Policy, fault: Fault) -> Self {
        Self::of(Machine::new(mistaken_policy(policy, fault), Epoch::default()), fault)
    }

    fn of(machine: Machine, fault: Fault) -> Self {
        let (last, step, measured) = (None, None, None);
        Self {
            machine,
            fault,
            last,
            step,
            measured,
            answers: (Epoch::default(), 0),
            is_dated: false,
            is_set_by_date: false,
            gate: Gate::Shut,
        }
    }

    fn mistaken(&self, event: Event) -> Event {
        match (self.fault, event) {
            (Fault::Outranked, Event::Forgotten(epoch, forgotten)) => {
                Event::Forgotten(epoch, Forgotten { authority: None, ..forgotten })
            }
            (Fault::DateTakenForOrder, Event::Dated(_, date)) => Event::StepByDate(date),
            (Fault::EpochIgnored, Event::Measured(_, _, m)) => {
                Event::Measured(self.machine.epoch(), self.machine.round(), m)
            }
            (Fault::ProofKept, Event::Disrupted(Cause::ForeignStep { .. })) => Event::SourceLost("fault"),
            (Fault::LimitRenewed, Event::Disrupted(Cause::ForeignStep { .. } | Cause::Requested)) => {
                Event::Disrupted(Cause::Restore(RestoreSign::Notice))
            }
            (Fault::OrderIgnored, Event::Thawed(order, outcome)) => Event::Thawed(self.last.unwrap_or(order), outcome),
            (Fault::StepIgnored, Event::Stepped(order, outcome)) => Event::Stepped(self.step.unwrap_or(order), outcome),
            (_, event) => event,
        }
    }

    /// Which order is given twice, or not at all.
    fn mistaken_orders(&self, actions: &mut Vec<Action>) {
        let of: fn(&Action) -> bool = match self.fault {
            Fault::SteppedTwice => |action| matches!(action, Action::Step { .. }),
            Fault::AskedTwice => |action| matches!(action, Action::Measure(..)),
            Fault::ResetTwice => |action| matches!(action, Action::ResetDaemon(..)),
            Fault::DaemonAskedTwice => |action| matches!(action, Action::AskDaemon(_)),
            Fault::FrozenTwice | Fault::FreezeDropped | Fault::GuardLate => {
                |action| matches!(action, Action::Freeze(..))
            }
            Fault::ThawedTwice | Fault::ThawDropped => |action| matches!(action, Action::Thaw(_)),
            Fault::AllowedTwice | Fault::SleepHeld => |action| matches!(action, Action::AllowSleep),
            Fault::ThawedByThreshold | Fault::ThawedTooEarly | Fault::ThawedOfAnother => {
                return self.mistaken_thaws(actions);
            }
            _ => return,
        };
        match self.fault {
            Fault::FreezeDropped | Fault::ThawDropped | Fault::SleepHeld => actions.retain(|action| !of(action)),
            Fault::GuardLate => actions.iter_mut().for_each(|action| {
                if let Action::Freeze(_, until) = action {
                    *until = *until + SECOND;
                }
            }),
            _ => actions.extend(actions.iter().filter(|action| of(action)).cloned().collect::<Vec<_>>()),
        }
    }

    fn mistaken_thaws(&self, actions: &mut [Action]) {
        for action in actions {
            let Action::ThawTolerant(order, tolerance) = action else { continue };
            match self.fault {
                Fault::ThawedByThreshold => *tolerance = self.machine.snapshot().threshold,
                Fault::ThawedTooEarly => *tolerance = SECOND,
                _ => order.number += 1,
            }
        }
    }

    /// Whether an exchange of this epoch was answered before.
    fn is_second(&mut self, event: &Event) -> bool {
        let epoch = self.machine.epoch();
        if !matches!(event, Event::Measured(of, ..) if *of == epoch) {
            return false;
        }
        let before = if self.answers.0 == epoch { self.answers.1 } else { 0 };
        self.answers = (epoch, (before + 1).min(2));
        before >= 1
    }

    /// What is measured, as a machine with this fault has it after this event.
    fn measure(&mut self, event: &Event, now: &Clocks) {
        let is = self.machine.snapshot();
        self.measured = match (self.fault, event) {
            (Fault::MeasuredEarly, Event::Measured(..)) if is.gate == Gate::Shut => Some(of_an_hour(now)),
            (Fault::MeasuredByOneDate, Event::Dated(..)) if is.gate == Gate::Shut && now.boot > is.since => {
                Some(of_an_hour(now))
            }
            (Fault::EvidenceIgnored, Event::Measured(_, _, m)) if is.gate == Gate::Shut && self.is_second(event) => {
                m.readings.first().map(|said| ClockMeasurement {
                    offset: said.offset,
                    bound: said.offset.abs() + said.root_distance,
                    as_of: said.as_of,
                    ..of_an_hour(now)
                })
            }
            (Fault::MeasuredBesideProof, _) if is.gate == Gate::Proven => Some(of_an_hour(now)),
            (Fault::MeasuredBefore, _) => {
                is.measured.map(|measured| ClockMeasurement { as_of: Boottime::from_nanos(1), ..measured })
            }
            (Fault::MeasuredFiner, _) => is.measured.map(|measured| ClockMeasurement {
                offset: Offset::ZERO,
                bound: Duration::from_millis(1),
                ..measured
            }),
            (Fault::MeasuredForTooLong, _) => is
                .measured
                .map(|measured| ClockMeasurement { valid_until: measured.valid_until + 86_400 * SECOND, ..measured }),
            (Fault::MeasuredElsewhere, _) => {
                is.measured.map(|measured| ClockMeasurement { differences: Some(Differences::default()), ..measured })
            }
            _ => is.measured,
        };
    }
}

/// What serves a tolerance of an hour now.
fn of_an_hour(now: &Clocks) -> ClockMeasurement {
    ClockMeasurement {
        offset: Offset::ZERO,
        bound: 3600 * SECOND,
        as_of: now.boot,
        // The longest that any may have is a little more.
        valid_until: now.boot + 1000 * SECOND,
        max_drift_ppm: 1,
        differences: Some(now.differences()),
        leap_second: None,
    }
}

const SECOND: Duration = Duration::from_secs(1);

/// The rules as a machine with this fault has them.
fn mistaken_policy(policy: Policy, fault: Fault) -> Policy {
    let deadline = if fault == Fault::DeadlineLate { policy.deadline + 3600 * SECOND } else { policy.deadline };
    Policy { deadline, ..policy }
}

impl Subject for Mutant {
    fn machine(&self) -> &Machine {
        &self.machine
    }

    fn step(&mut self, event: Event, now: Clocks) -> Vec<Action> {
        let is_sleep = matches!(event, Event::Sleeping(_));
        (self.is_dated, self.is_set_by_date) =
            (matches!(event, Event::Dated(..)), matches!(event, Event::StepByDate(_)));
        self.gate = self.machine.snapshot().gate;
        let event = self.mistaken(event);
        let of = event.clone();
        let mut actions = Machine::step(&mut self.machine, event, now);
        for action in &actions {
            match action {
                Action::Freeze(order, _) | Action::Thaw(order) => self.last = Some(*order),
                Action::Step { order, .. } => self.step = Some(*order),
                _ => {}
            }
        }
        self.mistaken_orders(&mut actions);
        self.measure(&of, &now);
        if self.fault == Fault::AsleepUnfrozen && is_sleep {
            actions.push(Action::AllowSleep);
        }
        actions
    }

    fn snapshot(&self) -> Snapshot {
        let snapshot = Snapshot { measured: self.measured, ..self.machine.snapshot() };
        match (self.fault, self.machine.state()) {
            (Fault::DateSupports, _) if self.is_dated => Snapshot { is_supported: true, ..snapshot },
            (Fault::StepByDateSupports, _) if self.is_set_by_date => Snapshot { is_supported: true, ..snapshot },
            (Fault::DateOpens, _) if self.is_set_by_date => Snapshot { gate: Gate::Unproven, ..snapshot },
            (Fault::DateStepsBehindOpenGate, _) if self.is_set_by_date => Snapshot { gate: self.gate, ..snapshot },
            (Fault::DateProves, State::Synchronized) if self.is_dated => {
                Snapshot { as_of: snapshot.as_of + SECOND, ..snapshot }
            }
            (Fault::StepByDateProves, State::Synchronized) if self.is_set_by_date => {
                Snapshot { as_of: snapshot.as_of + SECOND, ..snapshot }
            }
            (Fault::SupportedByOne, State::Synchronized) => {
                Snapshot { is_supported: !snapshot.is_supported, ..snapshot }
            }
            (Fault::ProvenWhileDisrupted, State::Disrupted) | (Fault::OpenEarly, State::Settling) => {
                Snapshot { gate: Gate::Proven, ..snapshot }
            }
            (Fault::OldProof, State::Synchronized) => Snapshot { as_of: Boottime::from_nanos(1), ..snapshot },
            (Fault::OldDifferences, State::Synchronized) => {
                Snapshot { differences: Differences::default(), ..snapshot }
            }
            (Fault::EpochBack, State::Synchronized) => {
                Snapshot { epoch: Epoch::new(snapshot.epoch.get().saturating_sub(1)), ..snapshot }
            }
            _ => snapshot,
        }
    }

    fn alarm(&self) -> Boottime {
        match (self.fault, self.machine.state()) {
            (Fault::AlarmLost, State::Disrupted) | (Fault::ProofWithoutEnd, State::Synchronized) => Boottime::NEVER,
            _ => self.machine.alarm(),
        }
    }

    fn set_policy(&mut self, policy: Policy) {
        self.machine.set_policy(mistaken_policy(policy, self.fault));
    }

    fn restarted(&self, policy: Policy) -> Self {
        let epoch = if self.fault == Fault::EpochForgotten { Epoch::default() } else { self.machine.epoch() };
        let machine = Machine::new(mistaken_policy(policy, self.fault), epoch).knowing(self.machine.evidence().clone());
        Self::of(machine, self.fault)
    }
}

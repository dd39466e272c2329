//! Where records are made: from an event, what the machine made of it, and what is remembered of the epoch.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use super::{Course, FrozenContainers, Occurrence, Position, ReceivedAnswer, Tally, Transition};
use crate::decision::{
    Action, Boottime, Clocks, ContainerList, Epoch, Event, Failure, Gate, Machine, Measurement, Offset, Reading,
    RefusedPackets, Round, Snapshot, State, Warning,
};

/// A proof is renewed every few minutes; a record of each would crowd out what happened.
const RENEWED_EVERY: Duration = Duration::from_secs(3600);

/// What the machine made of an event.
#[derive(Clone, Copy, Debug)]
pub struct Walked<'a> {
    /// What was published before.
    pub before: &'a Snapshot,
    /// What is published now.
    pub after: &'a Snapshot,
    /// The machine, after the event.
    pub machine: &'a Machine,
    /// What it orders.
    pub actions: &'a [Action],
    /// The clocks at the event.
    pub at: Clocks,
    /// How many waiters the publication woke.
    pub woken: u64,
    /// The containers whose start was held when that was looked for last.
    pub held: &'a ContainerList,
}

/// Makes the records; remembers what is said once, and how the epoch went.
#[derive(Debug, Default)]
pub struct Recorder {
    epoch: Epoch,
    course: Course,
    tally: Arc<Tally>,
    silent: SilentSources,
    outvoted: OutvotedSources,
    refused: RefusedSteps,
    renewed: Boottime,
    /// The last warning that there is no proof.
    no_proof: Option<(Epoch, Warning)>,
    /// What the event that is under way said by itself.
    received: Vec<Occurrence>,
}

impl Recorder {
    /// Takes an event, before the machine does.
    pub fn receive(&mut self, event: &Event) {
        self.received.extend(Occurrence::of_event(event));
        if let Event::Measured(epoch, round, measurement) = event {
            self.received.extend(self.silent.new_ones(*epoch, *round, measurement));
        }
    }

    /// What the event said, and nothing of what the machine made of it.
    #[must_use]
    pub fn events(&mut self, event: &Event, walked: &Walked<'_>) -> Vec<Transition> {
        self.follow(event, walked);
        std::mem::take(&mut self.received).into_iter().map(|what| self.transition(what, walked)).collect()
    }

    /// What happened, in the order of the records: what the event showed, what is published, what was refused, what is warned of.
    #[must_use]
    pub fn record(&mut self, event: &Event, walked: &Walked<'_>) -> Vec<Transition> {
        self.follow(event, walked);
        let mut all = std::mem::take(&mut self.received);
        if let Event::Measured(_, _, measurement) = event {
            all.extend(self.outvoted.new_ones(measurement, walked.machine.falsetickers()));
        }
        all.extend(self.change(walked));
        all.extend(self.refused.new_one(walked.machine));
        all.extend(walked.actions.iter().filter_map(|action| match action {
            Action::Warn(warning) => Some(Occurrence::Warned(warning.clone())),
            Action::ResetDaemon(..)
            | Action::Measure(..)
            | Action::Step { .. }
            | Action::ResyncDaemon(_)
            | Action::AskDaemon(_)
            | Action::Freeze(..)
            | Action::Prolong(..)
            | Action::Thaw(_)
            | Action::ThawCarriers(_)
            | Action::ThawTolerant(..)
            | Action::AllowSleep => None,
        }));
        let tally = Arc::make_mut(&mut self.tally);
        all.iter().for_each(|what| tally.note(what, walked.at.boot));
        all.into_iter().map(|what| self.repeated(self.transition(what, walked))).collect()
    }

    /// Marks a reminder that says what the last one said.
    fn repeated(&mut self, mut happened: Transition) -> Transition {
        if let Occurrence::Warned(warning @ Warning::NoProof(_)) = &happened.what {
            let this = Some((happened.now.epoch, warning.clone()));
            happened.is_repetition = this == self.no_proof;
            self.no_proof = this;
        }
        happened
    }

    /// The last record: the agent ends, and the gate is shut.
    #[must_use]
    pub fn end(&self, machine: &Machine, at: Clocks) -> Transition {
        let before = machine.snapshot();
        let after = Snapshot { gate: Gate::Shut, ..before.clone() };
        let held = &ContainerList::default();
        let walked = Walked { before: &before, after: &after, machine, actions: &[], at, woken: 0, held };
        self.transition(Occurrence::Ended, &walked)
    }

    fn transition(&self, what: Occurrence, walked: &Walked<'_>) -> Transition {
        let (gate_before, gate) = (walked.before.gate, walked.after.gate);
        let is_opened = gate != gate_before && gate != Gate::Shut;
        let held_if = |is_so: bool| if is_so { walked.held.clone() } else { ContainerList::default() };
        Transition {
            what,
            is_repetition: false,
            at: walked.at,
            before: Position::from(walked.before),
            now: walked.after.clone(),
            course: self.course.clone(),
            falsetickers: walked.machine.falsetickers().to_vec(),
            daemon: walked.machine.daemon().map(str::to_owned),
            held: held_if(gate == Gate::Shut),
            released: if is_opened { walked.woken } else { 0 },
            released_containers: held_if(is_opened && gate_before == Gate::Shut),
            tally: self.tally.clone(),
        }
    }

    fn change(&mut self, walked: &Walked<'_>) -> Option<Occurrence> {
        let now = walked.at.boot;
        let what = Occurrence::of_change(walked.before, walked.after)?;
        if what == Occurrence::Renewed && now.since(self.renewed) < RENEWED_EVERY {
            return Some(Occurrence::Updated);
        }
        if matches!(what, Occurrence::Renewed | Occurrence::GateOpen) {
            self.renewed = now;
        }
        Some(what)
    }

    /// Keeps up with the epoch.
    fn follow(&mut self, event: &Event, walked: &Walked<'_>) {
        Arc::make_mut(&mut self.tally).count(event, walked.before, walked.after, walked.at.boot);
        let epoch = walked.after.epoch;
        if self.epoch != epoch {
            // What is frozen stays so into the next epoch.
            let frozen = self.course.frozen.take().filter(|_| walked.machine.may_be_frozen());
            (self.epoch, self.course) = (epoch, Course { frozen, ..Course::default() });
        }
        let passed = Some(walked.at.boot.since(walked.after.since));
        let course = &mut self.course;
        match event {
            Event::Measured(of, _, measurement) if *of == epoch && !measurement.readings.is_empty() => {
                course.answers = measurement.readings.iter().map(ReceivedAnswer::from).collect();
                course.parts.answered = course.parts.answered.or(passed);
            }
            Event::Stepped(_, Ok(moved)) => {
                course.stepped = Some(course.stepped.unwrap_or(Offset::ZERO) + *moved);
                course.parts.stepped = passed;
            }
            Event::Frozen(_, outcome) if outcome.of > 0 => {
                course.frozen = Some(FrozenContainers { frozen: outcome.frozen.clone(), of: outcome.of });
                course.parts.frozen = passed;
            }
            Event::Thawed(_, Ok(())) => course.parts.thawed = passed,
            Event::Measured(..)
            | Event::Stepped(..)
            | Event::Frozen(..)
            | Event::Thawed(..)
            | Event::Started
            | Event::Disrupted(_)
            | Event::Sleeping(_)
            | Event::Woken(_)
            | Event::Forgotten(..)
            | Event::Hinted(..)
            | Event::Dated(..)
            | Event::HandedOver(..)
            | Event::DaemonAsked(..)
            | Event::CarriersThawed(..)
            | Event::TolerantThawed(..)
            | Event::NetworkChanged
            | Event::Accepted
            | Event::Reckon
            | Event::StepByDate(_)
            | Event::KernelFlagged(_)
            | Event::SourceLost(_)
            | Event::Unseen(_)
            | Event::Alarm => {}
        }
        if walked.before.gate == Gate::Shut && walked.after.gate != Gate::Shut {
            course.parts.opened = passed;
        }
    }
}

impl From<&Reading> for ReceivedAnswer {
    fn from(reading: &Reading) -> Self {
        Self {
            source: reading.source.clone(),
            kind: reading.kind,
            offset: reading.offset,
            root_distance: reading.root_distance,
            authenticated: reading.authenticated,
        }
    }
}

/// Who gave no reading, said once for each round of questions: what is reported of a round is reported whole, again and again.
#[derive(Debug, Default)]
struct SilentSources {
    round: Option<(Epoch, Round)>,
    said: BTreeSet<String>,
}

impl SilentSources {
    /// Those who have had their time and gave no reading.
    fn new_ones(&mut self, epoch: Epoch, round: Round, measurement: &Measurement) -> Vec<Occurrence> {
        if !measurement.waiting.is_empty() {
            return vec![];
        }
        if self.round != Some((epoch, round)) {
            *self = Self { round: Some((epoch, round)), said: BTreeSet::new() };
        }
        let new = measurement.failures.iter().filter(|failure| self.said.insert(failure.source.clone()));
        let mut all: Vec<Occurrence> = new
            .map(|Failure { source, why, .. }| Occurrence::Silent { source: source.clone(), why: why.clone() })
            .collect();
        // However many packets came: one line.
        let new = measurement.refused.iter().filter(|refused| self.said.insert(refused.source.clone()));
        all.extend(
            new.map(|RefusedPackets { source, why }| Occurrence::Refused { source: source.clone(), why: why.clone() }),
        );
        all
    }
}

/// Whose answers contradict those that are believed: said when they begin to, and again once they have agreed in between.
#[derive(Debug, Default)]
struct OutvotedSources(BTreeSet<String>);

impl OutvotedSources {
    fn new_ones(&mut self, measurement: &Measurement, falsetickers: &[String]) -> Vec<Occurrence> {
        self.0.retain(|source| falsetickers.contains(source));
        let contradicts = |reading: &&Reading| falsetickers.contains(&reading.source);
        let new =
            measurement.readings.iter().filter(contradicts).filter(|reading| self.0.insert(reading.source.clone()));
        new.map(|Reading { source, offset, authenticated, .. }| {
            let by = if *authenticated || measurement.authenticated.is_empty() {
                "the majority contradicts it"
            } else {
                "authenticated references contradict it"
            };
            let why = format!("it says that the clock is {}, and {by}", offset.in_words());
            Occurrence::Refused { source: source.clone(), why }
        })
        .collect()
    }
}

/// What a guard refused, and what is known to be wrong and cannot be made right: said at once, not at the deadline, and once an epoch.
#[derive(Debug, Default)]
struct RefusedSteps {
    said: Option<(Epoch, String)>,
    /// Why the last step was ordered, which is no refusal.
    stepping: String,
}

impl RefusedSteps {
    fn new_one(&mut self, machine: &Machine) -> Option<Occurrence> {
        let trouble = machine.trouble();
        if machine.is_stepping() {
            self.stepping.clone_from(&trouble.why);
        }
        let is_held = machine.state() == State::Disrupted && trouble.is_wrong() && trouble.why != self.stepping;
        let now = (machine.epoch(), trouble.why.clone());
        if !is_held || self.said.as_ref() == Some(&now) {
            return None;
        }
        self.said = Some(now);
        Some(Occurrence::StepRefused(trouble.why.clone()))
    }
}

#[cfg(test)]
mod tests;

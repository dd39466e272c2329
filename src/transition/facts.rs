//! A record as names and values, for programs: the fields of the journal and of the history are these.

use super::{Occurrence, ReceivedAnswer, Transition};
use crate::decision::{Boottime, ContainerList, Epoch, NamedContainer, Offset, State, nanos_u64};

/// One value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fact {
    /// A number; the name says its unit.
    Number(i64),
    /// A text.
    Text(String),
    /// Several texts.
    Texts(Vec<String>),
    /// Several containers.
    Containers(Vec<NamedContainer>),
    /// What the references said.
    Answers(Vec<ReceivedAnswer>),
}

impl Transition {
    /// Its values by name; what is unknown is left out.
    #[must_use]
    pub fn facts(&self) -> Vec<(&'static str, Fact)> {
        let now = &self.now;
        let mut facts = FactList(vec![]);
        facts.text("event", self.kind().name());
        facts.number("boottime_ns", Some(self.at.boot.as_nanos()));
        facts.number("realtime_ns", Some(self.at.real.as_nanos()));
        facts.number("epoch", Some(now.epoch.get()));
        facts.text("cause", &now.cause.to_string());
        facts.number("repeats_epoch", now.repeats.map(Epoch::get));
        facts.text("state", State::name_of(now.state));
        facts.text("gate", &now.gate.to_string());
        if self.before.state != now.state {
            facts.text("state_before", State::name_of(self.before.state));
        }
        if self.before.gate != now.gate {
            facts.text("gate_before", &self.before.gate.to_string());
        }
        facts.number("since_boottime_ns", Some(now.since.as_nanos()));
        facts.number("offset_ns", now.offset.map(Offset::as_nanos));
        facts.number("bound_ns", now.bound.map(nanos_u64));
        if now.as_of != Boottime::default() {
            facts.number("as_of_boottime_ns", Some(now.as_of.as_nanos()));
        }
        if now.valid_until != Boottime::default() {
            facts.number("valid_until_boottime_ns", Some(now.valid_until.as_nanos()));
            facts.number("real_minus_boot_ns", Some(now.differences.real_minus_boot.as_nanos()));
        }
        facts.number("stepped_ns", self.course.stepped.map(Offset::as_nanos));
        self.add_course(&mut facts);
        if !now.why.is_empty() {
            facts.text("why", &now.why.to_string());
        }
        self.add_own(&mut facts);
        facts.0
    }

    fn add_course(&self, facts: &mut FactList) {
        let (course, parts) = (&self.course, &self.course.parts);
        facts.some_text("daemon", self.daemon.as_ref());
        facts.number("frozen", course.frozen.as_ref().map(|freeze| freeze.frozen.count()));
        facts.number("frozen_of", course.frozen.as_ref().map(|freeze| freeze.of));
        facts.number("held", (!self.held.is_empty()).then(|| self.held.count()));
        facts.number("released", (self.released > 0).then_some(self.released));
        if self.what.tells_of_the_gate() {
            facts.containers("held_containers", &self.held);
            facts.containers("released_containers", &self.released_containers);
        }
        if let Some(freeze) = course.frozen.as_ref().filter(|_| self.what.tells_of_the_frozen()) {
            facts.containers("frozen_containers", &freeze.frozen);
        }
        facts.number("answered_after_ns", parts.answered.map(nanos_u64));
        facts.number("frozen_after_ns", parts.frozen.map(nanos_u64));
        facts.number("stepped_after_ns", parts.stepped.map(nanos_u64));
        facts.number("opened_after_ns", parts.opened.map(nanos_u64));
        facts.number("thawed_after_ns", parts.thawed.map(nanos_u64));
        facts.texts("falsetickers", self.falsetickers.iter().cloned());
        if !course.answers.is_empty() {
            facts.0.push(("answers", Fact::Answers(course.answers.clone())));
        }
    }

    /// What belongs to this kind of event alone.
    fn add_own(&self, facts: &mut FactList) {
        match &self.what {
            Occurrence::Stepped(moved) => facts.number("moved_ns", Some(moved.as_nanos())),
            Occurrence::Silent { source, .. } | Occurrence::Refused { source, .. } => facts.text("source", source),
            Occurrence::RestoreMissed(source) => facts.text("source", source),
            Occurrence::DaemonAgrees(offset) | Occurrence::DaemonDisagrees(offset) => {
                facts.number("daemon_offset_ns", Some(offset.as_nanos()));
            }
            Occurrence::DaemonNotReset { daemon, .. } if self.daemon.is_none() => {
                facts.some_text("daemon", daemon.as_ref());
            }
            Occurrence::FrozenInPart(stuck) => facts.texts("not_frozen", stuck.iter().map(ToString::to_string)),
            Occurrence::TolerantThawed(run) => facts.texts("tolerant", run.first().iter().map(ToString::to_string)),
            Occurrence::CarriersThawed(run) => facts.texts("carriers", run.first().iter().map(ToString::to_string)),
            Occurrence::GateShut
            | Occurrence::GateStaysShut
            | Occurrence::GateOpen
            | Occurrence::GateStaysOpen
            | Occurrence::GateOpenUnproven
            | Occurrence::Renewed
            | Occurrence::Updated
            | Occurrence::Ended
            | Occurrence::NotStepped(_)
            | Occurrence::StepRefused(_)
            | Occurrence::Warned(_)
            | Occurrence::DaemonNotReset { .. }
            | Occurrence::DaemonNotNotified(_)
            | Occurrence::DaemonSilent(_)
            | Occurrence::Frozen
            | Occurrence::Thawed
            | Occurrence::NotThawed(_)
            | Occurrence::CarriersNotThawed(_)
            | Occurrence::TolerantNotThawed(_)
            | Occurrence::Dated(_) => {}
        }
    }
}

impl ReceivedAnswer {
    /// The root distance, nanoseconds.
    #[must_use]
    pub fn root_distance_ns(&self) -> u64 {
        nanos_u64(self.root_distance)
    }
}

struct FactList(Vec<(&'static str, Fact)>);

impl FactList {
    /// Beyond 292 years there is no difference.
    fn number(&mut self, name: &'static str, value: Option<impl TryInto<i64>>) {
        if let Some(value) = value {
            self.0.push((name, Fact::Number(value.try_into().unwrap_or(i64::MAX))));
        }
    }

    fn text(&mut self, name: &'static str, value: &str) {
        self.0.push((name, Fact::Text(value.to_owned())));
    }

    fn some_text(&mut self, name: &'static str, value: Option<&String>) {
        if let Some(value) = value {
            self.text(name, value);
        }
    }

    fn texts(&mut self, name: &'static str, values: impl Iterator<Item = String>) {
        let values: Vec<String> = values.collect();
        if !values.is_empty() {
            self.0.push((name, Fact::Texts(values)));
        }
    }

    fn containers(&mut self, name: &'static str, containers: &ContainerList) {
        if !containers.first().is_empty() {
            self.0.push((name, Fact::Containers(containers.first().to_vec())));
        }
    }
}

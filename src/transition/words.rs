//! A record as a line of the log: what happened, and the few numbers that a person reads beside it.

use std::fmt::{self, Display, Write as _};

use super::{Occurrence, ReceivedAnswer, Transition};
use crate::decision::{ContainerList, State, bound_in_words, nanos_u64};

impl Transition {
    /// What happened, in words.
    #[must_use]
    pub fn message(&self) -> String {
        match &self.what {
            Occurrence::GateShut => "gate shut".to_owned(),
            Occurrence::GateStaysShut => "gate stays shut".to_owned(),
            Occurrence::GateOpen => "gate open".to_owned(),
            Occurrence::GateStaysOpen => "gate stays open".to_owned(),
            Occurrence::GateOpenUnproven => "gate open without a proof".to_owned(),
            Occurrence::Renewed => "proof renewed".to_owned(),
            Occurrence::Updated => "page updated".to_owned(),
            Occurrence::Ended => "gate shut; the agent ends".to_owned(),
            Occurrence::Stepped(_) => "clock stepped".to_owned(),
            Occurrence::NotStepped(why) => format!("clock not stepped: {why}"),
            Occurrence::StepRefused(why) => why.clone(),
            Occurrence::Warned(warning) => warning.to_string(),
            Occurrence::Silent { why, .. } => format!("no reading: {why}"),
            Occurrence::Refused { why, .. } => format!("not used: {why}"),
            Occurrence::DaemonNotReset { why, .. } => format!("cannot reset the time daemon: {why}"),
            Occurrence::DaemonNotNotified(why) => format!("cannot notify the time daemon of the step: {why}"),
            Occurrence::DaemonAgrees(_) => "the daemon agrees".to_owned(),
            Occurrence::DaemonDisagrees(_) => "the daemon disagrees".to_owned(),
            Occurrence::DaemonSilent(why) => format!("cannot ask the time daemon whether it agrees: {why}"),
            Occurrence::Frozen => "frozen".to_owned(),
            Occurrence::FrozenInPart(stuck) => {
                let stuck: Vec<String> = stuck.iter().map(ToString::to_string).collect();
                format!("cannot freeze everything: {}", stuck.join("; "))
            }
            Occurrence::Thawed => "thawed".to_owned(),
            Occurrence::NotThawed(why) => format!("cannot thaw; trying again: {why}"),
            Occurrence::CarriersThawed(_) => {
                "no reference can be reached: thawed the containers that carry the network; the clock may be wrong"
                    .to_owned()
            }
            Occurrence::CarriersNotThawed(why) => format!("cannot thaw the containers that carry the network: {why}"),
            Occurrence::TolerantThawed(_) => {
                "thawed the containers that asked for it: the clock is wrong, and within their own tolerance".to_owned()
            }
            Occurrence::TolerantNotThawed(why) => format!("cannot thaw containers by their own tolerance: {why}"),
            Occurrence::Dated(date) => format!("no reference answers; {date}"),
            Occurrence::RestoreMissed(_) => "a restore may have been missed: measuring the clock again".to_owned(),
        }
    }

    /// The line: what happened, and numbers as `name=value`.
    #[must_use]
    pub fn line(&self) -> String {
        let mut line = Line(self.message());
        line.add("epoch", self.now.epoch);
        match &self.what {
            Occurrence::GateShut
            | Occurrence::GateStaysShut
            | Occurrence::GateOpen
            | Occurrence::GateStaysOpen
            | Occurrence::GateOpenUnproven
            | Occurrence::Renewed
            | Occurrence::Updated => self.add_state(&mut line),
            Occurrence::Stepped(moved) => line.add("moved", moved),
            Occurrence::Silent { source, .. } | Occurrence::Refused { source, .. } => line.add("source", source),
            Occurrence::DaemonNotReset { daemon, .. } => line.add_some("daemon", daemon.as_ref()),
            Occurrence::DaemonAgrees(offset) | Occurrence::DaemonDisagrees(offset) => line.add("offset", offset),
            Occurrence::Frozen | Occurrence::FrozenInPart(_) => {
                let freeze = self.course.frozen.clone().unwrap_or_default();
                line.add("frozen", freeze.frozen.count());
                line.add("of", freeze.of);
                line.add_some("containers", in_quotes(&freeze.frozen));
            }
            Occurrence::Thawed => {
                let freeze = self.course.frozen.clone().unwrap_or_default();
                line.add_some("containers", in_quotes(&freeze.frozen));
            }
            Occurrence::CarriersThawed(run) | Occurrence::TolerantThawed(run) => {
                line.add_some("containers", in_quotes(run));
            }
            Occurrence::RestoreMissed(source) => line.add("source", source),
            Occurrence::Warned(_) => line.add("gate", self.now.gate),
            Occurrence::Ended
            | Occurrence::NotStepped(_)
            | Occurrence::StepRefused(_)
            | Occurrence::DaemonNotNotified(_)
            | Occurrence::DaemonSilent(_)
            | Occurrence::NotThawed(_)
            | Occurrence::CarriersNotThawed(_)
            | Occurrence::TolerantNotThawed(_)
            | Occurrence::Dated(_) => {}
        }
        line.0
    }

    fn add_state(&self, line: &mut Line) {
        line.add("cause", self.now.cause);
        line.add("state", State::name_of(self.now.state));
        line.add_some("repeats", self.now.repeats);
        line.add_some("offset", self.now.offset);
        line.add_some("bound_us", self.now.bound.map(|bound| nanos_u64(bound) / 1000));
        let falsetickers = (!self.falsetickers.is_empty()).then(|| format!("{:?}", self.falsetickers.join(" ")));
        line.add_some("falsetickers", falsetickers);
        line.add_some("held", in_quotes(&self.held));
        line.add_some("released", in_quotes(&self.released_containers));
        line.add("after_us", nanos_u64(self.at.boot.since(self.now.since)) / 1000);
    }
}

fn in_quotes(containers: &ContainerList) -> Option<String> {
    (!containers.is_empty()).then(|| format!("{:?}", containers.to_string()))
}

struct Line(String);

impl Line {
    fn add(&mut self, name: &str, value: impl Display) {
        // Writing to a String cannot fail.
        let _ = write!(self.0, " {name}={value}");
    }

    fn add_some(&mut self, name: &str, value: Option<impl Display>) {
        if let Some(value) = value {
            self.add(name, value);
        }
    }
}

impl fmt::Display for ReceivedAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let authenticated = if self.authenticated { ", authenticated" } else { "" };
        let (kind, offset, distance) = (self.kind, self.offset, bound_in_words(self.root_distance));
        write!(f, "{} ({kind}): {offset}, root distance {distance}{authenticated}", self.source)
    }
}

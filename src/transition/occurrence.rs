//! What can be said to have happened: each has its kind, and the words that belong to it alone.

use super::kind::EventKind;
use crate::decision::{
    ContainerList, ContainerNaming, ContainerText, DaemonVerdict, Event, FreezeOutcome, Gate, Offset, Snapshot, Warning,
};

/// What happened.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Occurrence {
    /// The gate was shut, or an epoch began with it shut.
    GateShut,
    /// Another state, and the gate is still shut.
    GateStaysShut,
    /// The gate is open on a proof.
    GateOpen,
    /// Another state, and the gate is still open on a proof.
    GateStaysOpen,
    /// The gate is open without a proof.
    GateOpenUnproven,
    /// The proof was renewed; once an hour.
    Renewed,
    /// Something else of what is published has changed.
    Updated,
    /// The agent has ended.
    Ended,
    /// The clock was stepped by so much.
    Stepped(Offset),
    /// A step was not made.
    NotStepped(String),
    /// The clock is known or said to be wrong and is not stepped.
    StepRefused(String),
    /// The machine's warning.
    Warned(Warning),
    /// A reference gave no reading.
    Silent {
        /// Who was asked.
        source: String,
        /// What came back instead.
        why: String,
    },
    /// An answer or packets of this source were not used.
    Refused {
        /// In whose name they came.
        source: String,
        /// What they were.
        why: String,
    },
    /// The time daemon could not be reset.
    DaemonNotReset {
        /// Its name, where it is known.
        daemon: Option<String>,
        /// What did not work.
        why: String,
    },
    /// The time daemon could not be notified of a step.
    DaemonNotNotified(String),
    /// The time daemon agrees with the proven clock, up to so much.
    DaemonAgrees(Offset),
    /// The time daemon means to take the clock elsewhere.
    DaemonDisagrees(Offset),
    /// The time daemon could not be asked whether it agrees.
    DaemonSilent(String),
    /// All containers that were to be frozen are.
    Frozen,
    /// Some containers are not frozen, these and why.
    FrozenInPart(Vec<ContainerText>),
    /// What was frozen runs again.
    Thawed,
    /// What was frozen does not run again; it is tried again.
    NotThawed(ContainerText),
    /// The containers that carry the network run, though the others do not.
    CarriersThawed(ContainerList),
    /// The containers that carry the network could not be thawed.
    CarriersNotThawed(ContainerText),
    /// Containers that asked for it run by their own tolerance, though the others do not.
    TolerantThawed(ContainerList),
    /// Containers could not be thawed by their own tolerance; it is tried again.
    TolerantNotThawed(ContainerText),
    /// No reference answers, and an HTTP server's `Date` says something.
    Dated(String),
    /// A restore may have been missed.
    RestoreMissed(&'static str),
}

impl Occurrence {
    /// The kind of event that it is.
    #[must_use]
    pub const fn kind(&self) -> EventKind {
        match self {
            Self::GateShut => EventKind::GateShut,
            Self::GateStaysShut => EventKind::GateStaysShut,
            Self::GateOpen => EventKind::GateOpen,
            Self::GateStaysOpen => EventKind::GateStaysOpen,
            Self::GateOpenUnproven => EventKind::GateOpenUnproven,
            Self::Renewed => EventKind::Renewed,
            Self::Updated => EventKind::Updated,
            Self::Ended => EventKind::Ended,
            Self::Stepped(_) => EventKind::Stepped,
            Self::NotStepped(_) => EventKind::NotStepped,
            Self::StepRefused(_) => EventKind::StepRefused,
            Self::Warned(Warning::NoProof(_)) => EventKind::NoProof,
            Self::Warned(Warning::SetByOthers(_)) => EventKind::SetByOthers,
            Self::Warned(Warning::FrozenTooLong) => EventKind::FrozenTooLong,
            Self::Warned(Warning::CannotReckon(_)) => EventKind::CannotReckon,
            Self::Silent { .. } => EventKind::NoReading,
            Self::Refused { .. } => EventKind::AnswerRefused,
            Self::DaemonNotReset { .. } => EventKind::DaemonNotReset,
            Self::DaemonNotNotified(_) => EventKind::DaemonNotNotified,
            Self::DaemonAgrees(_) => EventKind::DaemonAgrees,
            Self::DaemonDisagrees(_) => EventKind::DaemonDisagrees,
            Self::DaemonSilent(_) => EventKind::DaemonSilent,
            Self::Frozen => EventKind::Frozen,
            Self::FrozenInPart(_) => EventKind::FrozenInPart,
            Self::Thawed => EventKind::Thawed,
            Self::NotThawed(_) => EventKind::NotThawed,
            Self::CarriersThawed(_) => EventKind::CarriersThawed,
            Self::CarriersNotThawed(_) => EventKind::CarriersNotThawed,
            Self::TolerantThawed(_) => EventKind::TolerantThawed,
            Self::TolerantNotThawed(_) => EventKind::TolerantNotThawed,
            Self::Dated(_) => EventKind::HttpDate,
            Self::RestoreMissed(_) => EventKind::RestoreMissed,
        }
    }

    /// What an event shows by itself, before the machine has judged it.
    pub(super) fn of_event(event: &Event) -> Option<Self> {
        match event {
            Event::Forgotten(_, forgotten) => {
                let why = forgotten.trouble.clone()?;
                Some(Self::DaemonNotReset { daemon: forgotten.daemon.clone(), why })
            }
            Event::Stepped(_, Ok(moved)) => Some(Self::Stepped(*moved)),
            Event::Stepped(_, Err(error)) => Some(Self::NotStepped(error.to_string())),
            Event::HandedOver(_, Err(why)) => Some(Self::DaemonNotNotified(why.clone())),
            Event::DaemonAsked(_, verdict) => Self::of_verdict(verdict),
            Event::Frozen(_, FreezeOutcome { stuck, .. }) if !stuck.is_empty() => {
                Some(Self::FrozenInPart(stuck.clone()))
            }
            Event::Frozen(_, FreezeOutcome { of, .. }) => (*of > 0).then_some(Self::Frozen),
            Event::CarriersThawed(_, Ok(run)) => (!run.is_empty()).then(|| Self::CarriersThawed(run.clone())),
            Event::CarriersThawed(_, Err(why)) => Some(Self::CarriersNotThawed(why.clone())),
            Event::TolerantThawed(_, Ok(run)) => (!run.is_empty()).then(|| Self::TolerantThawed(run.clone())),
            Event::TolerantThawed(_, Err(why)) => Some(Self::TolerantNotThawed(why.clone())),
            Event::Thawed(_, Ok(())) => Some(Self::Thawed),
            Event::Thawed(_, Err(why)) => Some(Self::NotThawed(why.clone())),
            Event::Dated(_, date) => Some(Self::Dated(date.to_string())),
            Event::Unseen(source) => Some(Self::RestoreMissed(source)),
            Event::Measured(..)
            | Event::Started
            | Event::Disrupted(_)
            | Event::Sleeping(_)
            | Event::Woken(_)
            | Event::HandedOver(_, Ok(()))
            | Event::NetworkChanged
            | Event::Hinted(..)
            | Event::Accepted
            | Event::Reckon
            | Event::StepByDate(_)
            // What lost it has said why.
            | Event::SourceLost(_)
            | Event::KernelFlagged(_)
            | Event::Alarm => None,
        }
    }

    /// Whether its record lists the containers that the gate holds or releases; every other one has their number alone.
    pub(super) const fn tells_of_the_gate(&self) -> bool {
        matches!(
            self,
            Self::GateShut
                | Self::GateStaysShut
                | Self::GateOpen
                | Self::GateOpenUnproven
                | Self::Warned(Warning::NoProof(_))
        )
    }

    /// Whether its record lists the containers that are frozen; every other one has their number alone.
    pub(super) const fn tells_of_the_frozen(&self) -> bool {
        matches!(
            self,
            Self::Frozen
                | Self::FrozenInPart(_)
                | Self::Thawed
                | Self::GateOpen
                | Self::GateOpenUnproven
                | Self::Warned(Warning::FrozenTooLong)
        )
    }

    /// The same with as much of containers as may be written down.
    #[must_use]
    pub fn naming(&self, naming: ContainerNaming) -> Self {
        match self {
            Self::Warned(Warning::NoProof(why)) => Self::Warned(Warning::NoProof(why.naming(naming))),
            Self::FrozenInPart(stuck) => Self::FrozenInPart(stuck.iter().map(|text| text.naming(naming)).collect()),
            Self::NotThawed(why) => Self::NotThawed(why.naming(naming)),
            Self::CarriersThawed(run) => Self::CarriersThawed(run.naming(naming)),
            Self::CarriersNotThawed(why) => Self::CarriersNotThawed(why.naming(naming)),
            Self::TolerantThawed(run) => Self::TolerantThawed(run.naming(naming)),
            Self::TolerantNotThawed(why) => Self::TolerantNotThawed(why.naming(naming)),
            Self::GateShut
            | Self::GateStaysShut
            | Self::GateOpen
            | Self::GateStaysOpen
            | Self::GateOpenUnproven
            | Self::Renewed
            | Self::Updated
            | Self::Ended
            | Self::Stepped(_)
            | Self::NotStepped(_)
            | Self::StepRefused(_)
            | Self::Warned(Warning::SetByOthers(_) | Warning::FrozenTooLong | Warning::CannotReckon(_))
            | Self::Silent { .. }
            | Self::Refused { .. }
            | Self::DaemonNotReset { .. }
            | Self::DaemonNotNotified(_)
            | Self::DaemonAgrees(_)
            | Self::DaemonDisagrees(_)
            | Self::DaemonSilent(_)
            | Self::Frozen
            | Self::Thawed
            | Self::Dated(_)
            | Self::RestoreMissed(_) => self.clone(),
        }
    }

    fn of_verdict(verdict: &DaemonVerdict) -> Option<Self> {
        match verdict {
            DaemonVerdict::Agrees { offset } => Some(Self::DaemonAgrees(*offset)),
            DaemonVerdict::Disagrees { offset } => Some(Self::DaemonDisagrees(*offset)),
            DaemonVerdict::Silent(why) => Some(Self::DaemonSilent(why.clone())),
            DaemonVerdict::NotYet => None,
        }
    }

    /// What a change of the page means; a renewal is recognised by the time of the last one.
    pub(super) fn of_change(before: &Snapshot, after: &Snapshot) -> Option<Self> {
        // When the next measurement is due is for those who look at the page, and no event.
        if *before == (Snapshot { next: before.next, ..after.clone() }) {
            return None;
        }
        if (before.state, before.epoch, before.gate) == (after.state, after.epoch, after.gate) {
            let is_renewed = after.gate == Gate::Proven && before.as_of != after.as_of;
            return Some(if is_renewed { Self::Renewed } else { Self::Updated });
        }
        Some(match (before.gate, after.gate) {
            (Gate::Proven | Gate::Unproven, Gate::Shut) => Self::GateShut,
            (Gate::Shut, Gate::Shut) if after.epoch != before.epoch => Self::GateShut,
            (Gate::Shut, Gate::Shut) => Self::GateStaysShut,
            (Gate::Proven, Gate::Proven) => Self::GateStaysOpen,
            (Gate::Shut | Gate::Unproven, Gate::Proven) => Self::GateOpen,
            (_, Gate::Unproven) => Self::GateOpenUnproven,
        })
    }
}

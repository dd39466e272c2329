//! What happened, as one record. Every text about an event is made from it: log, journal, history, metrics, bus. It is pure
//! data, made in the event loop once the page is published, and no outlet computes anything of its own.

mod facts;
mod kind;
mod occurrence;
mod recorder;
mod tally;
mod words;

use std::sync::Arc;
use std::time::Duration;

use crate::decision::{Clocks, ContainerList, ContainerNaming, Gate, Offset, ReferenceKind, Snapshot};

pub use facts::Fact;
pub use kind::{EventKind, Urgency};
pub use occurrence::Occurrence;
pub use recorder::{Recorder, Walked};
pub use tally::{KnownReference, SHUT_MS, ShutTimes, StepCounts, Tally};

/// One thing that happened, and all there is to say of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Transition {
    /// What happened.
    pub what: Occurrence,
    /// The clocks when the event loop took the event; the time of day is what the system believed.
    pub at: Clocks,
    /// State and gate before.
    pub before: Position,
    /// What is published now.
    pub now: Snapshot,
    /// How the epoch went so far.
    pub course: Course,
    /// The references that the last agreement left out.
    pub falsetickers: Vec<String>,
    /// The time daemon that was found when the epoch began.
    pub daemon: Option<String>,
    /// Whether the same was recorded before in this epoch.
    pub is_repetition: bool,
    /// The containers whose start the gate holds, as far as that is known.
    pub held: ContainerList,
    /// How many waiters slept at the gate page and were released, where this opened the gate.
    pub released: u64,
    /// The containers among them, as far as that is known.
    pub released_containers: ContainerList,
    /// What was counted up to it.
    pub tally: Arc<Tally>,
}

/// A state and its gate.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Position {
    /// The state's number on the page.
    pub state: u32,
    /// The gate.
    pub gate: Gate,
}

impl From<&Snapshot> for Position {
    fn from(snapshot: &Snapshot) -> Self {
        Self { state: snapshot.state, gate: snapshot.gate }
    }
}

/// How an epoch went so far.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Course {
    /// Who answered in the last exchange, and how.
    pub answers: Vec<ReceivedAnswer>,
    /// By how much the clock was stepped in all; none where it was not.
    pub stepped: Option<Offset>,
    /// The containers that are frozen; none where none were to be.
    pub frozen: Option<FrozenContainers>,
    /// How long each part took.
    pub parts: Parts,
}

/// The containers that a freeze got hold of.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FrozenContainers {
    /// Those that are frozen.
    pub frozen: ContainerList,
    /// How many were to be.
    pub of: usize,
}

/// What one reference said.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ReceivedAnswer {
    /// Who said it: `192.0.2.1:123 (ntp.example)`.
    pub source: String,
    /// What kind of reference that is.
    pub kind: ReferenceKind,
    /// Reference minus local.
    pub offset: Offset,
    /// Its root distance when it was asked.
    pub root_distance: Duration,
    /// Whether the answer was authenticated.
    pub authenticated: bool,
}

/// When each part of an epoch was done, counted from its beginning; none where it was not, or not yet.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Parts {
    /// The first reference had answered.
    pub answered: Option<Duration>,
    /// The containers were frozen.
    pub frozen: Option<Duration>,
    /// The clock was stepped.
    pub stepped: Option<Duration>,
    /// The gate was open.
    pub opened: Option<Duration>,
    /// The containers ran again.
    pub thawed: Option<Duration>,
}

impl Transition {
    /// The kind of event that it is.
    #[must_use]
    pub fn kind(&self) -> EventKind {
        self.what.kind()
    }

    /// The same with as much of containers as may be written down.
    #[must_use]
    pub fn naming(&self, naming: ContainerNaming) -> Self {
        // Field by field: a new one that names containers is not forgotten.
        Self {
            what: self.what.naming(naming),
            at: self.at,
            before: self.before,
            now: Snapshot { why: self.now.why.naming(naming), ..self.now.clone() },
            course: self.course.naming(naming),
            falsetickers: self.falsetickers.clone(),
            daemon: self.daemon.clone(),
            is_repetition: self.is_repetition,
            held: self.held.naming(naming),
            released: self.released,
            released_containers: self.released_containers.naming(naming),
            tally: self.tally.clone(),
        }
    }

    /// Whether it belongs into the history.
    #[must_use]
    pub fn is_kept(&self) -> bool {
        self.kind().is_kept() && !self.is_repetition
    }
}

impl Course {
    fn naming(&self, naming: ContainerNaming) -> Self {
        let Self { answers, stepped, frozen, parts } = self.clone();
        let frozen =
            frozen.map(|FrozenContainers { frozen, of }| FrozenContainers { frozen: frozen.naming(naming), of });
        Self { answers, stepped, frozen, parts }
    }
}

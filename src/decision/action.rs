//! What is to be done about it. What performs an action sends its outcome back as an event.

use std::fmt;
use std::time::Duration;

use super::containers::ContainerText;
use super::time::{Awake, Boottime, Epoch, Offset, Realtime, Round};

/// Which step, freeze or thaw this is: an answer says which order it answers. A freeze or thaw that a later one overtook is not
/// performed, and a step that came late is not taken for the one that was ordered after it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct OrderId {
    /// The epoch that it was given in.
    pub epoch: Epoch,
    /// Our count of steps, freezes and thaws.
    pub number: u32,
}

/// Whose hands and whose reckoning correct the clock in this epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StepBy {
    /// We measure and step, the daemon follows.
    Own,
    /// The daemon measures and steps, we verify by what it says after it forgot.
    Daemon,
}

/// What the daemon has measured so far, when an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Samples {
    /// Of another clock: it was stepped, or the machine was suspended or paused.
    Void,
    /// Of this clock. A daemon that has reference clocks alone keeps them: no burst would bring it new ones.
    Good,
}

/// One thing to do.
#[must_use]
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Make the daemon forget (chronyd: reset sources; others: the 1 µs kick), where it has to. Answered by `Forgotten`.
    ResetDaemon(Epoch, Samples),
    /// Ask every reference at once. Answered by `Measured`, again and again, until no answer is outstanding.
    Measure(Epoch, Round, StepBy),
    /// Step the clock. Answered by `Stepped`.
    Step {
        /// Which step, in the epoch of the measurement.
        order: OrderId,
        /// Who steps.
        way: StepBy,
        /// By how much.
        offset: Offset,
        /// When the offset was true: a clock that was moved since is not stepped.
        as_of: Boottime,
        /// What the system clock said then.
        local: Realtime,
    },
    /// After our own step: reset the daemon again and have it measure. Answered by `HandedOver`.
    ResyncDaemon(Epoch),
    /// Ask the daemon whether it agrees. Answered by `DaemonAsked`.
    AskDaemon(Epoch),
    /// Freeze the running containers; the guard thaws them at this moment if nothing else has by then. Answered by `Frozen`.
    /// Freezes and thaws are performed in the order in which they are ordered.
    Freeze(OrderId, Awake),
    /// The limit of this freeze has begun anew: the guard thaws at this moment. Not answered.
    Prolong(OrderId, Awake),
    /// Thaw what we froze. Answered by `Thawed`.
    Thaw(OrderId),
    /// Thaw the containers that carry the network out of this freeze, and no others. Answered by `CarriersThawed`.
    ThawCarriers(OrderId),
    /// Thaw the containers of this freeze that asked to be thawed by their own tolerance, where that is at least so wide, and no
    /// others. Answered by `TolerantThawed`.
    ThawTolerant(OrderId, Duration),
    /// Release the inhibitor that delays the sleep: the gate is shut and published.
    AllowSleep,
    /// Warn the operator.
    Warn(Warning),
}

/// What the operator has to know beyond what the page says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Warning {
    /// The deadline has passed without a proof, and why.
    NoProof(ContainerText),
    /// Another program sets the clock again and again.
    SetByOthers(String),
    /// Containers were frozen for as long as they may be, and the clock is not proven.
    FrozenTooLong,
    /// Dead reckoning was ordered and is not possible, and why.
    CannotReckon(&'static str),
}

impl fmt::Display for Warning {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoProof(why) => write!(f, "{why}"),
            Self::SetByOthers(why) => f.write_str(why),
            Self::FrozenTooLong => f.write_str(
                "containers were frozen for freeze.max and the clock is not proven yet: thawed, and the clock may be wrong",
            ),
            Self::CannotReckon(why) => f.write_str(why),
        }
    }
}

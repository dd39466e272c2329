//! What it means: the pure half of clockgate. No I/O, no clock, no async; it points nowhere and everything may point to it.
//!
//! [`Machine::step`] takes what happened and the time it happened, and returns what is to be done about it.

mod action;
mod agreement;
mod event;
mod guard;
mod ice;
mod machine;
mod policy;
mod reading;
mod snapshot;
mod state;
mod time;

pub use action::{Action, Way};
pub use agreement::{Agreement, Disagreement, agree};
pub use event::{Authority, Cause, DaemonVerdict, Event, Forgotten, Frozen, Notifier, StepError};
pub use guard::{Evidence, Fix, Refusal, judge};
pub use machine::Machine;
pub use policy::{AtDeadline, Correction, Policy};
pub use reading::{Failure, Kind, Leap, Measurement, Reading, Upstream, Voice, Waiting};
pub use snapshot::{Gate, Snapshot};
pub use state::{State, Trouble};
pub use time::{Boottime, Clocks, Epoch, Offset, Realtime, Round, drift, forward, nanos_u64};

//! What it means: the pure half of clockgate. No I/O, no clock, no async; it points nowhere and everything may point to it.
//!
//! [`Machine::step`] takes what happened and the time it happened, and returns what is to be done about it.

mod action;
mod agreement;
mod containers;
mod count;
mod date_plan;
mod event;
mod evidence;
mod exchange;
mod failure_class;
mod floor;
mod http_date;
mod leap;
mod machine;
mod plausibility;
mod policy;
mod published;
mod reading;
mod reckoning;
mod state;
mod time;

pub use action::{Action, OrderId, Samples, StepBy, Warning};
pub use agreement::{Agreement, AgreementInput, Disagreement, ExchangeState, agree};
pub use containers::{ContainerList, ContainerNaming, ContainerText, NamedContainer};
pub use count::counted;
pub use date_plan::{DatePlan, DateRefusal};
pub use event::{Authority, Cause, DaemonVerdict, Event, Forgotten, FreezeOutcome, Notifier, RestoreSign, StepError};
pub use evidence::{ClockContradiction, Evidence, Fix, Hint, Witness};
pub use failure_class::{Class, Trouble};
pub use floor::{Floor, FloorFile, LAST_GOOD_FILE};
pub use http_date::{HttpDate, PeerCheck, SERVERS_OWN_ERROR};
pub use leap::LeapSecond;
pub use machine::Machine;
pub use plausibility::{Conclusion, StepRefusal, judge, plan};
pub use policy::{AtDeadline, AuthenticationPolicy, Correction, Policy};
pub use published::{ClockMeasurement, Gate, Snapshot};
pub use reading::{AwaitedSource, Failure, Leap, Measurement, Reading, ReferenceKind, RefusedPackets, Upstream, Voice};
pub use reckoning::{RAW_RATE_PPM, Reckoned, Reckoning};
pub use state::State;
pub use time::{
    Awake, Boottime, Clocks, Differences, Epoch, NOISE, Offset, Realtime, Round, bound_in_words, drift, forward,
    lasting_in_words, nanos_u64, size_in_words,
};

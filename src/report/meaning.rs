//! What the words of a record mean.

use std::time::Duration;

use super::GateLane;
use crate::decision::Cause;
use crate::history::HistoryRecord;
use crate::transition::{EventKind, Urgency};

/// The codes of causes that mean more than their name here.
pub(super) const SLEEP: u32 = Cause::Sleep.code();
pub(super) const RESUME: u32 = Cause::Resume { slept: Duration::ZERO }.code();
pub(super) const STARTED: u32 = Cause::Started.code();

/// The condition of the gate by a record.
pub(super) fn lane(record: &HistoryRecord<'_>) -> GateLane {
    match &*record.gate {
        _ if record.event == EventKind::Ended.name() => GateLane::NoAgent,
        "open" => GateLane::Proven,
        "unproven" => GateLane::Unproven,
        // A gate of a later version is shut to us.
        _ => GateLane::Shut,
    }
}

/// The number of a cause; the one after the last for one of a later version.
pub(super) fn cause(name: &str) -> u32 {
    (0..).find(|code| matches!(Cause::name_of(*code), found if found == name || found == "unknown")).unwrap_or(0)
}

/// The number of a kind that needs a person.
pub(super) fn warning(event: &str) -> Option<u8> {
    let kind = EventKind::ALL.iter().position(|kind| kind.name() == event)?;
    match EventKind::ALL[kind].urgency() {
        Urgency::Warning | Urgency::Error => u8::try_from(kind).ok(),
        Urgency::Info | Urgency::Debug => None,
    }
}

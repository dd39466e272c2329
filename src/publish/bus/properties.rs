//! What of a snapshot the properties are, by name.

use std::collections::HashMap;
use std::time::Duration;

use zbus::Variant;

use crate::decision::{Snapshot, State};

/// The properties that differ between two snapshots, by name.
pub(super) fn changed(said: &Snapshot, now: &Snapshot) -> HashMap<&'static str, Variant<'static>> {
    properties(now).into_iter().zip(properties(said)).filter(|(new, old)| new != old).map(|(new, _)| new).collect()
}

fn properties(snapshot: &Snapshot) -> [(&'static str, Variant<'static>); 16] {
    [
        ("State", State::name_of(snapshot.state).into()),
        ("Gate", snapshot.gate.to_string().into()),
        ("Epoch", snapshot.epoch.get().into()),
        ("Cause", snapshot.cause.to_string().into()),
        ("Since", snapshot.since.as_nanos().into()),
        ("Offset", offset(snapshot).into()),
        ("Bound", bound(snapshot).into()),
        ("AsOf", snapshot.as_of.as_nanos().into()),
        ("Threshold", nanos(snapshot.threshold).into()),
        ("MaxDriftPpm", snapshot.max_drift_ppm.into()),
        ("ValidUntil", snapshot.valid_until.as_nanos().into()),
        ("Authenticated", snapshot.is_authenticated.into()),
        ("ToleranceBound", tolerance(snapshot).0.into()),
        ("ToleranceAsOf", tolerance(snapshot).1.into()),
        ("Deadline", snapshot.deadline.as_nanos().into()),
        ("Why", snapshot.why.to_string().into()),
    ]
}

pub(super) fn offset(snapshot: &Snapshot) -> i64 {
    snapshot.offset.map_or(0, |offset| offset.as_nanos())
}

pub(super) fn bound(snapshot: &Snapshot) -> u64 {
    snapshot.bound.map_or(u64::MAX, nanos)
}

/// Bound and moment of what was measured for tolerances.
pub(super) fn tolerance(snapshot: &Snapshot) -> (u64, u64) {
    snapshot.measured.map_or((u64::MAX, 0), |measured| (nanos(measured.bound), measured.as_of.as_nanos()))
}

pub(super) fn nanos(duration: Duration) -> u64 {
    u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX)
}

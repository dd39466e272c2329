//! `status --json`: one object, documented in clockgate-interfaces(7).

use serde_json::{Value, json};

use super::report::{LastDisruption, StatusReport};
use crate::decision::{Boottime, Offset, nanos_u64};
use crate::page::{Agent, View};
use crate::waiter::oci::Waiting;
use crate::workload::StillFrozen;

/// The names of what moves by itself, while nothing has changed.
const MOVING: [&str; 3] = ["now_boottime_ns", "bound_now_ns", "tolerance_now_ns"];

/// All of it.
pub fn of(report: &StatusReport) -> Value {
    let StatusReport { view, held, frozen, daemons, .. } = report;
    json!({
        "version": 2,
        "gate": view.gate.to_string(),
        "state": view.state_name(),
        "epoch": view.epoch,
        "cause": view.cause_name(),
        "why": view.why,
        "offset_ns": view.offset.map(Offset::as_nanos),
        "bound_ns": view.bound.map(nanos_u64),
        "bound_now_ns": view.bound_now.map(nanos_u64),
        "as_of_boottime_ns": view.as_of.as_nanos(),
        "since_boottime_ns": view.since.as_nanos(),
        "valid_until_boottime_ns": view.valid_until.as_nanos(),
        "authenticated": view.is_authenticated(),
        "deadline_boottime_ns": view.deadline.as_nanos(),
        "next_measurement_boottime_ns": view.next.map(Boottime::as_nanos),
        "threshold_ns": nanos_u64(view.threshold),
        "tolerance_now_ns": view.served_tolerance().map(nanos_u64),
        "tolerance_as_of_boottime_ns": view.served_tolerance().and(view.measured).map(|measured| measured.as_of.as_nanos()),
        "now_boottime_ns": view.now.as_nanos(),
        "agent": agent(view),
        "daemons": daemons,
        "held": held.iter().map(Waiting::json).collect::<Vec<_>>(),
        "frozen": frozen.as_ref().ok().map(|some| some.iter().map(StillFrozen::json).collect::<Vec<_>>()),
        "last_disruption": report.last().as_ref().map(disruption),
    })
}

/// The same without what moves by itself: two of them differ where something has changed.
pub fn without_moving(value: &Value) -> Value {
    let mut value = value.clone();
    if let Some(fields) = value.as_object_mut() {
        fields.retain(|name, _| !MOVING.contains(&name.as_str()));
    }
    value
}

fn disruption(last: &LastDisruption) -> Value {
    json!({
        "epoch": last.epoch,
        "cause": last.cause,
        "since_boottime_ns": last.since.map(Boottime::as_nanos),
        "time_ns": last.time.map(|(time, _)| time.as_nanos()),
        "dated_by": last.time.map(|(_, by)| by.name()),
        "stepped_ns": last.stepped.map(Offset::as_nanos),
        "shut_ns": last.shut_for.map(nanos_u64),
    })
}

/// How the agent behind the page fares.
pub const fn agent(view: &View) -> &'static str {
    match view.agent {
        Agent::Alive => "alive",
        Agent::Starting => "starting",
        Agent::Ended { .. } => "ended",
        Agent::Silent { .. } => "silent",
        Agent::PageGone => "page-gone",
    }
}

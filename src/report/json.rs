//! The report as JSON; clockgate-interfaces(7) has its fields.

use std::io::{self, Write};

use serde::Serialize;
use serde_json::{Value, json};

use super::words::warnings;
use super::{AgentBefore, ClockReport, Disruption, Ending, GateLane, NamedContainers, ReferenceWorth, TimeSpan};
use crate::decision::{Offset, nanos_u64};
use crate::history::{DatedBy, utc};

/// Writes it, one disruption after the other.
///
/// # Errors
/// What the writer said.
pub fn write(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    let share = |lane| nanos_u64(report.shares.of(lane));
    let head = json!({
        "version": 2,
        "from": report.span.map(|span| utc(span.from)),
        "from_ns": report.span.map(|span| span.from.as_nanos()),
        "until": report.span.map(|span| utc(span.until)),
        "until_ns": report.span.map(|span| span.until.as_nanos()),
        "proven_ns": share(GateLane::Proven),
        "unproven_ns": share(GateLane::Unproven),
        "shut_ns": share(GateLane::Shut),
        "asleep_ns": share(GateLane::Asleep),
        "no_agent_ns": share(GateLane::NoAgent),
        "off_ns": share(GateLane::Off),
        "paused_ns": share(GateLane::Paused),
        "worst": report.worst,
        "longest": report.longest,
        "references": report.references.iter().map(reference).collect::<Vec<_>>(),
        "unlisted_answers": report.unlisted_references,
        "warnings": report.warnings.iter().map(|(event, count)| json!({ "event": event, "count": count })).collect::<Vec<_>>(),
        "frozen_spans": report.frozen.iter().map(span).collect::<Vec<_>>(),
        "records": report.records,
        "skipped": report.skipped,
        "lost": report.lost,
    })
    .to_string();
    // What is long comes last, and is never whole in memory.
    to.write_all(head.strip_suffix('}').unwrap_or(&head).as_bytes())?;
    to.write_all(b",\"disruptions\":[")?;
    for (number, one) in report.disruptions.iter().enumerate() {
        if number > 0 {
            to.write_all(b",")?;
        }
        serde_json::to_writer(&mut *to, &row(one, &report.names))?;
    }
    to.write_all(b"]}\n")
}

fn span(span: &TimeSpan) -> Value {
    json!({ "from_ns": span.from.as_nanos(), "until_ns": span.until.as_nanos() })
}

fn reference(row: &ReferenceWorth) -> Value {
    json!({
        "source": row.source,
        "answers": row.answers,
        "exchanges": row.exchanges,
        "agreed": row.agreed(),
        "falseticker": row.falsetickers,
        "authenticated": row.authenticated,
        "root_distance_ns": nanos_u64(row.root_distance()),
    })
}

/// A disruption, its fields in the order of their names, as those of the head are.
#[derive(Serialize)]
struct Row<'a> {
    agent_before: Option<&'static str>,
    asleep_ns: Option<u64>,
    cause: &'static str,
    dated_by: &'static str,
    ending: &'static str,
    epoch: u64,
    frozen: Option<u32>,
    frozen_containers: Vec<&'a str>,
    frozen_of: Option<u32>,
    held: u32,
    held_containers: Vec<&'a str>,
    offset_ns: Option<i64>,
    proven_after_ns: Option<u64>,
    released: u32,
    released_containers: Vec<&'a str>,
    root_distance_ns: Option<u64>,
    shut_ns: u64,
    stepped_ns: Option<i64>,
    time: String,
    time_ns: i64,
    warnings: Vec<&'static str>,
}

fn row<'a>(one: &'a Disruption, names: &'a NamedContainers) -> Row<'a> {
    let later = match one.ending {
        Ending::ProvenLater(later) => Some(nanos_u64(later)),
        Ending::StillShut | Ending::Proven | Ending::Unproven | Ending::Overtaken | Ending::AgentGone => None,
    };
    let named = one.named.as_deref();
    Row {
        agent_before: match one.before {
            AgentBefore::None => None,
            AgentBefore::Ended => Some("ended"),
            AgentBefore::Killed => Some("killed"),
            AgentBefore::OtherBoot => Some("other-boot"),
        },
        asleep_ns: one.asleep.map(nanos_u64),
        cause: one.cause_name(),
        dated_by: one.by.map_or("clock", DatedBy::name),
        ending: one.ending.name(),
        epoch: one.epoch,
        frozen: one.frozen.map(|(frozen, _)| frozen),
        frozen_containers: named.map(|named| names.of(&named.frozen).collect()).unwrap_or_default(),
        frozen_of: one.frozen.map(|(_, of)| of),
        held: one.held,
        held_containers: named.map(|named| names.of(&named.held).collect()).unwrap_or_default(),
        offset_ns: one.measured.map(|measured| measured.offset.as_nanos()),
        proven_after_ns: later,
        released: one.released,
        released_containers: named.map(|named| names.of(&named.released).collect()).unwrap_or_default(),
        root_distance_ns: one.measured.map(|measured| nanos_u64(measured.root_distance)),
        shut_ns: nanos_u64(one.shut),
        stepped_ns: one.stepped.map(Offset::as_nanos),
        time: utc(one.time),
        time_ns: one.time.as_nanos(),
        warnings: warnings(one).collect(),
    }
}

//! The report as text.

use std::io::{self, Write};

use super::words::{lane_words, line, nothing, percent, when};
use super::{ClockReport, GateLane, Zone};
use crate::decision::{bound_in_words, counted, size_in_words};
use crate::history::{utc, utc_as};
use crate::page::text::shown;

/// How many references have a line.
const MOST_REFERENCES: usize = 40;

/// Writes it.
///
/// # Errors
/// What the writer said.
pub fn write(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    let Some(span) = report.span else {
        writeln!(to, "{}", nothing(report))?;
        return write_losses(report, to);
    };
    writeln!(to, "From {} to {}: {}", utc(span.from), utc(span.until), size_in_words(span.length()))?;
    write_shares(report, to)?;
    write_disruptions(report, zone, to)?;
    write_references(report, to)?;
    if !report.warnings.is_empty() {
        writeln!(to, "\nWarnings")?;
        for (name, count) in &report.warnings {
            writeln!(to, "  {name} {count}")?;
        }
    }
    write_losses(report, to)
}

fn write_shares(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "\nThe gate")?;
    let whole = report.shares.whole();
    for lane in GateLane::ALL {
        let part = report.shares.of(lane);
        if !part.is_zero() || matches!(lane, GateLane::Proven | GateLane::Unproven | GateLane::Shut) {
            let (share, words) = (percent(part, whole), lane_words(lane));
            writeln!(to, "  {share:>10}  {words} ({})", size_in_words(part))?;
        }
    }
    Ok(())
}

fn write_disruptions(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    if report.disruptions.is_empty() {
        return writeln!(to, "\nNo disruptions");
    }
    writeln!(to, "\nDisruptions: {}", report.disruptions.len())?;
    for disruption in &report.disruptions {
        writeln!(to, "  {} {}", when(disruption, zone), line(disruption, &report.names))?;
    }
    let at = |number: usize| report.disruptions.get(number);
    if let Some(worst) = report.worst.and_then(at) {
        let off = worst.measured.map(|measured| measured.offset.in_words()).unwrap_or_default();
        writeln!(to, "The worst: {off} ({}, {})", worst.cause_name(), utc_as(worst.time, "%Y-%m-%dT%H:%M:%SZ"))?;
    }
    if let Some(longest) = report.longest.and_then(at) {
        let (shut, time) = (size_in_words(longest.shut), utc_as(longest.time, "%Y-%m-%dT%H:%M:%SZ"));
        writeln!(to, "The longest shut gate: {shut} ({}, {time})", longest.cause_name())?;
    }
    if report.disruptions.iter().any(super::words::is_doubtful) {
        writeln!(to, "?: as the system clock showed it, which no proof confirms")?;
    }
    Ok(())
}

fn write_references(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    if report.references.is_empty() {
        return Ok(());
    }
    writeln!(
        to,
        "\nReferences: answered, of so many exchanges since the first answer; contradicted; root distance on average"
    )?;
    for row in report.references.iter().take(MOST_REFERENCES) {
        let authenticated = if row.authenticated { ", authenticated" } else { "" };
        let distance = bound_in_words(row.root_distance());
        let (answers, exchanges, false_ones) = (row.answers, row.exchanges, row.falsetickers);
        writeln!(to, "  {}: {answers} of {exchanges}; {false_ones}; {distance}{authenticated}", shown(&row.source))?;
    }
    let more = report.references.len().saturating_sub(MOST_REFERENCES);
    if more > 0 {
        writeln!(to, "  and {more} more, see --json")?;
    }
    if report.unlisted_references > 0 {
        writeln!(to, "  and {} of others", counted(report.unlisted_references, "answer"))?;
    }
    Ok(())
}

fn write_losses(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    if report.lost > 0 {
        writeln!(to, "{} could not be written at the time", counted(report.lost, "record"))?;
    }
    if report.skipped > 0 {
        writeln!(to, "{} skipped: torn, or written by a later version", counted(report.skipped, "line"))?;
    }
    Ok(())
}

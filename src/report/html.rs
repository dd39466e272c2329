//! The report as a page: one file that loads nothing, runs no script, and has the browser refuse both.

use std::io::{self, Write};

use super::escape::escaped;
use super::svg::{self, STYLE};
use super::words::{lane_words, line, percent, when};
use super::{ClockReport, GateLane, Zone};
use crate::decision::{bound_in_words, counted, size_in_words};
use crate::history::utc;
use crate::page::text::shown;

/// How many disruptions the table has; all are in the text and in JSON.
const MOST_ROWS: usize = 2000;

const PAGE: &str = "\
body.clockgate{margin:2em auto;max-width:62em;padding:0 1em;background:var(--bg);color:var(--ink);font:15px/1.45 system-ui,sans-serif}\
body.clockgate h1{font-size:1.4em}body.clockgate h2{font-size:1.1em;margin-top:2em}\
body.clockgate svg{max-width:100%;height:auto;background:var(--bg)}\
body.clockgate table{border-collapse:collapse;width:100%}\
body.clockgate th,body.clockgate td{border-bottom:1px solid var(--grid);padding:.25em .6em;text-align:left;vertical-align:top;overflow-wrap:anywhere}\
body.clockgate td.n{text-align:right;white-space:nowrap}body.clockgate tr.worst td{font-weight:600}";

/// The one style that the page allows; `tests/report` compares it with the style itself.
pub const STYLE_HASH: &str = "sha256-6lhYCO8EY1/uKmvAT+pBiFw1aKOUewF/UN+EkbWdWxM=";

/// Writes it.
///
/// # Errors
/// What the writer said.
pub fn write(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    write!(
        to,
        "<!DOCTYPE html>\n<html lang=\"en\">\n<head>\n<meta charset=\"utf-8\">\n\
         <meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; style-src '{STYLE_HASH}'; base-uri 'none'; form-action 'none'\">\n\
         <meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n\
         <meta name=\"color-scheme\" content=\"light dark\">\n<meta name=\"referrer\" content=\"no-referrer\">\n\
         <title>clockgate report</title>\n<style>{STYLE}{PAGE}</style>\n</head>\n<body class=\"clockgate\">\n<h1>clockgate report</h1>\n"
    )?;
    if let Some(span) = report.span {
        let (from, until, length) = (utc(span.from), utc(span.until), size_in_words(span.length()));
        writeln!(to, "<p>From {from} to {until}: {length}.</p>")?;
    }
    svg::write_inside(report, zone, to)?;
    if report.span.is_some() {
        write_shares(report, to)?;
        write_disruptions(report, zone, to)?;
        write_references(report, to)?;
    }
    write_losses(report, to)?;
    writeln!(to, "</body>\n</html>")
}

fn write_shares(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "<h2>The gate</h2>\n<table>")?;
    let whole = report.shares.whole();
    for lane in GateLane::ALL {
        let part = report.shares.of(lane);
        let (share, length) = (percent(part, whole), size_in_words(part));
        let share = escaped(&share);
        writeln!(
            to,
            "<tr><td class=\"n\">{share}</td><td>{}</td><td class=\"n\">{length}</td></tr>",
            lane_words(lane)
        )?;
    }
    writeln!(to, "</table>")
}

fn write_disruptions(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "<h2>Disruptions: {}</h2>\n<table>", report.disruptions.len())?;
    let many = report.disruptions.len().saturating_sub(MOST_ROWS);
    let is_shown = |number: usize| number >= many || report.worst == Some(number) || report.longest == Some(number);
    for (number, one) in report.disruptions.iter().enumerate().filter(|(number, _)| is_shown(*number)) {
        let class = if report.worst == Some(number) { " class=\"worst\"" } else { "" };
        let (when, line) = (when(one, zone), line(one, &report.names));
        writeln!(to, "<tr{class}><td>{}</td><td>{}</td></tr>", escaped(when.trim_end()), escaped(&line))?;
    }
    writeln!(to, "</table>")?;
    if many > 0 {
        writeln!(
            to,
            "<p>The last {MOST_ROWS} are listed, and the worst; <code>clockgate report</code> lists all.</p>"
        )?;
    }
    if report.disruptions.iter().any(super::words::is_doubtful) {
        writeln!(to, "<p>?: as the system clock showed it, which no proof confirms.</p>")?;
    }
    Ok(())
}

fn write_references(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    if report.references.is_empty() {
        return Ok(());
    }
    writeln!(
        to,
        "<h2>References</h2>\n<table>\n<tr><th>reference</th><th>answered</th><th>of exchanges since its first answer</th><th>contradicted</th><th>root distance on average</th><th>authenticated</th></tr>"
    )?;
    for row in &report.references {
        let authenticated = if row.authenticated { "yes" } else { "no" };
        writeln!(
            to,
            "<tr><td>{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td class=\"n\">{}</td><td>{authenticated}</td></tr>",
            escaped(&shown(&row.source)),
            row.answers,
            row.exchanges,
            row.falsetickers,
            bound_in_words(row.root_distance())
        )?;
    }
    writeln!(to, "</table>")
}

fn write_losses(report: &ClockReport, to: &mut dyn Write) -> io::Result<()> {
    if report.lost > 0 {
        writeln!(to, "<p>{} could not be written at the time.</p>", counted(report.lost, "record"))?;
    }
    if report.skipped > 0 {
        writeln!(to, "<p>{} skipped: torn, or written by a later version.</p>", counted(report.skipped, "line"))?;
    }
    Ok(())
}

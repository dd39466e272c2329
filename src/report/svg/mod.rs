//! The report as a picture: the offset with its bound on a symmetric logarithmic scale, the gate and what was frozen as lanes, and a mark
//! for each disruption. However long the history is, the picture has a limited number of parts, and says what it leaves out.

mod axes;
mod columns;
mod legend;
mod marks;
mod scale;
mod style;

use std::io::{self, Write};

use super::escape::escaped;
use super::words::{line, nothing, when};
use super::{ClockReport, GateLane, TimeSpan, Zone};
use crate::decision::{counted, size_in_words};
use crate::history::utc_as;
use columns::{gate_runs, offset_runs, span_runs};
use marks::{chosen, shape};

pub use marks::MOST_MARKS;
pub use scale::{Axis, COLUMNS, OffsetScale};
pub(super) use style::STYLE;

/// The size of the picture.
const WIDTH: u32 = 960;
const HEIGHT: u32 = 462;

/// Where a lane is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LaneBox {
    /// Its upper edge.
    pub y: u32,
    /// Its height.
    pub height: u32,
}

impl LaneBox {
    /// The lane of the gate.
    pub const GATE: Self = Self { y: 296, height: 22 };
    /// The lane of what was frozen.
    pub const FROZEN: Self = Self { y: 326, height: 12 };
}

/// Writes it.
///
/// # Errors
/// What the writer said.
pub fn write(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    write_whole(report, zone, &format!("<style>{STYLE}</style>\n"), to)
}

/// Writes it into a page, which has its style already.
pub(super) fn write_inside(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    write_whole(report, zone, "", to)
}

fn write_whole(report: &ClockReport, zone: Zone, style: &str, to: &mut dyn Write) -> io::Result<()> {
    writeln!(
        to,
        "<svg xmlns=\"http://www.w3.org/2000/svg\" class=\"clockgate\" viewBox=\"0 0 {WIDTH} {HEIGHT}\" width=\"{WIDTH}\" height=\"{HEIGHT}\" role=\"img\" aria-label=\"{}\">",
        escaped(&caption(report))
    )?;
    to.write_all(style.as_bytes())?;
    write_body(report, zone, to)?;
    writeln!(to, "</svg>")
}

fn write_body(report: &ClockReport, zone: Zone, to: &mut dyn Write) -> io::Result<()> {
    writeln!(to, "{}", style::PATTERNS)?;
    writeln!(to, "<rect class=\"bg\" width=\"{WIDTH}\" height=\"{HEIGHT}\"/>")?;
    writeln!(to, "<text class=\"head\" x=\"16\" y=\"24\">{}</text>", escaped(&caption(report)))?;
    let Some(span) = report.span else { return Ok(()) };
    let (axis, scale) = (Axis::of(span), OffsetScale::of(report));
    axes::write(&axis, &scale, to)?;
    write_offsets(report, (&axis, &scale), to)?;
    write_lanes(report, &axis, to)?;
    let left_out = write_marks(report, zone, (&axis, &scale), to)?;
    legend::write(to)?;
    write_notes(report, left_out, to)
}

fn caption(report: &ClockReport) -> String {
    let Some(TimeSpan { from, until }) = report.span else { return format!("clockgate: {}", nothing(report)) };
    let day = |time| utc_as(time, "%Y-%m-%d %H:%M");
    let count = match report.disruptions.len() {
        0 => "no disruptions".to_owned(),
        count => counted(count as u64, "disruption"),
    };
    format!("clockgate: {} to {} UTC, {count}", day(from), day(until))
}

fn write_offsets(report: &ClockReport, (axis, scale): (&Axis, &OffsetScale), to: &mut dyn Write) -> io::Result<()> {
    let mut path = String::new();
    let mut last = None;
    for run in offset_runs(&report.samples, axis) {
        let (left, right) = (axis.left_of(run.from), axis.left_of(run.until));
        let (top, bottom) = (scale.y(run.high), scale.y(run.low));
        let (width, height) = (right - left, (bottom - top).max(1.0));
        writeln!(to, "<rect class=\"band\" x=\"{left}\" y=\"{top:.1}\" width=\"{width}\" height=\"{height:.1}\"/>")?;
        let command = if last == Some(run.from) { 'L' } else { 'M' };
        let y = scale.y(run.offset);
        path.push_str(&format!("{command}{left} {y:.1}L{right} {y:.1}"));
        last = Some(run.until);
    }
    if path.is_empty() { Ok(()) } else { writeln!(to, "<path class=\"offset\" d=\"{path}\"/>") }
}

fn write_lanes(report: &ClockReport, axis: &Axis, to: &mut dyn Write) -> io::Result<()> {
    let LaneBox { y, height } = LaneBox::GATE;
    for run in gate_runs(&report.gate, axis) {
        let (left, right) = (axis.left_of(run.from), axis.left_of(run.until));
        let class = if run.lane.is_unknown() { "unknown" } else { run.lane.name() };
        let title = super::words::lane_words(run.lane);
        writeln!(
            to,
            "<rect class=\"{class}\" x=\"{left}\" y=\"{y}\" width=\"{}\" height=\"{height}\"><title>{title}: {}</title></rect>",
            right - left,
            size_in_words(run.length)
        )?;
        if run.lane == GateLane::Proven {
            let (x, width, y) = (left, right - left, y + height - 3);
            writeln!(to, "<rect class=\"base\" x=\"{x}\" y=\"{y}\" width=\"{width}\" height=\"3\"/>")?;
        }
    }
    let LaneBox { y, height } = LaneBox::FROZEN;
    for (from, until) in span_runs(&report.frozen, axis) {
        let (left, right) = (axis.left_of(from), axis.left_of(until));
        writeln!(
            to,
            "<rect class=\"frozen\" x=\"{left}\" y=\"{y}\" width=\"{}\" height=\"{height}\"><title>containers frozen</title></rect>",
            right - left
        )?;
    }
    Ok(())
}

fn write_marks(
    report: &ClockReport,
    zone: Zone,
    (axis, scale): (&Axis, &OffsetScale),
    to: &mut dyn Write,
) -> io::Result<usize> {
    let all = chosen(report, axis);
    let mut shown = 0;
    // The worst is drawn last, on top of the others.
    for mark in &all {
        let Some(one) = report.disruptions.get(mark.number) else { continue };
        let (x, y) = (axis.x(one.time), scale.y(one.measured.map_or(0, |measured| measured.offset.as_nanos())));
        let (class, path) = shape(one.cause_name());
        let hollow = if one.measured.is_none() { " hollow" } else { "" };
        let more = if mark.of > 1 { format!(" (the worst of {} here)", mark.of) } else { String::new() };
        let title = format!("{} {}{more}", when(one, zone), line(one, &report.names));
        writeln!(
            to,
            "<path class=\"mark {class}{hollow}\" transform=\"translate({x:.1} {y:.1})\" d=\"{path}\"><title>{}</title></path>",
            escaped(&title)
        )?;
        shown += 1;
    }
    Ok(report.disruptions.len() - shown)
}

fn write_notes(report: &ClockReport, left_out: usize, to: &mut dyn Write) -> io::Result<()> {
    let mut notes = vec!["A column of the lanes shows the worst that happened in it.".to_owned()];
    if left_out > 0 {
        let all = report.disruptions.len();
        notes
            .push(format!("{left_out} of {all} marks are left out: where there are many, the worst of them is shown."));
    }
    let spans = report.gate.iter().filter(|one| one.lane == GateLane::Unproven).count();
    if spans > 0 {
        notes.push("While the gate is open without a proof, the offset is unknown.".to_owned());
    }
    let notes = notes.join(" ");
    writeln!(to, "<text class=\"small\" x=\"16\" y=\"{}\">{}</text>", HEIGHT - 12, escaped(&notes))
}

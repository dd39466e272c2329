//! The lines and labels that a reader measures by.

use std::io::{self, Write};

use super::LaneBox;
use super::scale::{Axis, COLUMNS, HALF, LEFT, MIDDLE, OffsetScale};
use crate::decision::Realtime;
use crate::history::utc_as;

const SECOND: i64 = 1_000_000_000;
const MINUTE: i64 = 60 * SECOND;
const DAY: i64 = 86_400 * SECOND;

/// Offsets that have a label.
const SIZES: [(i64, &str); 14] = [
    (SECOND / 1000, "1 ms"),
    (SECOND / 100, "10 ms"),
    (SECOND / 10, "100 ms"),
    (SECOND, "1 s"),
    (10 * SECOND, "10 s"),
    (60 * SECOND, "1 min"),
    (600 * SECOND, "10 min"),
    (3600 * SECOND, "1 h"),
    (36_000 * SECOND, "10 h"),
    (4 * DAY, "4 d"),
    (40 * DAY, "40 d"),
    (365 * DAY, "1 y"),
    (3650 * DAY, "10 y"),
    (36_500 * DAY, "100 y"),
];
/// Labels are so far from each other at least.
const APART: f64 = 11.5;

/// The distances of the times that have a label.
const STEPS: [i64; 19] = [
    SECOND,
    5 * SECOND,
    15 * SECOND,
    60 * SECOND,
    300 * SECOND,
    900 * SECOND,
    1800 * SECOND,
    3600 * SECOND,
    2 * 3600 * SECOND,
    3 * 3600 * SECOND,
    6 * 3600 * SECOND,
    12 * 3600 * SECOND,
    DAY,
    2 * DAY,
    7 * DAY,
    30 * DAY,
    90 * DAY,
    365 * DAY,
    3650 * DAY,
];
/// At most so many times have a label.
const LABELS: i64 = 8;

/// Writes both axes.
pub(super) fn write(axis: &Axis, scale: &OffsetScale, to: &mut dyn Write) -> io::Result<()> {
    let right = LEFT + COLUMNS as f64;
    writeln!(to, "<text class=\"small\" x=\"16\" y=\"{}\">behind</text>", MIDDLE - HALF + 4.0)?;
    writeln!(to, "<text class=\"small\" x=\"16\" y=\"{}\">ahead</text>", MIDDLE + HALF + 4.0)?;
    label(0, "0", scale, to)?;
    writeln!(to, "<path class=\"zero\" d=\"M{LEFT} {MIDDLE}H{right}\"/>")?;
    let mut last = MIDDLE;
    for (size, words) in SIZES {
        let y = scale.y(size);
        if size as f64 > scale.most || last - y < APART {
            continue;
        }
        last = y;
        label(size, words, scale, to)?;
        label(-size, words, scale, to)?;
    }
    for (y, words) in [(LaneBox::GATE.y + 16, "gate"), (LaneBox::FROZEN.y + 10, "frozen")] {
        writeln!(to, "<text class=\"label\" x=\"{}\" y=\"{y}\">{words}</text>", LEFT - 8.0)?;
    }
    write_times(axis, to)
}

fn label(offset: i64, words: &str, scale: &OffsetScale, to: &mut dyn Write) -> io::Result<()> {
    let y = scale.y(offset);
    let sign = match offset {
        0 => "",
        ..0 => "\u{2212}",
        1.. => "+",
    };
    writeln!(to, "<path class=\"grid\" d=\"M{LEFT} {y:.1}H{}\"/>", LEFT + COLUMNS as f64)?;
    writeln!(to, "<text class=\"label\" x=\"{}\" y=\"{:.1}\">{sign}{words}</text>", LEFT - 8.0, y + 4.0)
}

fn write_times(axis: &Axis, to: &mut dyn Write) -> io::Result<()> {
    let (from, until) = (axis.span.from.as_nanos(), axis.span.until.as_nanos());
    let length = until.saturating_sub(from);
    let step = STEPS.into_iter().find(|step| length / step <= LABELS).unwrap_or(36_500 * DAY);
    let format = match step {
        ..MINUTE => "%H:%M:%S",
        MINUTE..DAY => "%H:%M",
        DAY.. => "%Y-%m-%d",
    };
    let (top, bottom) = (MIDDLE - HALF, LaneBox::FROZEN.y + LaneBox::FROZEN.height);
    let mut at = from.saturating_add(step - 1).div_euclid(step).saturating_mul(step);
    while at <= until {
        let (time, y) = (Realtime::from_nanos(at), bottom + 18);
        let x = axis.x(time);
        writeln!(to, "<path class=\"grid\" d=\"M{x:.1} {top}V{}\"/>", bottom + 4)?;
        writeln!(to, "<text class=\"time\" x=\"{x:.1}\" y=\"{y}\">{}</text>", utc_as(time, format))?;
        let Some(next) = at.checked_add(step) else { break };
        at = next;
    }
    writeln!(to, "<text class=\"small\" x=\"16\" y=\"{}\">UTC</text>", bottom + 18)
}

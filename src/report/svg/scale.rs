//! From a time to the right, and from an offset up: where something is in the picture.

use super::super::{ClockReport, TimeSpan};
use crate::decision::Realtime;

/// How many columns the time is divided into, one unit of the picture each.
pub const COLUMNS: usize = 844;
/// Where the first column begins.
pub(super) const LEFT: f64 = 100.0;
/// The middle of the plot, where the offset is zero.
pub(super) const MIDDLE: f64 = 160.0;
/// From the middle to the upper edge of the plot.
pub(super) const HALF: f64 = 112.0;
/// Up to here the scale is linear, nanoseconds: a clock that is kept is no better.
const LINEAR: f64 = 1e6;
/// The scale reaches as far at least, nanoseconds.
const LEAST: f64 = 1e9;

/// The axis of time.
#[derive(Clone, Copy, Debug)]
pub struct Axis {
    pub(super) span: TimeSpan,
}

impl Axis {
    /// That of a span.
    #[must_use]
    pub const fn of(span: TimeSpan) -> Self {
        Self { span }
    }

    /// How far to the right a time is.
    #[must_use]
    pub fn x(&self, time: Realtime) -> f64 {
        LEFT + self.share(time) * COLUMNS as f64
    }

    /// The column that a time is in.
    pub(super) fn column(&self, time: Realtime) -> usize {
        // A negative number becomes zero.
        ((self.share(time) * COLUMNS as f64) as usize).min(COLUMNS - 1)
    }

    /// The columns of a span, from the first to before the last; at least one.
    pub(super) fn columns(&self, span: TimeSpan) -> std::ops::Range<usize> {
        let first = self.column(span.from);
        let end = (self.share(span.until) * COLUMNS as f64).ceil() as usize;
        first..end.clamp(first + 1, COLUMNS.max(first + 1))
    }

    /// Where a column begins.
    pub(super) fn left_of(&self, column: usize) -> f64 {
        LEFT + column as f64
    }

    fn share(&self, time: Realtime) -> f64 {
        let length = (self.span.until - self.span.from).as_nanos().max(1) as f64;
        ((time - self.span.from).as_nanos() as f64 / length).clamp(0.0, 1.0)
    }
}

/// The scale of offsets: linear to a millisecond, logarithmic beyond it, behind up and ahead down.
#[derive(Clone, Copy, Debug)]
pub struct OffsetScale {
    pub(super) most: f64,
}

impl OffsetScale {
    /// One that all of a report is on.
    #[must_use]
    pub fn of(report: &ClockReport) -> Self {
        let sizes = report.samples.iter().map(|sample| sample.measured);
        let marks = report.disruptions.iter().filter_map(|one| one.measured);
        let reach =
            |measured: super::super::MeasuredOffset| (measured.offset.abs() + measured.root_distance).as_nanos() as f64;
        Self { most: sizes.chain(marks).map(reach).fold(LEAST, f64::max) * 2.0 }
    }

    /// How far down an offset is, nanoseconds.
    #[must_use]
    pub fn y(&self, offset: i64) -> f64 {
        let part = (offset.unsigned_abs() as f64 / LINEAR).ln_1p() / (self.most / LINEAR).ln_1p();
        MIDDLE - offset.signum() as f64 * part.min(1.0) * HALF
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scale_is_symmetric_and_never_leaves_the_plot() {
        let scale = OffsetScale { most: 3.6e12 };
        assert!((scale.y(0) - MIDDLE).abs() < 1e-9);
        for offset in [1, 1_000_000, 3_600_000_000_000, i64::MAX] {
            let (up, down) = (MIDDLE - scale.y(offset), scale.y(-offset) - MIDDLE);
            assert!((up - down).abs() < 1e-9 && up > 0.0 && up <= HALF, "{offset}: {up} {down}");
        }
        assert!(scale.y(i64::MIN) <= MIDDLE + HALF);
    }

    #[test]
    fn a_span_without_length_has_a_column_and_every_time_is_in_one() {
        let at = |nanos| Realtime::from_nanos(nanos);
        let axis = Axis::of(TimeSpan { from: at(0), until: at(844_000) });
        assert_eq!(axis.columns(TimeSpan { from: at(1000), until: at(1000) }), 1..2);
        assert_eq!(axis.columns(TimeSpan { from: at(1000), until: at(3000) }), 1..3);
        assert_eq!(axis.columns(TimeSpan { from: at(844_000), until: at(844_000) }), 843..844);
        assert_eq!((axis.column(at(-5)), axis.column(at(i64::MAX))), (0, COLUMNS - 1));
        let nothing = Axis::of(TimeSpan::default());
        assert_eq!(nothing.columns(TimeSpan::default()), 0..1);
    }
}

//! What a column shows: a picture has as many columns for an hour as for ten years.

use std::time::Duration;

use super::super::{GateLane, GateSpan, OffsetSample, TimeSpan};
use super::scale::{Axis, COLUMNS};
use crate::decision::{Offset, nanos_u64};

/// Columns that show the same condition of the gate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct GateRun {
    pub(super) from: usize,
    pub(super) until: usize,
    pub(super) lane: GateLane,
    /// How long the gate was in it.
    pub(super) length: Duration,
}

/// Columns that show the same offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct OffsetRun {
    pub(super) from: usize,
    pub(super) until: usize,
    /// The largest in it, nanoseconds.
    pub(super) offset: i64,
    pub(super) low: i64,
    pub(super) high: i64,
}

/// The worst condition of each column, joined.
pub(super) fn gate_runs(gate: &[GateSpan], axis: &Axis) -> Vec<GateRun> {
    let mut columns: Vec<Option<(GateLane, Duration)>> = vec![None; COLUMNS];
    for one in gate {
        let covered = axis.columns(one.span);
        // A long span counts once, in its first column.
        let mut length = one.span.length();
        for column in columns.iter_mut().take(covered.end).skip(covered.start) {
            match column {
                Some((worst, sum)) if *worst == one.lane => *sum += length,
                Some((worst, _)) if *worst > one.lane => continue,
                Some(_) | None => *column = Some((one.lane, length)),
            }
            length = Duration::ZERO;
        }
    }
    let mut runs: Vec<GateRun> = vec![];
    for (number, column) in columns.into_iter().enumerate() {
        let Some((lane, length)) = column else { continue };
        match runs.last_mut() {
            Some(last) if last.lane == lane && last.until == number => {
                last.until += 1;
                last.length += length;
            }
            Some(_) | None => runs.push(GateRun { from: number, until: number + 1, lane, length }),
        }
    }
    runs
}

/// The columns that spans cover, joined.
pub(super) fn span_runs(spans: &[TimeSpan], axis: &Axis) -> Vec<(usize, usize)> {
    let mut runs: Vec<(usize, usize)> = vec![];
    for covered in spans.iter().map(|span| axis.columns(*span)) {
        match runs.last_mut() {
            Some((_, end)) if covered.start <= *end => *end = covered.end.max(*end),
            Some(_) | None => runs.push((covered.start, covered.end)),
        }
    }
    runs
}

/// The largest offset of each column with all bounds in it, joined.
pub(super) fn offset_runs(samples: &[OffsetSample], axis: &Axis) -> Vec<OffsetRun> {
    let mut columns: Vec<Option<OffsetRun>> = vec![None; COLUMNS];
    for sample in samples {
        let (offset, distance) = (sample.measured.offset, nanos_u64(sample.measured.root_distance));
        let distance = Offset::from_nanos(i64::try_from(distance).unwrap_or(i64::MAX));
        let (low, high) = ((offset + -distance).as_nanos(), (offset + distance).as_nanos());
        let covered = axis.columns(TimeSpan { from: sample.since, until: sample.until });
        for (number, column) in columns.iter_mut().enumerate().take(covered.end).skip(covered.start) {
            let this = OffsetRun { from: number, until: number + 1, offset: offset.as_nanos(), low, high };
            let known = column.unwrap_or(this);
            let is_larger = this.offset.unsigned_abs() > known.offset.unsigned_abs();
            let offset = if is_larger { this.offset } else { known.offset };
            *column = Some(OffsetRun { offset, low: known.low.min(low), high: known.high.max(high), ..known });
        }
    }
    let mut runs: Vec<OffsetRun> = vec![];
    for this in columns.into_iter().flatten() {
        match runs.last_mut() {
            Some(last)
                if last.until == this.from
                    && (last.offset, last.low, last.high) == (this.offset, this.low, this.high) =>
            {
                last.until = this.until;
            }
            Some(_) | None => runs.push(this),
        }
    }
    runs
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Realtime;
    use crate::report::MeasuredOffset;

    fn at(secs: i64) -> Realtime {
        Realtime::from_secs(secs)
    }

    fn axis() -> Axis {
        Axis::of(TimeSpan { from: at(0), until: at(844) })
    }

    #[test]
    fn the_worst_of_a_column_is_shown_however_short_it_was() {
        let span =
            |from: i64, until: i64| TimeSpan { from: Realtime::from_nanos(from), until: Realtime::from_nanos(until) };
        let second = 1_000_000_000;
        let gate = [
            GateSpan { span: span(0, 100 * second), lane: GateLane::Proven },
            GateSpan { span: span(100 * second, 100 * second + 5), lane: GateLane::Shut },
            GateSpan { span: span(100 * second + 5, 844 * second), lane: GateLane::Proven },
        ];
        let runs: Vec<_> = gate_runs(&gate, &axis()).iter().map(|run| (run.from, run.until, run.lane)).collect();
        let expected = [(0, 100, GateLane::Proven), (100, 101, GateLane::Shut), (101, 844, GateLane::Proven)];
        assert_eq!(runs, expected);
    }

    #[test]
    fn a_column_has_the_largest_offset_and_every_bound() {
        let sample = |from: i64, until: i64, offset: i64| OffsetSample {
            time: at(from),
            since: at(from),
            until: at(until),
            measured: MeasuredOffset { offset: Offset::from_nanos(offset), root_distance: Duration::from_nanos(2) },
        };
        let mut short = sample(10, 11, -90);
        short.until = Realtime::from_nanos(10_500_000_000);
        let mut rest = sample(10, 20, 5);
        rest.since = short.until;
        let runs = offset_runs(&[sample(0, 10, 5), short, rest], &axis());
        let found: Vec<_> = runs.iter().map(|run| (run.from, run.until, run.offset, run.low, run.high)).collect();
        assert_eq!(found, [(0, 10, 5, 3, 7), (10, 11, -90, -92, 7), (11, 20, 5, 3, 7)]);
    }

    #[test]
    fn spans_that_touch_are_one() {
        let spans = [(1, 2), (2, 5), (9, 9)].map(|(from, until)| TimeSpan { from: at(from), until: at(until) });
        assert_eq!(span_runs(&spans, &axis()), [(1, 5), (9, 10)]);
    }
}

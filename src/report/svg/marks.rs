//! The marks: one for each disruption, its shape by the cause; where there are many, the worst of each part of the time.

use super::super::ClockReport;
use super::scale::Axis;

/// The most marks that a picture has.
pub const MOST_MARKS: usize = 211;
/// As many columns are one part where there are more.
const COLUMNS_OF_A_PART: usize = 4;

/// A mark.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Mark {
    /// The number of the disruption.
    pub(super) number: usize,
    /// Of how many it is the worst.
    pub(super) of: usize,
}

/// The marks to draw; the worst of all comes last.
pub(super) fn chosen(report: &ClockReport, axis: &Axis) -> Vec<Mark> {
    let is_part = report.disruptions.len() > MOST_MARKS;
    let mut marks: Vec<(usize, Mark)> = vec![];
    for (number, one) in report.disruptions.iter().enumerate() {
        let part = axis.column(one.time) / COLUMNS_OF_A_PART;
        match marks.last_mut() {
            Some((last, mark)) if is_part && *last == part => {
                mark.of += 1;
                let is_worse =
                    report.disruptions.get(mark.number).is_none_or(|known| one.severity() > known.severity());
                if report.worst == Some(number) || (is_worse && report.worst != Some(mark.number)) {
                    mark.number = number;
                }
            }
            Some(_) | None => marks.push((part, Mark { number, of: 1 })),
        }
    }
    let mut marks: Vec<Mark> = marks.into_iter().map(|(_, mark)| mark).collect();
    marks.sort_by_key(|mark| report.worst == Some(mark.number));
    marks
}

/// The class of a cause and its shape around the origin.
pub(super) fn shape(cause: &str) -> (&'static str, &'static str) {
    match cause {
        "sleep" | "resume" => ("sleep", "M-6 0a6 6 0 1 0 12 0a6 6 0 1 0 -12 0Z"),
        "foreign-step" => ("step", "M0 -8L8 0L0 8L-8 0Z"),
        "snapshot" | "restore" | "pause" => ("restore", "M0 -7L7 6L-7 6Z"),
        "started" => ("start", "M-5.5 -5.5H5.5V5.5H-5.5Z"),
        "requested" => ("request", "M-2 -7H2V-2H7V2H2V7H-2V2H-7V-2H-2Z"),
        _ => ("doubt", "M-6.5 -4L-4 -6.5L0 -2.5L4 -6.5L6.5 -4L2.5 0L6.5 4L4 6.5L0 2.5L-4 6.5L-6.5 4L-2.5 0Z"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Offset, Realtime};
    use crate::report::{Disruption, MeasuredOffset, TimeSpan};
    use std::time::Duration;

    fn report(count: usize, worst: usize) -> ClockReport {
        let one = |number: usize| Disruption {
            time: Realtime::from_secs(number as i64),
            measured: Some(MeasuredOffset {
                offset: Offset::from_secs(if number == worst { -500 } else { (number % 7) as i64 }),
                root_distance: Duration::ZERO,
            }),
            ..Disruption::default()
        };
        ClockReport { disruptions: (0..count).map(one).collect(), worst: Some(worst), ..ClockReport::default() }
    }

    fn axis(count: usize) -> Axis {
        Axis::of(TimeSpan { from: Realtime::from_secs(0), until: Realtime::from_secs(count as i64) })
    }

    #[test]
    fn a_few_are_all_shown_and_of_many_the_worst_is_and_none_is_uncounted() {
        assert_eq!(chosen(&report(MOST_MARKS, 3), &axis(MOST_MARKS)).len(), MOST_MARKS);
        for worst in [0, 5000, 77_777, 99_999] {
            let marks = chosen(&report(100_000, worst), &axis(100_000));
            assert!(marks.len() <= MOST_MARKS, "{}", marks.len());
            assert_eq!(marks.iter().map(|mark| mark.of).sum::<usize>(), 100_000);
            assert_eq!(marks.last().map(|mark| mark.number), Some(worst));
        }
    }
}

//! When each record was: no record is before the one that was written before it, whatever the clock showed.

use crate::decision::Realtime;
use crate::history::{DatedBy, Stamp, times};

use super::TimeSpan;

/// A clock that shows an earlier time has none: a machine without an RTC begins in 1970, and its history is no older than the program.
const NO_DATE_BEFORE: Realtime = Realtime::from_secs(1_577_836_800);

/// The times of a history.
#[derive(Clone, Debug, Default)]
pub(super) struct Timeline {
    stamps: Vec<Stamp>,
    times: Vec<(Realtime, DatedBy)>,
}

impl Timeline {
    /// Adds a record; its number.
    pub(super) fn push(&mut self, stamp: Stamp) -> u32 {
        self.stamps.push(stamp);
        u32::try_from(self.stamps.len() - 1).unwrap_or(u32::MAX)
    }

    /// Dates them all; what they were dated by is not needed any more.
    pub(super) fn date(&mut self) {
        let mut times = times(&std::mem::take(&mut self.stamps));
        clamp_to_the_next(&mut times);
        clamp_to_the_last(&mut times);
        self.times = times;
    }

    /// When a record was, and what dates it.
    pub(super) fn at(&self, index: u32) -> (Realtime, DatedBy) {
        let known = self.times.get(usize::try_from(index).unwrap_or(usize::MAX)).copied();
        known.unwrap_or((Realtime::from_nanos(0), DatedBy::Clock))
    }

    /// The first and the last time; none without a record.
    pub(super) fn ends(&self) -> Option<(Realtime, Realtime)> {
        Some((self.times.first()?.0, self.times.last()?.0))
    }

    /// How many records there are between two times.
    pub(super) fn count(&self, span: TimeSpan) -> u64 {
        self.times.iter().filter(|(time, _)| span.has(*time)).count() as u64
    }
}

/// What no proof dates is before the next record that one does, by as much as its boot's clock counted.
fn clamp_to_the_next(times: &mut [(Realtime, DatedBy)]) {
    let mut next: Option<Realtime> = None;
    for (time, by) in times.iter_mut().rev() {
        match (*by, next) {
            (DatedBy::Proof, Some(after)) => next = Some((*time).min(after)),
            (DatedBy::Proof, None) => next = Some(*time),
            (DatedBy::Clock, Some(after)) if *time > after || *time < NO_DATE_BEFORE => *time = after,
            (DatedBy::Clock, Some(_) | None) => {}
        }
    }
}

/// And after every record before it.
fn clamp_to_the_last(times: &mut [(Realtime, DatedBy)]) {
    let mut last: Option<Realtime> = None;
    for (time, _) in times {
        *time = last.map_or(*time, |last| last.max(*time));
        last = Some(*time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Boottime;
    use crate::history::Gap;

    const DAY: i64 = 1_800_000_000;

    fn dated(records: &[(Gap, u64, i64, bool)]) -> Vec<i64> {
        let mut timeline = Timeline::default();
        for (gap, at, shown, is_proven) in records {
            let (at, shown) = (Boottime::from_nanos(at * 1_000_000_000), Realtime::from_secs(*shown));
            let truth = is_proven.then(|| shown - at.as_realtime());
            timeline.push(Stamp { gap: *gap, at, shown, truth });
        }
        timeline.date();
        (0..records.len()).map(|index| timeline.at(index as u32).0.as_secs() - DAY).collect()
    }

    #[test]
    fn a_boot_in_1970_lies_between_its_neighbours_and_one_in_the_future_too() {
        let (other, none) = (Gap::Unknown, Gap::None);
        let all = [(other, 5, DAY, true), (other, 1, 10, false), (none, 2, 11, false), (other, 4, DAY + 100, true)];
        assert_eq!(dated(&all), [0, 100, 100, 100]);
        let all = [(other, 5, DAY, true), (other, 1, DAY + 9000, false), (other, 4, DAY + 100, true)];
        assert_eq!(dated(&all), [0, 100, 100]);
        assert_eq!(dated(&[(other, 1, 10, false), (other, 4, DAY, true)]), [0, 0]);
    }

    #[test]
    fn a_clock_that_went_back_makes_no_record_older_than_the_one_before_it() {
        let (other, none) = (Gap::Unknown, Gap::None);
        assert_eq!(dated(&[(other, 5, DAY, true), (other, 9, DAY - 500, false)]), [0, 0]);
        assert_eq!(dated(&[(other, 5, DAY, true), (other, 9, DAY - 500, true)]), [0, 0]);
        assert_eq!(dated(&[(other, 5, DAY, true), (none, 9, DAY - 500, false)]), [0, 4]);
    }
}

//! When something truly happened: `CLOCK_BOOTTIME` counts on while the time of day is wrong, and a proof says what it amounts to.

use super::HistoryRecord;
use crate::decision::{Offset, Realtime};

/// What the date of a record is based on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DatedBy {
    /// A proof in the same boot.
    Proof,
    /// What the system clock showed, which no proof confirms.
    Clock,
}

impl DatedBy {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proof => "proof",
            Self::Clock => "clock",
        }
    }
}

/// A record with its date.
#[derive(Clone, Debug, PartialEq)]
pub struct DatedRecord {
    /// When it happened.
    pub time: Realtime,
    /// What that is based on.
    pub by: DatedBy,
    /// The record.
    pub record: HistoryRecord,
}

/// What lies between a record and the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Gap {
    /// Nothing that a clock would miss.
    None,
    /// A sleep, which the kernel counts to a second or two.
    Sleep,
    /// Another boot, a restore or a pause: `CLOCK_BOOTTIME` says nothing across it.
    Unknown,
}

/// Dates the records, which stand in the order of their writing: by the next proof, else by the last one; one on this side of a sleep is
/// better than one beyond it.
#[must_use]
pub fn date(records: Vec<HistoryRecord>) -> Vec<DatedRecord> {
    let gaps = gaps(&records);
    let truths: Vec<Option<Offset>> = records.iter().map(|record| record.truth).collect();
    let near = |gap: Gap| gap == Gap::None;
    let far = |gap: Gap| gap != Gap::Unknown;
    let known =
        [next(&truths, &gaps, near), last(&truths, &gaps, near), next(&truths, &gaps, far), last(&truths, &gaps, far)];
    let dated = |(i, record): (usize, HistoryRecord)| {
        let truth = known.iter().find_map(|truths| truths[i]);
        let time = truth.map_or(record.shown, |truth| record.at.as_realtime() + truth);
        DatedRecord { time, by: if truth.is_some() { DatedBy::Proof } else { DatedBy::Clock }, record }
    };
    records.into_iter().enumerate().map(dated).collect()
}

impl Gap {
    /// The gap between a record and the one after it.
    #[must_use]
    pub fn between(before: &HistoryRecord, record: &HistoryRecord) -> Self {
        if before.boot != record.boot || record.at < before.at {
            return Self::Unknown;
        }
        match record.cause.as_str() {
            _ if before.epoch == record.epoch => Self::None,
            "restore" | "pause" => Self::Unknown,
            "resume" => Self::Sleep,
            _ => Self::None,
        }
    }
}

/// The gap before each record.
fn gaps(records: &[HistoryRecord]) -> Vec<Gap> {
    let between = |pair: &[HistoryRecord]| match pair {
        [before, record] => Gap::between(before, record),
        _ => Gap::Unknown,
    };
    std::iter::once(Gap::Unknown).chain(records.windows(2).map(between)).collect()
}

/// The proof that comes next after each record, or is its own, across gaps that pass.
fn next(truths: &[Option<Offset>], gaps: &[Gap], passes: impl Fn(Gap) -> bool) -> Vec<Option<Offset>> {
    let mut known = None;
    let mut found = vec![None; truths.len()];
    for i in (0..truths.len()).rev() {
        known = truths[i].or(known);
        found[i] = known;
        if !passes(gaps[i]) {
            known = None;
        }
    }
    found
}

/// The proof that came last before each record.
fn last(truths: &[Option<Offset>], gaps: &[Gap], passes: impl Fn(Gap) -> bool) -> Vec<Option<Offset>> {
    let mut known = None;
    let mut found = vec![None; truths.len()];
    for i in 0..truths.len() {
        if !passes(gaps[i]) {
            known = None;
        }
        known = truths[i].or(known);
        found[i] = known;
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_800_000_000;

    /// A record of a boot, so many seconds after its start, when the clock was so many seconds ahead; with a proof of it or not.
    fn record(boot: &str, secs: i64, ahead: i64, (epoch, cause, is_proven): (u64, &str, bool)) -> HistoryRecord {
        let boot_began = if boot == "a" { DAY } else { DAY + 10_000 };
        let real = (boot_began + secs + ahead) * 1_000_000_000;
        let proof = if is_proven {
            let difference = real - secs * 1_000_000_000;
            format!(r#","gate":"open","real_minus_boot_ns":{difference},"offset_ns":{}"#, -ahead * 1_000_000_000)
        } else {
            String::new()
        };
        let line = format!(
            r#"{{"version":1,"boot_id":"{boot}","boottime_ns":{},"realtime_ns":{real},"epoch":{epoch},"event":"x","cause":"{cause}"{proof}}}"#,
            secs * 1_000_000_000
        );
        HistoryRecord::parse(&line).unwrap()
    }

    fn dates(records: Vec<HistoryRecord>) -> Vec<(i64, DatedBy)> {
        date(records).iter().map(|dated| (dated.time.as_nanos() / 1_000_000_000 - DAY, dated.by)).collect()
    }

    #[test]
    fn what_was_recorded_while_the_clock_was_wrong_gets_its_time_from_the_proof_that_follows() {
        let records = vec![
            record("a", 100, 0, (1, "started", true)),
            record("a", 200, -7200, (2, "foreign-step", false)),
            record("a", 230, 0, (2, "foreign-step", true)),
            record("a", 300, 86_400, (3, "foreign-step", false)),
        ];
        let by_proof = [100, 200, 230, 300].map(|at| (at, DatedBy::Proof));
        assert_eq!(dates(records), by_proof);
    }

    #[test]
    fn a_boot_without_a_proof_has_what_the_clock_showed_and_says_so() {
        let records = vec![record("a", 100, 0, (1, "started", true)), record("b", 5, -9000, (1, "started", false))];
        assert_eq!(dates(records), [(100, DatedBy::Proof), (1005, DatedBy::Clock)]);
    }

    #[test]
    fn a_proof_says_nothing_across_a_restore_and_is_second_choice_across_a_sleep() {
        let unproven =
            |cause| vec![record("a", 100, 0, (1, "started", true)), record("a", 110, -50, (2, cause, false))];
        assert_eq!(dates(unproven("restore"))[1], (60, DatedBy::Clock));
        assert_eq!(dates(unproven("resume"))[1], (110, DatedBy::Proof));
        // The kernel has counted the sleep a second short.
        let mut slept = vec![record("a", 100, 0, (1, "started", true)), record("a", 101, 0, (2, "sleep", false))];
        slept.push(record("a", 200, 1, (3, "resume", true)));
        slept[2].truth = slept[2].truth.map(|truth| truth + Offset::from_secs(1));
        assert_eq!(dates(slept), [100, 101, 201].map(|at| (at, DatedBy::Proof)));
    }
}

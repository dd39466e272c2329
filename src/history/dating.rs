//! When something truly happened: `CLOCK_BOOTTIME` counts on while the time of day is wrong, and a proof says what it amounts to.

use super::HistoryRecord;
use crate::decision::{Boottime, Offset, Realtime};

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
#[derive(Clone, Debug)]
pub struct DatedRecord<'a> {
    /// When it happened.
    pub time: Realtime,
    /// What that is based on.
    pub by: DatedBy,
    /// The record.
    pub record: HistoryRecord<'a>,
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

/// Where and when a record was written: what lies between it and the next one depends on that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Written<'a> {
    /// The boot that it was written in.
    pub boot: &'a str,
    /// When it happened.
    pub at: Boottime,
    /// Its epoch.
    pub epoch: u64,
}

impl<'a> From<&'a HistoryRecord<'_>> for Written<'a> {
    fn from(record: &'a HistoryRecord<'_>) -> Self {
        Self { boot: &record.boot, at: record.at(), epoch: record.epoch }
    }
}

/// What of a record dates it and its neighbours: small, so that a history of any length fits into memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Stamp {
    /// What lies between the record before it and this one.
    pub gap: Gap,
    /// When it happened.
    pub at: Boottime,
    /// What the system clock showed then, right or wrong.
    pub shown: Realtime,
    /// The true time minus `CLOCK_BOOTTIME`, where the record has a proof.
    pub truth: Option<Offset>,
}

impl Stamp {
    /// That of a record, where `gap` is what lies before it.
    #[must_use]
    pub fn of(record: &HistoryRecord<'_>, gap: Gap) -> Self {
        Self { gap, at: record.at(), shown: record.shown(), truth: record.truth() }
    }
}

/// Dates the records, which stand in the order of their writing.
#[must_use]
pub fn date(records: Vec<HistoryRecord<'_>>) -> Vec<DatedRecord<'_>> {
    let mut before: Option<&HistoryRecord<'_>> = None;
    let stamp = |record| {
        let gap = before.replace(record).map_or(Gap::Unknown, |before| Gap::between(&before.into(), record));
        Stamp::of(record, gap)
    };
    let times = times(&records.iter().map(stamp).collect::<Vec<_>>());
    times.into_iter().zip(records).map(|((time, by), record)| DatedRecord { time, by, record }).collect()
}

/// The time of each stamp, in the order of their writing: by the next proof, else by the last one; one on this side of a sleep is better
/// than one beyond it.
#[must_use]
pub fn times(stamps: &[Stamp]) -> Vec<(Realtime, DatedBy)> {
    let near = |gap: Gap| gap == Gap::None;
    let far = |gap: Gap| gap != Gap::Unknown;
    // Until all of it is known, the time of one that a proof dates is that of its boot.
    let mut times: Vec<_> = stamps.iter().map(|stamp| (stamp.shown, DatedBy::Clock)).collect();
    next(stamps, near, &mut times);
    last(stamps, near, &mut times);
    next(stamps, far, &mut times);
    last(stamps, far, &mut times);
    for (stamp, (time, by)) in stamps.iter().zip(&mut times) {
        if *by == DatedBy::Proof {
            *time = *time + (stamp.at.as_realtime() - BEGINNING);
        }
    }
    times
}

/// The beginning of time, as clocks count it.
const BEGINNING: Realtime = Realtime::from_nanos(0);

fn date_by(truth: Option<Offset>, time: &mut (Realtime, DatedBy)) {
    if let (Some(truth), DatedBy::Clock) = (truth, time.1) {
        *time = (BEGINNING + truth, DatedBy::Proof);
    }
}

impl Gap {
    /// The gap between a record and the one after it.
    #[must_use]
    pub fn between(before: &Written<'_>, record: &HistoryRecord<'_>) -> Self {
        if *before.boot != *record.boot || record.at() < before.at {
            return Self::Unknown;
        }
        let is_of_the_same =
            before.epoch == record.epoch || record.repeats_epoch.is_some_and(|first| before.epoch >= first);
        if is_of_the_same { Self::None } else { Self::begun_by(&record.cause) }
    }

    /// The gap before an epoch, by its cause.
    #[must_use]
    pub fn begun_by(cause: &str) -> Self {
        match cause {
            "restore" | "pause" => Self::Unknown,
            "resume" => Self::Sleep,
            _ => Self::None,
        }
    }
}

/// The proof that comes next after each record, or is its own, across gaps that pass; what is known stays.
fn next(stamps: &[Stamp], passes: impl Fn(Gap) -> bool, times: &mut [(Realtime, DatedBy)]) {
    let mut truth = None;
    for (stamp, time) in stamps.iter().zip(times).rev() {
        truth = stamp.truth.or(truth);
        date_by(truth, time);
        if !passes(stamp.gap) {
            truth = None;
        }
    }
}

/// The proof that came last before each record, across gaps that pass; what is known stays.
fn last(stamps: &[Stamp], passes: impl Fn(Gap) -> bool, times: &mut [(Realtime, DatedBy)]) {
    let mut truth = None;
    for (stamp, time) in stamps.iter().zip(times) {
        if !passes(stamp.gap) {
            truth = None;
        }
        truth = stamp.truth.or(truth);
        date_by(truth, time);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const DAY: i64 = 1_800_000_000;

    /// A record of a boot, so many seconds after its start, when the clock was so many seconds ahead; with a proof of it or not.
    fn record(boot: &str, secs: i64, ahead: i64, epoch: (u64, &str, bool)) -> HistoryRecord<'static> {
        HistoryRecord::parse(line(boot, secs, ahead, epoch).leak()).unwrap()
    }

    fn line(boot: &str, secs: i64, ahead: i64, (epoch, cause, is_proven): (u64, &str, bool)) -> String {
        let boot_began = if boot == "a" { DAY } else { DAY + 10_000 };
        let real = (boot_began + secs + ahead) * 1_000_000_000;
        let proof = if is_proven {
            let difference = real - secs * 1_000_000_000;
            format!(r#","gate":"open","real_minus_boot_ns":{difference},"offset_ns":{}"#, -ahead * 1_000_000_000)
        } else {
            String::new()
        };
        format!(
            r#"{{"version":1,"boot_id":"{boot}","boottime_ns":{},"realtime_ns":{real},"epoch":{epoch},"event":"x","cause":"{cause}"{proof}}}"#,
            secs * 1_000_000_000
        )
    }

    fn dates(records: Vec<HistoryRecord<'_>>) -> Vec<(i64, DatedBy)> {
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
        let late = line("a", 200, 1, (3, "resume", true)).replace(r#""offset_ns":-1000000000"#, r#""offset_ns":0"#);
        slept.push(HistoryRecord::parse(&late).unwrap());
        assert_eq!(dates(slept), [100, 101, 201].map(|at| (at, DatedBy::Proof)));
    }
}

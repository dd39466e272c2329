//! A disruption as one: what the records of its epoch say together.

use std::time::Duration;

use super::{DatedBy, DatedRecord};
use crate::decision::{Boottime, Cause, Offset, Realtime, forward};

/// What the history says of a disruption.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct KeptDisruption {
    /// The boot that it happened in.
    pub boot: String,
    /// Its epoch in that boot.
    pub epoch: u64,
    /// What it was, by name.
    pub cause: String,
    /// When its epoch began.
    pub began: Boottime,
    /// The same as a date.
    pub time: Realtime,
    /// What the date is based on.
    pub by: DatedBy,
    /// By how much the clock was stepped in all; none where it was not, or not yet.
    pub stepped: Option<Offset>,
    /// How long the gate was shut; none while it is.
    pub shut_for: Option<Duration>,
}

impl KeptDisruption {
    /// The last one in records that stand in the order of their writing; that an agent was started is none.
    #[must_use]
    pub fn last(dated: &[DatedRecord]) -> Option<Self> {
        let started = Cause::name_of(Cause::Started.code());
        let last = &dated.iter().rfind(|dated| dated.record.cause != started)?.record;
        let is_of_it = |dated: &&DatedRecord| dated.record.boot == last.boot && dated.record.epoch == last.epoch;
        let first = dated.iter().find(is_of_it)?;
        let began = last.epoch_began.unwrap_or(first.record.at);
        // What an epoch came to is in its later records.
        let number = |name: &str| {
            let mut of_it = dated.iter().rev().filter(is_of_it);
            of_it.find_map(|dated| dated.record.fields.get(name)?.as_i64())
        };
        Some(Self {
            boot: last.boot.clone(),
            epoch: last.epoch,
            cause: last.cause.clone(),
            began,
            time: first.time + -forward(first.record.at.since(began)),
            by: first.by,
            stepped: number("stepped_ns").map(Offset::from_nanos),
            shut_for: number("opened_after_ns").map(|after| Duration::from_nanos(after.unsigned_abs())),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::history::{HistoryRecord, date};

    fn record(secs: i64, event: &str, (cause, epoch): (&str, u64), more: &str) -> HistoryRecord {
        let at = secs * 1_000_000_000;
        let line = format!(
            r#"{{"version":1,"boot_id":"b","boottime_ns":{at},"realtime_ns":{at},"epoch":{epoch},"since_boottime_ns":99000000000,"event":"{event}","cause":"{cause}"{more}}}"#
        );
        HistoryRecord::parse(&line).unwrap()
    }

    #[test]
    fn the_last_epoch_that_no_start_began_is_described_by_all_of_its_records() {
        let began = [record(100, "gate-shut", ("resume", 2), "")];
        let shut = KeptDisruption::last(&date(began.to_vec())).unwrap();
        assert_eq!((shut.epoch, shut.cause.as_str(), shut.stepped, shut.shut_for), (2, "resume", None, None));
        assert_eq!(
            (shut.began.as_nanos(), shut.time, shut.by),
            (99_000_000_000, Realtime::from_secs(99), DatedBy::Clock)
        );
        let proof =
            r#","gate":"open","offset_ns":0,"real_minus_boot_ns":3600000000000,"stepped_ns":5,"opened_after_ns":7"#;
        let records = [
            &began[..],
            &[record(101, "gate-open", ("resume", 2), proof), record(200, "gate-shut", ("started", 3), "")],
        ];
        let open = KeptDisruption::last(&date(records.concat())).unwrap();
        assert_eq!((open.epoch, open.time, open.by), (2, Realtime::from_secs(3699), DatedBy::Proof));
        assert_eq!((open.stepped, open.shut_for), (Some(Offset::from_nanos(5)), Some(Duration::from_nanos(7))));
        assert_eq!(KeptDisruption::last(&date(vec![record(1, "gate-shut", ("started", 1), "")])), None);
    }
}

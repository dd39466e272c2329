//! The last disruption of a history, for who asks for no other one.

use std::time::Duration;

use super::fold::LastBegun;
use super::meaning::STARTED;
use super::{Disruption, Ending, Fold};
use crate::decision::{Boottime, forward};
use crate::history::HistoryRecord;

/// A disruption with what only its own records say.
#[derive(Clone, Debug)]
pub struct RecordedDisruption {
    /// The boot that it happened in.
    pub boot: String,
    /// When its epoch began.
    pub began: Boottime,
    /// The disruption, with the time at which its epoch began.
    pub disruption: Disruption,
}

impl Fold {
    /// The last disruption; that an agent was started is none.
    #[must_use]
    pub fn last(mut self) -> Option<RecordedDisruption> {
        let LastBegun { boot, began, at, number } = self.last.take()?;
        self.timeline.date();
        let mut disruption = self.disruptions.into_iter().nth(number)?;
        disruption.date(&self.timeline);
        disruption.time = disruption.time + -forward(at.since(began));
        Some(RecordedDisruption { boot: boot.into(), began, disruption })
    }

    /// An epoch begins, with its disruption.
    pub(super) fn note_last(&mut self, record: &HistoryRecord<'_>, cause: u32) {
        if cause == STARTED {
            return;
        }
        let Some(number) = self.disruptions.len().checked_sub(1) else { return };
        // A later sign of the same disruption is not its beginning.
        if record.repeats_epoch.is_some() && self.last.as_ref().is_some_and(|last| last.number == number) {
            return;
        }
        let at = record.at();
        let began = record.epoch_began().unwrap_or(at);
        self.last = Some(LastBegun { boot: (*record.boot).into(), began, at, number });
    }
}

impl Disruption {
    /// How long the gate was shut for it, the machine awake; none while it is, or where how that ended is unknown.
    #[must_use]
    pub const fn shut_for(&self) -> Option<Duration> {
        match self.ending {
            Ending::Proven | Ending::Unproven | Ending::ProvenLater(_) => Some(self.shut),
            Ending::StillShut | Ending::Overtaken | Ending::AgentGone => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Offset, Realtime};
    use crate::history::DatedBy;

    fn line(millis: i64, event: &str, (cause, epoch): (&str, u64), more: &str) -> String {
        let at = millis * 1_000_000;
        format!(
            r#"{{"version":1,"boot_id":"b","boottime_ns":{at},"realtime_ns":{at},"epoch":{epoch},"since_boottime_ns":99000000000,"event":"{event}","cause":"{cause}"{more}}}"#
        )
    }

    fn last(lines: &[String]) -> Option<RecordedDisruption> {
        let mut fold = Fold::default();
        lines.iter().for_each(|line| fold.add_line(line));
        fold.last()
    }

    #[test]
    fn the_last_epoch_that_no_start_began_is_described_by_all_of_its_records() {
        let mut lines = vec![line(100_000, "gate-shut", ("resume", 2), "")];
        let RecordedDisruption { boot, began, disruption } = last(&lines).unwrap();
        assert_eq!((&*boot, began.as_nanos()), ("b", 99_000_000_000));
        assert_eq!((disruption.epoch, disruption.cause_name(), disruption.stepped), (2, "resume", None));
        assert_eq!((disruption.time, disruption.by), (Realtime::from_secs(99), Some(DatedBy::Clock)));
        assert_eq!(disruption.shut_for(), None);
        let proof = r#","gate":"open","offset_ns":0,"real_minus_boot_ns":3600000000000,"stepped_ns":5"#;
        lines.push(line(100_007, "gate-open", ("resume", 2), proof));
        lines.push(line(200_000, "gate-shut", ("started", 3), ""));
        let disruption = last(&lines).unwrap().disruption;
        assert_eq!((disruption.epoch, disruption.stepped), (2, Some(Offset::from_nanos(5))));
        assert_eq!((disruption.time, disruption.by), (Realtime::from_secs(3699), Some(DatedBy::Proof)));
        assert_eq!(disruption.shut_for(), Some(Duration::from_millis(7)));
        assert!(last(&[line(100_000, "gate-shut", ("started", 1), "")]).is_none());
    }
}

//! The clock's past by clockgate's own history: `CLOCK_BOOTTIME` counts a sleep too, so that a step alone moves the time of day against
//! it, and a proof says how far off it was.

use std::time::Duration;

use super::entry::Author;
use super::segment::{STEP_NANOS, Segment};
use crate::decision::{Clocks, Offset, Realtime};
use crate::history::{Gap, HistoryRecord};
use crate::transition::EventKind;

/// A step of our own is recorded so soon after the clock was set.
const BESIDE: Duration = Duration::from_secs(2);
/// A clock that was measured to be off by so much more than a later proof makes of it was slewed in between.
const SLEWED: Duration = Duration::from_secs(1);
/// The cause of an agent's first epoch.
const STARTED: &str = "started";

/// The clocks when the history is read: whether what was last recorded still holds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Present {
    /// The id of this boot.
    pub boot: String,
    /// The clocks.
    pub clocks: Clocks,
}

impl Segment {
    /// The segments of the agent's history, the oldest first; records come in the order of their writing. While no agent ran nothing is
    /// known.
    #[must_use]
    pub fn of_history(records: &[HistoryRecord<'_>], now: Option<&Present>) -> Vec<Self> {
        let mut segments: Vec<Self> = vec![];
        for run in records.chunk_by(is_watched_between) {
            add(run, &mut segments);
        }
        if let (Some(last), Some(now), Some(segment)) = (records.last(), now, segments.last_mut()) {
            let moved = now.clocks.real - now.clocks.boot.as_realtime() - difference(last);
            segment.is_open = now.boot == last.boot && is_same(moved) && last.event != EventKind::Ended.name();
        }
        segments
    }
}

/// A run of records without a gap: the true time minus `CLOCK_BOOTTIME` is the same in all of it.
fn add(run: &[HistoryRecord<'_>], segments: &mut Vec<Segment>) {
    let mut start = 0;
    for steady in run.chunk_by(|one, next| is_same(difference(next) - difference(one))) {
        let (before, rest) = run.split_at(start);
        start += steady.len();
        let ([first, ..], [.., last]) = (steady, steady) else { continue };
        let truth = rest.iter().find_map(|one| one.truth()).or_else(|| before.iter().rev().find_map(|one| one.truth()));
        let proven = truth.map(|truth| truth - difference(first));
        let begun = match (before.last(), segments.last_mut()) {
            (Some(before), Some(segment)) => {
                let moved = difference(first) - difference(before);
                // It went on until just before this record.
                segment.last = first.shown() + -moved;
                segment.ended = Some((moved, stepper(steady)));
                Some(stepper(steady))
            }
            (None, Some(segment)) => begun_by_a_gap(first, segment),
            (_, None) => None,
        };
        segments.push(Segment {
            boot: first.boot.to_string(),
            first: first.shown(),
            last: last.shown(),
            ended: None,
            begun,
            slewed: proven.and_then(|proven| slewed(steady, proven)),
            proven,
            is_open: false,
        });
    }
}

/// Who made a clock wrong that was paused, taken back or asleep: no program that keeps it. Up to a pause the clock was watched.
fn begun_by_a_gap(first: &HistoryRecord<'_>, before: &mut Segment) -> Option<Author> {
    match &*first.cause {
        _ if first.boot != before.boot => None,
        "pause" | "restore" if first.shown() > before.last => {
            before.last = first.shown();
            Some(Author::Other)
        }
        "pause" | "restore" | "resume" => Some(Author::Other),
        _ => None,
    }
}

/// The time of day minus `CLOCK_BOOTTIME`, which only a step moves.
fn difference(record: &HistoryRecord<'_>) -> Offset {
    record.shown() - record.at().as_realtime()
}

fn is_same(moved: Offset) -> bool {
    moved.as_nanos().abs() < STEP_NANOS
}

/// Whether an agent ran from one record to the next, and no gap lies between.
fn is_watched_between(one: &HistoryRecord<'_>, next: &HistoryRecord<'_>) -> bool {
    let is_another_agents = next.cause == STARTED && next.epoch_began() != one.epoch_began();
    !is_another_agents && Gap::between(&one.into(), next) == Gap::None
}

/// Who stepped the clock just before these records.
fn stepper(steady: &[HistoryRecord<'_>]) -> Author {
    let is_ours = steady.first().is_some_and(|first| {
        let mut beside = steady.iter().take_while(|one| one.at().since(first.at()) < BESIDE);
        beside.any(|one| one.event == EventKind::Stepped.name())
    });
    if is_ours { Author::Keeper("clockgate".to_owned()) } else { Author::Other }
}

/// Up to when measurements contradict what a later proof makes of the clock.
fn slewed(steady: &[HistoryRecord<'_>], proven: Offset) -> Option<Realtime> {
    let contradicts =
        |one: &HistoryRecord<'_>| one.measured().is_some_and(|measured| (measured - proven).abs() > SLEWED);
    let from = steady.iter().rposition(|one| one.truth().is_none() && contradicts(one))?;
    let after = steady.get(from..)?;
    after.iter().find(|one| one.truth().is_some()).or_else(|| after.last()).map(|one| one.shown())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::past::Past;

    const BEGAN: i64 = 1_790_000_000;
    const SECOND: i64 = 1_000_000_000;

    /// A record: seconds since boot, by how much the clock is behind, event, cause and epoch.
    fn record(secs: i64, behind: i64, event: &str, (cause, epoch): (&str, u64), more: &str) -> HistoryRecord<'static> {
        let (boottime, realtime) = (secs * SECOND, (BEGAN + secs - behind) * SECOND);
        let line = format!(
            r#"{{"version":1,"boot_id":"b","boottime_ns":{boottime},"realtime_ns":{realtime},"epoch":{epoch},"since_boottime_ns":{epoch},"event":"{event}","cause":"{cause}"{more}}}"#
        );
        HistoryRecord::parse(line.leak()).unwrap()
    }

    /// The gate is open on a proof, and the clock is right.
    fn proof(secs: i64, (cause, epoch): (&str, u64)) -> HistoryRecord<'static> {
        let more = format!(r#","gate":"open","offset_ns":0,"real_minus_boot_ns":{}"#, BEGAN * SECOND);
        record(secs, 0, "gate-open", (cause, epoch), &more)
    }

    fn set_back_and_stepped() -> Vec<HistoryRecord<'static>> {
        vec![
            proof(100, ("started", 1)),
            record(8000, 3600, "gate-shut", ("foreign-step", 2), ""),
            record(9000, 0, "stepped", ("foreign-step", 2), r#","moved_ns":3600000000000"#),
            proof(9001, ("foreign-step", 2)),
        ]
    }

    /// Offset, since, until in seconds since boot, and by whom it ended.
    type InSeconds = (i64, Option<i64>, Option<i64>, Option<String>);

    fn in_seconds(past: Past) -> InSeconds {
        let secs = |at: Realtime| at.as_secs() - BEGAN;
        (past.offset.as_nanos() / SECOND, past.since.map(secs), past.until.map(secs), past.by)
    }

    fn at(secs: i64, records: &[HistoryRecord<'_>], now: Option<&Present>) -> Option<InSeconds> {
        Past::at(Realtime::from_secs(BEGAN + secs), &Segment::of_history(records, now), None).map(in_seconds)
    }

    fn said(secs: i64, records: &[HistoryRecord<'_>]) -> Option<InSeconds> {
        let local = Realtime::from_secs(BEGAN + secs);
        Past::when_it_said(local, &Segment::of_history(records, None), None).map(in_seconds)
    }

    #[test]
    fn a_step_by_another_program_and_our_own_are_the_ends_of_a_wrong_time() {
        let all = set_back_and_stepped();
        let behind = Some((3600, Some(8000), Some(9000), Some("clockgate".to_owned())));
        assert_eq!(at(8500, &all, None), behind);
        assert_eq!(at(5000, &all, None), Some((0, Some(100), Some(8000), None)));
        assert_eq!(at(9000, &all, None), Some((0, Some(9000), Some(9001), None)));
        assert_eq!(at(50, &all, None), None, "before the first agent");
        assert_eq!(
            said(8500 - 3600, &all),
            Some((3600, None, Some(9000), Some("clockgate".to_owned()))),
            "it said so twice"
        );
        assert_eq!(said(7000, &all), Some((0, Some(100), Some(8000), None)));
    }

    #[test]
    fn what_was_last_recorded_holds_until_now_where_nobody_has_stepped_the_clock_since() {
        let all = set_back_and_stepped();
        let present = |boot: &str, behind: i64| Present {
            boot: boot.to_owned(),
            clocks: Clocks {
                boot: crate::decision::Boottime::from_nanos(20_000 * 1_000_000_000),
                real: Realtime::from_secs(BEGAN + 20_000 - behind),
                ..Clocks::default()
            },
        };
        assert_eq!(at(15_000, &all, Some(&present("b", 0))), Some((0, Some(9000), None, None)));
        for now in [present("another", 0), present("b", 7)] {
            assert_eq!(at(15_000, &all, Some(&now)), None);
        }
        let ended = [all, vec![record(10_000, 0, "ended", ("foreign-step", 2), "")]].concat();
        assert_eq!(at(15_000, &ended, Some(&present("b", 0))), None, "no agent has watched since");
    }

    #[test]
    fn a_clock_that_was_paused_is_behind_from_then_on_and_what_follows_says_how_far() {
        // 20 minutes are missing in `CLOCK_BOOTTIME` too.
        let proven = format!(r#","gate":"open","offset_ns":0,"real_minus_boot_ns":{}"#, (BEGAN + 1200) * SECOND);
        let all = [
            proof(100, ("started", 1)),
            record(500, 0, "gate-shut", ("pause", 2), ""),
            record(510, -1200, "stepped", ("pause", 2), ""),
            record(511, -1200, "gate-open", ("pause", 2), &proven),
        ];
        assert_eq!(at(400, &all, None), Some((0, Some(100), Some(500), None)));
        assert_eq!(at(1705, &all, None), Some((1200, Some(1700), Some(1710), Some("clockgate".to_owned()))));
    }

    #[test]
    fn an_unproven_time_after_a_sleep_is_not_known_and_neither_is_one_without_an_agent() {
        let slept = [proof(100, ("started", 1)), record(500, 0, "gate-shut", ("resume", 2), "")];
        assert_eq!(at(500, &slept, None), None);
        let mut absent = vec![proof(100, ("started", 1)), record(200, 0, "ended", ("started", 1), "")];
        absent.push(proof(900, ("started", 2)));
        assert_eq!(at(150, &absent, None), Some((0, Some(100), Some(200), None)));
        assert_eq!(at(500, &absent, None), None);
    }

    #[test]
    fn what_was_before_a_slew_is_not_known() {
        let refused = record(200, 0, "step-refused", ("started", 1), r#","offset_ns":90000000000"#);
        let mut all = vec![record(100, 0, "gate-shut", ("started", 1), ""), refused];
        all.extend([proof(9000, ("started", 1)), proof(9500, ("started", 1))]);
        for unknown in [150, 8000] {
            assert_eq!(at(unknown, &all, None), None);
        }
        assert_eq!(at(9200, &all, None), Some((0, Some(9000), Some(9500), None)));
    }
}

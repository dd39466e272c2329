//! The times between steps of the clock, and how far off it was in each.

use super::entry::{Author, ClockEvent, JournalEntry};
use crate::decision::{Offset, Realtime};

/// What moves the difference of the two clocks by less is their reading, not a step.
pub(super) const STEP_NANOS: i64 = 20_000_000;
/// Who wrote so near to a step may have made it, nanoseconds.
const BESIDE_NANOS: i64 = 2_000_000_000;
/// A clock that is off by less was right, for those who refuse requests.
const RIGHT_NANOS: u64 = 1_000_000_000;

/// A time in which the clock was not stepped.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Segment {
    pub(super) boot: String,
    /// What the clock said at its beginning and its end, as far as they are known.
    pub(super) first: Realtime,
    pub(super) last: Realtime,
    /// How far the step at its end moved the clock, and who may have made it; none at the end of a boot.
    pub(super) ended: Option<(Offset, Author)>,
    /// Who may have made the step at its beginning; none at the beginning of a boot, or of the journal.
    pub(super) begun: Option<Author>,
    /// Up to here the clock was wrong by more than was slewed away afterwards.
    pub(super) slewed: Option<Realtime>,
    /// How far off the clock was by a proof; none where there is none.
    pub(super) proven: Option<Offset>,
    /// Whether it goes on.
    pub(super) is_open: bool,
}

/// How far off the clock was, in one segment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Past {
    /// Reference minus local; zero where it was right.
    pub offset: Offset,
    /// Since when, in true time; none where that is not known: the machine may have been paused in between.
    pub since: Option<Realtime>,
    /// Until when, in true time; none where it goes on.
    pub until: Option<Realtime>,
    /// The program that keeps clocks and wrote beside the step that ended it.
    pub by: Option<String>,
}

impl Segment {
    /// The segments of a journal, the oldest first; entries come in the journal's order.
    #[must_use]
    pub fn all(entries: &[JournalEntry]) -> Vec<Self> {
        let mut segments: Vec<Self> = vec![];
        let mut is_asleep = false;
        for (at, entry) in entries.iter().enumerate() {
            let before = at.checked_sub(1).and_then(|at| entries.get(at));
            let of_same_boot = before.filter(|before| before.boot == entry.boot);
            // What the clock is moved by between these two is the sleep, and a correction that came at once.
            let slept = is_asleep;
            is_asleep = match entry.event {
                ClockEvent::SleepStart => true,
                ClockEvent::SleepStop => false,
                ClockEvent::Step | ClockEvent::Slew | ClockEvent::Nothing => is_asleep && of_same_boot.is_some(),
            };
            let moved = of_same_boot.map(|before| entry.difference().saturating_sub(before.difference()));
            match (segments.last_mut(), moved) {
                (Some(segment), Some(moved)) if slept || moved.abs() < STEP_NANOS => segment.last = entry.realtime,
                (last, moved) => {
                    let author = moved.map(|_| beside(entries, at));
                    if let (Some(segment), Some(moved), Some(author)) = (last, moved, &author) {
                        segment.ended = Some((Offset::from_nanos(moved), author.clone()));
                    }
                    segments.push(Self::begin(entry, author));
                }
            }
            if let (ClockEvent::Slew, Some(segment)) = (entry.event, segments.last_mut()) {
                segment.slewed = Some(entry.realtime);
            }
        }
        if let Some(segment) = segments.last_mut() {
            segment.is_open = true;
        }
        segments
    }

    fn begin(entry: &JournalEntry, begun: Option<Author>) -> Self {
        let at = entry.realtime;
        Self {
            boot: entry.boot.clone(),
            first: at,
            last: at,
            ended: None,
            begun,
            slewed: None,
            proven: None,
            is_open: false,
        }
    }
}

/// A segment with how far off the clock was in it, where that is known, and when the next one of its boot began, in true time.
struct Rated<'a> {
    segment: &'a Segment,
    offset: Option<Offset>,
    until: Option<Realtime>,
}

/// The latest first. `now` is how far off the clock is at the end of the last one, where that was measured.
fn rate(segments: &[Segment], now: Option<Offset>) -> Vec<Rated<'_>> {
    let mut rated: Vec<Rated<'_>> = vec![];
    for segment in segments.iter().rev() {
        let later = rated.last();
        let follows = later.filter(|after| after.segment.boot == segment.boot);
        let is_keepers = |author: &Author| matches!(author, Author::Keeper(_));
        let offset = match (follows, &segment.ended) {
            _ if segment.proven.is_some() => segment.proven,
            // A keeper's step is right where nothing is known of what came after it.
            (Some(after), Some((moved, author))) => {
                after.offset.or(is_keepers(author).then_some(Offset::ZERO)).map(|after| after + *moved)
            }
            _ if segment.is_open && now.is_some() => now,
            _ => segment.begun.as_ref().filter(|by| is_keepers(by)).map(|_| Offset::ZERO),
        };
        // The step fell between two entries: the second one was written because of it, or soon after.
        let moved = segment.ended.as_ref().map(|(moved, _)| *moved);
        let next = follows.and_then(|after| Some(after.segment.first + (offset? - moved?)));
        let until = next.or_else(|| Some(segment.last + offset?));
        rated.push(Rated { segment, offset, until });
    }
    rated
}

impl Past {
    /// The clock at this moment of true time, if it is known. `now` is how far off the clock is at the end of the last
    /// segment, where that was measured.
    #[must_use]
    pub fn at(moment: Realtime, segments: &[Segment], now: Option<Offset>) -> Option<Self> {
        let rated = rate(segments, now);
        let covers = |one: &&Rated<'_>| match (one.offset, one.until) {
            (Some(offset), Some(until)) => {
                moment >= one.segment.first + offset && (one.segment.is_open || moment < until)
            }
            _ => false,
        };
        let one = rated.iter().find(covers)?;
        one.past(moment)
    }

    /// The clock when it said this. Where it said so twice, since it was set back in between, the later time is meant and the answer has
    /// no `since`.
    #[must_use]
    pub fn when_it_said(local: Realtime, segments: &[Segment], now: Option<Offset>) -> Option<Self> {
        let rated = rate(segments, now);
        let covers =
            |one: &&Rated<'_>| local >= one.segment.first && (one.segment.is_open || local <= one.segment.last);
        let mut found = rated.iter().filter(covers);
        let one = found.next()?;
        let past = one.past(local + one.offset?)?;
        Some(if found.next().is_some() { Self { since: None, ..past } } else { past })
    }
}

impl Rated<'_> {
    fn past(&self, moment: Realtime) -> Option<Past> {
        let (segment, offset) = (self.segment, self.offset?);
        if segment.slewed.is_some_and(|slewed| moment < slewed + offset) {
            return None;
        }
        let is_right = offset.abs().as_nanos() < u128::from(RIGHT_NANOS);
        // The program that set it right did not make it wrong, and at the beginning of a boot it was not measured: it became wrong later.
        let is_since = match &segment.begun {
            Some(Author::Keeper(_)) | None => is_right,
            Some(Author::Other) => true,
        };
        let by = segment.ended.as_ref().and_then(|(_, author)| match author {
            Author::Keeper(name) => Some(name.clone()),
            Author::Other => None,
        });
        Some(Past {
            offset: if is_right { Offset::ZERO } else { offset },
            since: is_since.then(|| segment.slewed.unwrap_or(segment.first) + offset),
            until: self.until.filter(|_| !segment.is_open),
            by,
        })
    }
}

/// The keeper that says soon after this entry, and before the next step, that it has stepped; anybody else where none does.
fn beside(entries: &[JournalEntry], at: usize) -> Author {
    let (_, after) = entries.split_at(at);
    let Some(step) = after.first() else { return Author::Other };
    let is_beside = |entry: &&JournalEntry| {
        entry.boot == step.boot
            && entry.monotonic.saturating_sub(step.monotonic) < BESIDE_NANOS
            && entry.difference().saturating_sub(step.difference()).abs() < STEP_NANOS
    };
    let mut stepped = after.iter().take_while(is_beside).filter(|entry| entry.event == ClockEvent::Step);
    stepped.next().map_or(Author::Other, |entry| entry.author.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = 3600;

    /// Entries of one boot: what the clock says, seconds awake since boot, which program wrote, what it reports.
    fn entries(boot: &str, list: &[(i64, i64, &str, ClockEvent)]) -> Vec<JournalEntry> {
        let entry = |(realtime, monotonic, keeper, event): &(i64, i64, &str, ClockEvent)| JournalEntry {
            boot: boot.to_owned(),
            realtime: Realtime::from_secs(*realtime),
            monotonic: monotonic * 1_000_000_000,
            author: if keeper.is_empty() { Author::Other } else { Author::Keeper((*keeper).to_owned()) },
            event: *event,
        };
        list.iter().map(entry).collect()
    }

    /// Offset, since and until in seconds, and by whom it ended.
    type InSeconds = (i64, Option<i64>, Option<i64>, Option<String>);

    fn at(secs: i64, entries: &[JournalEntry], now: Option<i64>) -> Option<InSeconds> {
        let past = Past::at(Realtime::from_secs(secs), &Segment::all(entries), now.map(Offset::from_secs))?;
        let secs = |at: Realtime| at.as_secs();
        Some((past.offset.as_nanos() / 1_000_000_000, past.since.map(secs), past.until.map(secs), past.by))
    }

    /// Set back by an hour after one hour, and set right by a keeper a thousand seconds later.
    fn set_back_and_right() -> Vec<JournalEntry> {
        entries(
            "b",
            &[
                (10_000, 0, "", ClockEvent::Nothing),
                (13_599, 3599, "keeper", ClockEvent::Step),
                (10_003, 3603, "", ClockEvent::Nothing),
                (10_004, 3604, "keeper", ClockEvent::Nothing),
                (11_000, 4600, "", ClockEvent::Nothing),
                (14_602, 4602, "", ClockEvent::Nothing),
                (14_603, 4603, "keeper", ClockEvent::Step),
                (20_000, 10_000, "", ClockEvent::Nothing),
            ],
        )
    }

    #[test]
    fn a_clock_that_was_set_back_was_behind_until_a_keeper_set_it_right() {
        let all = set_back_and_right();
        let behind = Some((HOUR, Some(13_603), Some(14_602), Some("keeper".to_owned())));
        for now in [Some(0), None] {
            assert_eq!(at(14_000, &all, now), behind, "{now:?}");
            assert_eq!(at(14_601, &all, now), behind, "{now:?}");
            assert_eq!(at(11_000, &all, now), Some((0, Some(10_000), Some(13_603), None)), "{now:?}");
            assert_eq!(at(19_000, &all, now), Some((0, Some(14_602), None, None)), "{now:?}");
        }
        assert_eq!(at(9_000, &all, Some(0)), None, "the journal does not reach so far");
        // It is wrong again, and was not stepped since.
        assert_eq!(at(19_000, &all, Some(500)), Some((500, None, None, None)));
    }

    #[test]
    fn what_the_clock_said_itself_is_looked_up_by_what_it_said() {
        let all = set_back_and_right();
        let said = |secs: i64| {
            let past = Past::when_it_said(Realtime::from_secs(secs), &Segment::all(&all), Some(Offset::ZERO))?;
            Some((past.offset.as_nanos() / 1_000_000_000, past.since.map(Realtime::as_secs)))
        };
        assert_eq!(said(12_000), Some((0, Some(10_000))));
        assert_eq!(said(10_500), Some((HOUR, None)), "it said so twice");
        assert_eq!(said(19_000), Some((0, Some(14_602))));
        assert_eq!(said(14_000), None, "it never said so");
    }

    #[test]
    fn since_when_is_not_said_of_a_clock_that_was_only_ever_set_forward() {
        // A pause of the machine stops both clocks: the journal shows the correction alone.
        let all = entries(
            "b",
            &[
                (10_000, 0, "keeper", ClockEvent::Step),
                (11_000, 1000, "", ClockEvent::Nothing),
                (14_700, 1100, "keeper", ClockEvent::Step),
            ],
        );
        assert_eq!(at(14_000, &all, Some(0)), Some((HOUR, None, Some(14_700), Some("keeper".to_owned()))));
    }

    #[test]
    fn sleep_is_no_step() {
        let all = entries(
            "b",
            &[
                (10_000, 0, "", ClockEvent::Nothing),
                (10_100, 100, "", ClockEvent::SleepStart),
                (17_300, 101, "", ClockEvent::Nothing),
                (17_301, 102, "", ClockEvent::SleepStop),
                (17_400, 201, "", ClockEvent::Nothing),
            ],
        );
        assert_eq!(Segment::all(&all).len(), 1);
        assert_eq!(at(10_050, &all, Some(0)), Some((0, Some(10_000), None, None)));
    }

    #[test]
    fn what_was_before_a_slew_is_not_known() {
        let all = entries(
            "b",
            &[
                (10_000, 0, "", ClockEvent::Nothing),
                (11_000, 1000, "keeper", ClockEvent::Slew),
                (12_000, 2000, "", ClockEvent::Nothing),
            ],
        );
        assert_eq!(at(10_500, &all, Some(0)), None);
        assert_eq!(at(11_500, &all, Some(0)), Some((0, Some(11_000), None, None)));
    }

    #[test]
    fn an_earlier_boot_is_known_from_a_keepers_last_step_on() {
        let mut all = entries("a", &[(1_000, 0, "", ClockEvent::Nothing), (1_500, 500, "", ClockEvent::Nothing)]);
        all.extend(set_back_and_right());
        all.extend(entries("c", &[(30_000, 1, "", ClockEvent::Nothing), (31_000, 1001, "", ClockEvent::Nothing)]));
        assert_eq!(at(14_000, &all, Some(0)).map(|past| past.0), Some(HOUR));
        assert_eq!(at(15_000, &all, Some(0)).map(|past| past.0), Some(0));
        assert_eq!(at(1_200, &all, Some(0)), None, "nobody looked at the clock in that boot");
        assert_eq!(at(25_000, &all, Some(0)), None, "between two boots");
        assert_eq!(at(30_500, &all, None), None, "neither measured nor stepped");
    }
}

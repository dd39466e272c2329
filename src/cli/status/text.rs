//! `status` for people: names and values, a line each.

use std::time::Duration;

use super::report::{LastDisruption, StatusReport};
use crate::decision::{Boottime, Gate, Offset, Realtime, bound_in_words, lasting_in_words, size_in_words};
use crate::history::{DatedBy, utc, utc_as};
use crate::page::{Agent, View};

/// How moments are named.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Moments {
    /// By how long ago they were, or how far off they are: right on any clock.
    Counted,
    /// By the time of day, which now is this: for what stays on a screen, where a proof says that the clock is right.
    OfDay(Realtime),
}

/// Who proved the clock.
const AUTHENTICATED: &str = ", by authenticated references";
const PLAIN: &str = ", by plain references";

/// A time of day that is no further away can be no other day's.
const SAME_DAY: Duration = Duration::from_secs(12 * 3600);

/// All of it, with a line for each name.
pub fn lines(report: &StatusReport, moments: Moments) -> Vec<String> {
    let StatusReport { view, held, frozen, daemons, .. } = report;
    let said = MomentWords { now: view.now, moments };
    let mut lines = vec![
        ("Gate", view.gate.to_string()),
        ("State", view.state_name().to_owned()),
        ("Epoch", format!("{}, {}, cause: {}", view.epoch, said.age(view.since), view.cause_name())),
    ];
    // The reason why an agent ended is shown instead.
    if !view.why.is_empty() && !matches!(view.agent, Agent::Ended { .. }) {
        lines.push(("Why", view.why.clone()));
    }
    if let Some(absence) = view.absence() {
        lines.push(("Agent", absence));
    }
    lines.extend(measured(view, said));
    if let Some((tolerance, measured)) = view.served_tolerance().zip(view.measured) {
        let tolerance = bound_in_words(tolerance);
        lines.push(("Tolerance", format!("{tolerance} or more is served, measured {}", said.past(measured.as_of))));
    }
    if view.gate == Gate::Proven {
        let by = view.is_authenticated().map_or("", |is_so| if is_so { AUTHENTICATED } else { PLAIN });
        lines.push(("Proven", format!("{}{by}", said.until(view.valid_until))));
    }
    if view.deadline != Boottime::default() {
        lines.push(("Deadline", said.coming(view.deadline)));
    }
    if let Some(next) = view.next.filter(|_| !view.agent.is_gone()) {
        lines.push(("Next", said.due(next)));
    }
    let none = "none is seen to run".to_owned();
    lines.push(("Daemon", if daemons.is_empty() { none } else { daemons.join(" and ") }));
    lines.extend(report.last().map(|last| ("Disrupted", disruption(&last, said))));
    lines.extend(held.iter().map(|held| ("Held", held.to_string())));
    match frozen {
        Ok(frozen) => lines.extend(frozen.iter().map(|frozen| ("Frozen", frozen.in_words(view.now)))),
        Err(error) => lines.push(("Frozen", format!("unknown: {error}"))),
    }
    lines.into_iter().map(|(name, value)| format!("{name:>9}: {value}")).collect()
}

/// The last measurement of the epoch, as long as there is one.
fn measured(view: &View, said: MomentWords) -> Vec<(&'static str, String)> {
    let (Some(offset), Some(bound), Some(bound_now)) = (view.offset, view.bound, view.bound_now) else { return vec![] };
    // What grows by itself is not shown where it would stand still.
    let (bound, when) = match said.moments {
        Moments::Counted => (bound_now, "now"),
        Moments::OfDay(_) => (bound, "then"),
    };
    let [bound, threshold] = [bound, view.threshold].map(bound_in_words);
    vec![
        ("Offset", format!("{offset}: the clock was {} {}", offset.in_words(), said.past(view.as_of))),
        ("Bound", format!("{bound} {when}, threshold {threshold}")),
    ]
}

/// `resume, 2 h 3 min 4 s ago: the clock was stepped by +2460.000000s; the gate was shut for 24 ms`
fn disruption(last: &LastDisruption, said: MomentWords) -> String {
    let LastDisruption { epoch: _, cause, since, time, stepped, shut_for } = last;
    let date = time.map(|(time, by)| match by {
        DatedBy::Proof => utc(time),
        DatedBy::Clock => format!("{} by a clock that no proof confirms", utc(time)),
    });
    let when = match (since, date) {
        (Some(since), date) if said.moments == Moments::Counted || date.is_none() => said.past(*since),
        (_, Some(date)) => format!("on {date}"),
        (_, None) => String::new(),
    };
    let mut parts = vec![];
    if let Some(stepped) = stepped.filter(|stepped| *stepped != Offset::ZERO) {
        parts.push(format!("the clock was stepped by {stepped}"));
    }
    if let Some(shut) = shut_for {
        parts.push(format!("the gate was shut for {}", size_in_words(*shut)));
    }
    let more = if parts.is_empty() { String::new() } else { format!(": {}", parts.join("; ")) };
    format!("{cause}, {when}{more}")
}

/// After that a measurement that was due has not begun.
const LONGEST_MEASUREMENT: Duration = Duration::from_secs(10);

/// Moments in words.
#[derive(Clone, Copy, Debug)]
struct MomentWords {
    now: Boottime,
    moments: Moments,
}

impl MomentWords {
    fn age(self, since: Boottime) -> String {
        match self.of_day(since) {
            Some(time) => format!("since {time}"),
            None => format!("{} s old", self.now.since(since).as_secs()),
        }
    }

    fn past(self, at: Boottime) -> String {
        match self.of_day(at) {
            Some(time) => format!("at {time}"),
            None => format!("{} ago", lasting_in_words(self.now.since(at))),
        }
    }

    fn coming(self, at: Boottime) -> String {
        match self.of_day(at) {
            Some(time) => format!("at {time}"),
            None => format!("in {} s", at.since(self.now).as_secs()),
        }
    }

    fn due(self, next: Boottime) -> String {
        if next > self.now {
            return format!("measurement {}", self.coming(next));
        }
        // An agent that was killed a moment ago is not known to be gone yet.
        let is_late = self.now.since(next) > LONGEST_MEASUREMENT;
        if is_late { format!("measurement was due {}", self.past(next)) } else { "measuring now".to_owned() }
    }

    fn until(self, end: Boottime) -> String {
        match self.of_day(end) {
            Some(time) => format!("until {time}"),
            None => format!("for {} s more", end.since(self.now).as_secs()),
        }
    }

    fn of_day(self, at: Boottime) -> Option<String> {
        match self.moments {
            Moments::Counted => None,
            Moments::OfDay(now) => {
                let away = at.as_realtime() - self.now.as_realtime();
                let time = now + away;
                Some(if away.abs() < SAME_DAY { utc_as(time, "%H:%M:%S UTC") } else { utc(time) })
            }
        }
    }
}

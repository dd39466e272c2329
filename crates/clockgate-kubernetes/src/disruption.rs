//! Disruptions that have ended: one event of the node for each, or for several where they come fast.

use std::time::Duration;

use clockgate_page::time::{Boottime, Offset, bound_in_words, forward};
use clockgate_page::{Agent, Gate, View, cause, cause_name};

use crate::condition::{offset_of_the_epoch, side};

/// What is seen of the gate that concerns disruptions.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GateSeen {
    pub gate: Gate,
    pub epoch: u64,
    pub cause: u32,
    /// How far off the clock was by what was measured in this epoch.
    pub offset: Option<Offset>,
    /// When the epoch began.
    pub since: Boottime,
    /// The most that the clock is wrong.
    pub bound: Option<Duration>,
}

impl GateSeen {
    /// Of the page of an agent that lives.
    pub fn of(view: &View) -> Option<Self> {
        matches!(view.agent, Agent::Alive).then(|| Self {
            gate: view.gate,
            epoch: view.epoch,
            cause: view.cause,
            offset: offset_of_the_epoch(view),
            since: view.since,
            bound: view.bound_now,
        })
    }
}

/// A disruption that has ended, or several.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EndedDisruption {
    /// When it began; of several, the last one.
    pub began: Boottime,
    /// What is said of it.
    pub note: String,
    /// How many came before it that nothing was said of.
    pub earlier: u64,
}

impl EndedDisruption {
    /// The note, with how many it is about.
    pub fn text(&self) -> String {
        match self.earlier {
            0 => self.note.clone(),
            1 => format!("{}; and one disruption before it", self.note),
            more => format!("{}; and {more} disruptions before it", self.note),
        }
    }
}

/// The disruption that has not ended.
#[derive(Clone, Debug)]
struct Open {
    began: Boottime,
    causes: Vec<u32>,
    epoch: u64,
    /// The largest.
    offset: Option<Offset>,
}

/// Follows them.
#[derive(Clone, Debug, Default)]
pub struct Disruptions {
    /// The last epoch that has ended.
    ended: Option<u64>,
    open: Option<Open>,
}

impl Disruptions {
    /// Takes a look into account, and returns what has ended with it.
    pub fn seen(&mut self, seen: &GateSeen, now: Boottime) -> Option<EndedDisruption> {
        let is_begin = seen.cause == cause::STARTED;
        let before = if seen.gate == Gate::Shut && !is_begin { seen.epoch.saturating_sub(1) } else { seen.epoch };
        // What was before this program is no news, and an agent that counts anew begins anew.
        let ended = self.ended.filter(|ended| *ended <= seen.epoch).unwrap_or(before);
        self.ended = Some(ended);
        if seen.epoch == ended {
            return None;
        }
        // As the page has it: two publishers of one node name one disruption alike.
        let began = seen.since.min(now);
        let open = self.open.get_or_insert(Open { began, causes: vec![], epoch: ended, offset: None });
        if open.epoch != seen.epoch {
            open.epoch = seen.epoch;
            if !open.causes.contains(&seen.cause) {
                open.causes.push(seen.cause);
            }
        }
        let larger = |one: Offset, other: Offset| if other.abs() > one.abs() { other } else { one };
        open.offset = match (open.offset, seen.offset) {
            (Some(one), Some(other)) => Some(larger(one, other)),
            (one, other) => one.or(other),
        };
        match seen.gate {
            Gate::Shut => None,
            Gate::Proven | Gate::Unproven => {
                self.ended = Some(seen.epoch);
                self.open.take().map(|open| open.ended(seen, now))
            }
        }
    }
}

impl Open {
    fn ended(self, seen: &GateSeen, now: Boottime) -> EndedDisruption {
        let causes: Vec<&str> = self.causes.iter().map(|number| cause_name(*number)).collect();
        let off = self.offset.map_or_else(String::new, |offset| format!(" clock {},", side(offset)));
        let shut = forward(now.since(self.began)).size_in_words();
        let end = match (seen.gate, seen.bound) {
            (Gate::Proven, Some(bound)) => format!("now right within {}", bound_in_words(bound)),
            (Gate::Proven, None) => "now proven".to_owned(),
            (Gate::Unproven | Gate::Shut, _) => "opened without a proof".to_owned(),
        };
        EndedDisruption {
            began: self.began,
            note: format!("{}:{off} gate shut for {shut}, {end}", causes.join(", ")),
            earlier: 0,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn look(gate: Gate, epoch: u64, cause: u32, secs: u64) -> GateSeen {
        let bound = (gate == Gate::Proven).then_some(Duration::from_millis(1));
        let since = Boottime::from_nanos(at(secs).as_nanos() - 71_000_000);
        GateSeen { gate, epoch, cause, offset: None, since, bound }
    }

    fn at(secs: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn a_disruption_is_reported_once_it_has_ended_with_its_causes_and_how_far_off_the_clock_was() {
        let mut disruptions = Disruptions::default();
        assert_eq!(disruptions.seen(&look(Gate::Proven, 4, cause::STARTED, 1), at(1)), None);
        assert_eq!(disruptions.seen(&look(Gate::Shut, 5, cause::SLEEP, 2), at(2)), None);
        let off = GateSeen { offset: Some(Offset::from_secs(12)), ..look(Gate::Shut, 6, cause::RESUME, 14) };
        assert_eq!(disruptions.seen(&off, at(14)), None);
        let ended = disruptions.seen(&look(Gate::Proven, 6, cause::RESUME, 15), at(15)).unwrap();
        assert_eq!(ended.text(), "sleep, resume: clock 12.0 s behind, gate shut for 13.0 s, now right within 1.000 ms");
        assert_eq!(disruptions.seen(&look(Gate::Proven, 6, cause::RESUME, 16), at(16)), None);
    }

    #[test]
    fn one_that_was_over_between_two_looks_is_seen_by_its_epoch_and_what_was_before_us_is_no_news() {
        let mut disruptions = Disruptions::default();
        assert_eq!(disruptions.seen(&look(Gate::Unproven, 9, cause::RESTORE, 1), at(1)), None);
        let ended = disruptions.seen(&look(Gate::Proven, 10, cause::RESTORE, 2), at(2)).unwrap();
        assert_eq!(ended.text(), "restore: gate shut for 71 ms, now right within 1.000 ms");
        // An agent that counts anew.
        assert_eq!(disruptions.seen(&look(Gate::Proven, 1, cause::STARTED, 3), at(3)), None);
        assert_eq!(disruptions.seen(&look(Gate::Shut, 2, cause::PAUSE, 4), at(4)), None);
        let ended = disruptions.seen(&look(Gate::Unproven, 2, cause::PAUSE, 5), at(5)).unwrap();
        assert!(ended.text().ends_with("opened without a proof"), "{ended:?}");
    }

    #[test]
    fn who_looks_later_names_it_alike() {
        let ended = |shut: u64, opened: u64| {
            let mut disruptions = Disruptions::default();
            assert_eq!(disruptions.seen(&look(Gate::Proven, 4, cause::STARTED, 1), at(1)), None);
            assert_eq!(disruptions.seen(&look(Gate::Shut, 5, cause::RESTORE, 2), at(shut)), None);
            disruptions.seen(&look(Gate::Proven, 5, cause::RESTORE, 2), at(opened)).map(|ended| ended.began)
        };
        assert!(ended(2, 4).is_some());
        assert_eq!(ended(2, 4), ended(3, 5));
    }

    #[test]
    fn one_that_had_begun_before_us_is_reported_unless_it_is_the_start() {
        let mut disruptions = Disruptions::default();
        assert_eq!(disruptions.seen(&look(Gate::Shut, 3, cause::RESTORE, 1), at(1)), None);
        assert!(disruptions.seen(&look(Gate::Proven, 3, cause::RESTORE, 2), at(2)).is_some());
        let mut disruptions = Disruptions::default();
        assert_eq!(disruptions.seen(&look(Gate::Shut, 1, cause::STARTED, 1), at(1)), None);
        assert_eq!(disruptions.seen(&look(Gate::Proven, 1, cause::STARTED, 2), at(2)), None);
    }
}

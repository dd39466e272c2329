//! A line a change: what is so now and was not so before.

use std::collections::BTreeSet;

use super::super::report::StatusReport;
use crate::decision::{Boottime, Gate, Realtime, bound_in_words};
use crate::history::utc;
use crate::page::{Agent, View};

/// What was said last; nothing at first.
#[derive(Debug, Default)]
pub struct Changes {
    gate: String,
    agent: String,
    measured: Option<Boottime>,
    daemons: Option<Vec<&'static str>>,
    held: BTreeSet<String>,
    frozen: BTreeSet<String>,
}

/// A line; a time that no proof confirms has a question mark, as in the history.
pub fn line(change: &str, time: Realtime, is_proven: bool) -> String {
    let mark = if is_proven { ' ' } else { '?' };
    format!("{}{mark} {change}\n", utc(time))
}

impl Changes {
    /// What has changed since the last call.
    pub fn of(&mut self, report: &StatusReport) -> Vec<String> {
        let StatusReport { view, held, frozen, daemons, .. } = report;
        let mut changes = vec![];
        replaced(&mut self.gate, gate(view), &mut changes);
        replaced(&mut self.agent, agent(view), &mut changes);
        if view.offset.is_some() && self.measured != Some(view.as_of) {
            self.measured = Some(view.as_of);
            changes.extend(measured(view));
        }
        if self.daemons.as_ref() != Some(daemons) {
            let none = "none is seen to run".to_owned();
            let names = if daemons.is_empty() { none } else { daemons.join(" and ") };
            changes.push(format!("time daemon: {names}"));
            self.daemons = Some(daemons.clone());
        }
        let now = held.iter().map(ToString::to_string).collect();
        come_and_gone(&mut self.held, now, ["held", "no longer held"], &mut changes);
        // What cannot be read has not changed.
        if let Ok(frozen) = frozen {
            let now = frozen.iter().map(|frozen| frozen.title()).collect();
            come_and_gone(&mut self.frozen, now, ["frozen", "thawed"], &mut changes);
        }
        changes
    }
}

fn replaced(before: &mut String, now: String, changes: &mut Vec<String>) {
    if *before != now {
        before.clone_from(&now);
        changes.push(now);
    }
}

fn come_and_gone(
    before: &mut BTreeSet<String>,
    now: BTreeSet<String>,
    [come, gone]: [&str; 2],
    changes: &mut Vec<String>,
) {
    changes.extend(now.difference(before).map(|one| format!("{come}: {one}")));
    changes.extend(before.difference(&now).map(|one| format!("{gone}: {one}")));
    *before = now;
}

fn gate(view: &View) -> String {
    let (gate, state, epoch, cause) = (view.gate, view.state_name(), view.epoch, view.cause_name());
    // The reason of a page without an agent is the agent's.
    let why = match view.agent {
        Agent::Ended { .. } | Agent::PageGone => "",
        Agent::Alive | Agent::Starting | Agent::Silent { .. } => &view.why,
    };
    let why = if why.is_empty() { String::new() } else { format!(": {why}") };
    format!("gate {gate}, state {state}, epoch {epoch}, cause {cause}{why}")
}

fn agent(view: &View) -> String {
    match view.agent {
        Agent::Alive => "the agent is alive".to_owned(),
        Agent::Starting => "the agent is starting".to_owned(),
        Agent::Ended { .. } | Agent::PageGone => view.why.clone(),
        Agent::Silent { .. } => "the agent was killed or hangs".to_owned(),
    }
}

fn measured(view: &View) -> Option<String> {
    let (offset, bound) = (view.offset?, view.bound?);
    let what = if view.gate == Gate::Proven { "proven" } else { "measured" };
    let [bound, threshold] = [bound, view.threshold].map(bound_in_words);
    Some(format!("{what}: the clock is {}, wrong by at most {bound}, threshold {threshold}", offset.in_words()))
}

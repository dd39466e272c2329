//! What to write to the API server and when: no I/O and no clock. The latest state wins, one request is under way at a time, and the next
//! begins a second after its end. What a whole fleet sees at once it does not write at once.

use std::time::Duration;

use clockgate_page::time::Boottime;

use crate::condition::{ClockCondition, Reason, Status};
use crate::disruption::{Disruptions, EndedDisruption, GateSeen};
use crate::jitter::Jitter;

/// As kubelets write an unchanged status (`nodeStatusReportFrequency`).
const HEARTBEAT: Duration = Duration::from_secs(300);
/// How much earlier or later, percent.
const HEARTBEAT_JITTER: u32 = 10;
/// The same for the first one after a change, which a thousand nodes may have seen together (as kubelets: `delayAfterNodeStatusChange`).
const FIRST_HEARTBEAT_JITTER: u32 = 50;
/// Over how long nodes that see the same at the same time write it: as their kubelets renew their leases, so that an API server that bears
/// those of its fleet bears this too.
const SPREAD: Duration = Duration::from_secs(10);
/// A status that is not the published one is published after this long, however often it changes meanwhile.
const SETTLED_AT_LAST: Duration = Duration::from_secs(10);
/// From the end of a request to the beginning of the next: the server sees no two within it, however long it took for the first.
const SPACING: Duration = Duration::from_secs(1);
/// Between two that change the reason and not the status.
const REASON_SPACING: Duration = Duration::from_secs(30);
/// Between two events of the node.
const EVENT_SPACING: Duration = Duration::from_secs(60);
/// The pause after the first failure; twice as long after each further one.
const BACK_OFF: Duration = Duration::from_secs(1);
const BACK_OFF_AT_MOST: Duration = Duration::from_secs(60);
/// How long a request may take.
const PATIENCE: Duration = Duration::from_secs(5);
/// The same for a machine that is about to sleep: nothing waits for it.
const URGENT_PATIENCE: Duration = Duration::from_millis(300);
/// How often an event is tried.
const EVENT_ATTEMPTS: u32 = 5;

/// What has happened.
#[derive(Clone, Debug)]
pub enum Happening {
    /// The page, as it is now.
    Seen {
        /// What it means.
        condition: ClockCondition,
        /// The gate of an agent that lives.
        gate: Option<GateSeen>,
    },
    /// The request that was under way has ended.
    Answered(Answer),
    /// The time has come.
    Time,
}

/// How a request ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// It was done.
    Done,
    /// It was not, and may be tried again; the server may say after how long.
    Failed(Option<Duration>),
    /// It was refused for good.
    Refused,
    /// There is no such node, or not any more; one of this name may come.
    NoNode,
}

/// A request to the API server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    pub what: What,
    /// How long it may take.
    pub within: Duration,
}

/// What is written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    Condition {
        condition: ClockCondition,
        /// Whether the status is another one than was written last.
        is_transition: bool,
    },
    Event(EndedDisruption),
}

/// What the API server has, as far as we know.
#[derive(Clone, Copy, Debug)]
struct Published {
    reason: Reason,
    at: Boottime,
}

/// What was seen last, and since when.
#[derive(Clone, Debug)]
struct Candidate {
    condition: ClockCondition,
    /// Since when it has had this status, to be published after so long.
    since: Boottime,
    /// Since when it has had any other than the published one: what changes all the time is published too.
    departed: Boottime,
    /// How much later than it could this node publishes it.
    delay: Duration,
    /// Whether it was tried at once.
    was_urgent: bool,
}

/// The plan.
#[derive(Clone, Debug)]
pub struct Plan {
    candidate: Option<Candidate>,
    published: Option<Published>,
    /// The status of a write that failed: the server may have it all the same.
    in_doubt: Option<Status>,
    under_way: Option<What>,
    not_before: Boottime,
    failures: u32,
    heartbeat: Boottime,
    disruptions: Disruptions,
    event: Option<EndedDisruption>,
    event_failures: u32,
    event_not_before: Boottime,
    jitter: Jitter,
}

impl Plan {
    /// Nothing seen yet.
    pub fn new(jitter: Jitter) -> Self {
        Self {
            candidate: None,
            published: None,
            in_doubt: None,
            under_way: None,
            not_before: Boottime::default(),
            failures: 0,
            heartbeat: Boottime::default(),
            disruptions: Disruptions::default(),
            event: None,
            event_failures: 0,
            event_not_before: Boottime::default(),
            jitter,
        }
    }

    /// Takes in what has happened; returns a request, which takes the place of the one that is under way.
    pub fn step(&mut self, happening: Happening, now: Boottime) -> Option<Write> {
        match happening {
            Happening::Seen { condition, gate } => self.seen(condition, gate.as_ref(), now),
            Happening::Answered(answer) => self.answered(answer, now),
            Happening::Time => {}
        }
        self.begin_urgent().or_else(|| self.begin(now))
    }

    /// When to come again if nothing happens.
    pub fn wake_at(&self) -> Boottime {
        let due = self.condition_due().min(self.event_due());
        if self.under_way.is_some() { Boottime::NEVER } else { due }
    }

    fn seen(&mut self, condition: ClockCondition, gate: Option<&GateSeen>, now: Boottime) {
        if let Some(ended) = gate.and_then(|gate| self.disruptions.seen(gate, now)) {
            let waiting = self.event.take();
            if waiting.is_none() {
                self.event_not_before = self.event_not_before.max(now + self.jitter.up_to(SPREAD));
            }
            let earlier = waiting.map_or(0, |event| event.earlier + 1);
            self.event = Some(EndedDisruption { earlier, ..ended });
            self.event_failures = 0;
        }
        let settles = |reason: Reason| (reason.status(), reason.settles_in());
        let is_departed = |reason: Reason| self.published.is_none_or(|known| known.reason.status() != reason.status());
        match &mut self.candidate {
            Some(known) if settles(known.condition.reason) == settles(condition.reason) => {
                known.was_urgent &= known.condition.reason == condition.reason;
                known.condition = condition;
            }
            Some(known) => {
                let goes_on = is_departed(known.condition.reason) && is_departed(condition.reason);
                let (departed, delay) =
                    if goes_on { (known.departed, known.delay) } else { (now, self.jitter.up_to(SPREAD)) };
                *known = Candidate { condition, since: now, departed, delay, was_urgent: false };
            }
            none @ None => {
                let delay = self.jitter.up_to(SPREAD);
                *none = Some(Candidate { condition, since: now, departed: now, delay, was_urgent: false });
            }
        }
    }

    fn answered(&mut self, answer: Answer, now: Boottime) {
        let Some(what) = self.under_way.take() else { return };
        self.not_before = self.not_before.max(now + SPACING);
        match (answer, what) {
            (Answer::Done, What::Condition { condition, is_transition }) => {
                self.failures = 0;
                self.in_doubt = None;
                self.published = Some(Published { reason: condition.reason, at: now });
                let percent = if is_transition { FIRST_HEARTBEAT_JITTER } else { HEARTBEAT_JITTER };
                let earlier = HEARTBEAT * percent / 100;
                self.heartbeat = now + (HEARTBEAT - earlier) + self.jitter.up_to(2 * earlier);
            }
            (Answer::Done, What::Event(_)) => {
                self.failures = 0;
                self.event_not_before = now + EVENT_SPACING;
            }
            // Without the right to write events the condition is enough.
            (Answer::Refused | Answer::NoNode, What::Event(_)) => self.event_not_before = now + EVENT_SPACING,
            (Answer::Failed(after), What::Event(event)) => {
                self.back_off(after, now);
                self.event_failures += 1;
                if self.event.is_none() && self.event_failures < EVENT_ATTEMPTS {
                    self.event = Some(event);
                }
            }
            (Answer::Failed(after), What::Condition { condition, .. }) => {
                self.in_doubt = Some(condition.reason.status());
                self.back_off(after, now);
            }
            (Answer::Refused, What::Condition { .. }) => self.back_off(None, now),
            (Answer::NoNode, What::Condition { .. }) => {
                // The next one of this name has none of what was written.
                (self.published, self.in_doubt) = (None, None);
                self.back_off(None, now);
            }
        }
    }

    fn back_off(&mut self, after: Option<Duration>, now: Boottime) {
        let pause = BACK_OFF_AT_MOST.min(BACK_OFF * 2_u32.saturating_pow(self.failures));
        let pause = pause + self.jitter.up_to(pause / 2);
        self.failures = self.failures.saturating_add(1);
        self.not_before = self.not_before.max(now + pause.max(after.unwrap_or_default()).min(BACK_OFF_AT_MOST));
    }

    /// When the condition is to be written.
    fn condition_due(&self) -> Boottime {
        let Some(Candidate { condition, since, departed, delay, .. }) = &self.candidate else { return Boottime::NEVER };
        let settled = *since + condition.reason.settles_in() + *delay;
        let at_last = *departed + SETTLED_AT_LAST + *delay;
        let wanted = match self.published {
            None => settled.min(at_last),
            Some(_) if self.is_transition(condition) => settled.min(at_last),
            Some(published) if published.reason != condition.reason => {
                settled.max(published.at + REASON_SPACING).min(settled.max(self.heartbeat))
            }
            Some(_) => settled.max(self.heartbeat),
        };
        wanted.max(self.not_before)
    }

    /// Whether the server may have another status than this one.
    fn is_transition(&self, condition: &ClockCondition) -> bool {
        let status = condition.reason.status();
        self.published.is_none_or(|published| published.reason.status() != status)
            || self.in_doubt.is_some_and(|in_doubt| in_doubt != status)
    }

    fn event_due(&self) -> Boottime {
        if self.event.is_none() { Boottime::NEVER } else { self.event_not_before.max(self.not_before) }
    }

    /// The machine may not run any more in a moment: it is tried once, whatever is under way.
    fn begin_urgent(&mut self) -> Option<Write> {
        let is_published = self.candidate.as_ref().is_some_and(|candidate| !self.is_transition(&candidate.condition));
        let candidate = self.candidate.as_mut().filter(|c| c.condition.reason.is_urgent() && !c.was_urgent)?;
        candidate.was_urgent = true;
        if is_published {
            return None;
        }
        let condition = candidate.condition.clone();
        Some(self.write(What::Condition { condition, is_transition: true }, URGENT_PATIENCE))
    }

    fn begin(&mut self, now: Boottime) -> Option<Write> {
        if self.under_way.is_some() {
            return None;
        }
        if self.condition_due() <= now {
            let condition = self.candidate.as_ref()?.condition.clone();
            let is_transition = self.is_transition(&condition);
            return Some(self.write(What::Condition { condition, is_transition }, PATIENCE));
        }
        if self.event_due() <= now {
            let event = self.event.take()?;
            return Some(self.write(What::Event(event), PATIENCE));
        }
        None
    }

    fn write(&mut self, what: What, within: Duration) -> Write {
        self.under_way = Some(what.clone());
        Write { what, within }
    }
}

#[cfg(test)]
#[path = "plan_tests.rs"]
mod tests;

//! What the page said at one moment, judged by the reader's own clocks.

use std::mem;
use std::time::Duration;

use crate::agent::Agent;
use crate::gate::Gate;
use crate::judge::{ClockMeasurement, Doubt};
use crate::layout;
use crate::leap::LeapSecond;
use crate::time::{Boottime, Clocks, Differences, Offset, forward};

/// What the page said at one moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The gate; shut where our own clocks show that the proof is void, whichever gate the page has.
    pub gate: Gate,
    /// The word, for sleeping on it.
    pub word: u32,
    /// The count of what was published, for sleeping on it; none on the page of an agent that does not count.
    pub changes: Option<u32>,
    /// The moment of this look, on the host's `CLOCK_BOOTTIME` as all times of the page are.
    pub now: Boottime,
    /// Whether there is an agent behind it.
    pub agent: Agent,
    /// The count of disruptions.
    pub epoch: u64,
    /// The state's number.
    pub state: u32,
    /// The cause's number.
    pub cause: u32,
    /// Reference minus local at `as_of`.
    pub offset: Option<Offset>,
    /// The most the clock was wrong at `as_of`.
    pub bound: Option<Duration>,
    /// The most that it is wrong now: grown, and moved by what was seen of steps and slews where there is a proof.
    pub bound_now: Option<Duration>,
    /// When the last question was asked.
    pub as_of: Boottime,
    /// The bound under which the gate opens.
    pub threshold: Duration,
    /// When the proof ends.
    pub valid_until: Boottime,
    /// When the epoch began.
    pub since: Boottime,
    /// When the policy for failures applies.
    pub deadline: Boottime,
    /// When the next measurement is due, in the past while one is under way; none where none is planned or its agent does not say.
    pub next: Option<Boottime>,
    /// Until when the agent lives if it says nothing more.
    pub alive_until: Boottime,
    /// Parts per million that the bound grows by.
    pub max_drift_ppm: u32,
    /// The differences of the clocks at the proof; none on the page of an agent that does not write them.
    pub differences: Option<Differences>,
    /// Whether references that prove who they are, and no others, stand behind the proof; none without one, or where the agent does not say.
    pub authenticated: Option<bool>,
    /// The leap second that the clock is to make.
    pub leap_second: Option<LeapSecond>,
    /// What two exchanges of this epoch measured that prove no clock within the threshold: for waiters with a wider tolerance.
    pub measured: Option<ClockMeasurement>,
    /// The most that the clock is wrong now by that, by our own clocks; none where they cannot say, or where the
    /// agent is not alive.
    pub measured_now: Option<Duration>,
    /// Why the gate is not open on a proof.
    pub why: String,
}

impl View {
    /// The state's name.
    #[must_use]
    pub fn state_name(&self) -> &'static str {
        layout::state_name(self.state)
    }

    /// The cause's name.
    #[must_use]
    pub fn cause_name(&self) -> &'static str {
        layout::cause_name(self.cause)
    }

    /// How long the proof is valid if the clock is not moved, counted from `now`; zero where the gate is not open on a proof. A length
    /// of time is the same in every time namespace.
    #[must_use]
    pub fn valid_for(&self) -> Duration {
        match self.gate {
            Gate::Proven => self.valid_until.since(self.now),
            Gate::Unproven | Gate::Shut => Duration::ZERO,
        }
    }

    /// Whether the proof that the gate is open on is by references that prove who they are; none where the gate is not open on a proof.
    #[must_use]
    pub fn is_authenticated(&self) -> Option<bool> {
        self.authenticated.filter(|_| self.gate == Gate::Proven)
    }

    /// The most that the clock is wrong now, where that is known to be within `tolerance`. At a gate that is open on a proof the proof is
    /// what counts, at any other a measurement by two exchanges after the last disruption. A tolerance that is not wider than the
    /// threshold waits for the gate.
    #[must_use]
    pub fn within(&self, tolerance: Duration) -> Option<Duration> {
        let bound = match self.gate {
            Gate::Proven => self.bound_now,
            Gate::Unproven | Gate::Shut => self.measured_now.filter(|_| tolerance > self.threshold),
        };
        bound.filter(|bound| *bound <= tolerance)
    }

    /// Reference minus local by these clocks, which were read at once, as well as the page has it: by the proof, which is good for that
    /// after a step too, or by what was measured since the last disruption. None where nothing was. It is no proof: for a gate, ask
    /// [`Self::gate`].
    #[must_use]
    pub fn offset_at(&self, now: &Clocks) -> Option<Offset> {
        let by_proof = (self.word == Gate::Proven as u32).then(|| self.proof().offset_at(now)).flatten();
        // The state after a step still has the offset from before it.
        let is_before_a_step = matches!(self.state, layout::DISRUPTED | layout::GAVE_UP) && self.as_of >= self.since;
        let unjudged = || self.offset.filter(|_| self.agent == Agent::Alive && is_before_a_step);
        by_proof.or_else(|| self.measured.and_then(|measured| measured.offset_at(now))).or_else(unjudged)
    }

    /// The tolerance from which waiters go on while the gate is not open on a proof: by what two exchanges after the last disruption
    /// measured. One that is not wider than the threshold is never served by that. None where none is.
    #[must_use]
    pub fn served_tolerance(&self) -> Option<Duration> {
        match self.gate {
            Gate::Proven => None,
            Gate::Unproven | Gate::Shut => self.measured_now.map(|bound| bound.max(self.threshold)),
        }
    }

    /// Whether a program that acted on `earlier` may have to act again.
    pub(crate) fn is_news_after(&self, earlier: &Self) -> bool {
        (self.gate, self.word, self.epoch) != (earlier.gate, earlier.word, earlier.epoch)
            || mem::discriminant(&self.agent) != mem::discriminant(&earlier.agent)
    }

    /// What to report of an agent that has ended; none while there is one.
    #[must_use]
    pub fn absence(&self) -> Option<String> {
        let ago = |at: Boottime| forward(self.now.since(at)).size_in_words();
        match self.agent {
            Agent::Alive | Agent::Starting => None,
            Agent::Ended { at } => Some(format!("{} ({} ago)", self.why, ago(at))),
            Agent::Silent { since } => Some(format!("the agent was killed or hangs: silent for {}", ago(since))),
            Agent::PageGone => Some(self.why.clone()),
        }
    }

    /// The same by our own clocks: a proof is looked at, and what was opened without one is the word of an agent that lives.
    pub(crate) fn judged(mut self, now: &Clocks, width: Duration) -> (Self, Option<Doubt>) {
        // An agent that is gone sees no pause and no restore, and a wide bound would outlast it for hours.
        let measured = self.measured.filter(|_| self.agent == Agent::Alive);
        self.measured_now = measured.and_then(|measured| measured.judge(Duration::MAX, now, width).ok());
        match (self.gate, self.absence()) {
            (Gate::Proven, _) => {}
            (Gate::Unproven, Some(absence)) => {
                self.gate = Gate::Shut;
                self.why = format!("{}, and {absence}", self.why);
                return (self, None);
            }
            (Gate::Unproven, None) | (Gate::Shut, _) => return (self, None),
        }
        match self.proof().judge(self.threshold, now, width) {
            Ok(bound) => {
                self.bound_now = Some(bound);
                (self, None)
            }
            Err(doubt) => {
                self.gate = Gate::Shut;
                self.why = doubt.to_string();
                (self, Some(doubt))
            }
        }
    }

    /// What an open gate is open on.
    fn proof(&self) -> ClockMeasurement {
        ClockMeasurement {
            offset: self.offset.unwrap_or_default(),
            bound: self.bound.unwrap_or(Duration::MAX),
            as_of: self.as_of,
            valid_until: self.valid_until,
            max_drift_ppm: self.max_drift_ppm,
            differences: self.differences,
            leap_second: self.leap_second,
        }
    }

    /// The view of a page that was truncated, removed, or replaced by another.
    pub(crate) fn of_no_page(now: Boottime, why: &str) -> Self {
        Self {
            gate: Gate::Shut,
            word: 0,
            changes: None,
            now,
            agent: Agent::PageGone,
            epoch: 0,
            state: 0,
            cause: 0,
            offset: None,
            bound: None,
            bound_now: None,
            as_of: Boottime::default(),
            threshold: Duration::ZERO,
            valid_until: Boottime::default(),
            since: Boottime::default(),
            deadline: Boottime::default(),
            next: None,
            alive_until: Boottime::default(),
            max_drift_ppm: 0,
            differences: None,
            authenticated: None,
            leap_second: None,
            measured: None,
            measured_now: None,
            why: why.to_owned(),
        }
    }
}

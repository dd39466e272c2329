//! A proof, how long it lasts, and what it teaches.

use std::time::Duration;

use super::super::action::{Action, StepBy};
use super::super::agreement::Agreement;
use super::super::evidence::Evidence;
use super::super::exchange::lasting;
use super::super::plausibility::RECKONING_SLACK;
use super::super::reckoning::Reckoning;
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Differences, drift};
use super::attempt::{Attempt, Deadline, RETRY_FIRST, Reason};
use super::{DAEMON_ASKED_AFTER, Machine};

/// A proof: an agreement under the threshold, and how long it lasts.
#[derive(Clone, Copy, Debug)]
pub(super) struct Proof {
    pub(super) bound: Duration,
    pub(super) as_of: Boottime,
    /// The differences of the clocks when it was made: readers of the page compare theirs with them.
    pub(super) differences: Differences,
    pub(super) drift_ppm: u32,
    pub(super) valid_until: Boottime,
    pub(super) remeasure: Boottime,
    /// Whether two references or an authenticated one stand behind it, or another one has confirmed it since.
    pub(super) is_supported: bool,
    /// Whether every reference behind it was authenticated.
    pub(super) is_authenticated: bool,
}

impl Proof {
    pub(super) fn bound_at(&self, now: Boottime) -> Duration {
        self.bound.saturating_add(drift(now.since(self.as_of), self.drift_ppm))
    }
}

/// A measurement with the gate open, because something may have been missed: once a minute at most, since a process that fills the
/// kernel's log could order any number of them.
#[derive(Clone, Copy, Debug)]
pub(super) struct SecondLook {
    /// When it is due.
    pub(super) due: Boottime,
    /// No other one is due before.
    not_before: Boottime,
}

const SECOND_LOOK_EVERY: Duration = Duration::from_secs(60);

impl Default for SecondLook {
    fn default() -> Self {
        Self { due: Boottime::NEVER, not_before: Boottime::default() }
    }
}

impl SecondLook {
    pub(super) fn order(&mut self, now: Boottime) {
        if self.due == Boottime::NEVER {
            self.due = self.not_before.max(now);
            self.not_before = self.due + SECOND_LOOK_EVERY;
        }
    }

    /// It is made, or something has happened that is measured after anyway.
    pub(super) fn done(&mut self) {
        self.due = Boottime::NEVER;
    }
}

impl Machine {
    /// A second, fresh exchange is under the threshold: open.
    pub(super) fn prove(&mut self, agreement: &Agreement, drift_ppm: u32, now: &Clocks) -> Vec<Action> {
        let is_first = self.proof.is_none();
        self.note(agreement);
        self.state = State::Synchronized;
        self.tolerance.forget();
        let bound = agreement.bound();
        let lasts = lasting(self.policy.threshold.saturating_sub(bound), drift_ppm);
        let pause = (lasts / 2).clamp(self.policy.remeasure_min, self.policy.remeasure_max).min(lasts / 4 * 3);
        let is_supported = self.learn(agreement, now);
        self.proof = Some(Proof {
            bound,
            as_of: agreement.as_of,
            // By the clocks that were read with the question: a step since then is a step after the proof.
            differences: Differences {
                real_minus_boot: agreement.local - agreement.as_of.as_realtime(),
                ..now.differences()
            },
            drift_ppm,
            valid_until: agreement.as_of + lasts,
            remeasure: (agreement.as_of + pause).max(now.boot + RETRY_FIRST),
            is_supported,
            is_authenticated: agreement.authenticated,
        });
        self.would_last = agreement.as_of + lasts;
        (self.leap, self.leap_second) = (agreement.leap, None);
        self.attempt = Attempt::new();
        self.deadline = Deadline::Off;
        self.reason = Reason::unknown();
        if is_first && self.way == Some(StepBy::Own) && self.daemon.is_some() {
            self.ask_daemon = now.boot + DAEMON_ASKED_AFTER;
        }
        vec![]
    }

    /// A supported proof, one that the RTC supports, and the first one begin the count of what a single voice may change. Says
    /// whether more than one voice supports it, sooner or later.
    fn learn(&mut self, agreement: &Agreement, now: &Clocks) -> bool {
        let known = Reckoning { at: *now, truth: agreement.truth(), width: agreement.root_distance, sleeps: 0 };
        let rtc_agrees = self.evidence.rtc_agrees(agreement.truth(), agreement.as_of, self.policy.max_drift_ppm);
        // After the first proof in a boot, the kernel has written our clock into the RTC, which repeats it from then on.
        let ran_through = rtc_agrees && self.evidence.last.is_none();
        let is_supported = agreement.is_supported() || ran_through || self.is_another_name(agreement, now);
        let anchor = match self.evidence.anchor {
            Some(anchor) if !is_supported && !rtc_agrees => anchor,
            Some(_) | None => known,
        };
        self.evidence = Evidence {
            last: Some(known),
            anchor: Some(anchor),
            may_pause: self.policy.may_pause,
            ..Evidence::default()
        };
        self.proven_by.clone_from(&agreement.operator);
        is_supported
    }

    /// Whether one reference says now what another one said at the last proof.
    fn is_another_name(&self, agreement: &Agreement, now: &Clocks) -> bool {
        let (Some(before), Some(name), Some(last)) = (&self.proven_by, &agreement.operator, &self.evidence.last) else {
            return false;
        };
        let reckoned = last.reckon_at(agreement.as_of, now);
        let apart = (agreement.truth() - reckoned.time).abs();
        before != name && apart <= reckoned.width.saturating_add(RECKONING_SLACK)
    }

    /// Late answers make it a supported proof.
    pub(super) fn support(&mut self, agreement: &Agreement, now: &Clocks) {
        let Some(proof) = &mut self.proof else { return };
        if agreement.is_supported() && !proof.is_supported {
            proof.is_supported = true;
            self.learn(agreement, now);
        }
    }

    /// Until when the last proof would have been valid, had the clock not been touched.
    pub(super) fn proof_would_last(&self) -> Boottime {
        self.would_last
    }
}

//! The laws of tolerances wider than the threshold: what serves them is measured in this epoch, and no clock is further off than it says.

use std::time::Duration;

use clockgate::decision::{Action, ClockMeasurement, Gate, Offset, Snapshot, drift, forward};

use super::{Answer, MS, Subject, World};

impl<S: Subject> World<S> {
    /// The true time minus the clock's.
    pub fn error(&self) -> Offset {
        forward(self.lost) - self.moved
    }

    /// Whether anybody has said of the clock what is not true.
    fn was_told_wrong(&self) -> bool {
        self.was_lied_to || self.was_misdated
    }

    /// What serves a wider tolerance is of this epoch, of two exchanges, and nothing that is known says otherwise.
    pub(super) fn judge_measurement(&self, after: &Snapshot) {
        let Some(measured) = after.measured else { return };
        assert_ne!(after.gate, Gate::Proven, "beside a proof");
        assert!(measured.as_of > after.since, "older than the disruption");
        let longest = self.clocks().boot + self.policy().remeasure_max;
        assert!(measured.valid_until <= longest, "for longer than remeasure-max");
        assert!(self.asked >= 2 || self.dated >= 2, "after {} exchanges and {} Dates", self.asked, self.dated);
        assert!(!self.outranked || self.daemon_answered, "a plain voice over an authenticated one");
        assert_eq!(measured.differences, Some(self.clocks().differences()), "the clock has moved since");
        let bound = self.bound_to_a_reader(&measured).unwrap_or(Duration::MAX);
        let found = self.machine().evidence().contradicts(&self.clocks(), &self.policy().floor, bound);
        assert!(found.is_none(), "a tolerance of {bound:?} is served although {found:?}");
    }

    /// No tolerance is served while the clock is further off.
    pub(super) fn judge_tolerance(&self, published: &Snapshot) {
        let Some(bound) = self.tolerance_served(published) else { return };
        let error = self.error().abs();
        assert!(self.was_told_wrong() || error <= bound, "off by {error:?}, and a tolerance of {bound:?} is served");
    }

    /// A container that is frozen is thawed by its own tolerance alone where a start would be released by it.
    pub(super) fn judge_tolerant_thaws(&self, actions: &[Action], after: &Snapshot) {
        for action in actions {
            let Action::ThawTolerant(order, tolerance) = action else { continue };
            assert_eq!(Some(*order), self.containers.last(), "of the freeze that is");
            assert!(self.containers.have_been_frozen(), "thawed before it is frozen");
            assert_eq!(after.gate, Gate::Shut, "with all others");
            assert!(*tolerance > self.policy().threshold, "a tolerance of {tolerance:?} waits for the gate");
            let bound = self.tolerance_served(after);
            assert!(bound.is_some_and(|bound| bound <= *tolerance), "{tolerance:?} is not served: {bound:?}");
            let error = self.error().abs();
            assert!(self.was_told_wrong() || error <= *tolerance, "off by {error:?}, and thawed by {tolerance:?}");
        }
    }

    /// The narrowest tolerance that what is published serves now, if it serves any beside a proof.
    pub fn tolerance_served(&self, published: &Snapshot) -> Option<Duration> {
        published.measured.and_then(|measured| self.bound_to_a_reader(&measured))
    }

    /// As a reader of the page judges it by the clocks: none after a sleep, or when it is too old.
    fn bound_to_a_reader(&self, measured: &ClockMeasurement) -> Option<Duration> {
        let (now, then) = (self.clocks(), measured.differences.unwrap_or_default());
        if now.asleep != then.boot_minus_mono || now.boot >= measured.valid_until {
            return None;
        }
        let stepped = now.differences().real_minus_boot - then.real_minus_boot;
        let distance = measured.bound.saturating_sub(measured.offset.abs());
        let grown = drift(now.boot.since(measured.as_of), measured.max_drift_ppm);
        Some((measured.offset - stepped).abs() + distance + grown)
    }

    /// The answer as honest references would give it, who know the time as finely as it says.
    pub fn honest(&self, answer: Answer) -> Answer {
        let off = self.error().as_nanos() / MS.cast_signed();
        match answer {
            Answer::Truth { offset_ms, distance_ms } => {
                let within = offset_ms.rem_euclid(distance_ms.cast_signed());
                Answer::Truth { offset_ms: off + within - distance_ms.cast_signed() / 2, distance_ms }
            }
            Answer::TwoAgree { first_alone, .. } => Answer::TwoAgree { offset_ms: off, first_alone },
            Answer::TwoAgainstTwo => Answer::Nobody,
            Answer::Nobody | Answer::Authenticated | Answer::Refused | Answer::Superseded => answer,
        }
    }
}

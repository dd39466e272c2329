//! What a waiter with a wider tolerance may go by while the gate is shut: two exchanges of this epoch, judged by the rules of a proof;
//! or two `Date`s of a verified web server, where no reference answers. They lead to no step and open no gate. Nothing here changes
//! what the machine does about the clock.

use std::time::Duration;

use super::super::action::Action;
use super::super::agreement::{Agreement, Disagreement, ExchangeState};
use super::super::exchange::Exchange;
use super::super::http_date::{HttpDate, PeerCheck};
use super::super::plausibility::judge;
use super::super::published::ClockMeasurement;
use super::super::reading::Measurement;
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Differences, Offset, Realtime, drift};
use super::Machine;

/// The exchanges of this epoch that were decided and believed.
#[derive(Clone, Debug, Default)]
pub(super) struct Tolerance {
    /// The last one, and every answer since: the next one is judged together with it, as the second exchange of a proof is.
    second: Option<Exchange>,
    /// What it said.
    said: Option<ExchangeClaim>,
    /// The `Date` of a verified web server that came last, where no exchange was decided.
    dated: Option<DateClaim>,
    /// What two of them measured.
    measured: Option<ClockMeasurement>,
}

/// What a `Date` said, and when it had come.
#[derive(Clone, Copy, Debug)]
struct DateClaim {
    said: ExchangeClaim,
    received: Boottime,
}

/// What an exchange said, and when; moved by our steps since.
#[derive(Clone, Copy, Debug)]
struct ExchangeClaim {
    offset: Offset,
    distance: Duration,
    at: Boottime,
}

impl ExchangeClaim {
    fn by(agreement: &Agreement) -> Self {
        Self { offset: agreement.offset, distance: agreement.root_distance, at: agreement.as_of }
    }

    /// With the error of the server's own clock.
    fn by_date(date: &HttpDate, drift_ppm: u32) -> Self {
        Self { offset: date.offset, distance: date.width_at(date.as_of, drift_ppm), at: date.as_of }
    }

    /// Whether both can be true of one clock that no program has moved.
    fn agrees_with(&self, later: &Self, drift_ppm: u32) -> bool {
        let grown = drift(later.at.since(self.at), drift_ppm);
        (self.offset - later.offset).abs() <= self.distance.saturating_add(later.distance).saturating_add(grown)
    }
}

impl Tolerance {
    /// Another round of questions.
    pub(super) fn ask(&mut self) {
        if let Some(second) = &mut self.second {
            second.ask();
        }
    }

    pub(super) fn take(&mut self, measurement: &Measurement) {
        if let Some(second) = &mut self.second {
            second.take(measurement);
        }
    }

    pub(super) fn take_late(&mut self, measurement: &Measurement) {
        if let Some(second) = &mut self.second {
            second.take_late(measurement);
        }
    }

    /// The clock was moved by us: the second exchange measures it anew.
    pub(super) fn stepped(&mut self, now: &Clocks, by: Offset) {
        (self.measured, self.dated) = (None, None);
        if let Some(said) = &mut self.said {
            said.offset = said.offset - by;
        }
        if let Some(second) = &mut self.second {
            second.stepped(now.boot, by);
            second.fresh_after(now.boot);
        }
    }

    /// A `Date` serves no tolerance beside authenticated sources. While there is one, what was measured is by it.
    pub(super) fn forget_dates(&mut self) {
        if self.dated.take().is_some() {
            self.measured = None;
        }
    }

    /// Nothing is known any more: two exchanges have to be decided anew.
    pub(super) fn forget(&mut self) {
        *self = Self::default();
    }
}

impl Machine {
    /// What a wider tolerance may go by: nothing beside a proof, which is better.
    pub(super) fn measured_for_tolerances(&self) -> Option<ClockMeasurement> {
        self.tolerance.measured.filter(|_| self.proof.is_none())
    }

    /// An exchange was decided: with the one before it in this epoch it is two.
    pub(super) fn weigh(&mut self, agreement: &Agreement, drift_ppm: u32, now: &Clocks) {
        if self.proof.is_some() {
            return;
        }
        let of_both = if self.exchange.is_second() {
            Some((agreement.clone(), drift_ppm))
        } else {
            self.tolerance.second.as_ref().and_then(|second| {
                let outcome = second.judge(&self.policy, now.boot);
                if let ExchangeState::Decided(both) = outcome.standing { Some((both, outcome.drift_ppm)) } else { None }
            })
        };
        if !self.believes(agreement, now) {
            self.tolerance.forget();
            return;
        }
        // References that answer are better than any web server.
        self.tolerance.dated = None;
        let mut second = self.exchange.clone();
        second.verify(&agreement.outvoted, agreement.supporters, now.boot);
        self.tolerance.second = Some(second);
        let before = self.tolerance.said.replace(ExchangeClaim::by(agreement));
        let both = of_both.filter(|(both, drift_ppm)| {
            self.believes(both, now)
                && before.is_some_and(|before| before.agrees_with(&ExchangeClaim::by(both), *drift_ppm))
        });
        self.tolerance.measured =
            both.map(|(both, drift_ppm)| self.measured_by(&ExchangeClaim::by(&both), both.local, drift_ppm, now));
    }

    /// A `Date` has come while no reference answers: with the one before it in this epoch it is two. It is believed as `sync --http`
    /// believes it: where it is verified who said so, from the floor on, and unless anything that is known says otherwise. Beside
    /// exchanges, and beside a daemon's authenticated sources, it serves no waiter.
    pub(super) fn weigh_date(&mut self, date: &HttpDate, now: &Clocks) {
        let is_measuring = match self.state {
            State::Disrupted | State::Settling | State::GaveUp(_) => true,
            // What moves the clock before a sleep begins no epoch; and at a gate that is open on a proof that counts.
            State::Unknown | State::Suspended | State::Synchronized | State::FreeRunning => false,
        };
        let is_better_known = self.tolerance.said.is_some() || self.authority.is_some();
        let is_verified = match date.peer {
            PeerCheck::Verified => true,
            PeerCheck::Unverified => false,
        };
        if !is_measuring || is_better_known || !is_verified || date.as_of <= self.since {
            return;
        }
        let drift_ppm = self.policy.max_drift_ppm;
        let said = ExchangeClaim::by_date(date, drift_ppm);
        if self.evidence.refutes((said.offset, said.distance), now, &self.policy.floor) {
            self.tolerance.forget();
            return;
        }
        let before = self.tolerance.dated.replace(DateClaim { said, received: now.boot });
        // The second was asked when the first had come: a pause inside of one is invisible to it.
        let is_second =
            before.is_some_and(|before| date.as_of >= before.received && before.said.agrees_with(&said, drift_ppm));
        self.tolerance.measured = is_second.then(|| self.measured_by(&said, date.local, drift_ppm, now));
    }

    fn measured_by(&self, said: &ExchangeClaim, local: Realtime, drift_ppm: u32, now: &Clocks) -> ClockMeasurement {
        ClockMeasurement {
            offset: said.offset,
            bound: said.offset.abs().saturating_add(said.distance),
            as_of: said.at,
            // As old as a proof gets at the most: a guest's pause may not be seen.
            valid_until: said.at + self.policy.remeasure_max,
            max_drift_ppm: drift_ppm,
            differences: Some(Differences { real_minus_boot: local - said.at.as_realtime(), ..now.differences() }),
            leap_second: None,
        }
    }

    /// By the guards, as before a step and a proof, and nothing that is known without asking says otherwise.
    fn believes(&self, agreement: &Agreement, now: &Clocks) -> bool {
        judge(agreement, &self.evidence, now, &self.policy).is_ok()
            && !self.evidence.refutes((agreement.offset, agreement.root_distance), now, &self.policy.floor)
    }

    /// The exchange has ended and nothing was decided: references that contradict one another void what two of them said before.
    pub(super) fn weigh_undecided(&mut self, why: &Disagreement) {
        match why {
            Disagreement::NoMajority { .. } => self.tolerance.forget(),
            // Too few, or none: what was measured grows older.
            Disagreement::NoAnswer | Disagreement::Unauthenticated { .. } => {}
            Disagreement::TooFew { said, .. } => {
                if said.as_ref().is_some_and(|said| !self.tolerance.agrees_with(said)) {
                    self.tolerance.forget();
                }
            }
        }
    }

    /// Answers that came after their exchange was decided: if they contradict it, it is void.
    pub(super) fn weigh_late_answers(&mut self, now: &Clocks) {
        let Some(second) = &self.tolerance.second else { return };
        let is_over = match second.judge_all(&self.policy, now.boot) {
            ExchangeState::Decided(agreement) => !self.tolerance.agrees_with(&agreement),
            ExchangeState::Undecided(Disagreement::NoMajority { .. }) => true,
            ExchangeState::Undecided(
                Disagreement::NoAnswer | Disagreement::Unauthenticated { .. } | Disagreement::TooFew { .. },
            )
            | ExchangeState::Open(_) => false,
        };
        if is_over {
            self.tolerance.forget();
        }
    }

    /// What was measured serves containers that are frozen and asked for it as it serves a start: by the bound as it is now.
    pub(super) fn thaw_tolerant(&mut self, now: &Clocks) -> Option<Action> {
        let bound = self.measured_for_tolerances()?.bound_at(now)?;
        self.freezing.thaws_tolerant(|tolerance| tolerance > self.policy.threshold && bound <= tolerance, now.boot)
    }

    /// Evidence that says otherwise voids a measurement, whenever it comes.
    pub(super) fn heed_evidence(&mut self, now: &Clocks) {
        let Some(measured) = self.tolerance.measured else { return };
        let grown = drift(now.boot.since(measured.as_of), measured.max_drift_ppm);
        let distance = measured.bound.saturating_sub(measured.offset.abs()).saturating_add(grown);
        if self.evidence.refutes((measured.offset, distance), now, &self.policy.floor) {
            self.tolerance.forget();
        }
    }
}

impl Tolerance {
    fn agrees_with(&self, agreement: &Agreement) -> bool {
        self.measured.is_none_or(|measured| {
            let distance = measured.bound.saturating_sub(measured.offset.abs());
            let said = ExchangeClaim { offset: measured.offset, distance, at: measured.as_of };
            said.agrees_with(&ExchangeClaim::by(agreement), measured.max_drift_ppm)
        })
    }
}

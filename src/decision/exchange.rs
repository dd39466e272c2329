//! What was asked and answered in this epoch. The first exchange says what the time is; the second, judged together with it, that
//! the clock shows it.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use super::agreement::{Agreement, AgreementInput, Disagreement, ExchangeState, agree, agree_by_rank};
use super::policy::{AuthenticationPolicy, Policy};
use super::reading::{Measurement, Reading};
use super::time::{Boottime, Offset};

/// Questions and answers.
#[derive(Clone, Debug, Default)]
pub(super) struct Exchange {
    /// Answers to older questions are void: what was proven with them is known already.
    since: Boottime,
    /// The newest answer of each source, as it was given.
    readings: BTreeMap<String, Reading>,
    /// Our steps, and when each was checked: an answer to a question from before one is moved by it.
    steps: Vec<(Boottime, Offset)>,
    /// Voices that were asked in this round and did not answer, or could not be asked.
    silent: BTreeSet<String>,
    /// Voices that may still answer.
    waiting: BTreeSet<String>,
    /// Voices that prove who they are.
    authenticated: BTreeSet<String>,
    /// Whether anything was reported of this round.
    is_reported: bool,
    /// Whether any reference was asked in this round, and not kept from it by a rate limit.
    pub(super) was_asked: bool,
    /// Falsetickers of the first exchange: they have no voice in the second.
    outvoted: BTreeSet<String>,
    /// Who had their time in the first exchange and did not answer: they are not waited for a second time.
    waited_for: BTreeSet<String>,
    /// Who supported the first exchange.
    majority: usize,
    /// From when on an answer is fresh: the second exchange needs one.
    fresh_from: Option<Boottime>,
    rate_ppm: u32,
    /// What each source that failed said, for texts.
    failures: Vec<String>,
}

/// What the exchange says now.
#[derive(Clone, Debug)]
pub(super) struct ExchangeOutcome {
    pub(super) standing: ExchangeState,
    pub(super) drift_ppm: u32,
}

impl Exchange {
    /// Nothing is known: the first exchange begins.
    pub(super) fn begin(&mut self) {
        *self = Self { rate_ppm: self.rate_ppm, ..Self::default() };
    }

    /// The same in the same epoch, where a late answer to a question after `since` counts: what has moved the clock since is kept.
    pub(super) fn begin_again(&mut self, since: Boottime) {
        let mut steps = std::mem::take(&mut self.steps);
        steps.retain(|(checked, _)| *checked >= since);
        *self = Self { rate_ppm: self.rate_ppm, since, steps, ..Self::default() };
    }

    /// The first exchange is decided, and the clock is as it should be from `checked` on: an answer to a question from then on
    /// is fresh. Falsetickers of the first have no voice.
    pub(super) fn verify(&mut self, outvoted: &BTreeSet<String>, supporters: usize, checked: Boottime) {
        self.outvoted.extend(outvoted.iter().cloned());
        self.majority = supporters;
        self.waited_for = self.silent.union(&self.waiting).cloned().collect();
        self.fresh_from = Some(checked);
    }

    /// An answer to a question from this moment on is fresh.
    pub(super) fn fresh_after(&mut self, checked: Boottime) {
        self.fresh_from = Some(checked);
    }

    /// The clock was moved by us.
    pub(super) fn stepped(&mut self, checked: Boottime, by: Offset) {
        self.steps.push((checked, by));
    }

    /// Another round of questions: nothing is known of it yet.
    pub(super) fn ask(&mut self) {
        self.is_reported = false;
        self.silent.clear();
        self.waiting.clear();
    }

    /// Takes what has come of the round that is under way.
    pub(super) fn take(&mut self, measurement: &Measurement) {
        self.is_reported = true;
        self.silent = measurement.failures.iter().filter_map(|f| f.voice.as_ref()).map(|v| v.name.clone()).collect();
        self.waiting = measurement.waiting.iter().map(|w| w.voice.name.clone()).collect();
        self.authenticated.clone_from(&measurement.authenticated);
        self.was_asked = !measurement.readings.is_empty()
            || !measurement.waiting.is_empty()
            || measurement.failures.iter().any(|f| f.asked)
            || measurement.failures.is_empty();
        self.failures = measurement.failures.iter().map(|f| format!("{}: {}", f.source, f.why)).collect();
        self.take_late(measurement);
    }

    /// Takes the answers to an older question: they count, and no answer is waited for.
    pub(super) fn take_late(&mut self, measurement: &Measurement) {
        self.rate_ppm = self.rate_ppm.max(measurement.rate_ppm);
        for reading in &measurement.readings {
            let is_newer = self.readings.get(&reading.source).is_none_or(|known| known.as_of < reading.as_of);
            if is_newer && reading.as_of >= self.since {
                self.readings.insert(reading.source.clone(), reading.clone());
            }
        }
    }

    /// Whether this round was reported, and no reference has answered.
    pub(super) fn is_silent(&self) -> bool {
        self.is_reported && self.readings.is_empty()
    }

    /// Whether it is judged together with an exchange before it.
    pub(super) const fn is_second(&self) -> bool {
        self.fresh_from.is_some()
    }

    /// Whether no answer is outstanding any more.
    fn has_ended(&self) -> bool {
        self.is_reported && self.waiting.is_empty()
    }

    /// Who failed and why, in one line.
    pub(super) fn failures(&self) -> String {
        self.failures.join("; ")
    }

    /// What all answers say, whether one of them is fresh or not.
    pub(super) fn judge_all(&self, policy: &Policy, now: Boottime) -> ExchangeState {
        Self { fresh_from: None, ..self.clone() }.judge(policy, now).standing
    }

    /// What all answers say together. The second exchange is decided by the same majority as the first, of which one at least has
    /// answered a question that was asked after the clock was checked.
    pub(super) fn judge(&self, policy: &Policy, now: Boottime) -> ExchangeOutcome {
        let drift_ppm = policy.max_drift_ppm.max(self.rate_ppm);
        let readings = self.moved();
        let answered = self.answered(&readings);
        let is_awaited = |voice: &&String| !answered.contains(*voice) && !self.waited_for.contains(*voice);
        let waiting: BTreeSet<String> = self.waiting.iter().filter(is_awaited).cloned().collect();
        let question = AgreementInput {
            readings: &readings,
            silent: &self.silent,
            waiting: &waiting,
            outvoted: &self.outvoted,
            now,
            drift_ppm,
            threshold: policy.threshold,
            wanted: policy.min_references,
        };
        let standing = if self.is_reported { self.by_rank(&question, policy) } else { ExchangeState::Open(None) };
        ExchangeOutcome { standing: self.only_if_fresh(standing, &readings, policy, now), drift_ppm }
    }

    /// In the second exchange: not before a reference that was asked since has confirmed it.
    fn only_if_fresh(
        &self,
        standing: ExchangeState,
        readings: &[Reading],
        policy: &Policy,
        now: Boottime,
    ) -> ExchangeState {
        let (Some(fresh_from), ExchangeState::Decided(agreement)) = (self.fresh_from, &standing) else {
            return standing;
        };
        let confirms = |reading: &&Reading| {
            reading.as_of > fresh_from
                && reading.root_distance_at(now, policy.max_drift_ppm) <= policy.threshold.max(agreement.root_distance)
                && !agreement.falsetickers.contains(&reading.source)
                && !self.outvoted.contains(&reading.voice.name)
                && (reading.authenticated || !self.ranks(policy))
        };
        let is_confirmed = readings.iter().any(|r| confirms(&r)) && agreement.supporters >= self.majority;
        if is_confirmed {
            standing
        } else if self.has_ended() {
            // No reference confirms it: then what the others answered earlier does not describe the clock as it is now.
            let fresh: Vec<Reading> = readings.iter().filter(|r| r.as_of > fresh_from).cloned().collect();
            let question = AgreementInput {
                readings: &fresh,
                silent: &self.silent,
                waiting: &BTreeSet::new(),
                outvoted: &self.outvoted,
                now,
                drift_ppm: policy.max_drift_ppm.max(self.rate_ppm),
                threshold: policy.threshold,
                wanted: policy.min_references,
            };
            self.by_rank(&question, policy)
        } else {
            ExchangeState::Open(None)
        }
    }

    /// Whether those who prove who they are outrank all others.
    fn ranks(&self, policy: &Policy) -> bool {
        policy.authentication == AuthenticationPolicy::Require || !self.authenticated.is_empty()
    }

    fn by_rank(&self, question: &AgreementInput<'_>, policy: &Policy) -> ExchangeState {
        if self.ranks(policy) { agree_by_rank(question, &self.authenticated) } else { agree(question) }
    }

    /// The answers as they would be now: moved by the steps since, and of each voice the fresh ones where there are any.
    fn moved(&self) -> Vec<Reading> {
        let is_fresh = |reading: &Reading| self.fresh_from.is_none_or(|from| reading.as_of > from);
        let fresh: BTreeSet<&str> =
            self.readings.values().filter(|r| is_fresh(r)).map(|r| r.voice.name.as_str()).collect();
        let counts = |r: &&Reading| is_fresh(r) || !fresh.contains(r.voice.name.as_str());
        let moved = |r: &Reading| {
            let by = self.steps.iter().filter(|(at, _)| *at > r.as_of).fold(Offset::ZERO, |sum, (_, by)| sum + *by);
            Reading { offset: r.offset - by, local: r.local + by, ..r.clone() }
        };
        self.readings.values().filter(counts).map(moved).collect()
    }

    fn answered(&self, readings: &[Reading]) -> BTreeSet<String> {
        readings.iter().map(|r| r.voice.name.clone()).collect()
    }
}

impl Measurement {
    /// What an exchange that has ended says, taken by itself.
    ///
    /// # Errors
    /// [`Disagreement`] when too few answered or no majority agrees.
    pub fn agreement(&self, policy: &Policy, now: Boottime) -> Result<Agreement, Disagreement> {
        let mut exchange = Exchange::default();
        exchange.take(&Self { waiting: vec![], ..self.clone() });
        match exchange.judge(policy, now).standing {
            ExchangeState::Decided(agreement) => Ok(agreement),
            ExchangeState::Undecided(why) => Err(why),
            // No answer is outstanding.
            ExchangeState::Open(_) => Err(Disagreement::NoAnswer),
        }
    }
}

/// How long a bound that may grow by `room` lasts at `drift_ppm`.
pub(super) fn lasting(room: Duration, drift_ppm: u32) -> Duration {
    Duration::from_nanos(super::time::nanos_u64(room).saturating_mul(1_000_000 / u64::from(drift_ppm.max(1))))
}

//! What the answers mean: which exchange is decided, whether the clock has to be stepped, and what a failure is.

use std::time::Duration;

use super::super::action::{Action, StepBy};
use super::super::agreement::{Agreement, Disagreement, ExchangeState};
use super::super::event::{Cause, DaemonVerdict};
use super::super::failure_class::{Class, Trouble};
use super::super::plausibility::{Conclusion, judge, plan, too_vague};
use super::super::policy::{AtDeadline, Correction};
use super::super::reading::Measurement;
use super::super::state::State;
use super::super::time::{Boottime, Clocks, Round};
use super::attempt::{Busy, Deadline, Purpose, RETRY_FIRST, RETRY_LAST, RETRY_SHUT};
use super::questions::Step;
use super::{DAEMON_ASKED_AFTER, DAEMON_ASKED_TIMES, Machine};

/// Steps that may follow one another without a wait: more of them mean that another program sets the clock as well.
const MAX_CONSECUTIVE_STEPS: u32 = 4;
/// When the containers that carry the network are thawed: after so many attempts without any answer, and so long awake.
const CARRIERS_AFTER_FAILURES: u32 = 2;
const CARRIERS_AFTER: Duration = Duration::from_secs(5);

impl Machine {
    /// Something has come, of the round that is under way or of an older one.
    pub(super) fn measured(&mut self, round: Round, measurement: &Measurement, now: &Clocks) -> Vec<Action> {
        if round == self.round {
            self.exchange.take(measurement);
            self.tolerance.take(measurement);
        } else if let Some(outranked) = &mut self.outranked {
            outranked.take(measurement);
            return vec![];
        } else {
            self.exchange.take_late(measurement);
            self.tolerance.take_late(measurement);
        }
        match self.attempt.busy {
            Busy::Asking(_) => self.decide(now),
            Busy::No => {
                self.weigh_late_answers(now);
                self.take_late_answers(now)
            }
            Busy::Stepping(..) => vec![],
        }
    }

    /// Decides the exchange that is under way, if it can be.
    pub(super) fn decide(&mut self, now: &Clocks) -> Vec<Action> {
        if self.way.is_none() || !matches!(self.attempt.busy, Busy::Asking(_)) {
            return vec![];
        }
        let outcome = self.exchange.judge(&self.policy, now.boot);
        let agreement = match outcome.standing {
            ExchangeState::Decided(agreement) => agreement,
            ExchangeState::Open(Some(early)) => {
                // The hypervisor and a network reference: at once what one reference may, and no more.
                let as_one = Agreement { references: 1, supporters: 1, ..early };
                if judge(&as_one, &self.evidence, now, &self.policy).is_err() {
                    return vec![];
                }
                as_one
            }
            ExchangeState::Open(None) => return vec![],
            ExchangeState::Undecided(why) => {
                self.weigh_undecided(&why);
                return self.undecided(why, now);
            }
        };
        self.weigh(&agreement, outcome.drift_ppm, now);
        self.attempt.busy = Busy::No;
        self.attempt.ended += 1;
        self.falsetickers.clone_from(&agreement.falsetickers);
        self.decided(&agreement, outcome.drift_ppm, now)
    }

    fn decided(&mut self, agreement: &Agreement, drift_ppm: u32, now: &Clocks) -> Vec<Action> {
        let plan = plan(agreement, drift_ppm, &self.evidence, now, &self.policy);
        match (self.state, plan) {
            (State::Unknown | State::Suspended, _) => vec![],
            (State::Synchronized | State::FreeRunning, Conclusion::Verify) => self.prove(agreement, drift_ppm, now),
            (State::Synchronized | State::FreeRunning, _) => self.doubt(agreement, now),
            (State::Disrupted | State::Settling | State::GaveUp(_), Conclusion::Verify) => {
                self.confirm(agreement, drift_ppm, now)
            }
            (State::Disrupted | State::Settling | State::GaveUp(_), Conclusion::Imprecise(why)) => {
                self.note_wrong(agreement, now);
                self.answered(Trouble::imprecise(why), false, now)
            }
            (State::Disrupted | State::Settling | State::GaveUp(_), Conclusion::Refused(refusal)) => {
                self.note_wrong(agreement, now);
                self.answered(Trouble::wrong(refusal.to_string()), !agreement.is_supported(), now)
            }
            (State::Disrupted | State::Settling | State::GaveUp(_), Conclusion::Step) => {
                self.note_wrong(agreement, now);
                self.correct(agreement, now)
            }
        }
    }

    /// Publishes the measurement. An agreement that the clock is wrong shuts a gate that is open without a proof, and the deadline begins
    /// anew.
    fn note_wrong(&mut self, agreement: &Agreement, now: &Clocks) {
        self.note(agreement);
        match self.state {
            State::GaveUp(AtDeadline::Open) if agreement.agrees_with_the_clock() => {}
            State::GaveUp(AtDeadline::Open) => {
                self.deadline = Deadline::after(self.policy.deadline, now);
                (self.attempt.confirming, self.attempt.order) = (false, None);
                self.state = State::Disrupted;
            }
            State::GaveUp(AtDeadline::Hold) => {}
            State::Unknown
            | State::Suspended
            | State::Disrupted
            | State::Settling
            | State::Synchronized
            | State::FreeRunning => self.state = State::Disrupted,
        }
    }

    /// The clock is within the threshold: proven if this is the second exchange, else there has to be one.
    fn confirm(&mut self, agreement: &Agreement, drift_ppm: u32, now: &Clocks) -> Vec<Action> {
        match self.state {
            State::Settling => self.prove(agreement, drift_ppm, now),
            State::GaveUp(AtDeadline::Open) if self.attempt.confirming => self.prove(agreement, drift_ppm, now),
            State::GaveUp(AtDeadline::Open) => {
                self.note(agreement);
                self.attempt.confirming = true;
                self.exchange.verify(&agreement.outvoted, agreement.supporters, now.boot);
                self.measure(now)
            }
            State::Disrupted | State::GaveUp(AtDeadline::Hold) => {
                self.note(agreement);
                self.exchange.verify(&agreement.outvoted, agreement.supporters, now.boot);
                self.verify(now)
            }
            State::Unknown | State::Suspended | State::Synchronized | State::FreeRunning => vec![],
        }
    }

    /// The clock should be right now: a second, fresh exchange, which the hand-over to the daemon may overlap.
    pub(super) fn verify(&mut self, now: &Clocks) -> Vec<Action> {
        self.exchange.fresh_after(now.boot);
        self.attempt.failures = 0;
        self.state = State::Settling;
        // Another reset would make the daemon discard the samples that it has just taken.
        let hands_over = self.way == Some(StepBy::Own) && self.policy.correction != Correction::None;
        let mut actions = if hands_over { vec![Action::ResyncDaemon(self.epoch)] } else { vec![] };
        actions.extend(self.measure(now));
        actions
    }

    /// The clock is wrong and the guards agree: step it.
    fn correct(&mut self, agreement: &Agreement, now: &Clocks) -> Vec<Action> {
        let offset = agreement.offset;
        if self.policy.correction == Correction::None {
            let why = format!("the clock is {} and the configuration says `correction: none`", offset.in_words());
            return self.answered(Trouble::wrong(why), !agreement.is_supported(), now);
        }
        if self.attempt.steps >= MAX_CONSECUTIVE_STEPS {
            let why = format!("{} steps did not make the clock right: another program sets it too", self.attempt.steps);
            return self.answered(Trouble::wrong(why), false, now);
        }
        self.state = State::Disrupted;
        self.attempt.steps += 1;
        let trouble = Trouble::wrong(format!("the clock is {}", offset.in_words()));
        self.reason.answered(trouble, !agreement.is_supported());
        self.exchange.verify(&agreement.outvoted, agreement.supporters, now.boot);
        let step = Step { offset, as_of: agreement.as_of, local: agreement.local };
        self.order_step(Purpose::Offset, step, now)
    }

    /// A later measurement does not renew the proof: either it knows too little, or the clock is wrong.
    fn doubt(&mut self, agreement: &Agreement, now: &Clocks) -> Vec<Action> {
        let known = self.proof.map_or(Duration::ZERO, |p| p.bound_at(now.boot));
        let may_be_right = agreement.offset.abs() <= agreement.root_distance.saturating_add(known);
        if may_be_right && agreement.root_distance > self.policy.threshold {
            return self.answered(Trouble::imprecise(too_vague(agreement.root_distance)), false, now);
        }
        self.disrupt(Cause::Drifted, now)
    }

    /// Answers that came after their exchange was decided: if they contradict what it was decided by, the gate is shut.
    fn take_late_answers(&mut self, now: &Clocks) -> Vec<Action> {
        if !matches!(self.state, State::Synchronized | State::FreeRunning) || self.way == Some(StepBy::Daemon) {
            return vec![];
        }
        let outcome = self.exchange.judge(&self.policy, now.boot);
        match outcome.standing {
            ExchangeState::Decided(agreement) if agreement.bound() <= self.policy.threshold => {
                self.falsetickers.clone_from(&agreement.falsetickers);
                self.support(&agreement, now);
                vec![]
            }
            ExchangeState::Decided(agreement) if agreement.agrees_with_the_clock() => vec![],
            ExchangeState::Decided(_) | ExchangeState::Undecided(Disagreement::NoMajority { .. }) => {
                self.disrupt(Cause::Drifted, now)
            }
            ExchangeState::Open(_)
            | ExchangeState::Undecided(
                Disagreement::NoAnswer | Disagreement::Unauthenticated { .. } | Disagreement::TooFew { .. },
            ) => vec![],
        }
    }

    /// The exchange has ended, and nothing is decided.
    fn undecided(&mut self, why: Disagreement, now: &Clocks) -> Vec<Action> {
        self.attempt.ended += 1;
        match why {
            // A limit kept us from asking: that is no silence.
            Disagreement::NoAnswer if !self.exchange.was_asked => self.try_later(now),
            Disagreement::NoAnswer => self.unanswered(self.who_is_silent(), now),
            Disagreement::Unauthenticated { ref said } => {
                self.unanswered(self.said_without_proof(said.as_deref()), now)
            }
            Disagreement::TooFew { ref said, .. } => match said {
                Some(said) if !said.agrees_with_the_clock() && said.bound() > self.policy.threshold => {
                    let why = format!("{why}, and it says that the clock is {}", said.offset.in_words());
                    let is_hearsay = !said.is_supported();
                    self.note(&said.clone());
                    self.answered(Trouble::wrong(why), is_hearsay, now)
                }
                Some(_) | None => self.unanswered(format!("{why}: {}", self.exchange.failures()), now),
            },
            Disagreement::NoMajority { one_agrees, .. } => {
                let agrees = one_agrees && self.evidence.reckoning_agrees(now, self.policy.threshold);
                let trouble = if agrees {
                    Trouble::imprecise(format!("{why}; dead reckoning agrees with the clock"))
                } else {
                    Trouble::wrong(why.to_string())
                };
                if matches!(self.state, State::Synchronized | State::FreeRunning) && !agrees {
                    return self.disrupt(Cause::Drifted, now);
                }
                self.answered(trouble, false, now)
            }
        }
    }

    /// An answer came and there is no proof; `is_hearsay` if one plain voice alone is the reason.
    pub(super) fn answered(&mut self, trouble: Trouble, is_hearsay: bool, now: &Clocks) -> Vec<Action> {
        self.reason.answered(trouble, is_hearsay);
        self.failed(now)
    }

    /// No reference answered in time.
    pub(super) fn unanswered(&mut self, why: String, now: &Clocks) -> Vec<Action> {
        self.reason.unanswered(Trouble::unreachable(why));
        self.failed(now)
    }

    /// No proof: raise a clock that is certainly wrong, apply the policy if it is time, and try again later.
    fn failed(&mut self, now: &Clocks) -> Vec<Action> {
        if matches!(self.state, State::Disrupted | State::Settling) {
            if let Some(actions) = self.raise_to_floor(now) {
                return actions;
            }
            if let Some(actions) = self.undo_foreign_step(now) {
                return actions;
            }
        }
        self.try_later(now)
    }

    fn try_later(&mut self, now: &Clocks) -> Vec<Action> {
        let is_shut = matches!(self.state, State::Disrupted | State::Settling);
        let longest = if is_shut { RETRY_SHUT } else { RETRY_LAST };
        let pause = RETRY_FIRST.saturating_mul(1 << self.attempt.failures.min(6)).min(longest);
        self.attempt.failures += 1;
        self.attempt.steps = 0;
        self.attempt.busy = Busy::No;
        self.attempt.confirming = false;
        self.attempt.retry = now.boot + pause;
        if matches!(self.state, State::Synchronized | State::FreeRunning) {
            self.state = State::FreeRunning;
            if let Some(proof) = &mut self.proof {
                proof.remeasure = now.boot + pause;
            }
        }
        // A step that failed before the first answer is no exchange.
        let is_over = is_shut && self.attempt.ended > 0 && self.deadline.has_passed(now);
        let mut actions = if is_over { self.give_up(now) } else { vec![] };
        actions.extend(self.free_the_road(now));
        actions
    }

    /// The road to the references may run through a container that we froze.
    fn free_the_road(&mut self, now: &Clocks) -> Option<Action> {
        let is_due = self.policy.thaw_carriers
            && self.reason.trouble.class == Class::Unreachable
            && self.attempt.failures >= CARRIERS_AFTER_FAILURES
            && now.boot.since(self.since) >= CARRIERS_AFTER;
        if is_due { self.freezing.thaws_carriers(now.boot).map(Action::ThawCarriers) } else { None }
    }

    pub(super) fn daemon_says(&mut self, verdict: DaemonVerdict, now: &Clocks) -> Vec<Action> {
        self.daemon_asked += 1;
        match verdict {
            DaemonVerdict::NotYet if self.daemon_asked < DAEMON_ASKED_TIMES => {
                self.ask_daemon = now.boot + DAEMON_ASKED_AFTER;
                vec![]
            }
            // Measured anew it disagrees again: then it has other sources than we, and the log has said so.
            DaemonVerdict::Disagrees { .. } if self.cause != Cause::DaemonDisagrees => {
                self.disrupt(Cause::DaemonDisagrees, now)
            }
            DaemonVerdict::NotYet
            | DaemonVerdict::Disagrees { .. }
            | DaemonVerdict::Agrees { .. }
            | DaemonVerdict::Silent(_) => vec![],
        }
    }

    /// The network changed: who did not answer may answer now.
    pub(super) fn try_again(&mut self, now: &Clocks) -> Vec<Action> {
        let is_in_vain = matches!(self.attempt.busy, Busy::Asking(_)) && self.exchange.is_silent();
        let may_ask = self.attempt.is_idle() && self.attempt.failures > 0;
        if may_ask || (is_in_vain && self.way == Some(StepBy::Own)) { self.ask_anew(now) } else { vec![] }
    }

    /// A new first exchange; in the second, what the first said is kept.
    pub(super) fn ask_anew(&mut self, now: &Clocks) -> Vec<Action> {
        if !matches!(self.state, State::Settling) && !self.attempt.confirming {
            self.exchange.begin_again(self.proof.map_or_else(Boottime::default, |proof| proof.as_of));
        }
        self.measure(now)
    }

    pub(super) fn note(&mut self, agreement: &Agreement) {
        self.latest = Some((agreement.offset, agreement.bound(), agreement.as_of));
    }

    /// The step that reckoning asks for, where an operator or the configuration wants it.
    pub(super) fn reckoned_step(&self, now: &Clocks) -> Option<Step> {
        let (offset, _) = self.evidence.reckoned_offset(now)?;
        (self.policy.correction != Correction::None).then_some(Step { offset, as_of: now.boot, local: now.real })
    }
}

//! The machine as others see it: what is published of it, and in words for the page, the log and a person at three in the morning.

use super::super::action::StepBy;
use super::super::agreement::{Agreement, ExchangeState};
use super::super::containers::ContainerText;
use super::super::event::Cause;
use super::super::evidence::{ClockContradiction, Evidence, Witness};
use super::super::failure_class::Trouble;
use super::super::policy::AtDeadline;
use super::super::published::{Gate, Snapshot};
use super::super::state::State;
use super::super::time::{Boottime, Epoch, Round};
use super::Machine;
use super::attempt::Busy;

impl Machine {
    /// Whether the running containers are to be frozen when the time comes.
    #[must_use]
    pub const fn freezes(&self) -> bool {
        self.policy.freeze.is_some()
    }

    /// Whether a container may be frozen by us, being frozen or being thawed.
    #[must_use]
    pub const fn may_be_frozen(&self) -> bool {
        self.freezing.may_be_frozen()
    }

    /// Whether a proof is being made, or what is frozen waits for the thaw behind it.
    #[must_use]
    pub const fn is_under_way(&self) -> bool {
        self.is_proving() || matches!(self.state.gate(), Gate::Proven) && self.may_be_frozen()
    }

    /// Whether a proof is being made.
    #[must_use]
    pub const fn is_proving(&self) -> bool {
        matches!(self.state, State::Disrupted | State::Settling)
    }

    /// The state.
    #[must_use]
    pub const fn state(&self) -> State {
        self.state
    }

    /// The epoch.
    #[must_use]
    pub const fn epoch(&self) -> Epoch {
        self.epoch
    }

    /// The round of questions that was asked last.
    #[must_use]
    pub const fn round(&self) -> Round {
        self.round
    }

    /// Why the last attempt ended without a proof.
    #[must_use]
    pub const fn trouble(&self) -> &Trouble {
        &self.reason.trouble
    }

    /// Whether a step is ordered, or will be once the containers are frozen.
    #[must_use]
    pub const fn is_stepping(&self) -> bool {
        matches!(self.attempt.busy, Busy::Stepping(..))
    }

    /// What is known without asking: kept for the next agent or `sync` in the same boot.
    #[must_use]
    pub const fn evidence(&self) -> &Evidence {
        &self.evidence
    }

    /// The daemon that was found when this epoch began.
    #[must_use]
    pub fn daemon(&self) -> Option<&str> {
        self.daemon.as_deref()
    }

    /// The references that the last agreement left out.
    #[must_use]
    pub fn falsetickers(&self) -> &[String] {
        &self.falsetickers
    }

    /// What is published of the machine.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        Snapshot {
            state: self.state.code(),
            gate: self.state.gate(),
            epoch: self.epoch,
            cause: self.cause,
            since: self.since,
            repeats: self.repeats,
            offset: self.latest.map(|l| l.0),
            bound: self.latest.map(|l| l.1),
            as_of: self.latest.map_or(Boottime::default(), |l| l.2),
            threshold: self.policy.threshold,
            valid_until: self.proof.map_or(Boottime::default(), |p| p.valid_until),
            deadline: self.published_deadline(),
            next: self.next_measurement(),
            differences: self.proof.map_or_else(Default::default, |p| p.differences),
            leap_second: self.leap_second,
            max_drift_ppm: self.proof.map_or(self.policy.max_drift_ppm, |p| p.drift_ppm),
            is_supported: self.proof.is_some_and(|p| p.is_supported),
            is_authenticated: self.proof.is_some_and(|p| p.is_authenticated),
            measured: self.measured_for_tolerances(),
            why: self.why(),
        }
    }

    pub(super) fn why(&self) -> ContainerText {
        let carriers = self.freezing.carriers().filter(|_| self.state == State::Disrupted && !self.is_first_look());
        match carriers {
            Some(run) => ContainerText::from(self.why_in_words())
                .words("; thawed to carry the network: ")
                .containers(run.clone()),
            None => self.why_in_words().into(),
        }
    }

    /// Whether nothing has come of the first attempt of this epoch yet.
    const fn is_first_look(&self) -> bool {
        self.attempt.ended == 0 && self.attempt.failures == 0
    }

    fn why_in_words(&self) -> String {
        match self.state {
            State::Unknown => "nothing was measured yet".to_owned(),
            State::Suspended if self.cause == Cause::Snapshot => "a snapshot is being taken".to_owned(),
            State::Suspended => "the machine is going to sleep".to_owned(),
            State::Disrupted if self.is_first_look() => format!("{}: measuring", self.cause),
            State::Disrupted => format!("{}: {}", self.cause, self.reason.trouble),
            State::Settling if self.attempt.failures > 0 => {
                format!("{}: not verified by a second exchange: {}", self.cause, self.reason.trouble)
            }
            State::Settling => format!("{}: verifying with a second exchange", self.cause),
            State::Synchronized => String::new(),
            State::FreeRunning => format!("could not measure again: {}", self.reason.trouble),
            State::GaveUp(AtDeadline::Hold) => format!("held shut past the deadline: {}", self.reason.trouble),
            State::GaveUp(AtDeadline::Open) => match &self.attempt.order {
                Some(order) if self.attempt.ended == 0 => format!("opened without a proof: {order}"),
                Some(order) => format!("opened without a proof: {order}; {}", self.reason.trouble),
                None => format!("opened without a proof: {}", self.reason.trouble),
            },
        }
    }

    /// What the evidence says, and the verbs that help.
    pub(super) fn what_helps(&self, found: &ClockContradiction) -> String {
        let undo = if self.evidence.last.is_some() { "`clockgate sync --reckoned` sets it by reckoning, " } else { "" };
        if let Witness::HttpDate(_) = found.witness {
            return format!(
                "{found}, and no reference answers; `clockgate sync --http` with that URL sets it, `clockgate accept` accepts \
                 this time (as root)"
            );
        }
        format!(
            "{found}, and {}; {undo}`clockgate accept` (as root) accepts this time and opens the gate without a proof",
            self.reason.trouble
        )
    }

    /// Which authenticated references are silent, and what plain ones say meanwhile.
    pub(super) fn said_without_proof(&self, said: Option<&Agreement>) -> String {
        let plain = said.map_or_else(
            || "plain ones, which do not count beside them, agree on nothing".to_owned(),
            |said| {
                format!("plain ones, which do not count beside them, say that the clock is {}", said.offset.in_words())
            },
        );
        let failures = self.exchange.failures();
        let why = if failures.is_empty() { failures } else { format!(": {failures}") };
        format!("no authenticated reference answered; {plain}{why}")
    }

    /// Who has not answered, and what those said who do not count.
    pub(super) fn who_is_silent(&self) -> String {
        let failures = self.exchange.failures();
        let Some(authority) = self.authority.as_ref().filter(|_| self.way == Some(StepBy::Daemon)) else {
            return failures;
        };
        let daemon = self.daemon.as_deref().unwrap_or("the time daemon");
        let mut said = match authority.sources.as_slice() {
            [] => format!("{daemon} requires authenticated sources, and has none"),
            sources => format!("{daemon} has authenticated sources ({})", sources.join(", ")),
        };
        if let Some(silence) = authority.silent_for {
            said.push_str(&format!(", silent for {} s", silence.as_secs()));
        }
        if let Some(day) = &authority.remembered {
            said.push_str(&format!(", as it reported on {day}; it does not answer now"));
        }
        if let Some(ExchangeState::Decided(plain)) =
            self.outranked.as_ref().map(|plain| plain.judge(&self.policy, self.clocks.boot).standing)
        {
            said.push_str(&format!(
                "; unauthenticated servers, which do not count beside them, say that the clock is {}",
                plain.offset.in_words()
            ));
        }
        if failures.is_empty() { said } else { format!("{said}; {failures}") }
    }
}

//! The machine in words, for the page, the log and whoever asks at three in the morning.

use super::super::action::StepBy;
use super::super::agreement::ExchangeState;
use super::super::event::Cause;
use super::super::evidence::ClockContradiction;
use super::super::policy::AtDeadline;
use super::super::state::State;
use super::Machine;

impl Machine {
    pub(super) fn why(&self) -> String {
        match self.state {
            State::Unknown => "nothing was measured yet".to_owned(),
            State::Suspended if self.cause == Cause::Snapshot => "a snapshot is being taken".to_owned(),
            State::Suspended => "the machine is going to sleep".to_owned(),
            State::Disrupted if self.attempt.ended == 0 => format!("{}: measuring", self.cause),
            State::Disrupted if !self.ice.carriers().is_empty() => {
                let carriers = self.ice.carriers().join(", ");
                format!("{}: {}; thawed to carry the network: {carriers}", self.cause, self.reason.trouble)
            }
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
        format!(
            "{found}, and {}; {undo}`clockgate accept` (as root) accepts this time and opens the gate without a proof",
            self.reason.trouble
        )
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

//! What the page means to a cluster: a condition of the node, with a reason in one word and a message for people.

use std::time::Duration;

use clockgate_page::time::{Offset, bound_in_words};
use clockgate_page::{Agent, GAVE_UP, Gate, View, cause};
use clockgate_run::Sight;

/// The condition's name.
pub const TYPE: &str = "clockgate.org/ClockTrusted";
/// A proof takes milliseconds: a gate that has been shut for less is not published.
const SETTLES_IN: Duration = Duration::from_secs(2);
/// An agent that ended is started again by systemd within a second or two.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// The API server takes longer ones, and people do not read them.
const MESSAGE_LIMIT: usize = 512;

/// The condition's status.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Status {
    /// The gate is open on a proof.
    True,
    /// The gate is shut.
    False,
    /// The gate is open without a proof, or there is no agent.
    Unknown,
}

impl Status {
    /// As Kubernetes writes it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::True => "True",
            Self::False => "False",
            Self::Unknown => "Unknown",
        }
    }
}

/// Why the status is what it is, in one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Reason {
    Proven,
    Starting,
    Suspending,
    Resumed,
    ForeignStep,
    Snapshotting,
    Restored,
    Requested,
    ProofExpired,
    Drifted,
    DaemonDisagrees,
    Paused,
    ReferencesDisagree,
    /// A cause of a later version of the page.
    Shut,
    Unproven,
    AgentGone,
}

impl Reason {
    /// As it is written.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proven => "Proven",
            Self::Starting => "Starting",
            Self::Suspending => "Suspending",
            Self::Resumed => "Resumed",
            Self::ForeignStep => "ForeignStep",
            Self::Snapshotting => "Snapshotting",
            Self::Restored => "Restored",
            Self::Requested => "Requested",
            Self::ProofExpired => "ProofExpired",
            Self::Drifted => "Drifted",
            Self::DaemonDisagrees => "DaemonDisagrees",
            Self::Paused => "Paused",
            Self::ReferencesDisagree => "ReferencesDisagree",
            Self::Shut => "Shut",
            Self::Unproven => "Unproven",
            Self::AgentGone => "AgentGone",
        }
    }

    /// The status that it is a reason of.
    pub const fn status(self) -> Status {
        match self {
            Self::Proven => Status::True,
            Self::Unproven | Self::AgentGone => Status::Unknown,
            Self::Starting
            | Self::Suspending
            | Self::Resumed
            | Self::ForeignStep
            | Self::Snapshotting
            | Self::Restored
            | Self::Requested
            | Self::ProofExpired
            | Self::Drifted
            | Self::DaemonDisagrees
            | Self::Paused
            | Self::ReferencesDisagree
            | Self::Shut => Status::False,
        }
    }

    /// Whether the machine may not run any more in a moment.
    pub const fn is_urgent(self) -> bool {
        matches!(self, Self::Suspending | Self::Snapshotting)
    }

    /// How long it has to hold before it is published.
    pub const fn settles_in(self) -> Duration {
        if matches!(self, Self::AgentGone) {
            GONE_AFTER
        } else if matches!(self, Self::Proven) || self.is_urgent() {
            Duration::ZERO
        } else {
            SETTLES_IN
        }
    }

    const fn of_cause(number: u32) -> Self {
        match number {
            cause::STARTED => Self::Starting,
            cause::SLEEP => Self::Suspending,
            cause::RESUME => Self::Resumed,
            cause::FOREIGN_STEP => Self::ForeignStep,
            cause::SNAPSHOT => Self::Snapshotting,
            cause::RESTORE => Self::Restored,
            cause::REQUESTED => Self::Requested,
            cause::EXPIRED => Self::ProofExpired,
            cause::DRIFTED => Self::Drifted,
            cause::DAEMON_DISAGREES => Self::DaemonDisagrees,
            cause::PAUSE => Self::Paused,
            _ => Self::Shut,
        }
    }
}

/// The condition, but for its times.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockCondition {
    /// Why; the status follows from it.
    pub reason: Reason,
    /// The same for people.
    pub message: String,
}

impl ClockCondition {
    /// With a message that is cut where it is too long.
    pub fn new(reason: Reason, message: impl Into<String>) -> Self {
        let mut message = message.into();
        if let Some((end, _)) = message.char_indices().nth(MESSAGE_LIMIT) {
            message.truncate(end);
        }
        Self { reason, message }
    }

    /// Of what is seen.
    pub fn of(sight: &Sight) -> Self {
        match sight {
            Sight::NoAgent(absence) => Self::new(Reason::AgentGone, absence.to_string()),
            Sight::Gate(view) => Self::of_view(view),
        }
    }

    fn of_view(view: &View) -> Self {
        match view.agent {
            Agent::Alive | Agent::Starting => {}
            Agent::Ended { .. } | Agent::Silent { .. } | Agent::PageGone => {
                return Self::new(Reason::AgentGone, view.absence().unwrap_or_else(|| view.why.clone()));
            }
        }
        match view.gate {
            Gate::Proven => {
                let bound =
                    view.bound_now.map_or_else(String::new, |bound| format!("right within {}", bound_in_words(bound)));
                Self::new(Reason::Proven, bound)
            }
            Gate::Unproven => Self::new(Reason::Unproven, view.why.clone()),
            Gate::Shut => {
                let reason = match (view.word, view.state) {
                    // Our own clocks show that the proof is void.
                    (word, _) if word == Gate::Proven as u32 => Reason::ProofExpired,
                    (_, GAVE_UP) => Reason::ReferencesDisagree,
                    _ => Reason::of_cause(view.cause),
                };
                let off = offset_of_the_epoch(view).map_or_else(String::new, |by| format!("; clock was {}", side(by)));
                Self::new(reason, format!("{}{off}", view.why))
            }
        }
    }
}

/// What was measured since the epoch began, before a step.
pub fn offset_of_the_epoch(view: &View) -> Option<Offset> {
    view.offset.filter(|_| view.as_of >= view.since)
}

/// `3600.005 s behind`.
pub fn side(offset: Offset) -> String {
    let side = if offset.is_backward() { "ahead" } else { "behind" };
    format!("{} {side}", offset.size_in_words())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_cause_of_the_page_has_a_reason_and_a_later_one_is_shut() {
        for number in 0..cause::COUNT {
            let reason = Reason::of_cause(number);
            assert_ne!(reason, Reason::Shut, "{}", clockgate_page::cause_name(number));
            assert_eq!(reason.status(), Status::False);
        }
        assert_eq!(Reason::of_cause(cause::COUNT), Reason::Shut);
    }

    #[test]
    fn a_long_message_is_cut_between_characters() {
        assert_eq!(ClockCondition::new(Reason::Unproven, "±".repeat(2000)).message, "±".repeat(MESSAGE_LIMIT));
    }
}

//! What an error message comes down to.

use super::extract::Match;
use super::lifetime::Lifetime;
use super::pattern::Direction;
use super::world::{Now, Then};
use crate::decision::Offset;

/// The answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    /// The clock is wrong now.
    ClockNow,
    /// The clock was wrong then, and is right now.
    ClockThen,
    /// A clock was wrong when the text was written; there is no measurement of now.
    ClockUnmeasured,
    /// Keys, tokens, sessions.
    Credentials,
    /// A certificate's or a signature's own dates.
    Certificate,
    /// The request was signed long before it was sent.
    StaleRequest,
    /// Local time taken for UTC.
    TimeZone,
    /// The other side's clock.
    TheirClock,
    /// Nothing can be said.
    Unknown,
}

impl Verdict {
    /// As `--json` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::ClockNow => "clock-now",
            Self::ClockThen => "clock-then",
            Self::ClockUnmeasured => "clock-unmeasured",
            Self::Credentials => "credentials",
            Self::Certificate => "certificate",
            Self::StaleRequest => "stale-request",
            Self::TimeZone => "time-zone",
            Self::TheirClock => "their-clock",
            Self::Unknown => "unknown",
        }
    }

    /// Whether this machine's clock explains the text.
    #[must_use]
    pub const fn is_our_clock(self) -> bool {
        match self {
            Self::ClockNow | Self::ClockThen | Self::ClockUnmeasured => true,
            Self::Credentials
            | Self::Certificate
            | Self::StaleRequest
            | Self::TimeZone
            | Self::TheirClock
            | Self::Unknown => false,
        }
    }
}

/// The answer and what it rests on.
#[derive(Clone, Debug)]
pub struct Explanation<'p> {
    /// The answer.
    pub verdict: Verdict,
    /// What the text says of our clock, whatever was measured.
    pub direction: Direction,
    /// How far off by the text; none where it does not say.
    pub offset: Option<Offset>,
    /// All that was found, the one that decided first.
    pub matches: Vec<Match<'p>>,
    /// What was measured.
    pub now: Option<Now>,
    /// What the clock's past says of the moment in the text.
    pub then: Option<Then>,
    /// What tokens and signed URLs in the text, and this user's credentials, say of their own time, and how long each is still valid by
    /// the measured time; negative where it is over.
    pub lifetimes: Vec<(Lifetime, Option<Offset>)>,
    /// Sentences: what to do next, what else it may be.
    pub hints: Vec<String>,
}

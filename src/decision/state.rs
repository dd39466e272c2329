//! The states, and the gate as a function of them.

use std::fmt;

use super::policy::AtDeadline;
use super::published::Gate;

/// The three kinds of failure. They are told apart here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asked, and nobody who counts has answered in time.
    Unreachable,
    /// The answers agree with the clock and cannot tell finely enough.
    Imprecise,
    /// The clock is known or said to be wrong, and could not be made right.
    Wrong,
}

/// Why there is no proof yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trouble {
    /// What kind of failure it is, which decides what happens at the deadline.
    pub class: Class,
    /// What was asked, who said what, and what helps.
    pub why: String,
}

impl Trouble {
    /// Nobody answered; `why` may be empty.
    #[must_use]
    pub fn unreachable(why: impl Into<String>) -> Self {
        Self { class: Class::Unreachable, why: why.into() }
    }

    /// The answers cannot tell finely enough.
    #[must_use]
    pub fn imprecise(why: impl Into<String>) -> Self {
        Self { class: Class::Imprecise, why: why.into() }
    }

    /// The clock is wrong.
    #[must_use]
    pub fn wrong(why: impl Into<String>) -> Self {
        Self { class: Class::Wrong, why: why.into() }
    }

    /// Whether the clock is known or said to be wrong.
    #[must_use]
    pub fn is_wrong(&self) -> bool {
        self.class == Class::Wrong
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.class, self.why.as_str()) {
            (Class::Unreachable, "") => f.write_str("no reference has answered since the disruption"),
            (Class::Unreachable, why) => write!(f, "no reference has answered since the disruption ({why})"),
            (Class::Imprecise | Class::Wrong, why) => f.write_str(why),
        }
    }
}

/// The machine's states.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum State {
    /// Nothing was asked yet.
    #[default]
    Unknown,
    /// A sleep was announced and has not ended.
    Suspended,
    /// What we knew is void; the first measurement, and the step it may ask for, are under way.
    Disrupted,
    /// The clock should be right now; a second, fresh exchange is under way.
    Settling,
    /// Proven right.
    Synchronized,
    /// Proven right, and the last attempt to prove it again failed: open until the growing bound meets the threshold.
    FreeRunning,
    /// The deadline passed without a proof.
    GaveUp(AtDeadline),
}

impl State {
    /// The gate in this state.
    #[must_use]
    pub const fn gate(self) -> Gate {
        match self {
            Self::Unknown | Self::Suspended | Self::Disrupted | Self::Settling | Self::GaveUp(AtDeadline::Hold) => {
                Gate::Shut
            }
            Self::Synchronized | Self::FreeRunning => Gate::Proven,
            Self::GaveUp(AtDeadline::Open) => Gate::Unproven,
        }
    }

    /// Its number on the gate page; stable for ever.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Unknown => 0,
            Self::Suspended => 1,
            Self::Disrupted => 2,
            Self::Settling => 3,
            Self::Synchronized => 4,
            Self::FreeRunning => 5,
            Self::GaveUp(_) => 6,
        }
    }

    /// Its name in logs, JSON and on the bus, from the number on the page.
    #[must_use]
    pub fn name_of(code: u32) -> &'static str {
        clockgate_page::layout::state_name(code)
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::name_of(self.code()))
    }
}

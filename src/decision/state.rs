//! The states, and the gate as a function of them.

use std::fmt;

use super::policy::AtDeadline;
use super::published::Gate;

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

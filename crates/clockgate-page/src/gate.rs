//! The gate: the one word of the page that decides.

use std::fmt;

/// The gate word of the page.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(u32)]
pub enum Gate {
    /// Waiters are held.
    #[default]
    Shut = 0,
    /// Open on a proof made after the last disruption.
    Proven = 1,
    /// Open by policy, on no proof at all.
    Unproven = 2,
}

impl Gate {
    /// From the word on the page; a word of a later version is shut to us.
    #[must_use]
    pub const fn from_word(word: u32) -> Self {
        match word {
            1 => Self::Proven,
            2 => Self::Unproven,
            _ => Self::Shut,
        }
    }
}

impl fmt::Display for Gate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Shut => "shut",
            Self::Proven => "open",
            Self::Unproven => "unproven",
        })
    }
}

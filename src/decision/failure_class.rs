//! Why there is no proof: the three kinds of failure.

use std::fmt;

/// The three kinds of failure. They are distinguished here and nowhere else.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Class {
    /// Asked, and no reference that counts has answered in time.
    Unreachable,
    /// The answers agree with the clock and are not precise enough.
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
    /// No reference answered; `why` may be empty.
    #[must_use]
    pub fn unreachable(why: impl Into<String>) -> Self {
        Self { class: Class::Unreachable, why: why.into() }
    }

    /// The answers are not precise enough.
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

//! Why the references show no common time.

use super::Agreement;

/// Why the references show no common time.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Disagreement {
    /// No reference answered.
    #[error("no reference answered")]
    NoAnswer,
    /// Authenticated references are configured and none of them answered; plain ones did.
    #[error("no authenticated reference answered, and plain ones prove nothing beside them")]
    Unauthenticated {
        /// What the plain ones say, if they agree.
        said: Option<Box<Agreement>>,
    },
    /// Fewer answered than the policy wants.
    #[error("{answered} reference(s) answered, min-references is {wanted}")]
    TooFew {
        /// How many answered.
        answered: usize,
        /// `min-references`.
        wanted: usize,
        /// What those few say, if they agree: it may be that the clock is wrong.
        said: Option<Box<Agreement>>,
    },
    /// No majority shares an interval.
    #[error("{answered} references answered and at most {largest} of them agree ({each})")]
    NoMajority {
        /// How many answered.
        answered: usize,
        /// The largest group that shares an interval.
        largest: usize,
        /// Who said what.
        each: String,
        /// Whether one of them agrees with the clock.
        one_agrees: bool,
    },
}

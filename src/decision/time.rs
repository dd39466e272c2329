//! The kinds of time clockgate reckons in: those of the page, which other programs read as well, and our two counts.

use std::fmt;
use std::time::Duration;

pub use clockgate_page::time::{
    Awake, Boottime, Clocks, Differences, NOISE, Offset, Realtime, SECS_PER_DAY, bound_in_words, drift, forward,
    nanos_u64, size_in_words,
};

/// How long something lasts that is watched: whole seconds up to a minute, then in larger units.
#[must_use]
pub fn lasting_in_words(length: Duration) -> String {
    match length.as_secs() {
        secs @ 0..60 => format!("{secs} s"),
        60.. => size_in_words(length),
    }
}

/// Our count of disruptions. Every question and every answer carries it; an answer from an older epoch changes nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Epoch(u64);

impl Epoch {
    /// From the number published on the gate page.
    #[must_use]
    pub const fn new(count: u64) -> Self {
        Self(count)
    }

    /// The number as it is published.
    #[must_use]
    pub const fn get(self) -> u64 {
        self.0
    }

    /// The epoch that the next disruption begins.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

impl fmt::Display for Epoch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// Our count of rounds of questions within an epoch: an answer says which question it answers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Round(u32);

impl Round {
    /// The round after this one.
    #[must_use]
    pub const fn next(self) -> Self {
        Self(self.0.saturating_add(1))
    }
}

//! What is known beside the text: the clock now, the clock's past, and how long credentials are valid.

use std::time::Duration;

use super::lifetime::Lifetime;
use crate::decision::{Offset, Realtime};

/// The clock, measured now.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Now {
    /// Reference minus local.
    pub offset: Offset,
    /// How far the offset may be from the truth.
    pub root_distance: Duration,
    /// How many references agree on it; none where the agent's page says it.
    pub supporters: Option<usize>,
}

impl Now {
    /// Whether the clock is known to be wrong, and not only not known to be right.
    pub(super) fn is_wrong(&self) -> bool {
        self.offset.abs() > self.root_distance
    }
}

/// The clock at a moment of its past.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Then {
    /// How far off it was; zero where it is known to have been right.
    pub offset: Offset,
    /// Since when; none where that is not known, and with it whether it was so at that moment.
    pub since: Option<Realtime>,
    /// Until when.
    pub until: Option<Realtime>,
    /// Who ended it.
    pub by: Option<String>,
}

/// A moment of the past.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PastMoment {
    /// In true time.
    True(Realtime),
    /// As this machine's clock said it, right or wrong.
    Local(Realtime),
}

/// All that is known beside the text.
#[derive(Clone, Debug, Default)]
pub struct World {
    /// What was measured; none where no reference was asked or none answered.
    pub now: Option<Now>,
    /// What this machine's clock says now.
    pub local: Option<Realtime>,
    /// Local time minus UTC, seconds.
    pub zone_secs: i64,
    /// From when until when tokens and credentials are valid.
    pub lifetimes: Vec<Lifetime>,
}

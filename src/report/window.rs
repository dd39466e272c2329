//! Which part of the history a report is of.

use super::{GateLane, GateSpan, OffsetSample, TimeSpan};
use crate::decision::{Boottime, Realtime};

/// From when to when; none of a side is all there is.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Window {
    /// From when.
    pub since: Option<Realtime>,
    /// Until when.
    pub until: Option<Realtime>,
    /// The agent that is alive, if there is one: what it recorded last holds until now.
    pub alive: Option<LivingAgent>,
}

/// An agent that is alive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LivingAgent {
    /// The boot, as records name it.
    pub boot: String,
    /// The time of now.
    pub now: Boottime,
}

impl Window {
    /// What of the time that the records are about is in the window; none where nothing is.
    #[must_use]
    pub(super) fn of(&self, all: TimeSpan) -> Option<TimeSpan> {
        all.within(TimeSpan { from: self.since.unwrap_or(all.from), until: self.until.unwrap_or(all.until) })
    }
}

/// Cuts a lane to a span, and joins what is alike.
pub(super) fn cut_lane(lane: impl IntoIterator<Item = GateSpan>, whole: TimeSpan) -> Vec<GateSpan> {
    let mut cut: Vec<GateSpan> = vec![];
    for one in lane {
        let Some(span) = one.span.within(whole) else { continue };
        match cut.last_mut() {
            Some(last) if last.lane == one.lane => last.span.until = span.until,
            // What took no time leaves no trace, unless it is what the gate is for.
            Some(_) | None if span.from == span.until && one.lane != GateLane::Shut => {}
            Some(_) | None => cut.push(GateSpan { span, lane: one.lane }),
        }
    }
    cut
}

/// Cuts what was measured to a span.
pub(super) fn cut_samples(samples: impl IntoIterator<Item = OffsetSample>, whole: TimeSpan) -> Vec<OffsetSample> {
    let inside = |sample: OffsetSample| {
        let span = TimeSpan { from: sample.since, until: sample.until }.within(whole)?;
        Some(OffsetSample { since: span.from, until: span.until, ..sample })
    };
    samples.into_iter().filter_map(inside).collect()
}

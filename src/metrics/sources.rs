//! What metrics are made of: the gate page as everybody reads it, and what the agent has counted.

use std::time::Duration;

use super::{MetricSample, MetricValue};
use crate::decision::{Boottime, Offset, Realtime};
use crate::page::{Gate, View};
use crate::transition::{KnownReference, Tally};

/// Where the numbers are taken from.
#[derive(Clone, Copy, Debug)]
pub struct MetricSources<'a> {
    /// The gate page, judged by the clocks of the reader.
    pub view: &'a View,
    /// What the agent has counted; none where only the page can be read.
    pub tally: Option<&'a Tally>,
    /// How many starts of containers are held; none where that was not counted.
    pub held: Option<u64>,
    /// How many starts were refused, by the name of what refuses them; none where that was not counted.
    pub refused: Option<&'a [(&'static str, u64)]>,
    /// The smallest tolerance of a container that runs; none where none has one.
    pub smallest_tolerance: Option<Duration>,
    /// The host's clock, for a scraper that compares it with its own at once; none in a text that may be read later.
    pub clock: Option<Realtime>,
}

impl<'a> MetricSources<'a> {
    /// The page alone.
    #[must_use]
    pub const fn of_the_page(view: &'a View) -> Self {
        Self { view, tally: None, held: None, refused: None, smallest_tolerance: None, clock: None }
    }
    /// Which of the names it is now: 1 for that, 0 for the others.
    pub(super) fn one_of<'n>(names: impl IntoIterator<Item = &'n str>, now: &str) -> Vec<MetricSample> {
        let sample = |name: &'n str| MetricSample { labels: vec![name.to_owned()], value: yes(name == now) };
        names.into_iter().map(sample).collect()
    }

    /// How old the last proof is.
    pub(super) fn proof_age(self) -> Vec<MetricSample> {
        let on_the_page = (self.view.gate == Gate::Proven).then_some(self.view.as_of);
        let asked = on_the_page.or_else(|| self.tally.and_then(|tally| tally.proven));
        optional(asked.map(|asked| nanos(self.view.now.since(asked).as_nanos())))
    }

    /// A number of the agent's own.
    pub(super) fn of_tally(self, number: impl Fn(&Tally, Boottime) -> Option<MetricValue>) -> Vec<MetricSample> {
        optional(self.tally.and_then(|tally| number(tally, self.view.now)))
    }

    /// A line for each reference that has something to say.
    pub(super) fn of_references(
        self,
        line: impl Fn(&str, &KnownReference) -> Option<MetricSample>,
    ) -> Vec<MetricSample> {
        let references = self.tally.into_iter().flat_map(|tally| &tally.references);
        references.filter_map(|(name, known)| line(name, known)).collect()
    }
}

/// A sample without labels.
pub(super) fn plain(value: MetricValue) -> Vec<MetricSample> {
    vec![MetricSample { labels: vec![], value }]
}

/// The same, where it is known.
pub(super) fn optional(value: Option<MetricValue>) -> Vec<MetricSample> {
    value.map(plain).unwrap_or_default()
}

pub(super) fn yes(is_so: bool) -> MetricValue {
    MetricValue::Count(u64::from(is_so))
}

pub(super) fn nanos(nanos: u128) -> MetricValue {
    MetricValue::Nanos(nanos.cast_signed())
}

pub(super) fn signed(offset: Offset) -> MetricValue {
    MetricValue::Nanos(offset.as_nanos().into())
}

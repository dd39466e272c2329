//! The report of what was folded: everything gets its date, and what is outside of the window goes.

use std::collections::BTreeMap;
use std::time::Duration;

use super::fold::{ChangedWhen, Fold, GateChange, RawSample};
use super::timeline::Timeline;
use super::window::{cut_lane, cut_samples};
use super::{ClockReport, Disruption, GateSpan, OffsetSample, Shares, TimeSpan, Window};
use crate::decision::{Boottime, Realtime, forward};
use crate::transition::EventKind;

impl Fold {
    /// The report of what is in the window.
    #[must_use]
    pub fn report(mut self, window: &Window) -> ClockReport {
        self.timeline.date();
        let skipped = self.skipped;
        let ends = self.whole(window);
        let Some((ends, whole)) = ends.and_then(|ends| Some((ends, window.of(ends)?))) else {
            return ClockReport { whole: ends, skipped, ..ClockReport::default() };
        };
        let timeline = std::mem::take(&mut self.timeline);
        let time = |index: u32| timeline.at(index).0;
        let is_inside = |index: u32| whole.has(time(index));

        let gate = cut_lane(lane(&self.gate, &timeline, ends), whole);
        let mut shares = Shares::default();
        gate.iter().for_each(|one| shares.add(one.lane, one.span.length()));
        let samples = cut_samples(self.samples.iter().map(|raw| sample(raw, &timeline, ends)), whole);
        let span =
            |(from, until): &(u32, Option<u32>)| TimeSpan { from: time(*from), until: until.map_or(ends.until, time) };
        let frozen = self.frozen.iter().filter_map(|one| span(one).within(whole)).collect();
        let (references, unlisted_references) = self.references.count(is_inside);

        let mut disruptions = std::mem::take(&mut self.disruptions);
        disruptions.iter_mut().for_each(|one| one.date(&timeline));
        disruptions.retain(|one| whole.has(one.time));
        ClockReport {
            span: Some(whole),
            whole: Some(ends),
            shares,
            gate,
            frozen,
            samples,
            worst: greatest(&disruptions, Disruption::size),
            longest: greatest(&disruptions, |one| one.shut),
            disruptions,
            names: std::mem::take(&mut self.names),
            references,
            unlisted_references,
            warnings: counted(self.warnings.iter().filter(|(index, _)| is_inside(*index))),
            records: timeline.count(whole),
            skipped,
            lost: self.lost.iter().filter(|(index, _)| is_inside(*index)).map(|(_, lost)| lost).sum(),
        }
    }

    /// From the first record to the last one, or to now where its agent is alive.
    fn whole(&self, window: &Window) -> Option<TimeSpan> {
        let (from, until) = self.timeline.ends()?;
        let now = window.alive.as_ref().zip(self.before.as_ref()).and_then(|(alive, last)| {
            let is_same = *alive.boot == *last.boot && !last.has_ended && alive.now >= last.at;
            is_same.then(|| until + forward(alive.now.since(last.at)))
        });
        Some(TimeSpan { from, until: now.unwrap_or(until) })
    }
}

impl Disruption {
    pub(super) fn date(&mut self, timeline: &Timeline) {
        let (time, by) = timeline.at(self.index);
        (self.time, self.by) = (time, Some(by));
        // The record before it is the last one before the sleep; `CLOCK_BOOTTIME` may have missed a part of it.
        let before = timeline.at(self.index.saturating_sub(1)).0;
        self.asleep = self.asleep.map(|_| TimeSpan { from: before, until: time }.length());
    }
}

/// The first of the greatest that is more than nothing.
fn greatest(disruptions: &[Disruption], by: impl Fn(&Disruption) -> Duration) -> Option<usize> {
    let all = disruptions.iter().map(by).enumerate().filter(|(_, size)| !size.is_zero());
    all.reduce(|most, one| if one.1 > most.1 { one } else { most }).map(|(number, _)| number)
}

fn lane(changes: &[GateChange], timeline: &Timeline, ends: TimeSpan) -> Vec<GateSpan> {
    let mut spans: Vec<GateSpan> = vec![];
    for change in changes {
        let earliest = spans.last().map_or(ends.from, |last| last.span.from);
        let from = changed(change, timeline).max(earliest);
        if let Some(last) = spans.last_mut() {
            last.span.until = from;
        }
        spans.push(GateSpan { span: TimeSpan { from, until: ends.until }, lane: change.lane });
    }
    spans
}

fn changed(change: &GateChange, timeline: &Timeline) -> Realtime {
    let (time, _) = timeline.at(change.index);
    match change.when {
        ChangedWhen::WithRecord => time,
        ChangedWhen::BootBegan(at) => time + -forward(at.since(Boottime::default())),
        ChangedWhen::PauseBegan(counted) => {
            (timeline.at(change.index.saturating_sub(1)).0 + forward(counted)).min(time)
        }
    }
}

fn sample(raw: &RawSample, timeline: &Timeline, ends: TimeSpan) -> OffsetSample {
    let time = |index| timeline.at(index).0;
    OffsetSample {
        time: time(raw.index),
        since: time(raw.since),
        until: raw.until.map_or(ends.until, time).max(time(raw.since)),
        measured: raw.measured,
    }
}

fn counted<'a>(warnings: impl Iterator<Item = &'a (u32, u8)>) -> Vec<(&'static str, u64)> {
    let mut counts = BTreeMap::new();
    let kinds = warnings.filter_map(|(_, kind)| EventKind::ALL.get(usize::from(*kind)));
    kinds.for_each(|kind| *counts.entry(kind.name()).or_default() += 1);
    counts.into_iter().collect()
}

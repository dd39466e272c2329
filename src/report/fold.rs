//! Records become what a report needs of them, one by one, in the order of their writing; dates come at the end.

use std::time::Duration;

use super::follows::{Before, Follows};
use super::meaning::{RESUME, SLEEP, cause, lane, warning};
use super::names::NamedContainers;
use super::references::ReferenceLog;
use super::timeline::Timeline;
use super::{AgentBefore, Disruption, Ending, GateLane, MeasuredOffset};
use crate::decision::Boottime;
use crate::history::{HistoryRecord, Stamp};
use crate::transition::EventKind;

/// A gate that was shut so long after its epoch began was not shut by what began it.
const AT_ONCE: Duration = Duration::from_secs(5);

/// What a report needs of the records so far.
#[derive(Clone, Debug, Default)]
pub struct Fold {
    pub(super) timeline: Timeline,
    pub(super) gate: Vec<GateChange>,
    pub(super) frozen: Vec<(u32, Option<u32>)>,
    pub(super) samples: Vec<RawSample>,
    pub(super) disruptions: Vec<Disruption>,
    pub(super) names: NamedContainers,
    pub(super) references: ReferenceLog,
    pub(super) warnings: Vec<(u32, u8)>,
    pub(super) lost: Vec<(u32, u64)>,
    pub(super) skipped: u64,
    pub(super) before: Option<Before>,
    pub(super) last: Option<LastBegun>,
}

/// A change of the gate.
#[derive(Clone, Copy, Debug)]
pub(super) struct GateChange {
    pub(super) index: u32,
    pub(super) when: ChangedWhen,
    pub(super) lane: GateLane,
}

/// When a change was that a record shows.
#[derive(Clone, Copy, Debug)]
pub(super) enum ChangedWhen {
    /// With the record.
    WithRecord,
    /// When its boot began, so long before it.
    BootBegan(Boottime),
    /// When the pause before it began, so long after the record before it.
    PauseBegan(Duration),
}

/// A measurement, by records.
#[derive(Clone, Copy, Debug)]
pub(super) struct RawSample {
    pub(super) index: u32,
    pub(super) since: u32,
    pub(super) until: Option<u32>,
    pub(super) measured: MeasuredOffset,
}

/// The last disruption so far that no start of an agent is.
#[derive(Clone, Debug)]
pub(super) struct LastBegun {
    pub(super) boot: Box<str>,
    pub(super) began: Boottime,
    /// When its first record was written.
    pub(super) at: Boottime,
    /// Which of the disruptions it is.
    pub(super) number: usize,
}

impl Fold {
    /// Takes a line of the history.
    pub fn add_line(&mut self, line: &str) {
        match HistoryRecord::parse(line) {
            Some(record) => self.add(&record),
            None => self.skipped += 1,
        }
    }

    fn add(&mut self, record: &HistoryRecord<'_>) {
        let cause = cause(&record.cause);
        let (gap, follows) = Follows::of(self.before.as_ref(), record, cause);
        let index = self.timeline.push(Stamp::of(record, gap));
        let is_new_epoch = match follows {
            Follows::Nothing | Follows::AnotherAgent | Follows::AnotherBoot => true,
            Follows::Closely | Follows::APause => {
                self.before.as_ref().is_none_or(|before| before.epoch != record.epoch)
            }
        };
        self.note_absence(index, record, follows);
        if is_new_epoch {
            self.begin(index, record, (cause, follows));
            self.note_last(record, cause);
        }
        let lane = lane(record);
        self.note_gate(index, record, lane);
        self.note_frozen(index, record);
        self.note_offset(index, record, is_new_epoch);
        self.note_containers(record);
        self.references.add(index, record);
        if let Some(kind) = warning(&record.event) {
            self.warnings.push((index, kind));
            if let Some(disruption) = self.disruptions.last_mut() {
                disruption.warnings |= 1 << kind;
            }
        }
        self.lost.extend(record.lost.map(|lost| (index, lost)));
        if let Some(before) = &mut self.before {
            before.at = record.at();
            before.epoch = record.epoch;
            before.epoch_began = record.epoch_began();
            before.cause = cause;
            before.has_ended = record.event == EventKind::Ended.name();
            if *before.boot != *record.boot {
                before.boot = (*record.boot).into();
            }
        }
    }

    /// Where the agent was not there, or the machine was not.
    fn note_absence(&mut self, index: u32, record: &HistoryRecord<'_>, follows: Follows) {
        let last = index.saturating_sub(1);
        match follows {
            Follows::Nothing | Follows::Closely => return,
            Follows::APause => {
                let counted = self.before.as_ref().map_or(Duration::ZERO, |before| record.at().since(before.at));
                self.change(index, ChangedWhen::PauseBegan(counted), GateLane::Paused);
            }
            Follows::AnotherAgent => self.change(last, ChangedWhen::WithRecord, GateLane::NoAgent),
            Follows::AnotherBoot => {
                self.change(last, ChangedWhen::WithRecord, GateLane::Off);
                self.change(index, ChangedWhen::BootBegan(record.at()), GateLane::NoAgent);
            }
        }
        self.end_sample(last);
        if follows != Follows::APause {
            self.end_frozen(last);
            self.close(Ending::AgentGone);
        }
    }

    /// An epoch begins.
    fn begin(&mut self, index: u32, record: &HistoryRecord<'_>, (cause, follows): (u32, Follows)) {
        let at = record.at();
        self.end_sample(index);
        if let Some(before) = &mut self.before
            && follows == Follows::Closely
            && before.cause == SLEEP
            && (cause == SLEEP || cause == RESUME)
            && before.is_open
            && let Some(sleep) = self.disruptions.last_mut()
        {
            // Logind and a hook announce it; a sleep and the waking up from it are one disruption: it is the waking up that the clock is
            // wrong at.
            (sleep.index, sleep.epoch, sleep.cause) = (index, record.epoch, cause);
            if cause == RESUME {
                sleep.shut += before.shut_since.map_or(Duration::ZERO, |since| before.at.since(since));
                sleep.asleep = Some(at.since(before.at));
                before.shut_since = Some(at);
                self.change(index.saturating_sub(1), ChangedWhen::WithRecord, GateLane::Asleep);
            }
            return;
        }
        if follows == Follows::Closely && self.is_repeated_by(record) {
            return;
        }
        self.add_shut_until(at);
        self.close(Ending::Overtaken);
        let began = record.epoch_began().unwrap_or(at);
        // What began before the history does is not in it: of a disruption that lost its first records too little is known.
        let is_first_of_it = record.event == EventKind::GateShut.name() && at.since(began) < AT_ONCE;
        let is_whole = follows != Follows::Nothing || is_first_of_it;
        let had_ended = self.before.as_ref().is_some_and(|before| before.has_ended);
        let lane = self.before.as_ref().map_or(GateLane::NoAgent, |before| before.lane);
        if is_whole {
            let before = match follows {
                Follows::AnotherBoot => AgentBefore::OtherBoot,
                Follows::AnotherAgent if had_ended => AgentBefore::Ended,
                Follows::AnotherAgent => AgentBefore::Killed,
                Follows::Nothing | Follows::Closely | Follows::APause => AgentBefore::None,
            };
            self.disruptions.push(Disruption { epoch: record.epoch, cause, before, index, ..Disruption::default() });
        }
        self.before = Some(Before {
            boot: (*record.boot).into(),
            at,
            has_ended: false,
            epoch: record.epoch,
            epoch_began: record.epoch_began(),
            cause,
            lane,
            is_open: is_whole,
            shut_since: None,
            unproven_since: None,
        });
    }

    /// Whether an epoch began by a later sign of the last disruption, which goes on then, though it was proven meanwhile.
    fn is_repeated_by(&mut self, record: &HistoryRecord<'_>) -> bool {
        let (Some(first), Some(before), Some(last)) =
            (record.repeats_epoch, &mut self.before, self.disruptions.last_mut())
        else {
            return false;
        };
        let is_same = last.epoch == before.epoch && last.epoch >= first;
        if is_same {
            (last.epoch, last.ending) = (record.epoch, Ending::StillShut);
            (before.is_open, before.unproven_since) = (true, None);
        }
        is_same
    }

    /// The epoch that another one follows.
    fn close(&mut self, ending: Ending) {
        let Some(before) = self.before.as_mut().filter(|before| before.is_open) else { return };
        before.is_open = false;
        if let Some(last) = self.disruptions.last_mut()
            && last.ending == Ending::StillShut
        {
            last.ending = ending;
        }
    }

    fn add_shut_until(&mut self, at: Boottime) {
        let since = self.before.as_mut().and_then(|before| before.shut_since.take());
        let is_open = self.before.as_ref().is_some_and(|before| before.is_open);
        if let (Some(since), Some(last), true) = (since, self.disruptions.last_mut(), is_open) {
            last.shut += at.since(since);
        }
    }

    fn note_gate(&mut self, index: u32, record: &HistoryRecord<'_>, lane: GateLane) {
        let at = record.at();
        if self.gate.last().is_none_or(|last| last.lane != lane) {
            self.change(index, ChangedWhen::WithRecord, lane);
        }
        if lane != GateLane::Shut {
            self.add_shut_until(at);
        }
        let Some(before) = &mut self.before else { return };
        before.lane = lane;
        if lane == GateLane::Shut {
            before.shut_since = before.shut_since.or(Some(at));
        }
        let Some(last) = self.disruptions.last_mut().filter(|_| before.is_open) else { return };
        match (lane, last.ending) {
            (GateLane::Proven, Ending::Unproven) => {
                let since = before.unproven_since.unwrap_or(at);
                last.ending = Ending::ProvenLater(at.since(since));
                before.is_open = false;
            }
            (GateLane::Proven, _) => {
                last.ending = Ending::Proven;
                before.is_open = false;
            }
            (GateLane::Unproven, Ending::StillShut) => {
                last.ending = Ending::Unproven;
                before.unproven_since = Some(at);
            }
            (GateLane::Shut, Ending::Unproven) => last.ending = Ending::StillShut,
            (
                GateLane::Unproven
                | GateLane::Shut
                | GateLane::Asleep
                | GateLane::NoAgent
                | GateLane::Off
                | GateLane::Paused,
                _,
            ) => {}
        }
    }

    fn note_frozen(&mut self, index: u32, record: &HistoryRecord<'_>) {
        let is_kind = |kind: EventKind| record.event == kind.name();
        if is_kind(EventKind::Thawed) || is_kind(EventKind::Ended) {
            self.end_frozen(index);
        } else if (is_kind(EventKind::Frozen) || is_kind(EventKind::FrozenInPart))
            && record.frozen.is_some_and(|count| count > 0)
            && self.frozen.last().is_none_or(|(_, end)| end.is_some())
        {
            self.frozen.push((index, None));
        }
    }

    fn note_offset(&mut self, index: u32, record: &HistoryRecord<'_>, is_new_epoch: bool) {
        if record.event == EventKind::Stepped.name() || record.event == EventKind::Ended.name() {
            self.end_sample(index);
        }
        let is_open = self.before.as_ref().is_some_and(|before| before.is_open);
        let is_first_proof = !is_open && record.gate == "open" && record.event == EventKind::GateOpen.name();
        let disruption = self.disruptions.last_mut().filter(|_| is_open || is_first_proof);
        let mut since = index;
        let measured = record.measured().map(|offset| {
            let bound = Duration::from_nanos(record.bound_ns.unwrap_or(0));
            MeasuredOffset { offset, root_distance: bound.saturating_sub(offset.abs()) }
        });
        if let Some(disruption) = disruption {
            // What was found wrong has been so since then; a gate that was open meanwhile shows that nothing was known.
            let is_known = matches!(disruption.ending, Ending::StillShut | Ending::Proven);
            if disruption.measured.is_none() && !is_new_epoch && is_known {
                since = disruption.index;
            }
            let stepped = record.stepped();
            disruption.stepped = stepped.or(disruption.stepped);
            if measured
                .is_some_and(|measured| disruption.measured.is_none() || measured.offset.abs() > disruption.size())
            {
                disruption.measured = measured;
            }
            // Where the record of the measurement is lost, the step still shows what was found.
            if let Some(stepped) = stepped.filter(|stepped| stepped.abs() > disruption.size()) {
                let root_distance = disruption.measured.map_or(Duration::ZERO, |measured| measured.root_distance);
                disruption.measured = Some(MeasuredOffset { offset: stepped, root_distance });
            }
        }
        let Some(measured) = measured else { return };
        // A step voids it, and the record of the step repeats it.
        let is_stepped = record.event == EventKind::Stepped.name();
        if !is_stepped && self.samples.last().is_none_or(|last| last.until.is_some() || last.measured != measured) {
            let is_repeated = self.samples.last().is_some_and(|last| last.measured == measured && last.since >= since);
            if !is_repeated {
                self.end_sample(index);
                self.samples.push(RawSample { index, since, until: None, measured });
            }
        }
    }

    fn note_containers(&mut self, record: &HistoryRecord<'_>) {
        let Some(disruption) = self.disruptions.last_mut().filter(|last| last.epoch == record.epoch) else { return };
        let count = |count: Option<u64>| count.map(|count| u32::try_from(count).unwrap_or(u32::MAX));
        if let Some(frozen) = count(record.frozen)
            && disruption.frozen.is_none_or(|(most, _)| frozen >= most)
        {
            disruption.frozen = Some((frozen, count(record.frozen_of).unwrap_or(frozen).max(frozen)));
        }
        disruption.held = disruption.held.max(count(record.held).unwrap_or(0));
        disruption.released = disruption.released.max(count(record.released).unwrap_or(0));
        let lists = [&record.frozen_containers, &record.held_containers, &record.released_containers];
        if lists.iter().all(|list| list.is_empty()) {
            return;
        }
        let named = disruption.named.get_or_insert_default();
        let Self { names, .. } = self;
        names.add(&record.frozen_containers, &mut named.frozen);
        names.add(&record.held_containers, &mut named.held);
        names.add(&record.released_containers, &mut named.released);
    }

    fn change(&mut self, index: u32, when: ChangedWhen, lane: GateLane) {
        self.gate.push(GateChange { index, when, lane });
    }

    fn end_sample(&mut self, index: u32) {
        if let Some(last) = self.samples.last_mut()
            && last.until.is_none()
        {
            last.until = Some(index);
        }
    }

    fn end_frozen(&mut self, index: u32) {
        if let Some((_, end)) = self.frozen.last_mut()
            && end.is_none()
        {
            *end = Some(index);
        }
    }
}

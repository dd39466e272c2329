//! How a record follows the one before it.

use super::GateLane;
use super::meaning::STARTED;
use crate::decision::Boottime;
use crate::history::{Gap, HistoryRecord, Written};

/// The record before the next one.
#[derive(Clone, Debug)]
pub(super) struct Before {
    pub(super) boot: Box<str>,
    pub(super) at: Boottime,
    pub(super) has_ended: bool,
    pub(super) epoch: u64,
    pub(super) epoch_began: Option<Boottime>,
    pub(super) cause: u32,
    pub(super) lane: GateLane,
    /// Whether the last disruption is the epoch's, and has not been proven yet.
    pub(super) is_open: bool,
    pub(super) shut_since: Option<Boottime>,
    pub(super) unproven_since: Option<Boottime>,
}

/// How a record follows the one before it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Follows {
    /// Nothing came before it.
    Nothing,
    /// The agent was there all the time.
    Closely,
    /// The machine was paused or restored.
    APause,
    /// Another agent of this boot wrote it.
    AnotherAgent,
    /// An agent of another boot wrote it.
    AnotherBoot,
}

impl Follows {
    /// How this record, of an epoch with that cause, follows the one before; and what lies between their times.
    pub(super) fn of(before: Option<&Before>, record: &HistoryRecord<'_>, cause: u32) -> (Gap, Self) {
        let Some(before) = before else { return (Gap::Unknown, Self::Nothing) };
        let gap = Gap::between(&Written { boot: &before.boot, at: before.at, epoch: before.epoch }, record);
        if *before.boot != *record.boot {
            return (gap, Self::AnotherBoot);
        }
        let is_another_agents = before.has_ended || (cause == STARTED && record.epoch_began() != before.epoch_began);
        match gap {
            _ if is_another_agents => (gap, Self::AnotherAgent),
            Gap::Unknown => (gap, Self::APause),
            Gap::None | Gap::Sleep => (gap, Self::Closely),
        }
    }
}

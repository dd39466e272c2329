//! Telling a new sample of chronyd's from an old one.

use std::time::Duration;

use super::protocol::{ChronyClient, ChronyError, SourceAddress, SourceData, SourceMode};
use crate::decision::{Boottime, nanos_u64};
use crate::sys::clock::boottime;

/// The last sample of the source that chronyd follows, to tell a new sample from an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastSample {
    source: SourceAddress,
    /// Its good packets; reference clocks have none.
    valid: u32,
    /// When its newest sample was taken, at the earliest.
    newest: Boottime,
    /// When we asked.
    as_of: Boottime,
}

impl LastSample {
    /// Whether a sample came after `before` was taken.
    pub fn is_newer(&self, before: &Self) -> bool {
        (self.source == before.source && self.valid > before.valid) || self.newest > before.as_of
    }
}

/// The last sample of the source that it follows now; none while it follows none.
///
/// # Errors
/// [`ChronyError`].
pub fn last_sample(client: &mut ChronyClient) -> Result<Option<LastSample>, ChronyError> {
    let as_of = boottime();
    let Some(source) = client.sources()?.into_iter().find(|source| source.selected) else { return Ok(None) };
    let newest = sampled(&source, as_of);
    let valid = match source.mode {
        SourceMode::RefClock => 0,
        SourceMode::Client | SourceMode::Peer => client.ntp_data(source.address)?.valid,
    };
    Ok(Some(LastSample { source: source.address, valid, newest, as_of }))
}

/// When its newest sample was taken, at the earliest, as chronyd says at `as_of`.
pub fn sampled(source: &SourceData, as_of: Boottime) -> Boottime {
    // Whole seconds, rounded: the sample may be up to one older.
    let age = source.since_sample_secs.map_or(Duration::MAX, |secs| Duration::from_secs(u64::from(secs) + 1));
    Boottime::from_nanos(as_of.as_nanos().saturating_sub(nanos_u64(age)))
}

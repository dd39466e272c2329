//! Telling a new sample of chronyd's from an old one.

use std::time::Duration;

use super::protocol::{Address, Client, Error, Mode, SourceData};
use crate::decision::{Boottime, nanos_u64};
use crate::sys::clock::boottime;

/// What the source that chronyd follows has been heard saying, to tell a new sample from an old one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Heard {
    source: Address,
    /// Its good packets; reference clocks have none.
    valid: u32,
    /// When its newest sample was taken, at the earliest.
    newest: Boottime,
    /// When we asked.
    as_of: Boottime,
}

impl Heard {
    /// Whether a sample came after `before` was taken.
    pub fn is_newer(&self, before: &Self) -> bool {
        (self.source == before.source && self.valid > before.valid) || self.newest > before.as_of
    }
}

/// What the source that it follows now has been heard saying; none while it follows none.
///
/// # Errors
/// [`Error`].
pub fn heard(client: &mut Client) -> Result<Option<Heard>, Error> {
    let as_of = boottime();
    let Some(source) = client.sources()?.into_iter().find(|source| source.selected) else { return Ok(None) };
    let newest = sampled(&source, as_of);
    let valid = match source.mode {
        Mode::RefClock => 0,
        Mode::Client | Mode::Peer => client.ntp_data(source.address)?.valid,
    };
    Ok(Some(Heard { source: source.address, valid, newest, as_of }))
}

/// When its newest sample was taken, at the earliest, as chronyd says at `as_of`.
pub fn sampled(source: &SourceData, as_of: Boottime) -> Boottime {
    // Whole seconds, rounded: the sample may be up to one older.
    let age = source.since_sample_secs.map_or(Duration::MAX, |secs| Duration::from_secs(u64::from(secs) + 1));
    Boottime::from_nanos(as_of.as_nanos().saturating_sub(nanos_u64(age)))
}

//! What a running daemon reports when it is asked: its servers, which of them are authenticated, and its estimate of the clock.

use std::time::Duration;

use crate::decision::{Authority, Boottime, Leap, Offset, Reading, Realtime, ReferenceKind, Voice};
use crate::reference::Server;

/// The report of a daemon.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonReport {
    /// The NTP servers that it asks.
    pub servers: Vec<Server>,
    /// How many other sources it has: reference clocks.
    pub others: usize,
    /// How many of all these are not authenticated.
    pub plain: usize,
    /// The authenticated ones, by name.
    pub authenticated: Vec<String>,
    /// What it makes of the clock; none while it is not synchronised, or does not say.
    pub claim: Option<Claim>,
}

/// What a daemon makes of the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Claim {
    /// What it means to correct, reference minus local.
    pub offset: Offset,
    /// Root distance when it was last updated.
    pub root_distance: Duration,
    /// The leap second warning.
    pub leap: Leap,
    /// Its stratum.
    pub stratum: Option<u8>,
    /// When it last set or slewed the clock, by the clock; none where it does not say.
    pub updated: Option<Realtime>,
}

impl DaemonReport {
    /// Its authenticated sources, where it goes by no others: then plain answers are a downgrade. One that goes by both alike takes
    /// them for no better itself.
    pub fn authority(&self) -> Option<Authority> {
        authority(self.plain, &self.authenticated)
    }

    /// Whether it has no source at all, as just after its start.
    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.others == 0
    }

    /// Whether it reports that it has set or slewed the clock at `since` or later: otherwise its report proves nothing.
    pub fn has_updated_since(&self, since: Realtime) -> bool {
        self.claim.as_ref().and_then(|claim| claim.updated).is_some_and(|updated| updated >= since)
    }

    /// What it makes of the clock, unless that is known to rest on something older than `since`.
    pub fn claim_since(&self, since: Realtime) -> Option<&Claim> {
        self.claim.as_ref().filter(|claim| claim.updated.is_none_or(|updated| updated >= since))
    }

    /// Its claim as a reading of `name`, at a moment when the clock said `local`.
    pub fn reading(&self, name: &str, as_of: Boottime, local: Realtime) -> Option<Reading> {
        let claim = self.claim.as_ref()?;
        let age = claim.updated.map_or(0, |updated| (local - updated).as_nanos().max(0).unsigned_abs());
        Some(Reading {
            source: name.to_owned(),
            voice: Voice::server(name),
            kind: ReferenceKind::Daemon,
            as_of: Boottime::from_nanos(as_of.as_nanos().saturating_sub(age)),
            local: local + Offset::from_nanos(i64::try_from(age).map_or(i64::MIN, |age| -age)),
            offset: claim.offset,
            root_distance: claim.root_distance,
            authenticated: self.authority().is_some(),
            leap: claim.leap,
            stratum: claim.stratum,
            delay: None,
            upstream: None,
        })
    }
}

/// The authenticated sources, where there is no plain one beside them.
pub fn authority(plain: usize, authenticated: &[String]) -> Option<Authority> {
    let alone = plain == 0 && !authenticated.is_empty();
    alone.then(|| Authority { sources: authenticated.to_vec(), ..Authority::default() })
}

/// Seconds as a daemon writes them; none where they are not a number of seconds within a century.
pub fn offset(secs: f64) -> Option<Offset> {
    let is_sane = secs.is_finite() && secs.abs() < 3.2e9;
    // Whole nanoseconds below 2^63.
    is_sane.then(|| Offset::from_nanos((secs * 1e9).round() as i64))
}

/// A length in seconds as a daemon writes it; none where it is negative or no number.
pub fn length(secs: f64) -> Option<Duration> {
    Duration::try_from_secs_f64(secs).ok()
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// Servers, a line each.
    pub fn described(servers: &[Server]) -> Vec<String> {
        let of = |s: &Server| {
            let at: Vec<String> = s.addresses.iter().map(ToString::to_string).collect();
            format!("{} {} {}", s.name, if s.is_pool { "pool" } else { "server" }, at.join(","))
        };
        servers.iter().map(of).collect()
    }

    fn claim(updated: i64) -> Claim {
        let updated = Some(Realtime::from_secs(updated));
        let (offset, root_distance) = (Offset::from_nanos(2_000_000), Duration::from_millis(9));
        Claim { offset, root_distance, leap: Leap::None, stratum: Some(2), updated }
    }

    #[test]
    fn only_who_goes_by_authenticated_sources_alone_outranks_plain_answers() {
        let names = vec!["nts.example".to_owned()];
        let reported = |plain| DaemonReport { plain, authenticated: names.clone(), ..DaemonReport::default() };
        assert_eq!(reported(0).authority().map(|authority| authority.sources), Some(names.clone()));
        assert_eq!(reported(1).authority(), None, "it takes both alike");
        assert_eq!(DaemonReport::default().authority(), None);
    }

    #[test]
    fn a_claim_is_as_old_as_what_it_rests_on() {
        let reported = DaemonReport { claim: Some(claim(1_000)), ..DaemonReport::default() };
        assert!(reported.claim_since(Realtime::from_secs(1_000)).is_some());
        assert!(reported.claim_since(Realtime::from_secs(1_001)).is_none());
        let undated = DaemonReport { claim: Some(Claim { updated: None, ..claim(1_000) }), ..DaemonReport::default() };
        assert!(undated.claim_since(Realtime::from_secs(1_001)).is_some(), "it is asked whether it agrees");
        assert!(
            reported.has_updated_since(Realtime::from_secs(1_000))
                && !undated.has_updated_since(Realtime::from_secs(0))
        );
        let reading =
            reported.reading("ntpd", Boottime::from_nanos(90_000_000_000), Realtime::from_secs(1_030)).unwrap();
        assert_eq!((reading.as_of, reading.local), (Boottime::from_nanos(60_000_000_000), Realtime::from_secs(1_000)));
        assert_eq!(reading.offset, Offset::from_nanos(2_000_000));
    }

    #[test]
    fn what_is_no_number_of_seconds_is_nothing() {
        assert_eq!(offset(-0.25), Some(Offset::from_nanos(-250_000_000)));
        assert_eq!(length(0.5), Some(Duration::from_millis(500)));
        for rubbish in [f64::NAN, f64::INFINITY, 1e300] {
            assert_eq!((offset(rubbish), length(rubbish)), (None, None));
        }
        assert_eq!(length(-1.0), None);
    }
}

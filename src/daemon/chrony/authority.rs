//! Whether plain answers count beside the daemon's authenticated sources: by chronyd's own mode, as it takes effect.
//!
//! chronyd does not report its `authselectmode`, but what that adds to the options of its sources (`update_sel_options` in its
//! sources.c): `mix` makes authenticated ones trusted and required as soon as there is a plain one, `prefer` and `require` take
//! the plain ones out, `ignore` changes nothing. Reachability does not enter into it: an authenticated source that has been
//! silent for days outranks plain ones all the same.

use std::time::Duration;

use super::protocol::{AuthMode, ChronyClient, ChronyError, SelectData, SourceAddress};
use crate::decision::{Boottime, nanos_u64};
use crate::sys::clock::boottime;

/// What chronyd says of authentication.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AuthorityStatus {
    /// The authenticated sources that outrank plain ones, by name; none where plain ones count.
    pub outranking: Option<Vec<String>>,
    /// Whether chronyd selects nothing unless an authenticated source agrees.
    pub authenticates: bool,
    /// When one of them has answered last, at the earliest; none where that is unknown.
    pub last_answer: Option<Boottime>,
    /// Whether one of them is reachable.
    pub is_reached: bool,
}

/// Asks chronyd, over a connection that is open.
///
/// # Errors
/// [`ChronyError`]; `Invalid` before 4.0, where keys are all there is and it does not report their use.
pub fn read(client: &mut ChronyClient) -> Result<AuthorityStatus, ChronyError> {
    let selected = client.select_data()?;
    let Some(rank) = rank(&selected) else { return Ok(AuthorityStatus::default()) };
    let mut said = AuthorityStatus { authenticates: rank.authenticates, ..AuthorityStatus::default() };
    let as_of = boottime();
    for source in client.sources()?.iter().filter(|s| rank.sources.contains(&s.address)) {
        said.is_reached |= source.reach != 0;
        said.last_answer = said.last_answer.max(source.since_sample_secs.map(|secs| before(as_of, secs)));
    }
    let names = rank.sources.iter().map(|&address| client.name(address).or_else(|_| Ok(in_words(address))));
    said.outranking = Some(names.collect::<Result<_, ChronyError>>()?);
    Ok(said)
}

/// Whether what chronyd says is authenticated, whichever source it follows.
///
/// # Errors
/// [`ChronyError`].
pub fn authenticates(client: &mut ChronyClient) -> Result<bool, ChronyError> {
    Ok(ranked(client)?.is_some_and(|rank| rank.authenticates))
}

/// The addresses of the authenticated sources that outrank the others; none where all count.
///
/// # Errors
/// [`ChronyError`].
pub fn outranking(client: &mut ChronyClient) -> Result<Option<Vec<SourceAddress>>, ChronyError> {
    Ok(ranked(client)?.map(|rank| rank.sources))
}

/// The sources by NTS that can ask nothing, for they have no keys, by name.
///
/// # Errors
/// [`ChronyError`].
pub fn without_keys(client: &mut ChronyClient) -> Result<Vec<String>, ChronyError> {
    let mut names = vec![];
    for source in client.sources()?.iter().filter(|source| source.reach == 0) {
        if matches!(client.authentication(source), Ok(AuthMode::Nts { cookies: 0 })) {
            names.push(client.name(source.address)?);
        }
    }
    Ok(names)
}

/// A chronyd that is too old to report it ranks no source.
fn ranked(client: &mut ChronyClient) -> Result<Option<Rank>, ChronyError> {
    match client.select_data() {
        Ok(selected) => Ok(rank(&selected)),
        Err(error) if error.is_too_old() => Ok(None),
        Err(error) => Err(error),
    }
}

#[derive(Debug, PartialEq, Eq)]
struct Rank {
    sources: Vec<SourceAddress>,
    authenticates: bool,
}

/// Who outranks whom; none where every source counts alike.
fn rank(selected: &[SelectData]) -> Option<Rank> {
    // A reference clock has no address, and no authentication.
    let configured = || selected.iter().filter(|s| s.address != SourceAddress::Unspecified && !s.configured.noselect);
    let keyed: Vec<&SelectData> = configured().filter(|s| s.is_authenticated).collect();
    let mut plain = configured().filter(|s| !s.is_authenticated).peekable();
    let has_plain = plain.peek().is_some();
    let plain_is_out = plain.all(|s| s.effective.noselect);
    // `require` without an authenticated source: chronyd selects nothing, and plain answers are not to either.
    let authenticates = (plain_is_out && (has_plain || !keyed.is_empty())) || keyed.iter().any(|s| s.effective.require);
    // Trusted by its own line of the configuration: plain ones are outvoted while it is reachable.
    let outranks = authenticates || keyed.iter().any(|s| s.effective.trust);
    outranks.then(|| Rank { sources: keyed.iter().map(|s| s.address).collect(), authenticates })
}

/// Whole seconds, rounded: the sample may be up to one older.
fn before(now: Boottime, secs: u32) -> Boottime {
    let age = Duration::from_secs(u64::from(secs) + 1);
    Boottime::from_nanos(now.as_nanos().saturating_sub(nanos_u64(age)))
}

fn in_words(address: SourceAddress) -> String {
    match address {
        SourceAddress::Ip(ip) => ip.to_string(),
        SourceAddress::Unresolved(id) => format!("unresolved source {id}"),
        SourceAddress::Unspecified => "a source without an address".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::daemon::chrony::protocol::SelectOptions;

    const NONE: SelectOptions = SelectOptions { noselect: false, trust: false, require: false };
    const NOSELECT: SelectOptions = SelectOptions { noselect: true, ..NONE };
    const TRUSTED: SelectOptions = SelectOptions { trust: true, require: true, ..NONE };

    fn source(last: u8, is_authenticated: bool, configured: SelectOptions, effective: SelectOptions) -> SelectData {
        SelectData { address: SourceAddress::Ip([192, 0, 2, last].into()), is_authenticated, configured, effective }
    }

    fn outranks(selected: &[SelectData]) -> (bool, bool) {
        rank(selected).map_or((false, false), |rank| (true, rank.authenticates))
    }

    #[test]
    fn each_mode_is_recognised_by_what_it_adds_to_the_options() {
        let keyed = |effective| source(1, true, NONE, effective);
        let plain = |effective| source(2, false, NONE, effective);
        assert_eq!(outranks(&[keyed(TRUSTED), plain(NONE)]), (true, true), "mix");
        assert_eq!(outranks(&[keyed(NONE), plain(NOSELECT)]), (true, true), "prefer, require");
        assert_eq!(outranks(&[keyed(NONE), plain(NONE)]), (false, false), "ignore");
        assert_eq!(outranks(&[keyed(NONE)]), (true, true), "none but authenticated ones: the mode is unknown");
        assert_eq!(outranks(&[plain(NOSELECT)]), (true, true), "require, with no key");
        assert_eq!(outranks(&[plain(NONE)]), (false, false));
        assert_eq!(outranks(&[]), (false, false));
    }

    #[test]
    fn a_source_that_is_never_selected_outranks_none_and_is_outranked_by_none() {
        let unused = source(1, true, NOSELECT, NOSELECT);
        assert_eq!(outranks(&[unused, source(2, false, NONE, NONE)]), (false, false));
        let watched = source(2, false, NOSELECT, NOSELECT);
        assert_eq!(outranks(&[watched]), (false, false));
        assert_eq!(outranks(&[source(1, true, NONE, NONE), watched]), (true, true));
    }

    #[test]
    fn a_source_trusted_by_its_own_line_outranks_and_does_not_authenticate_what_is_selected_without_it() {
        let trusted = SelectOptions { trust: true, ..NONE };
        let ignored = [source(1, true, trusted, trusted), source(2, false, NONE, NONE)];
        assert_eq!(outranks(&ignored), (true, false));
    }

    #[test]
    fn a_reference_clock_is_neither() {
        let clock = SelectData { address: SourceAddress::Unspecified, ..source(0, false, NONE, TRUSTED) };
        assert_eq!(outranks(&[clock]), (false, false));
    }
}

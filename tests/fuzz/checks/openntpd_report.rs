//! What `ntpctl -s all` prints: no more servers than lines, and nothing is made of the clock by one that is not synced.

use std::time::Duration;

use clockgate::daemon::openntpd::reported;

use super::server_lines::assert_named;

/// What no clock that is corrected is off by: a century.
const FARTHEST: Duration = Duration::from_secs(3_200_000_000);

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    let Some(report) = reported(text) else { return assert!(!text.starts_with("1/1 peers valid, clock synced, ")) };
    let lines = text.lines().count();
    assert!(report.plain + report.others < lines && report.authenticated.is_empty() && report.authority().is_none());
    let addresses: usize = report.servers.iter().map(|server| server.addresses.len()).sum();
    assert!(report.servers.len() <= report.plain && addresses <= report.plain);
    assert_named(&report.servers);
    if let Some(claim) = &report.claim {
        assert!(claim.offset.abs() <= FARTHEST, "off by {}", claim.offset);
        assert_eq!(claim.updated, None, "it does not say when");
    }
    assert_eq!(reported(&format!("\n{text}\n\n")).as_ref(), Some(&report), "with empty lines around it");
    // A name may have these words too.
    let (status, peers) = text.split_once('\n').unwrap_or((text, ""));
    if !status.trim().is_empty() {
        let unsynced = reported(&format!("{}\n{peers}", status.replace("clock synced", "clock unsynced")));
        assert!(unsynced.is_some_and(|unsynced| unsynced.claim.is_none() && unsynced.servers == report.servers));
    }
}

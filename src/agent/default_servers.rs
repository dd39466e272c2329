//! Which servers to ask where the configuration names none: the daemon's list, which is kept while the daemon cannot report it.

use std::mem;
use std::path::Path;
use std::time::Duration;

use tracing::{info, warn};

use crate::daemon::DaemonSources;
use crate::decision::Boottime;
use crate::reference::Server;
use crate::reference::ntp::default_servers::{self as defaults, ServersOrigin};

/// How long a daemon without servers of its own may take to restart.
const RESTARTS_WITHIN: Duration = Duration::from_secs(30);

/// What was last found.
#[derive(Debug, Default)]
pub struct DefaultServers {
    last: Option<Found>,
    /// When we last looked, the daemon could not be asked.
    is_doubted: bool,
    /// Whether that is in the log.
    is_warned: bool,
    /// Since when no daemon has a source.
    absent_since: Option<Boottime>,
}

#[derive(Debug, PartialEq, Eq)]
struct Found {
    origin: ServersOrigin,
    names: Vec<String>,
    daemon: Option<String>,
    /// Whether the daemon reported them itself.
    is_reported: bool,
}

impl DefaultServers {
    /// The servers to ask, now that the daemon reports these; none where they stay the same. Logs what changed. `root` is where `/sys` is.
    #[must_use]
    pub fn update(&mut self, root: &Path, reported: DaemonSources, now: Boottime) -> Option<Vec<Server>> {
        let is_doubted_again = mem::replace(&mut self.is_doubted, reported.remark.is_some()) && self.is_doubted;
        self.absent_since = reported.is_empty().then(|| self.absent_since.unwrap_or(now));
        match &reported.remark {
            // Once is a daemon that starts.
            Some(remark) if is_doubted_again && !self.is_warned => {
                self.is_warned = true;
                warn!("{remark}");
            }
            Some(_) => {}
            None => self.is_warned = false,
        }
        if self.is_kept(&reported, is_doubted_again, now) {
            return None;
        }
        let DaemonSources { daemon, servers, others, remark } = reported;
        let (servers, origin) = defaults::servers(root, servers, others);
        let found = Found { origin, names: names(&servers), daemon, is_reported: remark.is_none() };
        if self.last.as_ref() != Some(&found) {
            let (daemon, servers) = (found.daemon.as_deref().unwrap_or("none"), found.names.join(" "));
            info!(%origin, daemon, servers, "no servers are configured; asking these");
            self.last = Some(found);
        }
        Some(servers)
    }

    /// A daemon that restarts, or does not answer just now, had a list that an operator chose: no other list replaces it. Where
    /// it cannot be asked twice in a row, what is known otherwise counts.
    fn is_kept(&self, reported: &DaemonSources, is_doubted_again: bool, now: Boottime) -> bool {
        let Some(last) = self.last.as_ref().filter(|last| last.is_reported) else { return false };
        let is_first_doubt = self.is_doubted && !is_doubted_again;
        match last.origin {
            ServersOrigin::Daemon => reported.is_empty() || is_first_doubt,
            ServersOrigin::DaemonAlone => {
                is_first_doubt || self.absent_since.is_some_and(|since| now.since(since) < RESTARTS_WITHIN)
            }
            ServersOrigin::Cloud(_) | ServersOrigin::Pool => false,
        }
    }
}

/// The servers' names, as they can be configured.
pub fn names(servers: &[Server]) -> Vec<String> {
    servers.iter().map(|server| server.name.to_string()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::reference::ServerName;

    const ROOT: &str = "/nonexistent";

    fn reported(servers: &[&str], others: usize) -> DaemonSources {
        let servers = servers.iter().map(|name| Server::from(name.parse::<ServerName>().unwrap())).collect();
        DaemonSources { daemon: Some("chronyd".to_owned()), servers, others, remark: None }
    }

    fn doubted(servers: &[&str]) -> DaemonSources {
        DaemonSources { remark: Some("it hangs".to_owned()), ..reported(servers, 0) }
    }

    fn updated(defaults: &mut DefaultServers, reported: DaemonSources) -> Option<Vec<String>> {
        updated_at(defaults, reported, 100)
    }

    fn updated_at(defaults: &mut DefaultServers, reported: DaemonSources, secs: u64) -> Option<Vec<String>> {
        let now = Boottime::from_nanos(secs * 1_000_000_000);
        defaults.update(Path::new(ROOT), reported, now).map(|servers| names(&servers))
    }

    fn list(names: &[&str]) -> Option<Vec<String>> {
        Some(names.iter().map(|name| (*name).to_owned()).collect())
    }

    #[test]
    fn a_daemon_that_comes_later_or_changes_its_list_is_followed() {
        let mut defaults = DefaultServers::default();
        assert_eq!(updated(&mut defaults, DaemonSources::default()).map(|pool| pool.len()), Some(4));
        assert_eq!(updated(&mut defaults, reported(&["a.example"], 0)), list(&["a.example"]));
        assert_eq!(updated(&mut defaults, reported(&["b.example"], 0)), list(&["b.example"]));
        assert_eq!(updated(&mut defaults, reported(&[], 1)), list(&[]), "reference clocks alone: no server is asked");
        assert_eq!(updated_at(&mut defaults, DaemonSources::default(), 100), None, "it may be restarting");
        assert_eq!(updated_at(&mut defaults, DaemonSources::default(), 129), None);
        assert_eq!(
            updated_at(&mut defaults, DaemonSources::default(), 130).map(|pool| pool.len()),
            Some(4),
            "it has ended"
        );
    }

    #[test]
    fn a_daemon_that_restarts_keeps_its_list_and_the_pool_is_not_asked() {
        let mut defaults = DefaultServers::default();
        assert_eq!(updated(&mut defaults, reported(&["a.example"], 0)), list(&["a.example"]));
        for _ in 0..3 {
            assert_eq!(updated(&mut defaults, DaemonSources::default()), None, "its process has ended");
            assert_eq!(updated(&mut defaults, reported(&[], 0)), None, "it has not read its configuration yet");
        }
        assert_eq!(updated(&mut defaults, reported(&["c.example"], 0)), list(&["c.example"]));
    }

    #[test]
    fn a_daemon_that_does_not_answer_once_keeps_its_list_and_twice_what_is_known_otherwise_counts() {
        let mut defaults = DefaultServers::default();
        assert_eq!(updated(&mut defaults, doubted(&["a.example"])), list(&["a.example"]), "nothing better was known");
        assert!(!defaults.is_warned, "it may just be starting");
        assert_eq!(updated(&mut defaults, reported(&["b.example"], 0)), list(&["b.example"]));
        assert_eq!(updated(&mut defaults, doubted(&["a.example"])), None);
        assert_eq!(updated(&mut defaults, reported(&["b.example"], 0)), list(&["b.example"]));
        assert_eq!(updated(&mut defaults, doubted(&["a.example"])), None);
        assert_eq!(updated(&mut defaults, doubted(&["a.example"])), list(&["a.example"]));
        assert!(defaults.is_warned);
    }
}

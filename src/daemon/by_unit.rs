//! The daemons that take no orders but those of their unit, or of the bus: ntpsec, ntpd, ntpd-rs, openntpd, busybox, connman. Each is
//! asked in its own way, and they go on after a step in two.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tracing::{debug, warn};

use super::bus::BusConnection;
use super::detection::{self, RunningDaemon, Who};
use super::facts::{DAEMONS, Daemon, Resumption};
use super::process::Process;
use super::server_lines::Listed;
use super::source_reports::{self, DaemonReport};
use super::unit::{SystemdUnit, Units};
use super::{connman, ntpd, ntpd_rs, openntpd};
use crate::decision::{Authority, Boottime};
use crate::sys::clock::boottime;

/// How long a daemon that has ended is expected back, and its last report believed: a restart takes less.
const OUTLIVES: Duration = Duration::from_secs(30);

/// One of them that keeps this clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Keeping {
    /// Which.
    pub daemon: Daemon,
    /// Its unit, where it has one.
    unit: Option<SystemdUnit>,
    /// Its sources, if they outrank plain answers.
    pub authority: Option<Authority>,
}

/// Those of one host.
#[derive(Debug)]
pub struct Others {
    root: PathBuf,
    bus: BusConnection,
    units: Arc<Units>,
    /// The one that was last seen, and when.
    last: Mutex<Option<(Keeping, Boottime)>>,
}

impl Others {
    /// Those of the host whose root this is.
    pub fn new(root: PathBuf, bus: BusConnection, units: Arc<Units>) -> Self {
        Self { root, bus, units, last: Mutex::default() }
    }

    /// The one that keeps this clock: alive, on its way, or ended by itself.
    pub async fn keeper(&self) -> Option<Keeping> {
        for seen in self.look().await {
            let Who::Daemon(daemon) = seen.who else { continue };
            if is_elsewhere(daemon) {
                continue;
            }
            let authority = match self.ask(daemon, &seen).await {
                Ok(None) => continue,
                Ok(Some(reported)) if !reported.is_empty() => reported.authority(),
                Ok(Some(_)) | Err(_) => self.authority_unasked(seen.clone()).await,
            };
            // Only the units of its packages: a program that is called ntpd in another unit must not have that unit restarted.
            let is_its_own = |unit: &&str| daemon.facts().units.contains(unit);
            let unit = seen.process.unit.as_deref().filter(is_its_own).map(SystemdUnit::from);
            let keeping = Keeping { daemon, unit, authority };
            *self.last() = Some((keeping.clone(), boottime()));
            return Some(keeping);
        }
        self.ended_by_itself().await
    }

    /// The authenticated sources that count where it does not report them: those of its last report, else of its configuration.
    async fn authority_unasked(&self, seen: RunningDaemon) -> Option<Authority> {
        let said = self
            .last()
            .as_ref()
            .filter(|(last, _)| seen.who == Who::Daemon(last.daemon))
            .map(|(last, _)| last.authority.clone());
        if let Some(said) = said {
            return said;
        }
        let root = self.root.clone();
        let listed = spawn_blocking(move || detection::configured(&root, &seen)).await.ok()?;
        source_reports::authority(listed.plain, &listed.authenticated)
    }

    /// A daemon that has ended by itself, or is restarting; not one that was stopped.
    async fn ended_by_itself(&self) -> Option<Keeping> {
        let last = self.last().clone();
        if let Some((keeping, seen)) = last {
            let has_failed = match &keeping.unit {
                Some(unit) => self.units.has_failed(unit).await,
                None => false,
            };
            return (has_failed || boottime().since(seen) <= OUTLIVES).then_some(keeping);
        }
        let restarted = DAEMONS.iter().filter(|daemon| daemon.facts().resumption == Resumption::Restarted);
        let names: Vec<&str> = restarted.clone().flat_map(|daemon| daemon.facts().units).copied().collect();
        let unit = self.units.failed(&names).await?;
        let daemon = *restarted.clone().find(|daemon| daemon.facts().units.contains(&unit.name()))?;
        let authority =
            self.authority_unasked(RunningDaemon { who: Who::Daemon(daemon), process: Process::default() }).await;
        Some(Keeping { daemon, unit: Some(unit), authority })
    }

    /// The servers of a daemon that has ended, by its configuration.
    pub async fn listed_by_an_ended_one(&self) -> Option<(Daemon, Listed)> {
        let daemon = self.ended_by_itself().await?.daemon;
        let (root, seen) = (self.root.clone(), RunningDaemon { who: Who::Daemon(daemon), process: Process::default() });
        let listed = spawn_blocking(move || detection::configured(&root, &seen)).await.ok()?;
        Some((daemon, listed))
    }

    /// What it reports now; none where it does not run.
    ///
    /// # Errors
    /// In words.
    pub async fn reported(&self, daemon: Daemon) -> Result<Option<DaemonReport>, String> {
        let seen = self.look().await.into_iter().find(|seen| seen.who == Who::Daemon(daemon));
        match seen {
            Some(seen) => self.ask(daemon, &seen).await,
            None => Ok(None),
        }
    }

    async fn look(&self) -> Vec<RunningDaemon> {
        let root = self.root.clone();
        spawn_blocking(move || detection::look(&root)).await.unwrap_or_default()
    }

    /// None where it leaves the clock alone.
    pub async fn ask(&self, daemon: Daemon, seen: &RunningDaemon) -> Result<Option<DaemonReport>, String> {
        let (root, process) = (self.root.clone(), seen.process.clone());
        match daemon {
            Daemon::Connman => connman::ask(&self.bus).await.map_err(|error| error.to_string()),
            Daemon::Chrony | Daemon::Timesyncd => Ok(None),
            Daemon::Ntpsec | Daemon::Ntp | Daemon::NtpdRs | Daemon::Openntpd | Daemon::Busybox => {
                let asked = spawn_blocking(move || ask(&root, daemon, &process)).await;
                asked.map_err(|error| format!("an internal thread failed: {error}"))?.map(Some)
            }
        }
    }

    /// Has it continue with a clock that is right; one that has ended is started.
    ///
    /// # Errors
    /// In words, with what to do.
    pub async fn resume(&self, keeping: &Keeping, after: After) -> Result<(), String> {
        let name = keeping.daemon.facts().name;
        match (keeping.daemon.facts().resumption, &keeping.unit) {
            (Resumption::Ordered | Resumption::Woken, _) => Ok(()),
            (Resumption::AskedAnew, _) => match after {
                After::Step => connman::ask_anew(&self.bus)
                    .await
                    .map_err(|error| format!("cannot make {name} measure anew: {error}")),
                After::Nothing => Ok(()),
            },
            (Resumption::Restarted, None) => match after {
                After::Step => Err(format!(
                    "{name} runs outside of its packaged units and is not restarted: restart it, or it uses samples of the old clock"
                )),
                After::Nothing => Ok(()),
            },
            (Resumption::Restarted, Some(unit)) => self.restart(name, unit, after).await,
        }
    }

    async fn restart(&self, name: &str, unit: &SystemdUnit, after: After) -> Result<(), String> {
        let has_ended = self.units.has_failed(unit).await;
        let outcome = match (after, has_ended) {
            (After::Nothing, false) => return Ok(()),
            (After::Step, false) => self.units.restart(unit).await,
            (After::Step | After::Nothing, true) => self.units.start(unit).await,
        };
        let unit = unit.name();
        match (&outcome, has_ended) {
            (Ok(()), true) => {
                warn!("{name} had exited, as after a step that was too large for it: {unit} is started again")
            }
            (Ok(()), false) => debug!(unit, "{name} begins anew"),
            (Err(_), _) => {}
        }
        outcome.map_err(|error| format!("cannot start {unit} again: {error}"))
    }

    fn last(&self) -> MutexGuard<'_, Option<(Keeping, Boottime)>> {
        self.last.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// How a daemon continues after a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum After {
    /// The clock was stepped.
    Step,
    /// It was not.
    Nothing,
}

/// Asks one that answers without a bus; blocks.
fn ask(root: &Path, daemon: Daemon, process: &Process) -> Result<DaemonReport, String> {
    // A program of another root is not asked, and not run.
    let is_ours = root == Path::new("/");
    match daemon {
        Daemon::Ntpsec | Daemon::Ntp if is_ours => ntpd::ask(ntpd::LOOPBACK),
        Daemon::Openntpd if is_ours => openntpd::ask(root),
        Daemon::NtpdRs => {
            let configuration = detection::text_in_force(root, daemon, process);
            ntpd_rs::ask(&ntpd_rs::socket(root, &configuration))
        }
        Daemon::Ntpsec | Daemon::Ntp | Daemon::Openntpd => Err("it runs in another root directory".to_owned()),
        Daemon::Busybox => Err("busybox ntpd cannot be queried".to_owned()),
        Daemon::Chrony | Daemon::Timesyncd | Daemon::Connman => Err("it is asked elsewhere".to_owned()),
    }
}

/// chronyd and systemd-timesyncd are looked for before, each by its own means.
const fn is_elsewhere(daemon: Daemon) -> bool {
    match daemon {
        Daemon::Chrony | Daemon::Timesyncd => true,
        Daemon::Ntpsec | Daemon::Ntp | Daemon::NtpdRs | Daemon::Openntpd | Daemon::Busybox | Daemon::Connman => false,
    }
}

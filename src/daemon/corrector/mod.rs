//! Makes the clock right, by our hands or the daemon's.

mod measuring;
mod reset;
mod source_list;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;

use super::bus::{BusAddress, BusConnection};
use super::by_unit::{After, Keeping, Others};
use super::chrony::protocol::Spare;
use super::chrony::{Authentication, Bursts, Chronyd, Day, Knowledge, LastSample};
use super::facts::Daemon;
use super::timesyncd::{self, Timesyncd};
use super::unit::Units;
use crate::correction;
use crate::decision::{Boottime, DaemonVerdict, Forgotten, Hint, Offset, Realtime, StepBy, StepError};
use crate::sys::clock::{boottime, realtime};
use crate::sys::step::SystemClock;

/// Where the daemons are to be found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CorrectorSettings {
    /// chronyd's Unix socket.
    pub chrony_socket: PathBuf,
    /// chronyd's UDP port, to read where the socket is closed to us.
    pub chrony_udp: Option<SocketAddr>,
    /// The root of the file system, for `/run/systemd/timesync` and `/proc`.
    pub root: PathBuf,
    /// The bus that systemd is on.
    pub bus: BusAddress,
    /// Whether to have systemd start a time daemon where none runs (`timedate1.SetNTP`).
    pub set_ntp: bool,
}

/// Who keeps the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
enum DaemonInCharge {
    Chronyd,
    Timesyncd,
    Another(Keeping),
    Absent,
}

/// What is known of the daemon in charge since its reset.
#[derive(Debug)]
struct ResetDaemonStatus {
    keeper: DaemonInCharge,
    /// Why what it says proves nothing; none when it forgot.
    untrue: Option<String>,
    /// Whether it is expected to answer again, and is then reset.
    is_awaited: bool,
    /// When the clock was last stepped since; what was measured before that is of another clock.
    stepped: Option<Boottime>,
    /// The last sample of chronyd when it was last believed.
    last_sample: Option<LastSample>,
    /// When another daemon had set the clock last when it was last believed.
    updated: Option<Realtime>,
    /// Whether another daemon goes by samples that may be of another clock.
    is_void: bool,
    /// Before its last reset, or before it was handed the clock: what it answers to questions from before then is old.
    since: Realtime,
}

/// Makes the clock right, by our hands or the daemon's.
#[derive(Debug)]
pub struct Corrector {
    clock: Arc<SystemClock>,
    chronyd: Chronyd,
    timesyncd: Timesyncd,
    others: Others,
    authentication: Authentication,
    bursts: Bursts,
    root: PathBuf,
    set_ntp: bool,
    known: Mutex<Option<ResetDaemonStatus>>,
}

impl Corrector {
    /// A corrector that has not looked for a daemon yet. Steps go through `clock`, so that its watchers know them for ours.
    #[must_use]
    pub fn new(clock: Arc<SystemClock>, settings: CorrectorSettings) -> Self {
        let runtime = settings.root.join("run/systemd/timesync");
        let chronyd = Chronyd { socket: settings.chrony_socket, udp: settings.chrony_udp, spare: Spare::default() };
        let units = Arc::new(Units::new(BusConnection::new(settings.bus.clone())));
        Self {
            clock,
            authentication: Authentication::new(settings.root.clone(), units.clone()),
            bursts: Bursts::new(chronyd.clone(), units.clone()),
            others: Others::new(settings.root.clone(), BusConnection::new(settings.bus.clone()), units),
            chronyd,
            timesyncd: Timesyncd::new(BusConnection::new(settings.bus), runtime),
            root: settings.root,
            set_ntp: settings.set_ntp,
            known: Mutex::new(None),
        }
    }

    /// Finds the daemon and makes it forget; the kernel's clock is marked unsynchronised either way.
    ///
    /// chronyd measures again when the clock is handed over, and by itself where that does not come soon. One that does not answer
    /// keeps the authority that it had.
    pub async fn forget(&self) -> Forgotten {
        let since = realtime();
        let (mut known, forgotten) = self.make_forget().await;
        known.since = since;
        *self.known() = Some(known);
        forgotten
    }

    /// Gets ready for the next disruption, in the background after a proof: what chronyd says of its sources is remembered, and
    /// which unit it is; the connections to it and to the bus stand then.
    pub async fn prepare(&self) {
        if let Ok(Ok(said)) = self.with_chronyd(|chronyd| chronyd.authority()).await {
            self.authentication.receive(&said, Day::Proven);
            self.bursts.prepare().await;
        } else if !self.timesyncd.runs().await {
            // It may be one that will not outlive the next disruption.
            let _ = self.others.keeper().await;
        }
    }

    /// What chronyd said of authentication is deleted and not remembered from here on: other servers, or other hands, were configured.
    pub fn forget_authority(&self) {
        self.authentication.forget();
    }

    /// What chronyd says of authentication is remembered, as from the start.
    pub fn remember_authority(&self) {
        self.authentication.remember();
    }

    /// What chronyd's newest sample says of the clock, taken since it forgot and since the clock was last stepped; none where there is
    /// no such sample. It costs a few questions to chronyd.
    pub async fn hint(&self) -> Option<Hint> {
        let stepped = match self.known().as_ref() {
            Some(known) if known.keeper == DaemonInCharge::Chronyd && known.untrue.is_none() => known.stepped,
            Some(_) | None => return None,
        };
        self.with_chronyd(move |chronyd| chronyd.hint(stepped)).await.ok()?.ok()?
    }

    /// Steps the clock by `offset`, which was true when the clock said `local` at `as_of`.
    ///
    /// # Errors
    /// [`StepError`], with what to do about it.
    pub async fn step(
        &self,
        way: StepBy,
        offset: Offset,
        local: Realtime,
        as_of: Boottime,
    ) -> Result<Offset, StepError> {
        let keeper = self.known().as_ref().map_or(DaemonInCharge::Absent, |known| known.keeper.clone());
        let outcome = self.step_by(way, keeper, offset, (local, as_of)).await;
        if outcome.is_ok()
            && let Some(known) = self.known().as_mut()
        {
            known.stepped = Some(boottime());
        }
        outcome
    }

    async fn step_by(
        &self,
        way: StepBy,
        keeper: DaemonInCharge,
        offset: Offset,
        (local, as_of): (Realtime, Boottime),
    ) -> Result<Offset, StepError> {
        match (way, keeper) {
            (StepBy::Own, _) => correction::step(&self.clock, offset, local, as_of),
            (StepBy::Daemon, DaemonInCharge::Chronyd) => {
                let clock = Arc::clone(&self.clock);
                let stepped = self.with_chronyd(move |chronyd| chronyd.step(&clock, offset, local, as_of)).await;
                stepped.unwrap_or_else(|why| Err(StepError::Failed(why)))
            }
            (StepBy::Daemon, DaemonInCharge::Timesyncd) => Err(StepError::Failed(format!(
                "the clock is off by {offset}, and {} slews what is less than 0.4 s and cannot be made to step; \
                 `correction: clockgate` steps at once",
                timesyncd::NAME
            ))),
            (StepBy::Daemon, DaemonInCharge::Another(keeping)) => {
                Err(StepError::Failed(cannot_step(keeping.daemon, offset)))
            }
            (StepBy::Daemon, DaemonInCharge::Absent) => Err(StepError::Failed(format!(
                "the clock is off by {offset} and no time daemon runs here; `correction: clockgate` steps without one"
            ))),
        }
    }

    /// The daemon measures anew, and forgets again before that where the clock was stepped.
    ///
    /// # Errors
    /// In words; the clock is right all the same.
    pub async fn hand_over(&self) -> Result<(), String> {
        let since = realtime();
        let keeper = self.known().as_mut().map_or(DaemonInCharge::Absent, |known| {
            known.since = since;
            known.keeper.clone()
        });
        match keeper {
            DaemonInCharge::Chronyd => self.hand_over_to_chronyd().await,
            // Our step woke it: it measures by itself.
            DaemonInCharge::Timesyncd => Ok(()),
            DaemonInCharge::Another(keeping) => {
                let is_stepped = self.known().as_ref().is_some_and(|known| known.stepped.is_some());
                self.others.resume(&keeping, if is_stepped { After::Step } else { After::Nothing }).await?;
                if let Some(known) = self.known().as_mut() {
                    known.is_void = false;
                }
                Ok(())
            }
            DaemonInCharge::Absent if self.set_ntp => {
                self.timesyncd.set_ntp().await.map_err(|e| format!("cannot start a time daemon: {e}"))
            }
            DaemonInCharge::Absent => Ok(()),
        }
    }

    async fn hand_over_to_chronyd(&self) -> Result<(), String> {
        let unit = self.bursts.unit().await;
        let is_of_this_clock =
            |known: &ResetDaemonStatus| known.stepped.is_none() && !known.is_awaited && known.untrue.is_none();
        let is_kept = self.known().as_ref().is_some_and(is_of_this_clock);
        let knowledge = if is_kept { Knowledge::Kept } else { Knowledge::ThrownAway };
        let outcome = self.with_chronyd(move |chronyd| chronyd.hand_over(knowledge)).await?;
        match outcome {
            Ok(()) => {
                self.bursts.paid(unit);
                // One that did not answer before has forgotten now.
                if let Some(known) = self.known().as_mut().filter(|known| known.is_awaited) {
                    (known.untrue, known.is_awaited) = (None, false);
                }
            }
            // It may have been reset, and is ordered to measure when it listens.
            Err(_) => self.bursts.owe(),
        }
        outcome
    }

    /// Whether the daemon, which has measured for itself since, agrees that the clock is right.
    pub async fn ask(&self, threshold: Duration) -> DaemonVerdict {
        let Some((keeper, untrue, since)) =
            self.known().as_ref().map(|known| (known.keeper.clone(), known.untrue.clone(), known.since))
        else {
            return DaemonVerdict::Silent("the time daemon was not looked for yet".to_owned());
        };
        let offset = match keeper {
            DaemonInCharge::Chronyd if untrue.is_some() => Err(unproven(&untrue.unwrap_or_default())),
            DaemonInCharge::Chronyd => {
                let asked = self.with_chronyd(Chronyd::correction_or_burst).await;
                asked.and_then(|c| c.map_err(|e| e.to_string()))
            }
            DaemonInCharge::Timesyncd => {
                let message = self.timesyncd.message().await.map_err(|e| e.to_string());
                message.map(|m| m.filter(|m| m.is_after(since)).and_then(|m| m.left()))
            }
            DaemonInCharge::Another(keeping) => {
                let reported = self.others.reported(keeping.daemon).await;
                reported
                    .map(|reported| reported.and_then(|reported| reported.claim_since(since).map(|claim| claim.offset)))
            }
            DaemonInCharge::Absent => Err("no time daemon runs here".to_owned()),
        };
        match offset {
            Ok(None) => DaemonVerdict::NotYet,
            Ok(Some(offset)) if offset.abs() <= threshold => DaemonVerdict::Agrees { offset },
            Ok(Some(offset)) => DaemonVerdict::Disagrees { offset },
            Err(why) => DaemonVerdict::Silent(why),
        }
    }

    /// Talks to chronyd on a thread that may block.
    async fn with_chronyd<T: Send + 'static>(
        &self,
        talk: impl FnOnce(&Chronyd) -> T + Send + 'static,
    ) -> Result<T, String> {
        let chronyd = self.chronyd.clone();
        spawn_blocking(move || talk(&chronyd)).await.map_err(|e| format!("an internal thread failed: {e}"))
    }

    fn known(&self) -> MutexGuard<'_, Option<ResetDaemonStatus>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Corrector {
    fn drop(&mut self) {
        self.bursts.settle();
    }
}

impl ResetDaemonStatus {
    /// What is known of a daemon that was just reset, or why it was not.
    fn of(keeper: DaemonInCharge, untrue: Option<String>) -> Self {
        let (is_awaited, is_void) = (false, false);
        Self { keeper, untrue, is_awaited, stepped: None, last_sample: None, updated: None, is_void, since: realtime() }
    }
}

fn cannot_step(daemon: Daemon, offset: Offset) -> String {
    let facts = daemon.facts();
    format!(
        "the clock is off by {offset}, and {} cannot be made to step (beyond its limit: {}); `correction: clockgate` steps at once",
        facts.name, facts.beyond_its_limit
    )
}

fn unproven(why: &str) -> String {
    format!("its report is not a proof: {why}")
}

fn join(troubles: [Option<String>; 2]) -> Option<String> {
    let troubles: Vec<String> = troubles.into_iter().flatten().collect();
    (!troubles.is_empty()).then(|| troubles.join("; "))
}

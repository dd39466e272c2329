//! Make it right: chronyd, systemd-timesyncd, or the kernel alone.
//!
//! One writer at a time: the daemon forgets first, and what it still meant to slew with it; then we step, or let it step; then it
//! measures anew. `docs/decisions/0003-chrony-protocol.md` says what happens with a chronyd that is too old to forget,
//! `docs/decisions/0009-the-daemons-word.md` when a daemon's word is believed.

mod bus;
mod chrony;
mod conf;
mod kernel;
mod presence;
mod sources;
mod timesyncd;

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::decision::{
    Authority, Boottime, DaemonVerdict, Failure, Forgotten, Measurement, Offset, Reading, Realtime, StepError, Voice,
    Way,
};
use crate::reference::Server;
use crate::sys::clock::{boottime, realtime};
use crate::sys::step::SystemClock;

pub use bus::Address as BusAddress;
pub use sources::DaemonSources;

use bus::Bus;
use chrony::{Chronyd, Forgot, Heard};
use presence::Untold;
use timesyncd::Timesyncd;

/// How often a daemon that measures is asked whether it is done.
const LOOK_EVERY: Duration = Duration::from_millis(20);

/// Where the daemons are to be found.
#[derive(Clone, Debug)]
pub struct Settings {
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Keeper {
    Chronyd,
    Timesyncd,
    Nobody,
}

/// What is known of the keeper since it was made to forget.
#[derive(Debug)]
struct Known {
    keeper: Keeper,
    /// Why what it says proves nothing; none when it forgot.
    untrue: Option<String>,
    /// What chronyd had heard when it was last believed.
    heard: Option<Heard>,
    /// Before it was last made to forget, or handed the clock: what it answers to questions from before then is old.
    since: Realtime,
}

/// Makes the clock right, by our hands or the daemon's.
#[derive(Debug)]
pub struct Corrector {
    clock: Arc<SystemClock>,
    chronyd: Chronyd,
    timesyncd: Timesyncd,
    root: PathBuf,
    set_ntp: bool,
    known: Mutex<Option<Known>>,
}

impl Corrector {
    /// A corrector that has not looked for a daemon yet. Steps go through `clock`, so that whoever watches it knows them for ours.
    #[must_use]
    pub fn new(clock: Arc<SystemClock>, settings: Settings) -> Self {
        let runtime = settings.root.join("run/systemd/timesync");
        Self {
            clock,
            chronyd: Chronyd { socket: settings.chrony_socket, udp: settings.chrony_udp },
            timesyncd: Timesyncd::new(Bus::new(settings.bus), runtime),
            root: settings.root,
            set_ntp: settings.set_ntp,
            known: Mutex::new(None),
        }
    }

    /// Finds the daemon and makes it forget; the kernel's clock is marked unsynchronised either way.
    pub async fn forget(&self) -> Forgotten {
        let since = realtime();
        let (keeper, forgotten, untrue) = match self.with_chronyd(Chronyd::forget).await {
            Ok(Forgot::Done { authenticated, trouble }) => (
                Keeper::Chronyd,
                Forgotten {
                    daemon: Some(chrony::NAME.to_owned()),
                    authority: authenticated.then(Authority::default),
                    trouble,
                    ..Forgotten::default()
                },
                None,
            ),
            Ok(Forgot::Not(why)) | Err(why) => {
                let trouble = join([Some(why.clone()), kernel::kick(&self.clock).err()]);
                let daemon = Some(chrony::NAME.to_owned());
                (Keeper::Chronyd, Forgotten { daemon, trouble, ..Forgotten::default() }, Some(why))
            }
            Ok(Forgot::Absent(why)) => self.forget_without_chronyd(why).await,
        };
        *self.known() = Some(Known { keeper, untrue, heard: None, since });
        forgotten
    }

    async fn forget_without_chronyd(&self, why: Option<String>) -> (Keeper, Forgotten, Option<String>) {
        let kicked = kernel::kick(&self.clock);
        if self.timesyncd.runs().await {
            let restarted = match &kicked {
                Ok(()) => Ok(()),
                Err(_) => {
                    self.timesyncd.restart().await.map_err(|e| format!("cannot restart {}: {e}", timesyncd::NAME))
                }
            };
            let untrue = restarted.clone().err();
            let trouble = join([kicked.err(), restarted.err()]);
            let daemon = Some(timesyncd::NAME.to_owned());
            return (Keeper::Timesyncd, Forgotten { daemon, trouble, ..Forgotten::default() }, untrue);
        }
        kernel::straighten_if_abandoned(&self.root);
        let trouble = join([why, kicked.err()]);
        (
            Keeper::Nobody,
            Forgotten { daemon: None, trouble, ..Forgotten::default() },
            Some("no time daemon runs here".to_owned()),
        )
    }

    /// Asks the daemon that was made to forget, until it knows again; each answer rests on a newer sample than the last.
    ///
    /// chronyd takes 4.2 s for its first three samples; a deadline below that is met by asking again.
    pub async fn measure(&self, deadline: Duration) -> Measurement {
        let until = boottime() + deadline;
        let (keeper, untrue, heard) = self.known().as_ref().map_or_else(
            || (Keeper::Nobody, Some("it was not made to forget".to_owned()), None),
            |known| (known.keeper, known.untrue.clone(), known.heard),
        );
        let (source, answer) = match (keeper, untrue) {
            (Keeper::Chronyd, None) => (chrony::NAME, self.measure_by_chronyd(heard, until).await),
            (Keeper::Timesyncd, None) => (timesyncd::NAME, self.measure_by_timesyncd(until).await),
            (Keeper::Chronyd, Some(why)) => (chrony::NAME, Err(unproven(&why))),
            (Keeper::Timesyncd, Some(why)) => (timesyncd::NAME, Err(unproven(&why))),
            (Keeper::Nobody, why) => ("time daemon", Err(why.unwrap_or_default())),
        };
        match answer {
            Ok(reading) => Measurement { readings: vec![reading], ..Measurement::default() },
            Err(why) => Measurement {
                failures: vec![Failure { voice: Some(Voice::server(source)), ..Failure::remark(source, why) }],
                ..Measurement::default()
            },
        }
    }

    async fn measure_by_chronyd(&self, before: Option<Heard>, until: Boottime) -> Result<Reading, String> {
        self.with_chronyd(Chronyd::freshen).await?.map_err(|e| e.to_string())?;
        loop {
            let looked = self.with_chronyd(move |chronyd| chronyd.look(before)).await?;
            if let Some((reading, heard)) = looked.map_err(|e| e.to_string())? {
                if let Some(known) = self.known().as_mut() {
                    known.heard = Some(heard);
                }
                return Ok(reading);
            }
            if boottime() >= until {
                return Err(match before {
                    None => "it has not taken enough samples since it forgot".to_owned(),
                    Some(_) => "none of its sources has answered since it was last asked".to_owned(),
                });
            }
            sleep(LOOK_EVERY).await;
        }
    }

    async fn measure_by_timesyncd(&self, until: Boottime) -> Result<Reading, String> {
        let asked = realtime();
        // Where we may not kick, it was restarted, and what it has said since then has to do.
        let after = match kernel::kick(&self.clock) {
            Ok(()) => asked,
            Err(_) => self.known().as_ref().map_or(asked, |known| known.since),
        };
        loop {
            match self.timesyncd.message().await {
                Ok(Some(message)) if message.is_after(after) => {
                    let server = self.timesyncd.server().await.ok().flatten();
                    return Ok(message.reading(server.as_ref(), boottime(), realtime()));
                }
                Ok(_) if boottime() >= until => return Err("it has had no answer since it was told to ask".to_owned()),
                Ok(_) => sleep(LOOK_EVERY).await,
                Err(error) => return Err(error.to_string()),
            }
        }
    }

    /// Steps the clock by `offset`, which was true when the clock said `local` at `as_of`.
    ///
    /// # Errors
    /// [`StepError`], with what to do about it.
    pub async fn step(&self, way: Way, offset: Offset, local: Realtime, as_of: Boottime) -> Result<Offset, StepError> {
        let keeper = self.known().as_ref().map_or(Keeper::Nobody, |known| known.keeper);
        match (way, keeper) {
            (Way::Own, _) => kernel::step(&self.clock, offset, local, as_of),
            (Way::Daemon, Keeper::Chronyd) => {
                let clock = Arc::clone(&self.clock);
                let stepped = self.with_chronyd(move |chronyd| chronyd.step(&clock, offset, local, as_of)).await;
                stepped.unwrap_or_else(|why| Err(StepError::Failed(why)))
            }
            (Way::Daemon, Keeper::Timesyncd) => Err(StepError::Failed(format!(
                "the clock is off by {offset}, and {} slews what is less than 0.4 s and cannot be told to step; \
                 `correction: clockgate` steps at once",
                timesyncd::NAME
            ))),
            (Way::Daemon, Keeper::Nobody) => Err(StepError::Failed(format!(
                "the clock is off by {offset} and no time daemon runs here; `correction: clockgate` steps without one"
            ))),
        }
    }

    /// After a step of ours: the daemon forgets again and measures.
    ///
    /// # Errors
    /// In words; the clock is right all the same.
    pub async fn hand_over(&self) -> Result<(), String> {
        let since = realtime();
        let keeper = self.known().as_mut().map_or(Keeper::Nobody, |known| {
            known.since = since;
            known.keeper
        });
        match keeper {
            Keeper::Chronyd => self.with_chronyd(Chronyd::hand_over).await?,
            // Our step woke it: it measures by itself.
            Keeper::Timesyncd => Ok(()),
            Keeper::Nobody if self.set_ntp => {
                self.timesyncd.set_ntp().await.map_err(|e| format!("cannot start a time daemon: {e}"))
            }
            Keeper::Nobody => Ok(()),
        }
    }

    /// Whether the daemon, which has measured for itself since, agrees that the clock is right.
    pub async fn ask(&self, threshold: Duration) -> DaemonVerdict {
        let Some((keeper, untrue, since)) =
            self.known().as_ref().map(|known| (known.keeper, known.untrue.clone(), known.since))
        else {
            return DaemonVerdict::Silent("no daemon was looked for yet".to_owned());
        };
        let offset = match keeper {
            Keeper::Chronyd if untrue.is_some() => Err(unproven(&untrue.unwrap_or_default())),
            Keeper::Chronyd => {
                let asked = self.with_chronyd(Chronyd::correction_or_burst).await;
                asked.and_then(|c| c.map_err(|e| e.to_string()))
            }
            Keeper::Timesyncd => {
                let message = self.timesyncd.message().await.map_err(|e| e.to_string());
                message.map(|m| m.filter(|m| m.is_after(since)).map(|m| m.offset()))
            }
            Keeper::Nobody => Err("no time daemon runs here".to_owned()),
        };
        match offset {
            Ok(None) => DaemonVerdict::NotYet,
            Ok(Some(offset)) if offset.abs() <= threshold => DaemonVerdict::Agrees { offset },
            Ok(Some(offset)) => DaemonVerdict::Disagrees { offset },
            Err(why) => DaemonVerdict::Silent(why),
        }
    }

    /// Whom the running daemon asks; empty where none runs or it has no source. Blocks nobody; asks chronyd two
    /// questions a source, and the bus or `/proc` only where it has no answer.
    pub async fn servers(&self) -> DaemonSources {
        let (told, untold) = match self.with_chronyd(Chronyd::sources).await {
            Ok(Ok(told)) if !told.is_empty() => return told,
            Ok(Ok(told)) => (told, None),
            Ok(Err(error)) => (DaemonSources::default(), Some(error)),
            Err(why) => return DaemonSources { others: 1, remark: Some(why), ..DaemonSources::default() },
        };
        let (root, socket) = (self.root.clone(), self.chronyd.socket.clone());
        let seen = match self.timesyncd.servers().await {
            Ok(Some(servers)) => timesyncds(servers),
            // It starts, or there is no bus that we could ask.
            Ok(None) | Err(_) if self.timesyncd.is_started() => {
                let of_the_files = spawn_blocking(move || presence::timesyncds(&root)).await;
                timesyncds(of_the_files.unwrap_or_default())
            }
            Ok(None) | Err(_) => {
                let look = move || {
                    let untold = untold.as_ref().map(|why| Untold { socket: &socket, why });
                    presence::daemons(&root, untold.as_ref())
                };
                spawn_blocking(look).await.unwrap_or_default()
            }
        };
        if seen.daemon.is_some() { seen } else { told }
    }

    /// What the daemon says of the clock just now, proof or not; needs no privilege.
    pub async fn describe(&self) -> Option<Reading> {
        if let Ok(Some(reading)) = self.with_chronyd(Chronyd::describe).await {
            return Some(reading);
        }
        let message = self.timesyncd.message().await.ok().flatten()?;
        let server = self.timesyncd.server().await.ok().flatten();
        Some(message.reading(server.as_ref(), boottime(), realtime()))
    }

    /// Talks to chronyd on a thread that may block.
    async fn with_chronyd<T: Send + 'static>(
        &self,
        talk: impl FnOnce(&Chronyd) -> T + Send + 'static,
    ) -> Result<T, String> {
        let chronyd = self.chronyd.clone();
        spawn_blocking(move || talk(&chronyd)).await.map_err(|e| format!("a thread of ours failed: {e}"))
    }

    fn known(&self) -> MutexGuard<'_, Option<Known>> {
        self.known.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn timesyncds(servers: Vec<Server>) -> DaemonSources {
    DaemonSources { daemon: Some(timesyncd::NAME.to_owned()), servers, ..DaemonSources::default() }
}

fn unproven(why: &str) -> String {
    format!("what it says proves nothing: {why}")
}

fn join(troubles: [Option<String>; 2]) -> Option<String> {
    let troubles: Vec<String> = troubles.into_iter().flatten().collect();
    (!troubles.is_empty()).then(|| troubles.join("; "))
}

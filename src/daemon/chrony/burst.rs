//! The burst that follows each reset: chronyd is never left without a sample because we were there.
//!
//! Where the clock was not judged yet, a burst is dangerous: `maxchange` makes chronyd end when it finds the clock far off. So the
//! burst after the forgetting waits for the hand-over, and comes by itself when there is none; a chronyd that it ends is started.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;
use tracing::{debug, warn};

use super::protocol::ChronyError;
use crate::sys::clock::boottime;

use super::{Chronyd, LOOK, ORDER, UNITS};
use crate::daemon::unit::{SystemdUnit, Units};

/// An exchange that comes to anything has ended by then, and so has the hand-over.
const AFTER: Duration = Duration::from_secs(2);
/// How often the burst is ordered again from a chronyd that does not take it, and how often it is checked whether it has quit.
const AGAIN: Duration = Duration::from_secs(1);
/// How long it is ordered again; its socket is full of our orders by then.
const WITHIN: Duration = Duration::from_secs(60);
/// A burst of four takes 4.2 s to make chronyd sure, and then it may quit.
const WATCHED: Duration = Duration::from_secs(12);

/// Pays what is owed to one chronyd.
#[derive(Clone, Debug)]
pub struct Bursts {
    chronyd: Chronyd,
    units: Arc<Units>,
    /// The one that ran at the last proof.
    unit: Arc<Mutex<Option<SystemdUnit>>>,
    is_owed: Arc<AtomicBool>,
    is_watched: Arc<AtomicBool>,
}

impl Bursts {
    /// For this chronyd, whose unit is among these.
    pub fn new(chronyd: Chronyd, units: Arc<Units>) -> Self {
        Self { chronyd, units, unit: Arc::default(), is_owed: Arc::default(), is_watched: Arc::default() }
    }

    /// It was reset: it is ordered to measure after a while, unless that is ordered before.
    pub fn owe(&self) {
        if self.is_owed.swap(true, Ordering::AcqRel) {
            return;
        }
        let bursts = self.clone();
        tokio::spawn(async move {
            sleep(AFTER).await;
            let until = boottime() + WITHIN;
            while bursts.is_owed.load(Ordering::Acquire) && boottime() < until {
                let unit = bursts.units.running(UNITS).await;
                match bursts.pay_now().await {
                    Ok(()) => return bursts.watch(unit),
                    Err(error) => debug!(%error, "repeating the command to chronyd"),
                }
                sleep(AGAIN).await;
            }
            bursts.is_owed.store(false, Ordering::Release);
        });
    }

    /// It was ordered to measure: if it ends within the next seconds, its unit is started again, once.
    pub fn paid(&self, unit: Option<SystemdUnit>) {
        self.is_owed.store(false, Ordering::Release);
        self.watch(unit);
    }

    /// Finds out which unit a burst could end, ahead of time.
    pub async fn prepare(&self) {
        let running = self.units.running(UNITS).await;
        *self.known_unit() = running;
    }

    /// The unit that a burst could end; to be asked before the burst.
    pub async fn unit(&self) -> Option<SystemdUnit> {
        if self.is_watched.load(Ordering::Acquire) {
            return None;
        }
        let known = self.known_unit().clone();
        if known.is_some() { known } else { self.units.running(UNITS).await }
    }

    fn known_unit(&self) -> MutexGuard<'_, Option<SystemdUnit>> {
        self.unit.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The last thing done for it, by who goes away; blocks for 200 ms at most.
    pub fn settle(&self) {
        if self.is_owed.swap(false, Ordering::AcqRel)
            && let Err(error) = self.chronyd.burst(LOOK)
        {
            debug!(%error, "chronyd measures at its own pace");
        }
    }

    async fn pay_now(&self) -> Result<(), ChronyError> {
        let chronyd = self.chronyd.clone();
        let reported = spawn_blocking(move || chronyd.burst(ORDER)).await;
        // Without our thread there is no other attempt.
        reported.unwrap_or(Ok(())).inspect(|()| self.is_owed.store(false, Ordering::Release))
    }

    fn watch(&self, unit: Option<SystemdUnit>) {
        let Some(unit) = unit else { return };
        if self.is_watched.swap(true, Ordering::AcqRel) {
            return;
        }
        let bursts = self.clone();
        tokio::spawn(async move {
            let until = boottime() + WATCHED;
            while boottime() < until {
                sleep(AGAIN).await;
                if bursts.units.has_failed(&unit).await {
                    bursts.start(&unit).await;
                    break;
                }
            }
            bursts.is_watched.store(false, Ordering::Release);
        });
    }

    async fn start(&self, unit: &SystemdUnit) {
        let name = unit.name();
        match self.units.start(unit).await {
            Ok(()) => warn!(
                "chronyd exited while it measured again (`maxchange` in its configuration?): {name} is started again"
            ),
            Err(error) => warn!(%error, "chronyd exited while it measured again, and {name} cannot be started again"),
        }
    }
}

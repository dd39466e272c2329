//! The unit's status: sd_notify(3) READY, STATUS and WATCHDOG, where systemd asked for them.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::time::{Interval, MissedTickBehavior};

use crate::decision::Snapshot;

/// Says READY=1: the gate is published and the first measurement is under way.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says in one line how the gate stands.
pub fn status(snapshot: &Snapshot) {
    let gate = snapshot.gate;
    let why = if snapshot.why.is_empty() { String::new() } else { format!(": {}", snapshot.why) };
    tell(&[NotifyState::Status(&format!("gate {gate}, epoch {}{why}", snapshot.epoch))]);
}

/// Says STOPPING=1.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
}

/// systemd's watchdog; never due where the unit has none.
#[derive(Debug)]
pub struct Watchdog(Option<Interval>);

impl Watchdog {
    /// Due twice in the time that `WATCHDOG_USEC` allows, as sd_watchdog_enabled(3) advises.
    #[must_use]
    pub fn new() -> Self {
        Self(sd_notify::watchdog_enabled().map(|limit| {
            let mut interval = tokio::time::interval((limit / 2).max(Duration::from_millis(1)));
            interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
            interval
        }))
    }

    /// Waits until it is due.
    pub async fn due(&mut self) {
        match &mut self.0 {
            Some(interval) => drop(interval.tick().await),
            None => std::future::pending().await,
        }
    }
}

impl Default for Watchdog {
    fn default() -> Self {
        Self::new()
    }
}

/// Says WATCHDOG=1.
pub fn alive() {
    tell(&[NotifyState::Watchdog]);
}

fn tell(what: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET nobody listens; a manager that cannot be told finds out by its own timeouts.
    let _ = sd_notify::notify(what);
}

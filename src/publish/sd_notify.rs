//! The unit's status: sd_notify(3) READY, STATUS and WATCHDOG, where systemd asked for them.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;

use crate::decision::{Boottime, Snapshot};

/// Says READY=1: the gate is published and the first measurement is under way.
pub fn ready() {
    notify(&[NotifyState::Ready]);
}

/// Sets the status of the unit by what is reported, with the keys that are not in force, until the agent ends.
pub async fn notify_status(mut news: watch::Receiver<Snapshot>, mut untaken: watch::Receiver<Option<String>>) {
    loop {
        let changed = tokio::select! {
            changed = news.changed() => changed,
            changed = untaken.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        let (snapshot, untaken) = (news.borrow_and_update().clone(), untaken.borrow_and_update().clone());
        status(&snapshot, untaken.as_deref());
    }
}

/// In one line.
fn status(snapshot: &Snapshot, untaken: Option<&str>) {
    let gate = snapshot.gate;
    let why = if snapshot.why.is_empty() { String::new() } else { format!(": {}", snapshot.why) };
    let untaken = untaken.map_or(String::new(), |untaken| format!("; {untaken}"));
    notify(&[NotifyState::Status(&format!("gate {gate}, epoch {}{why}{untaken}", snapshot.epoch))]);
}

/// Says STOPPING=1.
pub fn stopping() {
    notify(&[NotifyState::Stopping]);
}

/// How long an agent without a watchdog may be silent.
const SILENT_AT_MOST: Duration = Duration::from_secs(120);

/// The sign of life, to systemd's watchdog where the unit has one, and to those who read the page.
#[derive(Debug)]
pub struct Watchdog {
    limit: Duration,
    next: Boottime,
}

impl Watchdog {
    /// Due at once, and then twice in the time that `WATCHDOG_USEC` allows, as sd_watchdog_enabled(3) advises.
    #[must_use]
    pub fn new(now: Boottime) -> Self {
        let limit = sd_notify::watchdog_enabled().unwrap_or(SILENT_AT_MOST);
        Self { limit: limit.max(Duration::from_millis(2)), next: now }
    }

    /// When it is due: for the alarm that rings anyway, since a timer of its own would wake the agent once more.
    #[must_use]
    pub const fn next(&self) -> Boottime {
        self.next
    }

    /// Sends WATCHDOG=1 if it is due; then the page gets the time until which it will have been sent again.
    #[must_use]
    pub fn alive(&mut self, now: Boottime) -> Option<Boottime> {
        (now >= self.next).then(|| {
            notify(&[NotifyState::Watchdog]);
            self.next = now + self.limit / 2;
            now + self.limit
        })
    }
}

fn notify(what: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET there is no receiver; a manager that does not receive it detects that by its own timeouts.
    let _ = sd_notify::notify(what);
}

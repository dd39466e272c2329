//! The unit's status: sd_notify(3) READY, STATUS and WATCHDOG, where systemd asked for them.

use std::time::Duration;

use sd_notify::NotifyState;
use tokio::sync::watch;
use tokio::time::sleep;

use crate::decision::{Boottime, Snapshot};

/// Longer than most walks take.
const FOR_A_WHILE: Duration = Duration::from_millis(100);

/// Says READY=1: the gate is published and the first measurement is under way.
pub fn ready() {
    tell(&[NotifyState::Ready]);
}

/// Says how the gate stands once that has stood for a while, and what of the configuration is not in force, until the agent ends:
/// nobody who looks at the unit sees less, and systemd is not woken on the way from an event to a proof.
pub async fn tell_status(mut snapshots: watch::Receiver<Snapshot>, mut untaken: watch::Receiver<Option<String>>) {
    loop {
        let changed = tokio::select! {
            changed = snapshots.changed() => changed,
            changed = untaken.changed() => changed,
        };
        if changed.is_err() {
            return;
        }
        sleep(FOR_A_WHILE).await;
        let (snapshot, untaken) = (snapshots.borrow_and_update().clone(), untaken.borrow_and_update().clone());
        status(&snapshot, untaken.as_deref());
    }
}

/// In one line.
fn status(snapshot: &Snapshot, untaken: Option<&str>) {
    let gate = snapshot.gate;
    let why = if snapshot.why.is_empty() { String::new() } else { format!(": {}", snapshot.why) };
    let untaken = untaken.map_or(String::new(), |untaken| format!("; {untaken}"));
    tell(&[NotifyState::Status(&format!("gate {gate}, epoch {}{why}{untaken}", snapshot.epoch))]);
}

/// Says STOPPING=1.
pub fn stopping() {
    tell(&[NotifyState::Stopping]);
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

    /// Says WATCHDOG=1 if it is due; then the page is told until when it will have been said again.
    #[must_use]
    pub fn alive(&mut self, now: Boottime) -> Option<Boottime> {
        (now >= self.next).then(|| {
            tell(&[NotifyState::Watchdog]);
            self.next = now + self.limit / 2;
            now + self.limit
        })
    }
}

fn tell(what: &[NotifyState<'_>]) {
    // Without NOTIFY_SOCKET nobody listens; a manager that cannot be told finds out by its own timeouts.
    let _ = sd_notify::notify(what);
}

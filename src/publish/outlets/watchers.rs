//! Those who want to know what is published as it changes, and may miss what lay between: the buses, the unit's status, what judges by it.

use tokio::sync::watch;

use crate::decision::Snapshot;
use crate::transition::Transition;

/// The latest snapshot, to be waited for.
#[derive(Debug)]
pub struct Watchers(watch::Sender<Snapshot>);

impl Watchers {
    /// They begin with this.
    pub fn new(first: Snapshot) -> Self {
        Self(watch::channel(first).0)
    }

    /// A view of it.
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.0.subscribe()
    }

    /// What is published now.
    pub fn record(&self, happened: &Transition) {
        self.0.send_if_modified(|seen| {
            let is_news = *seen != happened.now;
            if is_news {
                seen.clone_from(&happened.now);
            }
            is_news
        });
    }
}

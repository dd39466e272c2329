//! Whoever is told what happened: each outlet takes the same records, writes them in its own form, and computes nothing. A new one is a
//! file here and a line in [`Outlets::tell`].

mod log;
mod watchers;

use tokio::sync::watch;

use crate::decision::Snapshot;
use crate::transition::Transition;

pub use log::tell as log;
use watchers::Watchers;

/// The outlets of an agent.
#[derive(Debug)]
pub struct Outlets {
    watchers: Watchers,
}

impl Outlets {
    /// Outlets whose watchers begin with this snapshot.
    #[must_use]
    pub fn new(first: Snapshot) -> Self {
        Self { watchers: Watchers::new(first) }
    }

    /// Where the bus and the unit's status see what is published.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.watchers.watch()
    }

    /// Tells everybody of it.
    pub fn tell(&mut self, happened: &Transition) {
        log(happened);
        self.watchers.tell(happened);
    }
}

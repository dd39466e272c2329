//! Other settings while the agent runs.

use super::ledger::Held;
use super::{Error, Settings, State, Workloads};

impl Workloads {
    /// Goes by other settings from now on. What is frozen stays so, under the guard that it has.
    pub fn set(&mut self, settings: Settings) {
        self.settings = settings;
    }
}

impl State {
    /// Whether the ledger has nothing that is to be thawed, as far as it can be read.
    pub(super) fn is_nothing_frozen(&self) -> Result<bool, Error> {
        let read = |ledger: &Held| ledger.read().map(|contents| contents.entries.is_empty());
        self.ledger.as_ref().map_or(Ok(true), read)
    }
}

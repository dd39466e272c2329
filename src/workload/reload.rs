//! Other settings while the agent runs.

use super::ledger::LockedLedger;
use super::{FreezeSettings, FreezerState, WorkloadError, Workloads};

impl Workloads {
    /// Goes by other settings from now on. What is frozen stays so, under the guard that it has.
    pub fn set(&mut self, settings: FreezeSettings) {
        self.settings = settings;
    }
}

impl FreezerState {
    /// Whether the ledger has nothing that is to be thawed, as far as it can be read.
    pub(super) fn is_nothing_frozen(&self) -> Result<bool, WorkloadError> {
        let read = |ledger: &LockedLedger| ledger.read().map(|contents| contents.entries.is_empty());
        self.ledger.as_ref().map_or(Ok(true), read)
    }
}

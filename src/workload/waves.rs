//! Thawing, wave by wave: nothing is held while a wave is waited for, so that a freeze that comes meanwhile finds its turn.

use std::collections::HashSet;
use std::time::Duration;

use super::error::Thawed;
use super::error::WorkloadError;
use super::freezer::Freezer;
use super::ledger::{Contents, Ledger, LockedLedger};
use super::{FreezerState, Workloads, boot_id, open};
use crate::decision::Awake;
use crate::sys::clock::monotonic_nanos;

/// Thawing little by little, so that not all that became due meanwhile is done at once.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Waves {
    /// Cgroups thawed together.
    pub size: usize,
    /// Time between two waves.
    pub pause: Duration,
}

/// A thaw under way, and what has come of it.
#[derive(Debug, Default)]
pub struct Thaw {
    thawed: Thawed,
    failed: Vec<WorkloadError>,
    /// What could not be noted in the ledger.
    unnoted: Option<WorkloadError>,
    /// What has had its wave, by session and inode.
    tried: HashSet<(u64, u64)>,
}

impl Thaw {
    /// What has come of it.
    ///
    /// # Errors
    /// [`WorkloadError::StillFrozen`] names what could not be thawed; all the rest was. Any other [`WorkloadError`] says that the ledger could not be
    /// written.
    pub fn outcome(self) -> Result<Thawed, WorkloadError> {
        let Self { thawed, failed, unnoted, .. } = self;
        match (failed.is_empty(), unnoted) {
            (true, None) => Ok(thawed),
            (true, Some(error)) => Err(error),
            (false, _) => Err(WorkloadError::StillFrozen { thawed, failed }),
        }
    }

    /// Takes the next wave out of the ledger's contents, the last frozen first, and says how many are left.
    fn next(&mut self, mut contents: Contents, size: usize) -> (Contents, usize) {
        contents.entries.retain(|entry| !self.tried.contains(&entry.key()));
        let left = contents.entries.len().saturating_sub(size);
        let wave = Contents { entries: contents.entries.split_off(left), ..Contents::default() };
        self.tried.extend(wave.entries.iter().map(super::ledger::Entry::key));
        (self.thawed.damaged, self.thawed.later) = (contents.damaged, contents.later);
        (wave, left)
    }

    fn count(&mut self, outcome: Result<Thawed, WorkloadError>) {
        let (thawed, mut failed) = match outcome {
            Ok(thawed) => (thawed, vec![]),
            Err(WorkloadError::StillFrozen { thawed, failed }) => (thawed, failed),
            Err(error) => {
                self.unnoted.get_or_insert(error);
                return;
            }
        };
        self.thawed.thawed.extend(thawed.thawed);
        self.thawed.gone.extend(thawed.gone);
        self.failed.append(&mut failed);
    }
}

impl Workloads {
    /// Thaws everything that the ledger says was frozen by us, in the reverse order; in waves, if there are to be some.
    ///
    /// # Errors
    /// [`WorkloadError::StillFrozen`] names what could not be thawed; all the rest was, and the guard tries it again at its time. Any other
    /// [`WorkloadError`] says that the ledger could not be read or written.
    pub fn thaw(&self) -> Result<Thawed, WorkloadError> {
        let mut thaw = Thaw::default();
        while let Some(pause) = self.thaw_wave(&mut thaw)? {
            crate::sys::nap(pause);
        }
        thaw.outcome()
    }

    /// Thaws the next wave, and says how long to wait for the one after it; none when it was the last. Meanwhile the guard waits
    /// too, and no longer.
    ///
    /// # Errors
    /// [`WorkloadError`] when the ledger or the hierarchy could not be read: nothing was thawed. What else fails is in the thaw's outcome.
    pub fn thaw_wave(&self, thaw: &mut Thaw) -> Result<Option<Duration>, WorkloadError> {
        self.thaw_some(thaw, self.settings.waves)
    }

    /// Thaws everything at once, what an agent before this one left frozen too: when the agent begins, before anything is frozen, and
    /// when it ends.
    ///
    /// # Errors
    /// As [`Self::thaw`].
    pub fn thaw_at_once(&self) -> Result<Thawed, WorkloadError> {
        let mut thaw = Thaw::default();
        self.thaw_some(&mut thaw, None)?;
        thaw.outcome()
    }

    fn thaw_some(&self, thaw: &mut Thaw, waves: Option<Waves>) -> Result<Option<Duration>, WorkloadError> {
        let mut state = self.state();
        if state.ledger.is_none() {
            let boot = boot_id(&self.settings.proc_root)?;
            let Some(ledger) = Ledger::open(&self.settings.ledger, &boot)? else { return Ok(None) };
            state.ledger = Some(LockedLedger::take(ledger)?);
        }
        let contents = state.ledger.as_ref().map(|ledger| ledger.read()).transpose()?.unwrap_or_default();
        let (wave, left) = thaw.next(contents, waves.map_or(usize::MAX, |waves| waves.size.max(1)));
        let place = if wave.entries.is_empty() { None } else { Some(self.place(&mut state)?) };
        let FreezerState { ledger: Some(ledger), guard, .. } = &*state else { return Ok(None) };
        if let Some(place) = place {
            let freezer = Freezer { hierarchy: &open(&place)?, ledger, old_freezer: None };
            thaw.count(freezer.thaw(&wave, None));
        }
        // A guard that has ended needs no order; the next freeze posts another.
        if let (Some(waves), 1..) = (waves, left) {
            let next = Awake::from_nanos(monotonic_nanos()) + waves.pause;
            let _ = guard.as_ref().map(|guard| guard.arm(next));
            return Ok(Some(waves.pause));
        }
        if thaw.failed.is_empty() && thaw.unnoted.is_none() {
            let _ = guard.as_ref().map(super::thaw_guard::Guard::disarm);
            ledger.tidy()?;
        }
        Ok(None)
    }
}

//! Metrics: what was counted last and what the gate page says, for readers on threads of their own. The event loop leaves a record
//! and goes on.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::decision::{Boottime, Realtime};
use crate::metrics::{MetricSources, MetricsFormat};
use crate::page::{self, Gate, Page, View};
use crate::sys::clock::{boottime, realtime};
use crate::transition::{Occurrence, Tally, Transition};
use crate::waiter::oci;
use crate::workload::TolerancesInUse;

use super::held_starts::HeldStarts;

/// What containers tolerate is looked for in the tree of cgroups: not more often than that, however many ask.
const LOOK_EVERY: Duration = Duration::from_secs(10);

/// The gate page and the latest record, as threads beside the event loop read them.
#[derive(Clone, Debug)]
pub struct MetricsReader(Arc<MetricsState>);

#[derive(Debug)]
struct MetricsState {
    /// The folder of the page.
    page: PathBuf,
    latest: Mutex<LatestCount>,
    changed: Condvar,
    held: HeldStarts,
    tolerances: Mutex<KnownTolerances>,
}

/// The tolerances of containers, as they were looked for last.
#[derive(Debug)]
struct KnownTolerances {
    in_use: TolerancesInUse,
    looked: Option<Boottime>,
    smallest: Option<Duration>,
}

#[derive(Clone, Debug, Default)]
struct LatestCount {
    tally: Arc<Tally>,
    seen: SeenRecords,
}

/// Which records there were.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct SeenRecords {
    /// How many.
    count: u64,
    /// Whether the agent's last was among them.
    pub(super) has_ended: bool,
}

impl MetricsReader {
    /// Nothing was counted yet, on the host at `root`; `page` is the folder of the gate page.
    #[must_use]
    pub fn new(root: &Path, page: &Path, held: HeldStarts) -> Self {
        let in_use = TolerancesInUse::new(root);
        Self(Arc::new(MetricsState {
            page: page.to_owned(),
            latest: Mutex::default(),
            changed: Condvar::new(),
            held,
            tolerances: Mutex::new(KnownTolerances { in_use, looked: None, smallest: None }),
        }))
    }

    /// Leaves a record for those who read.
    pub(super) fn record(&self, happened: &Transition) {
        let mut latest = lock(&self.0.latest);
        latest.tally = happened.tally.clone();
        latest.seen.count += 1;
        latest.seen.has_ended |= happened.what == Occurrence::Ended;
        self.0.changed.notify_all();
    }

    /// Which records there were.
    pub(super) fn seen(&self) -> SeenRecords {
        lock(&self.0.latest).seen
    }

    /// Waits for another record, and not longer than so.
    pub(super) fn wait(&self, seen: SeenRecords, at_most: Duration) -> SeenRecords {
        let latest = lock(&self.0.latest);
        let waited = self.0.changed.wait_timeout_while(latest, at_most, |latest| latest.seen == seen);
        waited.unwrap_or_else(PoisonError::into_inner).0.seen
    }

    /// What the gate page says now.
    ///
    /// # Errors
    /// As [`Page::open`].
    pub fn view(&self) -> Result<View, page::Error> {
        Ok(Page::open(&self.0.page)?.read())
    }

    /// All metrics as of now, as a text that may be read later. It may take seconds: not for the event loop.
    ///
    /// # Errors
    /// As [`Page::open`].
    pub fn write(&self, format: MetricsFormat) -> Result<String, page::Error> {
        self.write_with(format, None)
    }

    /// The same for a scraper that reads it at once: with the host's clock, which the scraper compares with its own.
    ///
    /// # Errors
    /// As [`Page::open`].
    pub fn answer(&self, format: MetricsFormat) -> Result<String, page::Error> {
        self.write_with(format, Some(realtime()))
    }

    fn write_with(&self, format: MetricsFormat, clock: Option<Realtime>) -> Result<String, page::Error> {
        let view = self.view()?;
        let tally = lock(&self.0.latest).tally.clone();
        Ok(format.write(MetricSources {
            view: &view,
            tally: Some(&tally),
            held: Some(if view.gate == Gate::Shut { self.0.held.count() } else { 0 }),
            refused: Some(&oci::refused(&self.0.page).map(|(by, count)| (by.name(), count))),
            smallest_tolerance: lock(&self.0.tolerances).smallest(),
            clock,
        }))
    }
}

impl KnownTolerances {
    /// The smallest of them, as of some seconds ago at the most.
    fn smallest(&mut self) -> Option<Duration> {
        let now = boottime();
        if self.looked.is_none_or(|looked| now.since(looked) >= LOOK_EVERY) {
            // Where there are no containers to be seen, none has a tolerance.
            self.smallest = self.in_use.smallest().unwrap_or_default();
            self.looked = Some(boottime());
        }
        self.smallest
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

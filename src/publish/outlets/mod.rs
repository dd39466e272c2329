//! The outlets of a record: each takes the same records, writes them in its own form, and computes nothing. A new one is a
//! file here and a line in `Outlets::pass`.
//!
//! Those who ask what is published get that at once. What is reported waits for the proof and the thaw, so that the way to an open gate
//! is not longer for it: for 100 ms where that takes longer.

mod history;
mod journal;
mod log;
mod metrics;
mod watchers;

use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::watch;

use crate::decision::{Boottime, ContainerNaming, Snapshot};
use crate::publish::metrics_reader::MetricsReader;
use crate::transition::Transition;

use history::HistoryOutlet;
use journal::JournalOutlet;
pub use log::record as log;
use metrics::MetricsOutlet;
use watchers::Watchers;

/// How long a record may wait for a proof and the thaw: longer than most take, and not long for a person.
const BEHIND_AT_MOST: Duration = Duration::from_millis(100);

/// The outlets of an agent.
#[derive(Debug)]
pub struct Outlets {
    /// In place of the log, where there is one.
    journal: Option<JournalOutlet>,
    history: HistoryOutlet,
    /// Those who ask what is published.
    published: Watchers,
    /// Those who get signals.
    news: Watchers,
    metrics: MetricsOutlet,
    /// The records that are not reported yet, and when they have to be.
    behind: Vec<Transition>,
    due: Boottime,
}

impl Outlets {
    /// Outlets on the host at `root`, whose watchers begin with this snapshot, and whose metrics are read there.
    #[must_use]
    pub fn new(root: &Path, metrics: MetricsReader, first: Snapshot) -> Self {
        Self {
            journal: JournalOutlet::of_standard_error(root),
            history: HistoryOutlet::new(root),
            published: Watchers::new(first.clone()),
            news: Watchers::new(first),
            metrics: MetricsOutlet::new(metrics),
            behind: vec![],
            due: Boottime::NEVER,
        }
    }

    /// Where it is seen at once what is published.
    #[must_use]
    pub fn published(&self) -> watch::Receiver<Snapshot> {
        self.published.watch()
    }

    /// The same as it is reported: for the signals of the bus and the unit's status.
    #[must_use]
    pub fn news(&self) -> watch::Receiver<Snapshot> {
        self.news.watch()
    }

    /// Where metrics are read.
    #[must_use]
    pub fn metrics(&self) -> MetricsReader {
        self.metrics.reader()
    }

    /// Writes metrics to a file from now on.
    pub fn keep_metrics_file(&mut self, path: PathBuf) {
        self.metrics.keep_file(path);
    }

    /// How much of containers the history says from now on.
    pub fn name_containers(&mut self, naming: ContainerNaming) {
        self.history.name_containers(naming);
    }

    /// Takes a record, which is reported by the next [`Self::report`] that is not on the way to a proof.
    pub fn record(&mut self, happened: Transition) {
        self.published.record(&happened);
        if self.behind.is_empty() {
            self.due = happened.at.boot + BEHIND_AT_MOST;
        }
        self.behind.push(happened);
    }

    /// Reports what is behind, unless a proof or a thaw `is_under_way` ([`crate::decision::Machine::is_under_way`]) and none of it is due.
    pub fn report(&mut self, is_under_way: bool, now: Boottime) {
        if is_under_way && now < self.due {
            return;
        }
        self.due = Boottime::NEVER;
        for happened in std::mem::take(&mut self.behind) {
            self.pass(&happened);
        }
    }

    /// When [`Self::report`] has something to do although one is under way.
    #[must_use]
    pub const fn due(&self) -> Boottime {
        self.due
    }

    /// Passes a record to every outlet.
    fn pass(&mut self, happened: &Transition) {
        // A journal that restarts, or does not keep up, gets it as a line of standard error.
        if self.journal.as_ref().is_none_or(|journal| journal.record(happened).is_err()) {
            log(happened);
        }
        self.news.record(happened);
        self.metrics.record(happened);
        self.history.record(happened);
    }

    /// Reports what is behind, and waits a moment for it.
    pub async fn end(&mut self) {
        self.report(false, Boottime::NEVER);
        self.history.end().await;
        self.metrics.end().await;
    }
}

#[cfg(test)]
mod tests;

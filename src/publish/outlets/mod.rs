//! The outlets of a record: each takes the same records, writes them in its own form, and computes nothing. A new one is a
//! file here and a line in [`Outlets::record`].

mod history;
mod journal;
mod log;
mod metrics;
mod watchers;

use std::path::{Path, PathBuf};

use tokio::sync::watch;

use crate::decision::{ContainerNaming, Snapshot};
use crate::publish::metrics_reader::MetricsReader;
use crate::transition::Transition;

use history::HistoryOutlet;
use journal::JournalOutlet;
pub use log::record as log;
use metrics::MetricsOutlet;
use watchers::Watchers;

/// The outlets of an agent.
#[derive(Debug)]
pub struct Outlets {
    /// In place of the log, where there is one.
    journal: Option<JournalOutlet>,
    history: HistoryOutlet,
    watchers: Watchers,
    metrics: MetricsOutlet,
}

impl Outlets {
    /// Outlets on the host at `root`, whose watchers begin with this snapshot, and whose metrics are read there.
    #[must_use]
    pub fn new(root: &Path, metrics: MetricsReader, first: Snapshot) -> Self {
        Self {
            journal: JournalOutlet::of_standard_error(root),
            history: HistoryOutlet::new(root),
            watchers: Watchers::new(first),
            metrics: MetricsOutlet::new(metrics),
        }
    }

    /// Where the bus and the unit's status see what is published.
    #[must_use]
    pub fn watch(&self) -> watch::Receiver<Snapshot> {
        self.watchers.watch()
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

    /// Passes a record to every outlet.
    pub fn record(&mut self, happened: &Transition) {
        // A journal that restarts, or does not keep up, gets it as a line of standard error.
        if self.journal.as_ref().is_none_or(|journal| journal.record(happened).is_err()) {
            log(happened);
        }
        self.watchers.record(happened);
        self.metrics.record(happened);
        self.history.record(happened);
    }

    /// Waits a moment for what is behind.
    pub async fn end(&mut self) {
        self.history.end().await;
        self.metrics.end().await;
    }
}

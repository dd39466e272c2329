//! Metrics: the latest record is left where they are read.

use std::path::Path;

use crate::publish::metrics_reader::MetricsReader;
use crate::transition::Transition;

/// Where the latest record is left.
#[derive(Debug)]
pub struct MetricsOutlet(MetricsReader);

impl MetricsOutlet {
    /// Metrics of the agent whose gate page is in this folder.
    pub fn new(page: &Path) -> Self {
        Self(MetricsReader::new(page))
    }

    /// A view of it.
    pub fn reader(&self) -> MetricsReader {
        self.0.clone()
    }

    /// Leaves it there.
    pub fn record(&self, happened: &Transition) {
        self.0.tell(happened);
    }
}

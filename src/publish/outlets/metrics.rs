//! Metrics: the latest record is left where they are read.

use std::path::PathBuf;

use tracing::warn;

use crate::publish::metrics_file::MetricsFile;
use crate::publish::metrics_reader::MetricsReader;
use crate::transition::Transition;

/// Where the latest record is left, and the file that is written of it.
#[derive(Debug)]
pub struct MetricsOutlet {
    reader: MetricsReader,
    file: Option<MetricsFile>,
}

impl MetricsOutlet {
    /// Metrics that are read there.
    pub fn new(reader: MetricsReader) -> Self {
        Self { reader, file: None }
    }

    /// A view of it.
    pub fn reader(&self) -> MetricsReader {
        self.reader.clone()
    }

    /// Writes them to a file from now on.
    pub fn keep_file(&mut self, path: PathBuf) {
        let shown = path.display().to_string();
        let kept = MetricsFile::keep(path, self.reader());
        self.file = kept.inspect_err(|error| warn!(%error, "cannot start writing metrics to {shown}")).ok();
    }

    /// Leaves it there.
    pub fn record(&self, happened: &Transition) {
        self.reader.record(happened);
    }

    /// Waits a moment for the file.
    pub async fn end(&mut self) {
        if let Some(file) = self.file.take() {
            file.end().await;
        }
    }
}

//! The metrics as the bus sees them: written beside the event loop, one caller at a time.

use std::sync::Arc;

use tokio::sync::Mutex;

use super::error::MethodError;
use crate::metrics::MetricsFormat;
use crate::publish::metrics_reader::MetricsReader;

/// Where the bus reads metrics.
#[derive(Clone, Debug)]
pub struct MetricsFace(Arc<Mutex<MetricsReader>>);

impl MetricsFace {
    /// Reads there.
    #[must_use]
    pub fn new(reader: MetricsReader) -> Self {
        Self(Arc::new(Mutex::new(reader)))
    }

    /// All metrics, in the form of this name.
    pub(super) async fn write(&self, format: &str) -> Result<String, MethodError> {
        let format = MetricsFormat::named(format).ok_or_else(|| {
            let names = MetricsFormat::ALL.map(MetricsFormat::name).join(", ");
            MethodError::InvalidArgument(format!("`{format}` is not one of {names}"))
        })?;
        // However many ask, one thread is busy with it.
        let reader = self.0.clone().lock_owned().await;
        let written = tokio::task::spawn_blocking(move || reader.write(format)).await;
        let failed = |why: String| MethodError::NoAnswer(format!("cannot read the gate page: {why}"));
        written.map_err(|error| failed(error.to_string()))?.map_err(|error| failed(error.to_string()))
    }
}

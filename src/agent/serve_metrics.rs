//! The listener and the file of metrics, where they are configured.

use tracing::error;

use crate::config::{ListenAddress, MetricsConfig};
use crate::publish::metrics_listener::MetricsListener;
use crate::publish::outlets::Outlets;

/// Serves metrics, if they are configured; an error here does not end the agent.
pub(super) fn serve_metrics(config: &MetricsConfig, outlets: &mut Outlets) {
    if let Some(path) = &config.textfile {
        outlets.keep_metrics_file(path.clone());
    }
    let listener = match &config.listen {
        None => return,
        Some(ListenAddress::Tcp(address)) => MetricsListener::tcp(*address),
        Some(ListenAddress::Unix(path)) => MetricsListener::unix(path),
    };
    if let Err(error) = listener.and_then(|listener| listener.serve(outlets.metrics())) {
        error!(error = &error as &dyn std::error::Error, "cannot serve metrics");
    }
}

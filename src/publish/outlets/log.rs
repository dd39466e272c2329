//! The log: one line a record.

use tracing::{debug, error, info, warn};

use crate::transition::{Transition, Urgency};

/// Logs it.
pub fn record(happened: &Transition) {
    match happened.kind().urgency() {
        Urgency::Error => error!("{}", happened.line()),
        Urgency::Warning => warn!("{}", happened.line()),
        Urgency::Info => info!("{}", happened.line()),
        Urgency::Debug => debug!("{}", happened.line()),
    }
}

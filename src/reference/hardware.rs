//! The references that need no network: whatever clock this machine has that somebody else keeps.

use std::path::Path;
use std::time::Duration;

use super::references::{References, in_words};
use super::{phc, vmclock};
use crate::decision::{Failure, Measurement, Voice};
use crate::sys::vmclock as page;

/// As long as the network is waited for where hardware has answered already.
const NETWORK_AFTER_HARDWARE: Duration = Duration::from_millis(100);

/// Asks the machine's own clocks, then every server at once; adds what was `told` already.
#[must_use]
pub fn measure_with(references: &References, root: &Path, timeout: Duration, told: Measurement) -> Measurement {
    let mut local = measure(root);
    local.readings.extend(told.readings);
    local.failures.extend(told.failures);
    let timeout = if local.readings.is_empty() { timeout } else { timeout.min(NETWORK_AFTER_HARDWARE) };
    let mut all = references.measure(timeout);
    all.readings.splice(..0, local.readings);
    all.failures.splice(..0, local.failures);
    all
}

/// Asks each once; a machine that has none gives nothing, and says nothing.
fn measure(root: &Path) -> Measurement {
    let mut measurement = Measurement::default();
    for clock in phc::find(root) {
        match clock.measure() {
            Ok(reading) => measurement.readings.push(reading),
            Err(error) => measurement.failures.push(failure(&clock.name, &error)),
        }
    }
    match vmclock::measure(root) {
        Ok(reading) => measurement.readings.push(reading),
        // No page, or one that tells of disruptions alone.
        Err(vmclock::Error::Page(page::Error::NotThere { .. }) | vmclock::Error::NoTime) => {}
        Err(error) => measurement.failures.push(failure("vmclock0", &error)),
    }
    measurement
}

fn failure(source: &str, error: &dyn std::error::Error) -> Failure {
    Failure { voice: Some(Voice::hypervisor()), ..Failure::remark(source, in_words(error)) }
}

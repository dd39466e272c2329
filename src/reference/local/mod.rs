//! The references that need no network: the clocks of this machine that the system does not set.

use std::path::Path;

mod bracket;
pub mod phc;
pub mod rtc;
pub mod vmclock;

use crate::decision::{Failure, Measurement, Voice};
use crate::error_chain::in_full;
use crate::sys::vmclock as page;

/// Asks each once; a machine that has none gives nothing, and says nothing.
#[must_use]
pub fn measure(root: &Path) -> Measurement {
    let mut measurement = Measurement::default();
    for clock in phc::find(root) {
        match clock.measure() {
            Ok(reading) => measurement.readings.push(reading),
            Err(error) => measurement.failures.push(failure(&clock.name, &error)),
        }
    }
    match vmclock::measure(root) {
        Ok(reading) => measurement.readings.push(reading),
        // No page, or one that reports only disruptions.
        Err(vmclock::VmClockError::Page(page::VmClockPageError::NotThere { .. }) | vmclock::VmClockError::NoTime) => {}
        Err(error) => measurement.failures.push(failure("vmclock0", &error)),
    }
    measurement
}

fn failure(source: &str, error: &dyn std::error::Error) -> Failure {
    Failure { voice: Some(Voice::hypervisor()), ..Failure::remark(source, in_full(error)) }
}

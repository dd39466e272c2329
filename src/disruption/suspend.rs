//! Sleep as the kernel counts it: `BOOTTIME − MONOTONIC` grew. It shows what logind never saw (`rtcwake`, `echo mem`).

use crate::decision::Cause;
use crate::sys::step::{ClockChange, NOISE};

/// The sleep in a change of the clocks, if there was one.
#[must_use]
pub fn slept(change: &ClockChange) -> Option<Cause> {
    (change.slept > NOISE).then_some(Cause::Resume { slept: change.slept })
}

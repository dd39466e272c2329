//! The kernel's clock in our own hands: the kick, the step, and the bend that a dead daemon left behind.

use std::io;

use tracing::{info, warn};

use crate::decision::{Boottime, Offset, Realtime, StepError};
use crate::sys::adjtimex::{self, NOMINAL_TICK_US};
use crate::sys::step::{self, SystemClock, reset_rate};

const MAY_NOT: &str = "this process may not set the clock (CAP_SYS_TIME): run it as root, with AmbientCapabilities=CAP_SYS_TIME \
    in its unit, or with --cap-add SYS_TIME in a container";

/// 1,000 ppm: more than a crystal ever needs, less than any slew by the tick worth the name (up to 83,333 ppm).
const BENT_US: u64 = 10;

/// Marks the kernel's clock unsynchronised and wakes every program that watches for a step.
///
/// # Errors
/// In words, with what to do about it.
pub fn kick(clock: &SystemClock) -> Result<(), String> {
    clock.kick().map_err(|error| cannot("mark the clock unsynchronised", &error))
}

/// Steps the clock with our own hands.
///
/// # Errors
/// [`StepError`], with what to do about it.
pub fn step(clock: &SystemClock, offset: Offset, local: Realtime, as_of: Boottime) -> Result<Offset, StepError> {
    clock.step(offset, local, as_of).map_err(|error| match error {
        step::SetClockError::Superseded(change) => StepError::Superseded { change },
        step::SetClockError::Kernel { ref source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
            StepError::NotPermitted(format!("the clock is off by {offset} and {MAY_NOT}"))
        }
        step::SetClockError::Kernel { offset, source } => {
            StepError::Failed(format!("adjtimex(ADJ_SETOFFSET, {offset}) failed: {source}"))
        }
        error @ step::SetClockError::Astray { .. } => StepError::Failed(error.to_string()),
    })
}

/// Resets the kernel's frequency correction, if there is one and `is_unowned` says that no daemon set it.
///
/// A daemon that slews by the tick resets it when it ends, unless it is killed; the kernel does not say which program set it.
pub fn reset_rate_if(is_unowned: impl FnOnce() -> bool) {
    let bent = |tick_us: i64| (tick_us - NOMINAL_TICK_US).unsigned_abs() >= BENT_US;
    match adjtimex::read().map(|kernel| kernel.tick_us) {
        Ok(tick_us) if bent(tick_us) && is_unowned() => match reset_rate() {
            Ok(()) => info!(tick_us, "reset the frequency that a stopped time daemon had left in the kernel"),
            Err(error) => {
                warn!(tick_us, why = cannot("reset its frequency", &error), "cannot reset the clock's frequency")
            }
        },
        Ok(_) => {}
        Err(error) => warn!(%error, "cannot read the clock's frequency: adjtimex failed"),
    }
}

fn cannot(what: &str, error: &io::Error) -> String {
    if error.kind() == io::ErrorKind::PermissionDenied {
        format!("cannot {what}: {MAY_NOT}")
    } else {
        format!("cannot {what}: adjtimex failed: {error}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refusal_says_what_to_do() {
        let refused = cannot("mark the clock unsynchronised", &io::ErrorKind::PermissionDenied.into());
        assert!(refused.contains("AmbientCapabilities=CAP_SYS_TIME"), "{refused}");
    }
}

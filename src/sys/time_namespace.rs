//! Whether this process has the host's clocks (time_namespaces(7)).

use clockgate_page::sys::time_namespace::{Shift, shift};

/// Whether this process has the host's clocks: the agent publishes moments of BOOTTIME for every reader, and the kernel's
/// timers would be off by the shift.
///
/// # Errors
/// What is the matter, and what to do.
pub fn require_the_hosts() -> Result<(), Elsewhere> {
    judge(shift())
}

fn judge(shift: Option<Shift>) -> Result<(), Elsewhere> {
    match shift {
        Some(shift) if shift == Shift::default() => Ok(()),
        Some(_) | None => Err(Elsewhere),
    }
}

/// Not where the clock can be kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is a time namespace whose clocks are not the host's (time_namespaces(7)), or /proc is not mounted: run it outside, \
         without `unshare --time` or what an OCI runtime sets by `timeOffsets`"
)]
pub struct Elsewhere;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_clock_is_kept_with_the_hosts_clocks_alone() {
        assert_eq!(judge(Some(Shift::default())), Ok(()));
        assert_eq!(judge(Some(Shift { mono: 0, boot: 1 })), Err(Elsewhere));
        assert_eq!(judge(None), Err(Elsewhere));
    }
}

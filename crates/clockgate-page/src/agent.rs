//! Whether there is an agent behind a page: by the page alone, for a lock is nothing that a container could see.

use crate::layout::{ENDED, STARTING};
use crate::time::Boottime;

/// The agent behind a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Agent {
    /// It lives, or is of a version that does not say so.
    Alive,
    /// It lives and has not begun to measure.
    Starting,
    /// It ended, and said why.
    Ended {
        /// When.
        at: Boottime,
    },
    /// It was killed, is stopped or hangs: it has said nothing since it should have.
    Silent {
        /// Until when it was known to live.
        since: Boottime,
    },
    /// The page was cut short, is no longer in its folder, or has become that of another version or kernel: open it again.
    PageGone,
}

impl Agent {
    /// What `alive_until` and the state say at `now`.
    pub(crate) fn of(alive_until: Boottime, state: u32, now: Boottime) -> Self {
        if state == ENDED {
            Self::Ended { at: alive_until }
        } else if now >= alive_until {
            Self::Silent { since: alive_until }
        } else if state == STARTING {
            Self::Starting
        } else {
            Self::Alive
        }
    }

    /// Whether the gate will not change unless another agent is started, or this one comes back.
    #[must_use]
    pub const fn is_gone(self) -> bool {
        match self {
            Self::Alive | Self::Starting => false,
            Self::Ended { .. } | Self::Silent { .. } | Self::PageGone => true,
        }
    }
}

//! Whether this is a container, and what that means for its clock.

use std::path::Path;

use crate::container::own_container;
use crate::sys::foreign;
use crate::sys::time_namespace::require_the_hosts;

/// linux/capability.h.
const CAP_SYS_TIME: u32 = 25;

/// Containers.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ContainerFacts {
    /// Why this is known to be a container; none where it is not known to be one.
    pub inside: Option<String>,
    /// Whether this process may set the clock; none for an image that is not running.
    pub may_set_the_clock: Option<bool>,
    /// Whether the clocks that count from boot are not the host's.
    pub has_clocks_of_its_own: bool,
}

pub fn gather(root: &Path) -> ContainerFacts {
    let status = foreign::text(&root.join("proc/self/status")).ok();
    let mask = status.and_then(|status| {
        let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"))?.trim().to_owned();
        u64::from_str_radix(&mask, 16).ok()
    });
    ContainerFacts {
        inside: own_container::sign(root),
        may_set_the_clock: mask.map(|mask| mask >> CAP_SYS_TIME & 1 == 1),
        has_clocks_of_its_own: root == Path::new("/") && require_the_hosts().is_err(),
    }
}

//! Whether this is a container, and what that means for its clock.

use std::path::Path;

use crate::container::own_container;
use crate::sys::process_status::{Capability, ProcessStatus, rights_reach_the_clock};
use crate::sys::time_namespace::require_the_hosts;

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
    let rights = ProcessStatus::read(&root.join("proc/self")).ok().and_then(|status| status.effective());
    ContainerFacts {
        inside: own_container::sign(root),
        may_set_the_clock: rights
            .map(|rights| rights.has(Capability::SysTime) && rights_reach_the_clock(&root.join("proc"))),
        has_clocks_of_its_own: root == Path::new("/") && require_the_hosts().is_err(),
    }
}

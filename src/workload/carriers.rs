//! Thaws the containers that carry the host's network, and no others.

use std::cell::OnceCell;
use std::fs;
use std::path::Path;
use std::time::Duration;

use super::Workloads;
use super::error::WorkloadError;
use super::network::{self, Network};
use super::partial_thaw::ThawChoice;
use crate::container::{Container, Metadata};
use crate::decision::{ContainerList, nanos_u64};
use crate::sys::cgroup::Hierarchy;
use crate::sys::clock::monotonic_nanos;

/// So many processes of a container are looked at, and all containers for so long: who was not looked at carries nothing.
const PROCESSES_MAX: usize = 256;
const LOOK_WITHIN: Duration = Duration::from_secs(1);

impl Workloads {
    /// Thaws those of the frozen containers that carry the host's network, if a route leads out of it, and names them: who lives in
    /// its network namespace with CAP_NET_ADMIN.
    ///
    /// # Errors
    /// [`WorkloadError`] when not one of them could be thawed.
    pub fn thaw_carriers(&self) -> Result<ContainerList, WorkloadError> {
        if !network::has_a_way_out(&self.settings.proc_root) {
            return Ok(ContainerList::default());
        }
        // Nothing is looked at where nothing is frozen.
        let began = OnceCell::new();
        let begin = || {
            let end = monotonic_nanos().saturating_add(nanos_u64(LOOK_WITHIN));
            (Network::of_the_host(&self.settings.proc_root), end)
        };
        let mut means = |hierarchy: &Hierarchy, container: &Container, _: Option<&Metadata>| {
            let (network, end) = began.get_or_init(begin);
            let mut processes = vec![];
            collect(hierarchy, &container.cgroup, *end, &mut processes);
            processes.into_iter().take(PROCESSES_MAX).any(|process| network.is_carried_by(process))
        };
        self.thaw_chosen(&mut ThawChoice { by_metadata: false, means: &mut means })
    }
}

/// The processes of a cgroup and of those below it; enough of them, and no more than can be found in time.
fn collect(hierarchy: &Hierarchy, cgroup: &Path, end: u64, found: &mut Vec<u32>) {
    if found.len() >= PROCESSES_MAX || monotonic_nanos() >= end {
        return;
    }
    found.extend(hierarchy.processes(cgroup).unwrap_or_default());
    let below = fs::read_dir(hierarchy.path().join(cgroup)).into_iter().flatten().flatten();
    for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
        collect(hierarchy, &cgroup.join(entry.file_name()), end, found);
    }
}

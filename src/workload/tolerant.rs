//! Thaws the containers that ask to be thawed by their own tolerance, and no others; and finds the tolerances that containers have.

use std::collections::BTreeSet;
use std::time::Duration;

use super::error::WorkloadError;
use super::partial_thaw::ThawChoice;
use super::plan::FreezeUnit;
use super::{ScanCache, Workloads};
use crate::container::{Container, Metadata, tolerance};
use crate::decision::ContainerList;
use crate::sys::cgroup::Hierarchy;

impl Workloads {
    /// Thaws those of the frozen containers that ask for it and tolerate so much, and names them.
    ///
    /// # Errors
    /// [`WorkloadError`] when not one of them could be thawed.
    pub fn thaw_tolerant(&self, at_least: Duration) -> Result<ContainerList, WorkloadError> {
        let mut means = |_: &Hierarchy, _: &Container, metadata: Option<&Metadata>| {
            metadata.and_then(tolerance::for_thaw).is_some_and(|tolerance| tolerance >= at_least)
        };
        self.thaw_chosen(&mut ThawChoice { by_metadata: true, means: &mut means })
    }
}

/// The tolerances by which containers of these units ask to be thawed, each once.
pub(super) fn tolerances(units: &[FreezeUnit<'_>], seen: &ScanCache) -> Vec<Duration> {
    let containers = units.iter().flat_map(|unit| &unit.containers);
    let asked = containers.filter_map(|container| tolerance::for_thaw(seen.metadata.get(&container.inode)?));
    asked.collect::<BTreeSet<_>>().into_iter().collect()
}

//! Thaws the containers that carry the host's network, and no others. Who is frozen by the mark of a folder cannot be thawed beside
//! the others in it; so each of those gets a mark of its own first, which changes nothing since the folder's still holds, and then
//! the folder's goes. What is left is what a freeze does that finds these containers excluded, ledger and all.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::cgroup_tree::{self, CgroupMount, CgroupNode};
use super::error::WorkloadError;
use super::freezer::{self, Freezer};
use super::ledger::{Contents, Entry};
use super::network::{self, Network};
use super::plan::{self, Grain, Rules};
use super::{FreezerState, Thoroughness, Workloads, named, open};
use crate::container::{Container, Engine, Lookup, Tasks};
use crate::decision::{ContainerList, nanos_u64};
use crate::sys::cgroup::Hierarchy;
use crate::sys::clock::monotonic_nanos;

/// So many processes of a container are looked at, and all containers for so long: who was not looked at carries nothing.
const PROCESSES_MAX: usize = 256;
const LOOK_WITHIN: Duration = Duration::from_secs(1);
/// Cgroups may be made below a frozen folder while its others get their marks: it is looked again, so often at most.
const LOOKS_MAX: usize = 8;

/// A container that carries the network, and the marks of clockgate that keep it frozen.
#[derive(Debug)]
struct Carrier<'t> {
    container: &'t Container,
    marks: Vec<Entry>,
}

/// What thawing some of the frozen containers needs.
struct Road<'a> {
    workloads: &'a Workloads,
    place: &'a CgroupMount,
    tasks: &'a Tasks,
    freezer: Freezer<'a>,
    session: u64,
}

impl Workloads {
    /// Thaws those of the frozen containers that carry the host's network, if a route leads out of it, and names them: who lives in
    /// its network namespace with CAP_NET_ADMIN. All others stay frozen without a moment's break, in the ledger, and under the
    /// guard, whose time is not extended. A container that its user paused stays paused.
    ///
    /// # Errors
    /// [`WorkloadError`] when not one of them could be thawed.
    pub fn thaw_carriers(&self) -> Result<ContainerList, WorkloadError> {
        let mut state = self.state();
        let Some(mut frozen) = state.ledger.as_ref().map(|ledger| ledger.read()).transpose()? else {
            return Ok(ContainerList::default());
        };
        // What another agent froze is not under our guard.
        frozen.entries.retain(|entry| entry.session == state.session);
        if frozen.entries.is_empty() || !network::has_a_way_out(&self.settings.proc_root) {
            return Ok(ContainerList::default());
        }
        let place = self.place(&mut state)?;
        let hierarchy = open(&place)?;
        let places = self.places(&mut state, Thoroughness::WhatIsNew);
        let mut lookup = Lookup::new(&places);
        let tree = cgroup_tree::walk(&place.folder, lookup.tasks())?;
        let FreezerState { ledger: Some(ledger), session, seen, .. } = &mut *state else {
            return Ok(ContainerList::default());
        };
        let freezer = Freezer { hierarchy: &hierarchy, ledger, old_freezer: place.old_freezer.as_deref() };
        let road = Road { workloads: self, place: &place, tasks: lookup.tasks(), freezer, session: *session };
        let carriers = road.carriers(&tree, &frozen);
        let outcome = road.free(&carriers);

        let freed: Vec<&Carrier<'_>> =
            carriers.iter().filter(|carrier| road.marks(carrier.container).is_empty()).collect();
        for Carrier { container, .. } in &freed {
            seen.metadata.entry(container.inode).or_insert_with(|| lookup.metadata(container));
        }
        let run = ContainerList::new(&freed, |carrier| named(seen, carrier.container));
        if run.is_empty() { outcome.map(|()| run) } else { Ok(run) }
    }
}

impl Road<'_> {
    fn carriers<'t>(&self, tree: &'t [CgroupNode], frozen: &Contents) -> Vec<Carrier<'t>> {
        let network = Network::of_the_host(&self.workloads.settings.proc_root);
        let end = monotonic_nanos().saturating_add(nanos_u64(LOOK_WITHIN));
        let carrier = |container| {
            // A mark that we did not set is a user's pause, or that of a cgroup above it.
            let ours = |inode| frozen.entries.iter().find(|entry| entry.inode == inode).cloned();
            let marks: Option<Vec<Entry>> = self.marks(container).into_iter().map(ours).collect();
            let is_paused = || freezer::is_paused(self.freezer.hierarchy, self.freezer.old_freezer, &container.cgroup);
            let marks = marks.filter(|marks| !marks.is_empty())?;
            if is_paused() || monotonic_nanos() >= end {
                return None;
            }
            let mut processes = vec![];
            collect(self.freezer.hierarchy, &container.cgroup, end, &mut processes);
            let carries = processes.into_iter().take(PROCESSES_MAX).any(|process| network.is_carried_by(process));
            carries.then_some(Carrier { container, marks })
        };
        tree.iter().flat_map(CgroupNode::containers).filter_map(carrier).collect()
    }

    /// The marks that keep a container frozen, by their inodes: its own, and those above it.
    fn marks(&self, container: &Container) -> Vec<u64> {
        let set = |cgroup: &Path| self.freezer.hierarchy.set_mark(cgroup).ok().flatten();
        container.cgroup.ancestors().filter_map(set).collect()
    }

    /// Removes every mark that keeps one of them frozen, the outermost first; where one fails, the others are tried.
    fn free(&self, carriers: &[Carrier<'_>]) -> Result<(), WorkloadError> {
        let mut marks: Vec<&Entry> = carriers.iter().flat_map(|carrier| &carrier.marks).collect();
        marks.sort_by(|a, b| a.cgroup.cmp(&b.cgroup));
        marks.dedup();
        let outcomes: Vec<_> = marks.into_iter().map(|mark| self.lift(mark, carriers)).collect();
        outcomes.into_iter().collect()
    }

    fn lift(&self, mark: &Entry, carriers: &[Carrier<'_>]) -> Result<(), WorkloadError> {
        let held = self.hold_the_others(mark, carriers)?;
        // By now the guard, or root by hand, may have thawed it all.
        let is_set = self.freezer.hierarchy.mark(&mark.cgroup).and_then(|mark| mark.is_set()).unwrap_or(false);
        let entries = if is_set { vec![mark.clone()] } else { held };
        self.freezer.thaw(&Contents { entries, ..Contents::default() }, None).map(drop)
    }

    /// Gives marks to what lies below this one, has containers in it, and has none that carries. What has no container in it is a
    /// monitor or the like, which runs with those that it looks after.
    fn hold_the_others(&self, mark: &Entry, carriers: &[Carrier<'_>]) -> Result<Vec<Entry>, WorkloadError> {
        let mut held = vec![];
        let runs_on = |container: &Container| carriers.iter().any(|one| one.container.cgroup == container.cgroup);
        let spared: Vec<&Path> = self.place.own.as_deref().into_iter().collect();
        let rules = Rules { engines: &Engine::ALL, spared: &spared, grain: Grain::Folders, runs_on: &runs_on };
        for _ in 0..LOOKS_MAX {
            let tree = cgroup_tree::walk(&self.place.folder, self.tasks)?;
            let mut others = plan::plan(&tree, &rules);
            others.retain(|unit| unit.cgroup != mark.cgroup && unit.cgroup.starts_with(&mark.cgroup));
            let new = self.freezer.hold(&others, (self.session, mark.since))?;
            if new.is_empty() {
                break;
            }
            held.extend(new);
        }
        Ok(held)
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

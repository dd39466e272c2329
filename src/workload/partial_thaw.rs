//! Thaws some of the frozen containers, and no others. Who is frozen by the mark of a folder cannot be thawed beside
//! the others in it; so each of those gets a mark of its own first, which changes nothing since the folder's still holds, and then
//! the folder's goes. What is left is what a freeze does that finds these containers excluded, ledger and all.

use std::path::Path;

use super::cgroup_tree::{self, CgroupMount, CgroupNode};
use super::error::WorkloadError;
use super::freezer::{self, Freezer};
use super::ledger::{Contents, Entry};
use super::plan::{self, Grain, Rules};
use super::{FreezerState, Thoroughness, Workloads, named, open};
use crate::container::{Container, Engine, Lookup, Metadata, Tasks};
use crate::decision::ContainerList;
use crate::sys::cgroup::Hierarchy;

/// Cgroups may be made below a frozen folder while its others get their marks: it is looked again, so often at most.
const LOOKS_MAX: usize = 8;

/// Which of the frozen containers are thawed.
pub(super) struct ThawChoice<'a> {
    /// Whether it is looked up what the engines know of them.
    pub(super) by_metadata: bool,
    /// Whether this one is; what its engine knows of it is given where it was looked up.
    pub(super) means: &'a mut dyn FnMut(&Hierarchy, &Container, Option<&Metadata>) -> bool,
}

/// A container that is to be thawed, and the marks of clockgate that keep it frozen.
#[derive(Debug)]
struct Chosen<'t> {
    container: &'t Container,
    marks: Vec<Entry>,
}

/// What thawing some of the frozen containers needs.
struct Road<'a> {
    place: &'a CgroupMount,
    tasks: &'a Tasks,
    freezer: Freezer<'a>,
    session: u64,
}

impl Workloads {
    /// Thaws those of the frozen containers that the choice means, and names them. All others stay frozen without a moment's break,
    /// in the ledger, and under the guard, whose time is not extended. A container that its user paused stays paused.
    ///
    /// # Errors
    /// [`WorkloadError`] when not one of them could be thawed.
    pub(super) fn thaw_chosen(&self, choice: &mut ThawChoice<'_>) -> Result<ContainerList, WorkloadError> {
        let mut state = self.state();
        let Some(mut frozen) = state.ledger.as_ref().map(|ledger| ledger.read()).transpose()? else {
            return Ok(ContainerList::default());
        };
        // What another agent froze is not under our guard.
        frozen.entries.retain(|entry| entry.session == state.session);
        if frozen.entries.is_empty() {
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
        if choice.by_metadata {
            for container in self.wanted(&tree) {
                seen.metadata.entry(container.inode).or_insert_with(|| lookup.metadata(container));
            }
        }
        let freezer = Freezer { hierarchy: &hierarchy, ledger, old_freezer: place.old_freezer.as_deref() };
        let road = Road { place: &place, tasks: lookup.tasks(), freezer, session: *session };
        let mut means =
            |container: &Container| (choice.means)(&hierarchy, container, seen.metadata.get(&container.inode));
        let chosen = road.chosen(&tree, &frozen, &mut means);
        let outcome = road.free(&chosen);

        let freed: Vec<&Chosen<'_>> = chosen.iter().filter(|one| road.marks(one.container).is_empty()).collect();
        for Chosen { container, .. } in &freed {
            seen.metadata.entry(container.inode).or_insert_with(|| lookup.metadata(container));
        }
        let run = ContainerList::new(&freed, |one| named(seen, one.container));
        if run.is_empty() { outcome.map(|()| run) } else { Ok(run) }
    }
}

impl Road<'_> {
    fn chosen<'t>(
        &self,
        tree: &'t [CgroupNode],
        frozen: &Contents,
        means: &mut dyn FnMut(&Container) -> bool,
    ) -> Vec<Chosen<'t>> {
        let chosen = |container| {
            // A mark that we did not set is a user's pause, or that of a cgroup above it.
            let ours = |inode| frozen.entries.iter().find(|entry| entry.inode == inode).cloned();
            let marks: Option<Vec<Entry>> = self.marks(container).into_iter().map(ours).collect();
            let is_paused = || freezer::is_paused(self.freezer.hierarchy, self.freezer.old_freezer, &container.cgroup);
            let marks = marks.filter(|marks| !marks.is_empty())?;
            (!is_paused() && means(container)).then_some(Chosen { container, marks })
        };
        tree.iter().flat_map(CgroupNode::containers).filter_map(chosen).collect()
    }

    /// The marks that keep a container frozen, by their inodes: its own, and those above it.
    fn marks(&self, container: &Container) -> Vec<u64> {
        let set = |cgroup: &Path| self.freezer.hierarchy.set_mark(cgroup).ok().flatten();
        container.cgroup.ancestors().filter_map(set).collect()
    }

    /// Removes every mark that keeps one of them frozen, the outermost first; where one fails, the others are tried.
    fn free(&self, chosen: &[Chosen<'_>]) -> Result<(), WorkloadError> {
        let mut marks: Vec<&Entry> = chosen.iter().flat_map(|one| &one.marks).collect();
        marks.sort_by(|a, b| a.cgroup.cmp(&b.cgroup));
        marks.dedup();
        let outcomes: Vec<_> = marks.into_iter().map(|mark| self.lift(mark, chosen)).collect();
        outcomes.into_iter().collect()
    }

    fn lift(&self, mark: &Entry, chosen: &[Chosen<'_>]) -> Result<(), WorkloadError> {
        let held = self.hold_the_others(mark, chosen)?;
        // By now the guard, or root by hand, may have thawed it all.
        let is_set = self.freezer.hierarchy.mark(&mark.cgroup).and_then(|mark| mark.is_set()).unwrap_or(false);
        let entries = if is_set { vec![mark.clone()] } else { held };
        self.freezer.thaw(&Contents { entries, ..Contents::default() }, None).map(drop)
    }

    /// Gives marks to what lies below this one, has containers in it, and has none that is to run. What has no container in it is a
    /// monitor or the like, which runs with those that it looks after.
    fn hold_the_others(&self, mark: &Entry, chosen: &[Chosen<'_>]) -> Result<Vec<Entry>, WorkloadError> {
        let mut held = vec![];
        let runs_on = |container: &Container| chosen.iter().any(|one| one.container.cgroup == container.cgroup);
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

//! Running containers: find them, freeze them, and thaw them, also after the agent was killed.
//!
//! ```text
//! tree       which cgroups are containers               exclusion       which of them run on, by the configuration
//! keepers    processes because of which others run on
//! plan       which cgroups to freeze for that           freezer         freeze, await, thaw
//! network    who carries the host's network             carriers        thaw these alone
//! tolerant   thaw alone who asks for it by a tolerance  partial_thaw    thaw some, and leave the others frozen
//! ledger     what has to be thawed                      guard           thaws when the agent cannot
//! waves      thaw little by little                      frozen          what is frozen now, for who asks
//! ```
//!
//! Everything here blocks. Only the v2 freezer is used: on a hybrid host the engines put every container into the unified
//! hierarchy too. Where there is none, nothing can be frozen, and that is said.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

mod carriers;
pub(crate) mod cgroup_tree;
mod error;
mod exclusion;
mod exempt_processes;
mod freezer;
mod frozen;
#[doc(hidden)]
pub mod ledger;
mod network;
mod partial_thaw;
mod plan;
mod reload;
mod replay;
pub(crate) mod thaw_guard;
mod tolerances_in_use;
mod tolerant;
mod waves;

pub use crate::container::{Container, Engine};
pub use error::Thawed;
pub use error::WorkloadError;
pub use exclusion::Exclusion;
pub use frozen::{StillFrozen, frozen};
pub use replay::replay;
pub use tolerances_in_use::TolerancesInUse;
pub use waves::{Thaw, Waves};
// For those who have the texts and no /proc.
#[doc(hidden)]
pub use cgroup_tree::{mounts, unified};

use cgroup_tree::{CgroupMount, CgroupNode};
use exempt_processes::ExemptProcess;
use freezer::{Freezer, Order};
use ledger::{Ledger, LockedLedger};
use plan::{FreezeUnit, Grain, Rules};
use thaw_guard::{Guard, GuardTask};

use crate::container::exemption::{self, Exemption, Rule};
use crate::container::{Lookup, Metadata, Places, runtime_list};
use crate::decision::{Awake, FreezeOutcome, NamedContainer};
use crate::sys::cgroup::Hierarchy;
use crate::sys::foreign;

/// What to freeze, and where things are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FreezeSettings {
    /// Whose containers are frozen.
    pub engines: Vec<Engine>,
    /// Containers that are not frozen, whichever engine started them.
    pub exclude: Vec<Exclusion>,
    /// Thawing little by little; all at once where there is none. With waves every container is frozen by itself, so that it can
    /// be thawed by itself.
    pub waves: Option<Waves>,
    /// The ledger.
    pub ledger: PathBuf,
    /// The program that the guard is, this one.
    pub guard: PathBuf,
    /// The cgroup2 hierarchy, or a part of it; found if none is given.
    pub cgroup: Option<PathBuf>,
    /// Where `/proc` is mounted.
    pub proc_root: PathBuf,
    /// The root of the host's file system, below which the engines keep their files.
    pub root: PathBuf,
}

/// No containers; which ones are frozen is for the configuration to say.
impl Default for FreezeSettings {
    fn default() -> Self {
        Self {
            engines: vec![],
            exclude: vec![],
            waves: None,
            ledger: PathBuf::from(ledger::PATH),
            guard: PathBuf::from("/proc/self/exe"),
            cgroup: None,
            proc_root: PathBuf::from("/proc"),
            root: PathBuf::from("/"),
        }
    }
}

/// A container, and whether it would be frozen.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ContainerStatus {
    /// What the tree shows.
    pub container: Container,
    /// Its name; none where the engine did not say.
    pub name: Option<String>,
    /// Why it runs on while the others are frozen; none if it does not.
    pub runs_on: Option<String>,
    /// Whether it is frozen now, by a mark of its own or one above it.
    pub is_frozen: bool,
}

/// How much of the containers is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Thoroughness {
    /// All of them.
    Anew,
    /// Those that came since.
    WhatIsNew,
}

/// The containers of this host. It may be shared; freezing and thawing take turns.
#[derive(Debug)]
pub struct Workloads {
    settings: FreezeSettings,
    /// What the start gate exempts, too.
    exempt: Vec<Rule>,
    state: Mutex<FreezerState>,
}

#[derive(Debug, Default)]
struct FreezerState {
    ledger: Option<LockedLedger>,
    /// The guard, with the session whose entries it thaws.
    guard: Option<Guard>,
    session: u64,
    /// Where the hierarchy lies; looked for once, since a host may have thousands of mounts.
    place: Option<CgroupMount>,
    /// Where the engines keep what they know, looked for when all containers are looked at anew.
    places: Option<Places>,
    seen: ScanCache,
}

/// What was found out about the containers that were there when we last looked.
#[derive(Debug, Default)]
struct ScanCache {
    /// By the inode of the cgroup.
    metadata: HashMap<u64, Metadata>,
    keepers: Vec<ExemptProcess>,
    /// What a runtime of Kubernetes exempts, by id.
    exempt: HashMap<String, String>,
}

impl Workloads {
    /// Touches nothing yet.
    #[must_use]
    pub fn new(settings: FreezeSettings) -> Self {
        Self { settings, exempt: exemption::built_in(), state: Mutex::default() }
    }

    /// Looks at the containers ahead of time, and posts the guard where there is something that a freeze would freeze, so that it
    /// costs no more than the freeze. To be called now and then: what has changed since is found out while freezing.
    ///
    /// # Errors
    /// [`WorkloadError`]: a freeze would fail as well.
    pub fn prepare(&self, thoroughness: Thoroughness) -> Result<(), WorkloadError> {
        if self.settings.engines.is_empty() {
            return Ok(());
        }
        let mut state = self.state();
        let place = self.place(&mut state)?;
        let places = self.places(&mut state, thoroughness);
        let mut lookup = Lookup::new(&places);
        let tree = cgroup_tree::walk(&place.folder, lookup.tasks())?;
        self.study(&mut state.seen, &place, &tree, (&mut lookup, thoroughness));
        if !self.plan(&state.seen, &place, &tree).is_empty() {
            return self.stand_ready(&mut state, &place);
        }
        if state.is_nothing_frozen()? {
            state.guard = None;
        }
        Ok(())
    }

    /// Every container of this host.
    ///
    /// # Errors
    /// [`WorkloadError`] when there is no hierarchy, or it cannot be read.
    pub fn known(&self) -> Result<Vec<ContainerStatus>, WorkloadError> {
        let mut state = self.state();
        let place = self.place(&mut state)?;
        let places = self.places(&mut state, Thoroughness::Anew);
        let mut lookup = Lookup::new(&places);
        let tree = cgroup_tree::walk(&place.folder, lookup.tasks())?;
        self.study(&mut state.seen, &place, &tree, (&mut lookup, Thoroughness::Anew));
        let hierarchy = open(&place)?;
        let known = tree.iter().flat_map(CgroupNode::containers).map(|container| ContainerStatus {
            name: state.seen.metadata.get(&container.inode).and_then(|metadata| metadata.name.clone()),
            runs_on: self.why_it_runs_on(&state.seen, &place, container),
            is_frozen: hierarchy.events(&container.cgroup).is_ok_and(|events| events.is_frozen().unwrap_or(false))
                || freezer::is_paused(&hierarchy, place.old_freezer.as_deref(), &container.cgroup),
            container: container.clone(),
        });
        Ok(known.collect())
    }

    /// Freezes every container that is to be frozen, and waits up to `limit` for their tasks to stop; a moment after `until` the guard
    /// thaws whatever is frozen then. What was frozen before is left as it is and counts as frozen; to freeze again freezes what has
    /// come since. Where there is nothing to freeze, it costs a look at the tree of cgroups.
    ///
    /// # Errors
    /// [`WorkloadError`] when there is no ledger, no guard or no hierarchy, or when not one could be frozen. Some may be frozen even
    /// then: [`Self::thaw`] knows.
    pub fn freeze(&self, limit: Duration, until: Awake) -> Result<FreezeOutcome, WorkloadError> {
        if self.settings.engines.is_empty() {
            return Ok(FreezeOutcome::default());
        }
        let mut state = self.state();
        let place = self.place(&mut state)?;
        let places = self.places(&mut state, Thoroughness::WhatIsNew);
        let mut lookup = Lookup::new(&places);
        let tree = cgroup_tree::walk(&place.folder, lookup.tasks())?;
        if !self.wanted(&tree).all(|container| state.seen.metadata.contains_key(&container.inode)) {
            self.study(&mut state.seen, &place, &tree, (&mut lookup, Thoroughness::WhatIsNew));
        }
        let units = self.plan(&state.seen, &place, &tree);
        if units.is_empty() {
            return Ok(FreezeOutcome::default());
        }
        self.stand_ready(&mut state, &place)?;
        self.arm(&mut state, &place, until)?;
        let FreezerState { ledger: Some(ledger), session, seen, .. } = &*state else {
            return Err(WorkloadError::Absent { what: "hold", path: self.settings.ledger.clone() });
        };
        let hierarchy = open(&place)?;
        let name = |container: &Container| named(seen, container);
        let freezer = Freezer { hierarchy: &hierarchy, ledger, old_freezer: place.old_freezer.as_deref() };
        let outcome = freezer.freeze(&units, &Order { session: *session, limit, name: &name })?;
        Ok(FreezeOutcome { tolerances: tolerant::tolerances(&units, seen), ..outcome })
    }

    /// Extends the freeze: the guard thaws a moment after `until`.
    ///
    /// # Errors
    /// [`WorkloadError`] when there is no guard any more, and none can be posted: it has thawed what was frozen.
    pub fn prolong(&self, until: Awake) -> Result<(), WorkloadError> {
        let mut state = self.state();
        if state.guard.is_none() {
            return Ok(());
        }
        let place = self.place(&mut state)?;
        self.arm(&mut state, &place, until)
    }

    fn state(&self) -> MutexGuard<'_, FreezerState> {
        // A thread that panicked left the ledger whole; thawing must continue.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn place(&self, state: &mut FreezerState) -> Result<CgroupMount, WorkloadError> {
        let place = match &mut state.place {
            Some(place) => {
                place.find_ourselves(&self.settings.proc_root)?;
                place
            }
            none => none.insert(CgroupMount::find(&self.settings.proc_root, self.settings.cgroup.as_deref())?),
        };
        Ok(place.clone())
    }

    fn wanted<'t>(&self, tree: &'t [CgroupNode]) -> impl Iterator<Item = &'t Container> {
        tree.iter()
            .flat_map(CgroupNode::containers)
            .filter(|container| self.settings.engines.contains(&container.engine))
    }

    /// Where the engines keep what they know; their configuration is read again when all is looked at anew.
    fn places(&self, state: &mut FreezerState, thoroughness: Thoroughness) -> Places {
        if thoroughness == Thoroughness::Anew {
            state.places = None;
        }
        state.places.get_or_insert_with(|| Places::of(&self.settings.root)).clone()
    }

    /// Finds out what has to be known of the containers: of those that are new, or of all; and because of what they run on.
    fn study(
        &self,
        seen: &mut ScanCache,
        place: &CgroupMount,
        tree: &[CgroupNode],
        how: (&mut Lookup<'_>, Thoroughness),
    ) {
        let (lookup, thoroughness) = how;
        let there: Vec<&Container> = self.wanted(tree).collect();
        let inodes: HashSet<u64> = there.iter().map(|container| container.inode).collect();
        seen.metadata.retain(|inode, _| thoroughness == Thoroughness::WhatIsNew && inodes.contains(inode));
        for container in &there {
            seen.metadata.entry(container.inode).or_insert_with(|| lookup.metadata(container));
        }
        seen.exempt = runtime_list::exempt(&runtime_list::beside(&self.settings.ledger));
        seen.keepers = if there.is_empty() {
            vec![]
        } else {
            exempt_processes::keepers(&self.settings.proc_root, place, &seen.keepers, thoroughness)
        };
    }

    fn plan<'t>(&self, seen: &ScanCache, place: &CgroupMount, tree: &'t [CgroupNode]) -> Vec<FreezeUnit<'t>> {
        let runs_on = |container: &Container| self.why_it_runs_on(seen, place, container).is_some();
        let grain = if self.settings.waves.is_some() { Grain::Containers } else { Grain::Folders };
        let machines = seen.keepers.iter().filter(|keeper| keeper.is_machine()).map(|keeper| keeper.cgroup.as_path());
        let spared: Vec<&Path> = place.own.as_deref().into_iter().chain(machines).collect();
        plan::plan(tree, &Rules { engines: &self.settings.engines, spared: &spared, grain, runs_on: &runs_on })
    }

    fn why_it_runs_on(&self, seen: &ScanCache, place: &CgroupMount, container: &Container) -> Option<String> {
        if !self.settings.engines.contains(&container.engine) {
            return Some(format!("{} is not among freeze.engines", container.engine));
        }
        if place.own.as_ref().is_some_and(|own| own.starts_with(&container.cgroup)) {
            return Some("clockgate itself runs in it".to_owned());
        }
        if let Some(keeper) = seen.keepers.iter().find(|keeper| keeper.is_in(container)) {
            let a_machine = if keeper.is_machine() { ", a virtual machine," } else { "" };
            return Some(format!("{}{a_machine} runs in it", keeper.program));
        }
        let unknown = Metadata::default();
        let metadata = seen.metadata.get(&container.inode).unwrap_or(&unknown);
        match exemption::find(metadata, &self.exempt) {
            Some(label @ Exemption::Label) => return Some(format!("its label {label}")),
            Some(Exemption::Rule(rule)) => return Some(format!("exempt by {rule}")),
            None => {}
        }
        if let Some(why) = seen.exempt.get(&container.id) {
            return Some(format!("exempt by {why}, as its runtime says"));
        }
        let exclusion = self.settings.exclude.iter().find(|exclusion| exclusion.means(container, metadata))?;
        Some(format!("freeze.exclude has {exclusion}"))
    }

    /// The ledger held, the guard at its post.
    fn stand_ready(&self, state: &mut FreezerState, place: &CgroupMount) -> Result<(), WorkloadError> {
        if state.ledger.is_none() {
            let boot = boot_id(&self.settings.proc_root)?;
            state.ledger = Some(LockedLedger::take(Ledger::make(&self.settings.ledger, &boot)?)?);
        }
        if state.guard.is_none() {
            let session = crate::sys::random::number();
            state.session = session.map_err(|e| WorkloadError::from_io("read", Path::new("getrandom(2)"), e))?;
            state.guard = Some(Guard::post(&self.settings.guard, &self.watch(state.session, place))?);
        }
        Ok(())
    }

    /// Sets the end of the guard's time; a guard that has ended is replaced.
    fn arm(&self, state: &mut FreezerState, place: &CgroupMount, until: Awake) -> Result<(), WorkloadError> {
        if state.guard.as_ref().is_some_and(|guard| guard.arm(until).is_ok()) {
            return Ok(());
        }
        // The same session: what is frozen already is the new guard's too.
        let guard = Guard::post(&self.settings.guard, &self.watch(state.session, place))?;
        guard.arm(until).map_err(|source| WorkloadError::Guard { program: self.settings.guard.clone(), source })?;
        state.guard = Some(guard);
        Ok(())
    }

    fn watch(&self, session: u64, place: &CgroupMount) -> GuardTask {
        GuardTask { ledger: self.settings.ledger.clone(), folder: place.folder.clone(), session }
    }
}

fn open(place: &CgroupMount) -> Result<Hierarchy, WorkloadError> {
    Hierarchy::open(&place.folder).map_err(|e| WorkloadError::from_io("open", &place.folder, e))
}

/// A container as texts have it.
fn named(seen: &ScanCache, container: &Container) -> NamedContainer {
    let id = foreign::shown(&container.id);
    let known = || seen.metadata.get(&container.inode)?.name.as_deref().map(foreign::shown);
    let name = if container.engine.has_ids() { known() } else { Some(id.clone()) };
    NamedContainer::new(container.engine.name(), &id, name.as_deref())
}

/// The id of this boot, as text.
fn boot_id(proc_root: &Path) -> Result<String, WorkloadError> {
    let path = proc_root.join("sys/kernel/random/boot_id");
    let text = fs::read_to_string(&path).map_err(|e| WorkloadError::from_io("read", &path, e))?;
    Ok(text.trim().to_owned())
}

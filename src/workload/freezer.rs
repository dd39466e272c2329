//! Freeze, await, thaw. The ledger is written before each freeze and after each thaw, never the other way round.

use std::io;
use std::path::Path;
use std::time::Duration;

use super::error::{Thawed, WorkloadError};
use super::ledger::{Contents, Entry, Ledger};
use super::plan::FreezeUnit;
use crate::container::Container;
use crate::decision::{Boottime, ContainerList, ContainerText, FreezeOutcome, NamedContainer, nanos_u64};
use crate::sys::cgroup::{CgroupMark, Hierarchy, is_gone};
use crate::sys::clock::{boottime, monotonic_nanos};
use crate::sys::foreign;

/// After so long it is looked at who keeps a cgroup from being frozen; then after twice as long, and so on.
const LOOK_AFTER: Duration = Duration::from_millis(20);
/// So many marks are held open at once, and are noted with one write: far below the 1024 files that a process may have open.
const AT_ONCE: usize = 128;

/// What a freeze needs to know.
pub struct Order<'a> {
    /// Who freezes, for the ledger.
    pub session: u64,
    /// How long to wait for the tasks to stop.
    pub limit: Duration,
    /// What a container is called.
    pub name: &'a dyn Fn(&Container) -> NamedContainer,
}

/// The hands on the hierarchy.
#[derive(Clone, Copy, Debug)]
pub struct Freezer<'a> {
    /// The hierarchy.
    pub hierarchy: &'a Hierarchy,
    /// What is noted before and after.
    pub ledger: &'a Ledger,
    /// The freezer of version 1, where there is one.
    pub old_freezer: Option<&'a Path>,
}

impl Freezer<'_> {
    /// Freezes the cgroups, and waits until their tasks have stopped. One that is marked already is left as it is.
    ///
    /// # Errors
    /// [`WorkloadError`] when the ledger cannot be written, or not a single mark could be set. What was frozen before that is in the
    /// ledger.
    pub fn freeze(&self, units: &[FreezeUnit<'_>], order: &Order<'_>) -> Result<FreezeOutcome, WorkloadError> {
        let end = monotonic_nanos().saturating_add(nanos_u64(order.limit));
        let (mut marked, mut failed) = (vec![], vec![]);
        for some in units.chunks(AT_ONCE) {
            self.mark(some, (order.session, boottime()), &mut marked, &mut failed)?;
        }
        if marked.is_empty() && !failed.is_empty() {
            let (_, error) = failed.swap_remove(0);
            return Err(error);
        }
        let mut found = Confirmed::default();
        for (unit, error) in failed {
            found.of += unit.containers.len().max(1);
            found.stuck.push(called(unit, order).words(": ").then(error.text()));
        }
        for unit in marked {
            self.confirm(unit, end, order, &mut found);
        }
        let frozen = ContainerList::new(&found.frozen, |container| (order.name)(container));
        Ok(FreezeOutcome { frozen, of: found.of, stuck: found.stuck, ..FreezeOutcome::default() })
    }

    /// Gives a mark of its own to what is frozen by one above it, `by` that session and since then, so that it stays frozen when that
    /// one goes; says which had none.
    ///
    /// # Errors
    /// [`WorkloadError`] when one of them has none still; the others may have theirs, and are in the ledger.
    pub fn hold(&self, units: &[FreezeUnit<'_>], by: (u64, Boottime)) -> Result<Vec<Entry>, WorkloadError> {
        let (mut noted, mut marked, mut failed) = (vec![], vec![], vec![]);
        for some in units.chunks(AT_ONCE) {
            noted.extend(self.mark(some, by, &mut marked, &mut failed)?);
        }
        failed.pop().map_or(Ok(noted), |(_, error)| Err(error))
    }

    /// Marks what has no mark yet, and says what that was.
    fn mark<'u>(
        &self,
        units: &'u [FreezeUnit<'u>],
        (session, since): (u64, Boottime),
        marked: &mut Vec<&'u FreezeUnit<'u>>,
        failed: &mut Vec<(&'u FreezeUnit<'u>, WorkloadError)>,
    ) -> Result<Vec<Entry>, WorkloadError> {
        let mut to_set: Vec<(&FreezeUnit<'_>, CgroupMark)> = vec![];
        let mut sort = |unit: &'u FreezeUnit<'u>, outcome: io::Result<Option<CgroupMark>>| match outcome {
            Ok(Some(mark)) => to_set.push((unit, mark)),
            Ok(None) => marked.push(unit),
            Err(error) if is_gone(&error) => {}
            // One that we could not thaw, or were kept from thawing, is frozen all the same.
            Err(_) if self.is_frozen(unit.cgroup, Duration::ZERO).unwrap_or(false) => marked.push(unit),
            Err(error) => failed.push((unit, self.error("freeze", unit.cgroup, error))),
        };
        for unit in units {
            let unmarked = self.hierarchy.mark(unit.cgroup).and_then(|mark| Ok((!mark.is_set()?).then_some(mark)));
            sort(unit, unmarked);
        }
        let entry = |(unit, mark): &(&FreezeUnit<'_>, CgroupMark)| Entry {
            cgroup: unit.cgroup.to_owned(),
            inode: mark.inode(),
            session,
            since,
        };
        let noted: Vec<Entry> = to_set.iter().map(entry).collect();
        if !noted.is_empty() {
            self.ledger.note_frozen(&noted)?;
        }
        for (unit, mark) in to_set {
            match mark.set() {
                Ok(()) => marked.push(unit),
                Err(error) if is_gone(&error) => {}
                Err(error) => failed.push((unit, self.error("freeze", unit.cgroup, error))),
            }
        }
        Ok(noted)
    }

    fn confirm<'u>(&self, unit: &FreezeUnit<'u>, end: u64, order: &Order<'_>, found: &mut Confirmed<'u>) {
        let mut pause = LOOK_AFTER;
        loop {
            let left = Duration::from_nanos(end.saturating_sub(monotonic_nanos()));
            match self.is_frozen(unit.cgroup, left.min(pause)) {
                Ok(true) => {
                    found.frozen.extend(&unit.containers);
                    found.of += unit.containers.len();
                    return;
                }
                Err(error) if is_gone(&error) => return,
                Err(error) => return self.unknown(unit.cgroup, error, found),
                Ok(false) => {}
            }
            let (frozen, awaited): (Vec<&Container>, Vec<&Container>) =
                unit.containers.iter().copied().partition(|container| self.is_frozen_or_gone(&container.cgroup));
            let is_over = left.is_zero();
            if is_over || (awaited.is_empty() && !unit.containers.is_empty()) {
                found.frozen.extend(frozen);
                found.of += unit.containers.len();
                let named = |one: &Container| ContainerText::default().containers((order.name)(one));
                found.stuck.extend(awaited.into_iter().map(|one| self.why(&one.cgroup, named(one))));
                if unit.containers.is_empty() {
                    found.stuck.push(self.why(unit.cgroup, called(unit, order)));
                }
                return;
            }
            pause = pause.saturating_mul(2);
        }
    }

    fn is_frozen_or_gone(&self, cgroup: &Path) -> bool {
        match self.is_frozen(cgroup, Duration::ZERO) {
            Ok(is_frozen) => is_frozen || is_paused(self.hierarchy, self.old_freezer, cgroup),
            Err(error) => is_gone(&error),
        }
    }

    fn unknown(&self, cgroup: &Path, error: io::Error, found: &mut Confirmed<'_>) {
        found.of += 1;
        found.stuck.push(self.error("look at", cgroup, error).text());
    }

    fn is_frozen(&self, cgroup: &Path, limit: Duration) -> io::Result<bool> {
        self.hierarchy.events(cgroup)?.wait_until_frozen(limit)
    }

    /// Names the processes that the kernel cannot stop: those in uninterruptible sleep.
    fn why(&self, cgroup: &Path, name: ContainerText) -> ContainerText {
        let mut asleep = vec![];
        self.uninterruptible(cgroup, &mut asleep);
        let shown: Vec<&str> = asleep.iter().map(String::as_str).take(3).collect();
        let said = name.words(" has not stopped");
        match shown[..] {
            [] => said,
            _ => {
                said.words(": uninterruptible sleep of ").private(format!("process {}", shown.join(", ")), "a process")
            }
        }
    }

    fn uninterruptible(&self, cgroup: &Path, found: &mut Vec<String>) {
        for pid in self.hierarchy.processes(cgroup).unwrap_or_default() {
            // pid (comm) state …; the name may hold anything, brackets too.
            let stat = foreign::text(Path::new(&format!("/proc/{pid}/stat"))).unwrap_or_default();
            if let Some((name, rest)) = stat.rsplit_once(')')
                && rest.starts_with(" D")
            {
                found.push(foreign::shown(&format!("{name})")));
            }
        }
        let below = std::fs::read_dir(self.hierarchy.path().join(cgroup)).into_iter().flatten().flatten();
        for entry in below.filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir())) {
            self.uninterruptible(&cgroup.join(entry.file_name()), found);
        }
    }

    /// Thaws what the ledger has as frozen, by `session` alone or by any agent, the last first.
    ///
    /// # Errors
    /// [`WorkloadError::StillFrozen`] names what could not be thawed; all the rest was. Any other [`WorkloadError`] is about the ledger itself.
    pub fn thaw(&self, contents: &Contents, session: Option<u64>) -> Result<Thawed, WorkloadError> {
        let ours = |entry: &&Entry| session.is_none_or(|session| entry.session == session);
        let entries: Vec<&Entry> = contents.entries.iter().rev().filter(ours).collect();
        let mut thawed = Thawed { damaged: contents.damaged, later: contents.later, ..Thawed::default() };
        let (mut failed, mut unnoted) = (vec![], None);
        for some in entries.chunks(AT_ONCE) {
            let mut done = vec![];
            for entry in some {
                match self.clear(entry) {
                    Ok(true) => thawed.thawed.push(entry.cgroup.clone()),
                    Ok(false) => thawed.gone.push(entry.cgroup.clone()),
                    Err(error) => {
                        failed.push(self.error("thaw", &entry.cgroup, error));
                        continue;
                    }
                }
                done.push((*entry).clone());
            }
            if let Err(error) = self.ledger.note_thawed(&done) {
                unnoted.get_or_insert(error);
            }
        }
        match (failed.is_empty(), unnoted) {
            (true, None) => Ok(thawed),
            (true, Some(error)) => Err(error),
            (false, _) => Err(WorkloadError::StillFrozen { thawed, failed }),
        }
    }

    /// Whether the cgroup was there to be thawed.
    fn clear(&self, entry: &Entry) -> io::Result<bool> {
        let cleared = self.hierarchy.mark(&entry.cgroup).and_then(|mark| {
            let is_ours = mark.inode() == entry.inode;
            if is_ours { mark.clear().map(|()| true) } else { Ok(false) }
        });
        match cleared {
            Err(error) if is_gone(&error) => Ok(false),
            other => other,
        }
    }

    fn error(&self, what: &'static str, cgroup: &Path, error: io::Error) -> WorkloadError {
        WorkloadError::from_io(what, &self.hierarchy.path().join(cgroup), error)
    }
}

/// What was found of the marked cgroups.
#[derive(Default)]
struct Confirmed<'u> {
    frozen: Vec<&'u Container>,
    of: usize,
    stuck: Vec<ContainerText>,
}

fn called(unit: &FreezeUnit<'_>, order: &Order<'_>) -> ContainerText {
    match unit.containers[..] {
        [only] if only.cgroup == unit.cgroup => ContainerText::default().containers((order.name)(only)),
        _ => ContainerText::default().private(format!("/{}", foreign::shown_path(unit.cgroup)), "a cgroup"),
    }
}

/// Whether an engine has paused a container by the freezer of version 1: the other never calls its tasks frozen then, since to
/// that one they are in uninterruptible sleep.
pub fn is_paused(hierarchy: &Hierarchy, old_freezer: Option<&Path>, cgroup: &Path) -> bool {
    let state = |old: &Path| {
        let process = hierarchy.processes(cgroup).ok()?.into_iter().next()?;
        let cgroups = foreign::text(Path::new(&format!("/proc/{process}/cgroup"))).ok()?;
        let path = cgroups.lines().find_map(|line| line.split_once(":freezer:/"))?.1;
        foreign::text(&old.join(path).join("freezer.state")).ok()
    };
    old_freezer.and_then(state).is_some_and(|state| state.starts_with("FROZEN"))
}

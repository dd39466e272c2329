//! The tree of cgroups: where it is mounted, where we are in it, and what of it is containers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Component, Path, PathBuf};

use super::WorkloadError;
use crate::container::cgroup::{CgroupKind, kind};
use crate::container::{Container, Engine, Tasks};
use crate::sys::cgroup::is_said;
use crate::sys::foreign;

/// Deeper than any engine goes: a pod of rootless Kubernetes lies nine folders deep.
const MAX_DEPTH: usize = 12;
/// Of a user's containers, those beyond this number are not frozen.
const MOST_OF_A_USER: usize = 256;
/// Cgroups that are looked at in one user's tree, with any name.
const MOST_LOOKED_AT: usize = 2048;
/// `cgroup.events` has two short lines.
const EVENTS_MAX: u64 = 4096;

/// Where the tree lies, and where we are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CgroupMount {
    /// The folder below which we look: the mount of the hierarchy, or a part of it.
    pub folder: PathBuf,
    /// The path of that folder in the hierarchy, as `/proc/PID/cgroup` would have it; empty for the whole.
    pub prefix: PathBuf,
    /// Our own cgroup relative to the folder; none when it lies elsewhere.
    pub own: Option<PathBuf>,
    /// The freezer of version 1, where a hybrid host has one: its engines pause by that.
    pub old_freezer: Option<PathBuf>,
}

impl CgroupMount {
    /// Finds the hierarchy, or the part of it at `folder`.
    ///
    /// # Errors
    /// [`WorkloadError::NoHierarchy`] when none is mounted: then no container can be frozen.
    pub fn find(proc_root: &Path, folder: Option<&Path>) -> Result<Self, WorkloadError> {
        let mountinfo = proc_root.join("self/mountinfo");
        // Of thousands of mounts one may have a name that is no UTF-8.
        let bytes = fs::read(&mountinfo).map_err(|e| WorkloadError::from_io("read", &mountinfo, e))?;
        let text = String::from_utf8_lossy(&bytes);
        let mounts = mounts(&text, |filesystem| filesystem.starts_with("cgroup2 "));
        let is_freezer = |filesystem: &str| {
            let options = filesystem.rsplit(' ').next().unwrap_or_default();
            filesystem.starts_with("cgroup ") && options.split(',').any(|option| option == "freezer")
        };
        let old_freezer = self::mounts(&text, is_freezer).into_iter().next();
        let (folder, prefix) = match folder {
            Some(folder) => {
                let mount = mounts.iter().filter(|mount| folder.starts_with(mount)).max_by_key(|m| m.as_os_str().len());
                let prefix = mount.and_then(|mount| folder.strip_prefix(mount).ok()).map(Path::to_owned);
                (folder.to_owned(), prefix.unwrap_or_default())
            }
            None => (mounts.into_iter().next().ok_or(WorkloadError::NoHierarchy(mountinfo))?, PathBuf::new()),
        };
        let mut place = Self { folder, prefix, own: None, old_freezer };
        place.find_ourselves(proc_root)?;
        Ok(place)
    }

    /// Reads the cgroup of this process anew: it may have been moved since.
    ///
    /// # Errors
    /// [`WorkloadError`] when that cannot be read.
    pub fn find_ourselves(&mut self, proc_root: &Path) -> Result<(), WorkloadError> {
        let path = proc_root.join("self/cgroup");
        let own = unified(&foreign::text(&path).map_err(|e| WorkloadError::from_io("read", &path, e))?);
        self.own = own.and_then(|own| own.strip_prefix(&self.prefix).ok().map(Path::to_owned));
        Ok(())
    }

    /// The cgroup of a process, relative to the folder; none when it lies elsewhere or the process has ended.
    #[must_use]
    pub fn of_process(&self, process: &Path) -> Option<PathBuf> {
        let path = unified(&foreign::text(&process.join("cgroup")).ok()?)?;
        path.strip_prefix(&self.prefix).ok().map(Path::to_owned)
    }
}

/// The whole hierarchies of a kind in a mountinfo (proc_pid_mountinfo(5)), the usual place first. A cgroup namespace shows its own part
/// as the whole, and what lies outside is out of sight.
#[must_use]
pub fn mounts(mountinfo: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let mut found: Vec<PathBuf> = mountinfo
        .lines()
        .filter_map(|line| {
            let (mount, filesystem) = line.split_once(" - ")?;
            let mut fields = mount.split(' ').skip(3);
            let (root, at) = (fields.next()?, fields.next()?);
            (is_wanted(filesystem) && root == "/").then(|| PathBuf::from(unescaped(at)))
        })
        .collect();
    found.sort_by_key(|path| (!path.starts_with("/sys/fs/cgroup"), path.as_os_str().len()));
    found
}

/// mountinfo writes a blank as `\040`.
fn unescaped(text: &str) -> String {
    text.replace("\\040", " ").replace("\\134", "\\")
}

/// The path in the unified hierarchy, relative to its root: the line `0::/path` of a process's `cgroup`. None where it lies outside of
/// our cgroup namespace, which begins with `/..` (cgroup_namespaces(7)).
#[must_use]
pub fn unified(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // The kernel writes that for a cgroup that was removed under a process.
    let path = PathBuf::from(path.strip_suffix(" (deleted)").unwrap_or(path));
    path.components().all(|part| matches!(part, Component::Normal(_))).then_some(path)
}

/// A cgroup that we may freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CgroupNode {
    /// A container.
    Container(Container),
    /// A folder of an engine's, safe to freeze as one.
    Folder {
        /// Whose.
        engine: Engine,
        /// Relative to the hierarchy.
        path: PathBuf,
        /// What lies below.
        children: Vec<CgroupNode>,
    },
}

impl CgroupNode {
    /// Its cgroup, relative to the hierarchy.
    #[must_use]
    pub fn path(&self) -> &Path {
        match self {
            Self::Container(container) => &container.cgroup,
            Self::Folder { path, .. } => path,
        }
    }

    /// What lies below; nothing for a container.
    #[must_use]
    pub fn children(&self) -> &[Self] {
        match self {
            Self::Container(_) => &[],
            Self::Folder { children, .. } => children,
        }
    }

    /// Every container in this part of the tree.
    pub fn containers(&self) -> Vec<&Container> {
        let mut found = vec![];
        self.collect(&mut found);
        found
    }

    fn collect<'a>(&'a self, found: &mut Vec<&'a Container>) {
        match self {
            Self::Container(container) => found.push(container),
            Self::Folder { children, .. } => children.iter().for_each(|child| child.collect(found)),
        }
    }
}

/// Walks the tree: every container, below the folder that its engine keeps them in, where it has one. `tasks` are containerd's, whose
/// names alone say nothing.
///
/// # Errors
/// [`WorkloadError`] when the folder itself cannot be read; a cgroup that is removed while we look is skipped.
pub fn walk(folder: &Path, tasks: &Tasks) -> Result<Vec<CgroupNode>, WorkloadError> {
    let root_uid = fs::metadata(folder).map_err(|e| WorkloadError::from_io("look at", folder, e))?.uid();
    let walk = Walk { folder, tasks, root_uid, of_users: RefCell::default() };
    walk.all().map_err(|e| WorkloadError::from_io("list", folder, e))
}

struct Walk<'a> {
    folder: &'a Path,
    tasks: &'a Tasks,
    /// The owner of the hierarchy; a cgroup of another owner was delegated.
    root_uid: u32,
    /// What was looked at and found in the trees of each of them.
    of_users: RefCell<HashMap<u32, OfUser>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfUser {
    looked_at: usize,
    found: usize,
}

/// A folder to look into: no container itself, or a folder of the engine `within`.
#[derive(Clone, Copy)]
struct Below<'p> {
    path: &'p Path,
    within: Option<Engine>,
    /// Whose tree it lies in: what a user gives to others in their own is still that user's.
    owner: u32,
}

impl Walk<'_> {
    fn all(&self) -> io::Result<Vec<CgroupNode>> {
        let mut found = vec![];
        self.below(Below { path: Path::new(""), within: None, owner: self.root_uid }, &mut found)?;
        Ok(found)
    }

    /// Adds what lies in a folder.
    fn below(&self, folder: Below<'_>, found: &mut Vec<CgroupNode>) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join(folder.path))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let Ok(meta) = entry.metadata() else { continue };
            let is_users = folder.owner != self.root_uid;
            let owner = if is_users { folder.owner } else { meta.uid() };
            if !self.may_look(owner) {
                if is_users {
                    return Ok(());
                }
                continue;
            }
            let path = folder.path.join(entry.file_name());
            let into = |within| Below { path: &path, within, owner };
            match self.kind(&path, folder.within) {
                CgroupKind::Folder(engine) => {
                    let mut children = vec![];
                    passed_over(self.below(into(Some(engine)), &mut children))?;
                    found.push(CgroupNode::Folder { engine, path, children });
                }
                CgroupKind::Container(..) if !self.is_believed(owner, &entry) => {}
                CgroupKind::Container(engine, id) => {
                    let inode = entry.ino();
                    found.push(CgroupNode::Container(Container { engine, id, cgroup: path, inode }));
                }
                CgroupKind::Payload(_) | CgroupKind::Other => self.go_down(&meta, into(None), found)?,
            }
        }
        Ok(())
    }

    /// What a cgroup is by its name, by what lies beside it, and by what containerd says.
    fn kind(&self, path: &Path, within: Option<Engine>) -> CgroupKind {
        let by_name = kind(path, within);
        match &by_name {
            CgroupKind::Payload(machine) if self.folder.join(path).with_file_name("supervisor").is_dir() => {
                CgroupKind::Container(Engine::Nspawn, machine.clone())
            }
            CgroupKind::Payload(_) | CgroupKind::Other => {
                let mut parts = path.iter().rev().map(|part| part.to_str().unwrap_or_default());
                let (Some(name), Some(above)) = (parts.next(), parts.next()) else { return by_name };
                let engine = self.tasks.engine_of(above, name);
                engine.map_or(by_name, |engine| CgroupKind::Container(engine, name.to_owned()))
            }
            CgroupKind::Folder(_) | CgroupKind::Container(..) => by_name,
        }
    }

    fn go_down(&self, meta: &fs::Metadata, folder: Below<'_>, found: &mut Vec<CgroupNode>) -> io::Result<()> {
        // A folder without folders has two links (kernfs counts them), and most cgroups are such: one look spares the list.
        if meta.nlink() == 2 || folder.path.components().count() >= MAX_DEPTH {
            return Ok(());
        }
        passed_over(self.below(folder, found))
    }

    /// Counts the look. In a tree that was delegated its owner makes what cgroups they like, and we look at so many.
    fn may_look(&self, owner: u32) -> bool {
        if owner == self.root_uid {
            return true;
        }
        let mut of_users = self.of_users.borrow_mut();
        let of_user = of_users.entry(owner).or_default();
        let may = of_user.looked_at < MOST_LOOKED_AT;
        of_user.looked_at += usize::from(may);
        may
    }

    /// And gives them what names they like: of those count the ones that processes run in, and not without end.
    fn is_believed(&self, owner: u32, entry: &fs::DirEntry) -> bool {
        if owner == self.root_uid {
            return true;
        }
        let mut of_users = self.of_users.borrow_mut();
        let of_user = of_users.entry(owner).or_default();
        if of_user.found >= MOST_OF_A_USER {
            return false;
        }
        let events = foreign::read(&entry.path().join("cgroup.events"), EVENTS_MAX).unwrap_or_default();
        let is_populated = is_said(&events, "populated");
        of_user.found += usize::from(is_populated);
        is_populated
    }
}

/// A cgroup that went while we looked is no failure.
fn passed_over(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if crate::sys::cgroup::is_gone(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests;

//! The tree of cgroups: where it is mounted, where we are in it, and what of it is containers.

use std::cell::RefCell;
use std::collections::HashMap;
use std::fs;
use std::io;
use std::os::unix::fs::{DirEntryExt, MetadataExt};
use std::path::{Path, PathBuf};

use super::Error;
use super::container::{Container, Engine, Kind, containing, kind};
use crate::sys::foreign;

/// Deeper than any engine goes: a pod of rootless Kubernetes lies nine folders deep.
const MAX_DEPTH: usize = 12;
/// A user who runs more containers than that has them frozen by nobody.
const MOST_OF_A_USER: usize = 256;
/// Names of containers that are looked at in one user's tree.
const MOST_LOOKED_AT: usize = 2048;
/// `cgroup.events` has two short lines.
const EVENTS_MAX: u64 = 4096;
/// containerd's folders of running containers: its own, and the one that dockerd starts by itself.
const BUNDLES: [&str; 2] =
    ["run/containerd/io.containerd.runtime.v2.task", "run/docker/containerd/daemon/io.containerd.runtime.v2.task"];

/// Where the tree lies, and where we are in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    /// The folder below which we look: the mount of the hierarchy, or a part of it.
    pub folder: PathBuf,
    /// The path of that folder in the hierarchy, as `/proc/PID/cgroup` would have it; empty for the whole.
    pub prefix: PathBuf,
    /// Our own cgroup relative to the folder; none when it lies elsewhere.
    pub own: Option<PathBuf>,
    /// The freezer of version 1, where a hybrid host has one: its engines pause by that.
    pub old_freezer: Option<PathBuf>,
}

impl Place {
    /// Finds the hierarchy, or the part of it at `folder`.
    ///
    /// # Errors
    /// [`Error::NoHierarchy`] when none is mounted: then no container can be frozen.
    pub fn find(proc_root: &Path, folder: Option<&Path>) -> Result<Self, Error> {
        let mountinfo = proc_root.join("self/mountinfo");
        let text = fs::read_to_string(&mountinfo).map_err(|e| Error::from_io("read", &mountinfo, e))?;
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
            None => (mounts.into_iter().next().ok_or(Error::NoHierarchy(mountinfo))?, PathBuf::new()),
        };
        let mut place = Self { folder, prefix, own: None, old_freezer };
        place.find_ourselves(proc_root)?;
        Ok(place)
    }

    /// Looks where we are: somebody may have moved us since.
    ///
    /// # Errors
    /// [`Error`] when that cannot be read.
    pub fn find_ourselves(&mut self, proc_root: &Path) -> Result<(), Error> {
        let path = proc_root.join("self/cgroup");
        let own = unified(&fs::read_to_string(&path).map_err(|e| Error::from_io("read", &path, e))?);
        self.own = own.and_then(|own| own.strip_prefix(&self.prefix).ok().map(Path::to_owned));
        Ok(())
    }

    /// The cgroup of a process, relative to the folder; none when it lies elsewhere or the process is gone.
    #[must_use]
    pub fn of_process(&self, process: &Path) -> Option<PathBuf> {
        let path = unified(&fs::read_to_string(process.join("cgroup")).ok()?)?;
        path.strip_prefix(&self.prefix).ok().map(Path::to_owned)
    }

    /// The container that a process runs in.
    #[must_use]
    pub fn container_of(&self, process: &Path) -> Option<PathBuf> {
        self.of_process(process).and_then(|path| containing(&path).map(Path::to_owned))
    }
}

/// The whole hierarchies of a kind in a mountinfo (proc_pid_mountinfo(5)), the usual place first. A cgroup namespace shows its own part
/// as the whole, and what lies outside is out of sight.
fn mounts(mountinfo: &str, is_wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
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

/// The path in the unified hierarchy, relative to its root: the line `0::/path` of a process's `cgroup`.
fn unified(text: &str) -> Option<PathBuf> {
    let path = text.lines().find_map(|line| line.strip_prefix("0::/"))?;
    // So it stands there for a cgroup that was removed under a process.
    Some(PathBuf::from(path.strip_suffix(" (deleted)").unwrap_or(path)))
}

/// A cgroup that we may freeze.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Node {
    /// A container.
    Container(Container),
    /// A folder of an engine's, safe to freeze as one.
    Folder {
        /// Whose.
        engine: Engine,
        /// Relative to the hierarchy.
        path: PathBuf,
        /// What lies below.
        children: Vec<Node>,
    },
}

impl Node {
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

/// Walks the tree: every container, below the folder that its engine keeps them in, where it has one.
///
/// # Errors
/// [`Error`] when the folder itself cannot be read; a cgroup that goes while we look is passed over.
pub fn walk(folder: &Path, root: &Path) -> Result<Vec<Node>, Error> {
    let mut found = vec![];
    let root_uid = fs::metadata(folder).map_err(|e| Error::from_io("look at", folder, e))?.uid();
    let walk = Walk { folder, root, root_uid, of_users: RefCell::default() };
    walk.below(Path::new(""), None, &mut found).map_err(|e| Error::from_io("list", folder, e))?;
    Ok(found)
}

struct Walk<'a> {
    folder: &'a Path,
    root: &'a Path,
    /// Whose the hierarchy is; what is somebody else's was delegated.
    root_uid: u32,
    /// What was looked at and found in the trees of each of them.
    of_users: RefCell<HashMap<u32, OfUser>>,
}

#[derive(Clone, Copy, Debug, Default)]
struct OfUser {
    looked_at: usize,
    found: usize,
}

impl Walk<'_> {
    /// Adds what lies in `path`, which is nothing of ours itself, or a folder of the engine `within`.
    fn below(&self, path: &Path, within: Option<Engine>, found: &mut Vec<Node>) -> io::Result<()> {
        for entry in fs::read_dir(self.folder.join(path))? {
            let entry = entry?;
            if !entry.file_type()?.is_dir() {
                continue;
            }
            let path = path.join(entry.file_name());
            match kind(&path, within) {
                Kind::Folder(engine) => {
                    let mut children = vec![];
                    passed_over(self.below(&path, Some(engine), &mut children))?;
                    found.push(Node::Folder { engine, path, children });
                }
                Kind::Container(..) if !self.is_believed(&entry) => {}
                Kind::Container(engine, id) => found.push(container(engine, id, path, &entry)),
                Kind::Unclear(id) => match self.engine_of(&id) {
                    Some(engine) => found.push(container(engine, id, path, &entry)),
                    None => self.go_down(&entry, &path, found)?,
                },
                Kind::Other => self.go_down(&entry, &path, found)?,
            }
        }
        Ok(())
    }

    fn go_down(&self, entry: &fs::DirEntry, path: &Path, found: &mut Vec<Node>) -> io::Result<()> {
        // A folder without folders has two links (kernfs counts them), and most cgroups are such: one look spares the list.
        let is_leaf = entry.metadata().is_ok_and(|meta| meta.nlink() == 2);
        if is_leaf || path.components().count() >= MAX_DEPTH {
            return Ok(());
        }
        passed_over(self.below(path, None, found))
    }

    /// In a tree that was delegated its owner gives what names they like: of those count the ones that processes run in, and not
    /// without end.
    fn is_believed(&self, entry: &fs::DirEntry) -> bool {
        let Ok(meta) = entry.metadata() else { return false };
        if meta.uid() == self.root_uid {
            return true;
        }
        let mut of_users = self.of_users.borrow_mut();
        let of_user = of_users.entry(meta.uid()).or_default();
        if of_user.looked_at >= MOST_LOOKED_AT || of_user.found >= MOST_OF_A_USER {
            return false;
        }
        of_user.looked_at += 1;
        let events = foreign::read(&entry.path().join("cgroup.events"), EVENTS_MAX).unwrap_or_default();
        let is_populated = events.split(|byte| *byte == b'\n').any(|line| line == b"populated 1");
        of_user.found += usize::from(is_populated);
        is_populated
    }

    /// Whose container of containerd's it is, by the namespace in which its bundle lies.
    fn engine_of(&self, id: &str) -> Option<Engine> {
        Some(match bundle(self.root, id)?.parent()?.file_name()?.to_str()? {
            "moby" => Engine::Docker,
            "k8s.io" => Engine::Kubernetes,
            _ => Engine::Containerd,
        })
    }
}

fn container(engine: Engine, id: String, cgroup: PathBuf, entry: &fs::DirEntry) -> Node {
    Node::Container(Container { engine, id, cgroup, inode: entry.ino() })
}

/// The folder with a container's bundle, where containerd started it.
#[must_use]
pub fn bundle(root: &Path, id: &str) -> Option<PathBuf> {
    let namespaces = BUNDLES.iter().filter_map(|folder| fs::read_dir(root.join(folder)).ok()).flatten().flatten();
    namespaces.map(|entry| entry.path().join(id)).find(|path| path.is_dir())
}

/// A cgroup that went while we looked is no failure.
fn passed_over(outcome: io::Result<()>) -> io::Result<()> {
    match outcome {
        Err(error) if crate::sys::cgroup::is_gone(&error) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

    const MOUNTINFO: &str = "\
24 1 0:22 / /sys rw,relatime - sysfs sysfs rw
30 24 0:26 / /sys/fs/cgroup/unified rw,nosuid - cgroup2 cgroup2 rw,nsdelegate
31 24 0:27 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory
32 24 0:28 / /sys/fs/cgroup/freezer rw - cgroup cgroup rw,freezer
40 24 0:26 / /srv/a\\040b/cgroup rw - cgroup2 cgroup2 rw
41 24 0:26 /docker/x /sys/fs/x rw - cgroup2 cgroup2 rw
";

    fn proc_root(cgroup: &str) -> tempfile::TempDir {
        let folder = tempfile::tempdir().unwrap();
        fs::create_dir(folder.path().join("self")).unwrap();
        fs::write(folder.path().join("self/mountinfo"), MOUNTINFO).unwrap();
        fs::write(folder.path().join("self/cgroup"), cgroup).unwrap();
        folder
    }

    #[test]
    fn the_whole_hierarchy_is_found_and_not_a_part_of_it_that_is_mounted_elsewhere() {
        let found = mounts(MOUNTINFO, |filesystem| filesystem.starts_with("cgroup2 "));
        assert_eq!(found, [Path::new("/sys/fs/cgroup/unified"), Path::new("/srv/a b/cgroup")]);
        let proc_root = proc_root("9:name=systemd:/x\n0::/system.slice/clockgate.service\n");
        let place = Place::find(proc_root.path(), None).unwrap();
        assert_eq!(place.own.as_deref(), Some(Path::new("system.slice/clockgate.service")));
        assert_eq!(place.old_freezer.as_deref(), Some(Path::new("/sys/fs/cgroup/freezer")));
        assert_eq!((place.folder.to_str(), place.prefix.to_str()), (Some("/sys/fs/cgroup/unified"), Some("")));
    }

    #[test]
    fn in_a_part_of_the_hierarchy_paths_are_relative_to_the_part() {
        let proc_root = proc_root("0::/test/a/b\n");
        let at = |folder: &str| Place::find(proc_root.path(), Some(Path::new(folder))).unwrap();
        let place = at("/sys/fs/cgroup/unified/test");
        assert_eq!(place.prefix, Path::new("test"));
        assert_eq!(place.own.as_deref(), Some(Path::new("a/b")));
        assert_eq!(at("/sys/fs/cgroup/unified/other").own, None);
        assert_eq!(at("/tmp/no/hierarchy").own.as_deref(), Some(Path::new("test/a/b")));
    }

    #[test]
    fn without_a_hierarchy_nothing_can_be_frozen_and_that_is_said() {
        let proc_root = proc_root("9:name=systemd:/x\n");
        fs::write(proc_root.path().join("self/mountinfo"), "24 1 0:22 / /sys rw - sysfs sysfs rw\n").unwrap();
        assert!(matches!(Place::find(proc_root.path(), None), Err(Error::NoHierarchy(_))));
    }

    #[test]
    fn names_in_a_user_s_own_tree_count_where_processes_run_in_them_and_not_without_end() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        let place = |folder: &str, n: usize, populated: u32| {
            let path = tree.join(folder).join(format!("docker-{n:064x}.scope"));
            fs::create_dir_all(&path).unwrap();
            fs::write(path.join("cgroup.events"), format!("populated {populated}\nfrozen 0\n")).unwrap();
            path
        };
        place("system.slice", 1, 0);
        let users =
            |n: usize, populated| std::os::unix::fs::chown(place("user.slice", n, populated), Some(1000), Some(1000));
        // Only root can give them away.
        if users(2, 1).is_err() {
            return;
        }
        users(3, 0).unwrap();
        let count = || walk(&tree, root.path()).unwrap().iter().flat_map(Node::containers).count();
        assert_eq!(count(), 2, "root's, and the user's that runs");
        (4..MOST_OF_A_USER + 50).for_each(|n| users(n, 1).unwrap());
        assert_eq!(count(), 1 + MOST_OF_A_USER);
    }

    #[test]
    fn a_name_of_containerd_s_is_a_container_where_containerd_says_so() {
        let root = tempfile::tempdir().unwrap();
        let tree = root.path().join("tree");
        fs::create_dir_all(tree.join("foo").join(ID)).unwrap();
        assert_eq!(walk(&tree, root.path()).unwrap(), []);
        for (namespace, engine) in [("default", Engine::Containerd), ("moby", Engine::Docker)] {
            let bundle = root.path().join(BUNDLES[0]).join(namespace).join(ID);
            fs::create_dir_all(&bundle).unwrap();
            let found = walk(&tree, root.path()).unwrap();
            let engines: Vec<Engine> = found.iter().flat_map(Node::containers).map(|c| c.engine).collect();
            assert_eq!(engines, [engine]);
            fs::remove_dir(&bundle).unwrap();
        }
    }
}

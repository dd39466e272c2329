//! The tolerances that running containers have by their labels, whether they are ever frozen or not: for metrics.

use std::collections::{HashMap, HashSet};
use std::path::{Path, PathBuf};
use std::time::Duration;

use super::cgroup_tree::{self, CgroupMount, CgroupNode};
use super::error::WorkloadError;
use crate::container::{Container, Lookup, Places, tolerance};

/// What was found out about the containers that run; each is looked up once.
#[derive(Debug)]
pub struct TolerancesInUse {
    root: PathBuf,
    /// Looked for once, since a host may have thousands of mounts.
    mount: Option<CgroupMount>,
    /// By the inode of the cgroup.
    known: HashMap<u64, Option<Duration>>,
}

impl TolerancesInUse {
    /// Of the host at `root`. Touches nothing yet.
    #[must_use]
    pub fn new(root: &Path) -> Self {
        Self { root: root.to_owned(), mount: None, known: HashMap::new() }
    }

    /// The smallest one; none where no container that runs has one. Zero is none: a proof is what serves that.
    ///
    /// # Errors
    /// [`WorkloadError`] when there is no hierarchy, or it cannot be read.
    pub fn smallest(&mut self) -> Result<Option<Duration>, WorkloadError> {
        let folder = match &self.mount {
            Some(mount) => mount.folder.clone(),
            None => self.mount.insert(CgroupMount::find(&self.root.join("proc"), None)?).folder.clone(),
        };
        let places = Places::of(&self.root);
        let mut lookup = Lookup::new(&places);
        let tree = cgroup_tree::walk(&folder, lookup.tasks())?;
        let running: Vec<&Container> = tree.iter().flat_map(CgroupNode::containers).collect();
        let inodes: HashSet<u64> = running.iter().map(|container| container.inode).collect();
        self.known.retain(|inode, _| inodes.contains(inode));
        for container in running {
            self.known.entry(container.inode).or_insert_with(|| {
                let said = tolerance::of(&lookup.metadata(container))?;
                said.ok().filter(|tolerance| !tolerance.is_zero())
            });
        }
        Ok(self.known.values().flatten().min().copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    #[test]
    fn the_smallest_tolerance_is_that_of_a_container_that_runs() {
        let host = tempfile::tempdir().unwrap();
        let lay = |path: &str, text: &str| {
            let path = host.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        let tree = host.path().join("cgroup");
        lay("proc/self/mountinfo", &format!("1 1 0:1 / {} rw - cgroup2 cgroup2 rw\n", tree.display()));
        lay("proc/self/cgroup", "0::/init.scope\n");
        let id = |n: u8| format!("{n:064}");
        for (n, label) in [(1, "60s"), (2, "jwt"), (3, "1h"), (4, "soon")] {
            let labels = serde_json::json!({ "Config": { "Labels": { tolerance::LABEL: label } } });
            lay(&format!("var/lib/docker/containers/{}/config.v2.json", id(n)), &labels.to_string());
        }
        let run = |n: u8| fs::create_dir_all(tree.join("docker").join(id(n))).unwrap();
        let end = |n: u8| fs::remove_dir(tree.join("docker").join(id(n))).unwrap();
        let mut tolerances = TolerancesInUse::new(host.path());
        assert!(tolerances.smallest().is_err(), "no hierarchy yet");
        run(2);
        run(4);
        run(5);
        assert_eq!(tolerances.smallest().unwrap(), None, "a proof alone, what cannot be read, and no label");
        run(3);
        run(1);
        assert_eq!(tolerances.smallest().unwrap(), Some(Duration::from_secs(60)));
        end(1);
        assert_eq!(tolerances.smallest().unwrap(), Some(Duration::from_secs(3600)));
    }
}

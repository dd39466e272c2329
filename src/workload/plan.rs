//! What to freeze: the folder that an engine keeps its containers in, where none of them has to run on, since a container that
//! is started below it waits too, and a pause of the user's own is not touched; container by container elsewhere.

use std::path::Path;

use super::cgroup_tree::CgroupNode;
use crate::container::cgroup::may_be_frozen;
use crate::container::{Container, Engine};

/// What the plan goes by.
pub struct Rules<'a> {
    /// Whose containers are frozen.
    pub engines: &'a [Engine],
    /// Cgroups that nothing above may freeze: our own, if it is in this tree, and those of virtual machines.
    pub spared: &'a [&'a Path],
    /// How a container is chosen beside its folder.
    pub grain: Grain,
    /// Whether a container has to run on.
    pub runs_on: &'a dyn Fn(&Container) -> bool,
}

/// How coarse the plan may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Grain {
    /// Whole folders where that is safe.
    Folders,
    /// Each container by itself, so that each can be thawed by itself.
    Containers,
}

/// One cgroup to freeze.
#[derive(Debug, PartialEq, Eq)]
pub struct FreezeUnit<'a> {
    /// Relative to the hierarchy.
    pub cgroup: &'a Path,
    /// The containers in it.
    pub containers: Vec<&'a Container>,
}

/// Chooses the cgroups to freeze.
#[must_use]
pub fn plan<'a>(tree: &'a [CgroupNode], rules: &Rules<'_>) -> Vec<FreezeUnit<'a>> {
    let mut units = vec![];
    for node in tree {
        // An engine's own folder is frozen even while it is empty: a start in it waits.
        match rules.whole(node) {
            Some(unit) => units.push(unit),
            None => rules.cover(node, &mut units),
        }
    }
    units.retain(|unit| may_be_frozen(unit.cgroup));
    units
}

impl Rules<'_> {
    /// Adds the parts of a node that cannot be frozen whole.
    fn cover<'a>(&self, node: &'a CgroupNode, units: &mut Vec<FreezeUnit<'a>>) {
        for child in node.children() {
            match self.whole(child) {
                // What holds no container is a monitor or the like, and stays.
                Some(unit) if !unit.containers.is_empty() => units.push(unit),
                _ => self.cover(child, units),
            }
        }
    }

    /// A node as one unit, where nothing in it has to run on.
    fn whole<'a>(&self, node: &'a CgroupNode) -> Option<FreezeUnit<'a>> {
        let is_wanted = match node {
            CgroupNode::Container(container) => self.engines.contains(&container.engine),
            CgroupNode::Folder { engine, .. } => self.grain == Grain::Folders && self.engines.contains(engine),
        };
        let holds_a_spared_one = self.spared.iter().any(|spared| spared.starts_with(node.path()));
        if !is_wanted || holds_a_spared_one {
            return None;
        }
        let containers = node.containers();
        let runs_on = containers.iter().any(|container| (self.runs_on)(container));
        (!runs_on).then_some(FreezeUnit { cgroup: node.path(), containers })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Tasks;
    use std::fs;

    const ID: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde";

    struct World {
        folder: tempfile::TempDir,
        engines: Vec<Engine>,
        spared: Vec<String>,
        grain: Grain,
        runs_on: fn(&Container) -> bool,
    }

    impl World {
        /// A tree of folders; `ID1`, `ID2` and so on stand for ids.
        fn with(paths: &[&str]) -> Self {
            let folder = tempfile::tempdir().unwrap();
            for path in paths {
                fs::create_dir_all(folder.path().join(path.replace("ID", ID))).unwrap();
            }
            Self { folder, engines: Engine::ALL.to_vec(), spared: vec![], grain: Grain::Folders, runs_on: |_| false }
        }

        fn plan(&self) -> Vec<(String, usize)> {
            let tree = super::super::cgroup_tree::walk(self.folder.path(), &Tasks::default()).unwrap();
            let rules = Rules {
                engines: &self.engines,
                spared: &self.spared.iter().map(Path::new).collect::<Vec<_>>(),
                grain: self.grain,
                runs_on: &self.runs_on,
            };
            let mut units: Vec<_> = plan(&tree, &rules)
                .into_iter()
                .map(|unit| (unit.cgroup.to_str().unwrap().replace(ID, "ID"), unit.containers.len()))
                .collect();
            units.sort();
            units
        }
    }

    fn units(units: &[(&str, usize)]) -> Vec<(String, usize)> {
        units.iter().map(|(path, count)| ((*path).to_owned(), *count)).collect()
    }

    const HOST: [&str; 12] = [
        "init.scope",
        "docker/ID1",
        "docker/ID2",
        "libpod_parent/libpod-ID3",
        "libpod_parent/conmon",
        "system.slice/docker.service",
        "system.slice/docker-ID4.scope",
        "machine.slice/libpod-ID5.scope",
        "machine.slice/libpod-conmon-ID5.scope",
        "machine.slice/machine-x.scope/payload/init.scope",
        "kubepods.slice/kubepods-podA.slice/crio-ID6.scope",
        "user.slice/user-1000.slice/session-1.scope",
    ];

    #[test]
    fn a_folder_of_an_engine_is_frozen_as_one_and_the_rest_scope_by_scope() {
        assert_eq!(
            World::with(&HOST).plan(),
            units(&[
                ("docker", 2),
                ("kubepods.slice", 1),
                ("libpod_parent", 1),
                ("machine.slice/libpod-ID5.scope", 1),
                ("machine.slice/machine-x.scope/payload", 1),
                ("system.slice/docker-ID4.scope", 1),
            ])
        );
    }

    #[test]
    fn an_exclusion_below_a_folder_turns_into_freezing_the_others_one_by_one() {
        let mut world = World::with(&HOST);
        world.engines = vec![Engine::Docker, Engine::Podman];
        world.runs_on = |container| container.id.ends_with('1') || container.id.ends_with('3');
        assert_eq!(
            world.plan(),
            units(&[("docker/ID2", 1), ("machine.slice/libpod-ID5.scope", 1), ("system.slice/docker-ID4.scope", 1)])
        );
    }

    #[test]
    fn pods_without_an_excluded_container_are_frozen_whole() {
        let mut world = World::with(&[
            "kubepods/burstable/podA/ID1",
            "kubepods/burstable/podA/ID2",
            "kubepods/burstable/podB/ID3",
            "kubepods/burstable/podB/ID4",
            "kubepods/podC/ID5",
            "kubepods/besteffort",
        ]);
        world.runs_on = |container| container.id.ends_with('1');
        assert_eq!(
            world.plan(),
            units(&[("kubepods/burstable/podA/ID2", 1), ("kubepods/burstable/podB", 2), ("kubepods/podC", 1)])
        );
    }

    #[test]
    fn an_engine_that_is_off_is_left_alone_and_an_empty_folder_is_frozen_for_those_who_start_in_it() {
        let mut world = World::with(&HOST);
        world.engines = vec![Engine::Nspawn];
        assert_eq!(world.plan(), units(&[("machine.slice/machine-x.scope/payload", 1)]));
        assert_eq!(World::with(&["docker", "lxc.monitor.a"]).plan(), units(&[("docker", 0)]));
    }

    #[test]
    fn neither_we_nor_anything_above_us_is_frozen() {
        let mut world = World::with(&["docker/ID1/us", "docker/ID2", "lxc/a", "lxc/us/x"]);
        world.spared = vec!["lxc/us/x".to_owned()];
        assert_eq!(world.plan(), units(&[("docker", 2), ("lxc/a", 1)]));
        world.spared = vec![format!("docker/{ID}1/us")];
        assert_eq!(world.plan(), units(&[("docker/ID2", 1), ("lxc", 2)]));
        world.spared = vec![String::new()];
        assert_eq!(world.plan(), units(&[("docker", 2), ("lxc", 2)]), "the root is above everybody and never frozen");
    }

    #[test]
    fn each_container_by_itself_where_that_is_asked_for() {
        let mut world = World::with(&HOST);
        world.grain = Grain::Containers;
        world.engines = vec![Engine::Docker];
        assert_eq!(world.plan(), units(&[("docker/ID1", 1), ("docker/ID2", 1), ("system.slice/docker-ID4.scope", 1)]));
    }
}

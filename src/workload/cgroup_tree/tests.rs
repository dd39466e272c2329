use super::*;

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
    let place = CgroupMount::find(proc_root.path(), None).unwrap();
    assert_eq!(place.own.as_deref(), Some(Path::new("system.slice/clockgate.service")));
    assert_eq!(place.old_freezer.as_deref(), Some(Path::new("/sys/fs/cgroup/freezer")));
    assert_eq!((place.folder.to_str(), place.prefix.to_str()), (Some("/sys/fs/cgroup/unified"), Some("")));
}

#[test]
fn in_a_part_of_the_hierarchy_paths_are_relative_to_the_part() {
    let proc_root = proc_root("0::/test/a/b\n");
    let at = |folder: &str| CgroupMount::find(proc_root.path(), Some(Path::new(folder))).unwrap();
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
    assert!(matches!(CgroupMount::find(proc_root.path(), None), Err(WorkloadError::NoHierarchy(_))));
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
    let count = || walk(&tree, &Tasks::default()).unwrap().iter().flat_map(CgroupNode::containers).count();
    assert_eq!(count(), 2, "root's, and the user's that runs");
    (4..MOST_OF_A_USER + 50).for_each(|n| users(n, 1).unwrap());
    assert_eq!(count(), 1 + MOST_OF_A_USER);
}

#[test]
fn a_user_s_tree_is_read_up_to_a_limit_with_any_content() {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("tree");
    let user = tree.join("user.slice/user@1000.service");
    // A container's name, one that containerd might have, and one that is neither; one of them is given on to another user.
    for n in 0..1000 {
        for name in [format!("docker-{n:064x}.scope"), format!("{n:064x}"), format!("app-{n}/below")] {
            fs::create_dir_all(user.join(name)).unwrap();
        }
    }
    let given = |name: &str, uid| std::os::unix::fs::chown(user.join(name), Some(uid), Some(uid));
    // Only root can give them away.
    if given("", 1000).is_err() {
        return;
    }
    given("app-7", 1001).unwrap();
    let tasks = Tasks::default();
    let walk = Walk { folder: &tree, tasks: &tasks, root_uid: 0, of_users: RefCell::default() };
    assert_eq!(walk.all().unwrap(), []);
    let looked_at: Vec<_> = walk.of_users.borrow().iter().map(|(uid, of)| (*uid, of.looked_at)).collect();
    assert_eq!(looked_at, [(1000, MOST_LOOKED_AT)]);
}

fn found(tree: &Path, tasks: &Tasks) -> Vec<(Engine, String)> {
    let nodes = walk(tree, tasks).unwrap();
    nodes.iter().flat_map(CgroupNode::containers).map(|found| (found.engine, found.id.clone())).collect()
}

#[test]
fn a_name_of_containerd_s_is_a_container_where_containerd_says_so() {
    let root = tempfile::tempdir().unwrap();
    let tree = root.path().join("tree");
    fs::create_dir_all(tree.join("default/redis")).unwrap();
    assert_eq!(found(&tree, &Tasks::default()), []);
    fs::create_dir_all(root.path().join("io.containerd.runtime.v2.task/default/redis")).unwrap();
    let tasks = Tasks::of(&[root.path().to_owned()]);
    assert_eq!(found(&tree, &tasks), [(Engine::Containerd, "redis".to_owned())]);
}

#[test]
fn a_payload_is_a_machine_where_its_supervisor_lies_beside_it() {
    let tree = tempfile::tempdir().unwrap();
    let unit = tree.path().join("machine.slice/container@web.service");
    fs::create_dir_all(unit.join("payload/init.scope")).unwrap();
    assert_eq!(found(tree.path(), &Tasks::default()), []);
    fs::create_dir(unit.join("supervisor")).unwrap();
    assert_eq!(found(tree.path(), &Tasks::default()), [(Engine::Nspawn, "web".to_owned())]);
}

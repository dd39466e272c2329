//! A host in memory, into which the gate is installed and removed again.

use std::collections::BTreeMap;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Component, Path, PathBuf};

use clockgate::installer::{Change, Host, Target, apply, undo};
use tempfile::TempDir;

const PROGRAMS: [&str; 5] =
    ["usr/lib/clockgate/clockgate-oci", "usr/bin/clockgate", "usr/bin/runc", "usr/bin/crun", "usr/sbin/dockerd"];

pub struct HostInMemory(TempDir);

impl HostInMemory {
    pub fn new() -> Self {
        let host = Self(tempfile::tempdir_in("/dev/shm").unwrap());
        for program in PROGRAMS {
            let path = host.0.path().join(program);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, "").unwrap();
            fs::set_permissions(&path, PermissionsExt::from_mode(0o755)).unwrap();
        }
        host
    }

    /// Installs with this file and removes: whatever was planned, each file is as before, to the byte.
    pub fn restores(&self, target: Target, file: &str, data: &[u8]) {
        let path = self.0.path().join(file);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, data).unwrap();
        let host = Host::new(self.0.path(), None);
        let before = self.files();
        let plan = target.plan(&host).ok();
        assert_eq!(self.files(), before, "a plan touches nothing");
        // Out of the folder of this host lies the machine that the test runs on.
        let leads_out = |change: &Change| change.path().components().any(|part| matches!(part, Component::ParentDir));
        if let Some(plan) = plan.filter(|plan| !plan.changes.iter().any(leads_out)) {
            apply(&host, target, &plan).unwrap();
            undo(&host, target).unwrap();
            assert_eq!(self.files(), before);
        }
        fs::remove_file(path).unwrap();
    }

    /// What engines read.
    fn files(&self) -> BTreeMap<PathBuf, Vec<u8>> {
        let mut files = BTreeMap::new();
        let mut folders = vec![self.0.path().join("etc"), self.0.path().join("usr/share")];
        while let Some(folder) = folders.pop() {
            for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                // The links stay, for the containers that run through them.
                if path.is_dir() && !path.ends_with(Path::new("etc/clockgate")) {
                    folders.push(path);
                } else if path.is_file() {
                    files.insert(path.clone(), fs::read(&path).unwrap());
                }
            }
        }
        files
    }
}

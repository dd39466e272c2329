//! Cgroups of our own: a folder in the machine's cgroup2 hierarchy that stands for the whole, with real processes below. Nothing
//! outside it is touched, and nothing of it stays, however the test ends.

use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use clockgate::workload::{Engine, FreezeSettings, Workloads};
use libtest_mimic::Failed;

use crate::support::{CLOCKGATE, Ours, Outcome, until};

/// The beginning of the folder's name; the process id and a number follow.
const NAME: &str = "clockgate-test-";
static COUNT: AtomicUsize = AtomicUsize::new(0);

/// Where cgroup2 is mounted.
pub fn mount() -> Option<PathBuf> {
    let mounts = fs::read_to_string("/proc/self/mounts").ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find(|fields| fields.get(2) == Some(&"cgroup2")).map(|fields| PathBuf::from(fields[1]))
}

/// What keeps us from making cgroups here.
pub fn lacks() -> Option<String> {
    let Some(mount) = mount() else { return Some("a cgroup2 hierarchy".to_owned()) };
    let try_out = mount.join(format!("{NAME}{}", std::process::id()));
    let lacks = |what: &str| Some(format!("{what} in {}", mount.display()));
    if fs::create_dir(&try_out).is_err() {
        return lacks("the right to make cgroups");
    }
    let has_freezer = try_out.join("cgroup.freeze").exists() && try_out.join("cgroup.kill").exists();
    let _ = fs::remove_dir(&try_out);
    if has_freezer { None } else { lacks("the freezer, and cgroup.kill (Linux 5.14)") }
}

/// Removes what a killed test left behind.
pub fn sweep() {
    let Some(mount) = mount() else { return };
    for entry in fs::read_dir(mount).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let pid = name.to_str().and_then(|name| name.strip_prefix(NAME)?.split('-').next());
        if pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists()) {
            remove(&entry.path());
        }
    }
}

pub struct Cgroups {
    pub folder: PathBuf,
    pub scratch: tempfile::TempDir,
    processes: Vec<Ours>,
}

impl Cgroups {
    pub fn new() -> Result<Self, Failed> {
        let count = COUNT.fetch_add(1, Ordering::Relaxed);
        let mount = mount().ok_or("cgroup2 is not mounted")?;
        let folder = mount.join(format!("{NAME}{}-{count}", std::process::id()));
        fs::create_dir(&folder)?;
        let scratch = tempfile::tempdir()?;
        fs::create_dir(scratch.path().join("root"))?;
        Ok(Self { folder, scratch, processes: vec![] })
    }

    /// Makes a cgroup with a process in it that does nothing.
    pub fn container(&mut self, path: &str) -> Outcome {
        self.run(path, Command::new("sleep").arg("1000"))
    }

    /// Makes a cgroup, if it is not there yet, and runs a program in it.
    pub fn run(&mut self, path: &str, command: &mut Command) -> Outcome {
        let name = Path::new(command.get_program()).file_name().unwrap_or_default().to_owned();
        self.run_as(path, command, &name)
    }

    /// The same, for a program that becomes another.
    pub fn run_as(&mut self, path: &str, command: &mut Command, name: &OsStr) -> Outcome {
        fs::create_dir_all(self.folder.join(path))?;
        let process = Ours::spawn(command)?;
        // A program has its name a moment after whoever started it goes on.
        let comm = format!("/proc/{}/comm", process.0.id());
        until("the program runs", Duration::from_secs(10), || {
            fs::read_to_string(&comm).is_ok_and(|comm| comm.trim_end() == name)
        })?;
        fs::write(self.folder.join(path).join("cgroup.procs"), process.0.id().to_string())?;
        self.processes.push(process);
        Ok(())
    }

    /// Ends the processes of a cgroup and removes it.
    pub fn remove(&mut self, path: &str) -> Outcome {
        let folder = self.folder.join(path);
        fs::write(folder.join("cgroup.kill"), "1")?;
        self.processes.retain_mut(|process| !matches!(process.0.try_wait(), Ok(Some(_))));
        until("the cgroup is empty", Duration::from_secs(10), || {
            self.processes.retain_mut(|process| matches!(process.0.try_wait(), Ok(None)));
            fs::remove_dir(&folder).is_ok()
        })
    }

    /// What a user does by `docker pause`, or takes back.
    pub fn mark(&self, path: &str, mark: &str) -> Outcome {
        Ok(fs::write(self.folder.join(path).join("cgroup.freeze"), mark)?)
    }

    /// Whether the cgroup itself has a mark.
    pub fn is_marked(&self, path: &str) -> bool {
        fs::read_to_string(self.folder.join(path).join("cgroup.freeze")).unwrap_or_default().starts_with('1')
    }

    /// Whether every process in it has stopped.
    pub fn is_frozen(&self, path: &str) -> bool {
        fs::read_to_string(self.folder.join(path).join("cgroup.events")).unwrap_or_default().contains("frozen 1")
    }

    pub fn settings(&self) -> FreezeSettings {
        FreezeSettings {
            engines: Engine::ALL.to_vec(),
            ledger: self.ledger(),
            guard: CLOCKGATE.into(),
            cgroup: Some(self.folder.clone()),
            root: self.scratch.path().join("root"),
            ..FreezeSettings::default()
        }
    }

    pub fn workloads(&self) -> Workloads {
        Workloads::new(self.settings())
    }

    pub fn ledger(&self) -> PathBuf {
        self.scratch.path().join("run/ledger")
    }

    /// Lays a file below the root in which the engines keep theirs.
    pub fn lay(&self, path: &str, text: &str) -> Outcome {
        let path = self.scratch.path().join("root").join(path);
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        Ok(fs::write(path, text)?)
    }

    /// `clockgate thaw`, of these cgroups.
    pub fn thaw_command(&self) -> Command {
        let mut command = crate::support::clockgate();
        command.arg("thaw").arg("--ledger").arg(self.ledger()).arg("--cgroup").arg(&self.folder);
        command
    }

    /// The guards of these cgroups that live.
    pub fn guards(&self) -> Vec<i32> {
        let ledger = self.ledger();
        let is_guard = |pid: &i32| {
            let line = fs::read(format!("/proc/{pid}/cmdline")).unwrap_or_default();
            let mut words = line.split(|byte| *byte == 0).map(String::from_utf8_lossy);
            words.any(|word| word == "--guard") && words.any(|word| *word == *ledger.to_string_lossy())
        };
        let pids = fs::read_dir("/proc").into_iter().flatten().flatten();
        pids.filter_map(|entry| entry.file_name().to_str()?.parse().ok()).filter(is_guard).collect()
    }
}

impl Drop for Cgroups {
    fn drop(&mut self) {
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
        self.processes.clear();
        remove(&self.folder);
    }
}

/// Kills what runs in a cgroup of ours, frozen or not, and removes it with all below.
fn remove(folder: &Path) {
    let _ = fs::write(folder.join("cgroup.kill"), "1");
    let _ = until("the cgroups are empty", Duration::from_secs(10), || {
        remove_empty(folder);
        !folder.exists()
    });
}

fn remove_empty(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(folder);
}

/// 64 hexadecimal digits.
pub fn id(number: usize) -> String {
    format!("{number:064x}")
}

//! The test starts itself again in namespaces and a cgroup of its own; all that is in them ends with it.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Duration;

use crate::support::{Outcome, ensure, harmless, laboratory, lacks_program, lacks_root, until};

/// In the environment of the one that is inside: its folder.
const WORLD: &str = "CLOCKGATE_TEST_CLUSTER";
/// The name of its cgroups begins so; its process follows.
const NAME: &str = "clockgate-cluster-";
/// What a kubelet sets.
const SETTINGS: [&str; 6] = [
    "vm/overcommit_memory",
    "vm/panic_on_oom",
    "kernel/panic",
    "kernel/panic_on_oops",
    "kernel/keys/root_maxkeys",
    "kernel/keys/root_maxbytes",
];

pub fn lacks() -> Option<String> {
    let has_cgroups = Path::new("/sys/fs/cgroup/cpu").is_dir() && Path::new("/sys/fs/cgroup/unified").is_dir();
    lacks_root()
        .or_else(|| lacks_program("unshare"))
        .or_else(|| laboratory::missing(&["kubernetes/bin/kubelet", "engines", "dockerds", "handlers"]))
        // As that kubelet knows them.
        .or_else(|| (!has_cgroups).then(|| "cgroups of version 1 beside cgroup2".to_owned()))
}

/// Where everything lies, if this is the one inside.
pub fn folder() -> Option<PathBuf> {
    std::env::var_os(WORLD).map(PathBuf::from)
}

/// Runs the tests inside, and looks afterwards whether the machine is as it was.
pub fn enter() -> ExitCode {
    sweep();
    match run() {
        Ok(code) => code,
        Err(failed) => {
            eprintln!("the cluster cannot be run: {}", failed.message().unwrap_or_default());
            ExitCode::FAILURE
        }
    }
}

fn run() -> Outcome<ExitCode> {
    let before = settings();
    let name = format!("{NAME}{}", std::process::id());
    let folder = tempfile::Builder::new().prefix(&format!("{name}-")).tempdir()?;
    let mut inside = harmless("setpriv");
    inside.args(["--pdeathsig", "KILL", "--", "sh"]);
    inside.arg(concat!(env!("CARGO_MANIFEST_DIR"), "/tests/cluster/enter.sh"));
    inside.arg(folder.path()).arg(fs::canonicalize(laboratory::folder())?).arg(&name);
    inside.arg(std::env::current_exe()?).args(std::env::args_os().skip(1));
    inside.env(WORLD, folder.path()).env("TMPDIR", folder.path());
    let status = inside.status();
    remove(&name);
    let after = settings();
    ensure(before == after, format!("this machine's kernel had {before:?} set, and has {after:?}"))?;
    ensure(cgroups(&name).is_empty(), "cgroups are left")?;
    Ok(status?.code().and_then(|code| u8::try_from(code).ok()).map_or(ExitCode::FAILURE, ExitCode::from))
}

fn settings() -> [String; 6] {
    SETTINGS.map(|setting| fs::read_to_string(Path::new("/proc/sys").join(setting)).unwrap_or_default())
}

/// That no kubelet in here can set anything of the machine's.
pub fn is_safe() -> Outcome {
    let proc = fs::metadata("/proc/self")?.dev();
    for setting in SETTINGS {
        let path = Path::new("/proc/sys").join(setting);
        ensure(fs::metadata(&path)?.dev() != proc, format!("{} is the machine's", path.display()))?;
    }
    let write = fs::OpenOptions::new().write(true).open("/proc/sys/vm/swappiness");
    ensure(write.is_err(), "/proc/sys can be written")
}

fn cgroups(name: &str) -> Vec<PathBuf> {
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    hierarchies.map(|entry| entry.path().join(name)).filter(|path| path.is_dir()).collect()
}

/// Its processes are gone with its namespaces, or are about to.
fn remove(name: &str) {
    for cgroup in cgroups(name) {
        let _ = until("an empty cgroup", Duration::from_secs(30), || {
            remove_empty(&cgroup);
            !cgroup.exists()
        });
    }
}

fn remove_empty(cgroup: &Path) {
    for entry in fs::read_dir(cgroup).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_empty(&entry.path());
        }
    }
    let _ = fs::remove_dir(cgroup);
}

/// What one left that was killed.
fn sweep() {
    let is_over = |name: &str| {
        let pid = name.strip_prefix(NAME).and_then(|rest| rest.split('-').next());
        pid.is_some_and(|pid| !Path::new("/proc").join(pid).exists())
    };
    let names = |folder: &Path| {
        let entries = fs::read_dir(folder).into_iter().flatten().flatten();
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).filter(|name| is_over(name)).collect()
    };
    let hierarchies = fs::read_dir("/sys/fs/cgroup").into_iter().flatten().flatten();
    let left: BTreeSet<String> = hierarchies.flat_map(|entry| -> Vec<String> { names(&entry.path()) }).collect();
    for name in left {
        remove(&name);
    }
    let temporary = std::env::temp_dir();
    let left: Vec<String> = names(&temporary);
    for name in left {
        let _ = fs::remove_dir_all(temporary.join(name));
    }
}

//! What freezing costs beside the bare writes to `cgroup.freeze`, in the same run, in turn: with containers in one folder, where
//! one write freezes them all, and in scopes, where each takes its own. Its table goes to docs/performance.md.
//!
//! Ours finds the containers, writes and syncs the ledger, and tells its guard; the bare writes know what to freeze and remember
//! nothing. Both wait until the kernel says of each that it has stopped, or runs again.
#![allow(clippy::disallowed_methods, reason = "a benchmark takes the time")]

use std::fs::{self, File};
use std::io::{Read, Write};
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use clockgate::decision::Awake;
use clockgate::workload::{Engine, FreezeSettings, Thoroughness, Workloads};

#[path = "../report/mod.rs"]
mod report;
#[path = "../../tests/support/mod.rs"]
mod support;

use report::{Table, median};
use support::Outcome;

const CLOCKGATE: &str = env!("CARGO_BIN_EXE_clockgate");
const LIMIT: Duration = Duration::from_secs(60);
const COUNTS: [usize; 4] = [1, 100, 1_000, 10_000];
/// The kernel says that a cgroup runs again when its first task does; the others are let come to rest before the next freeze.
const SETTLE: Duration = Duration::from_millis(30);
const GOAL: f64 = 1.2;

fn main() -> Outcome {
    let Some(mount) = mount() else {
        eprintln!("skipped: freezing: cgroup2 is not mounted");
        return Ok(());
    };
    let host = mount.join(format!("clockgate-bench-{}", std::process::id()));
    if let Err(error) = fs::create_dir(&host) {
        eprintln!("skipped: freezing: cannot make {}: {error}", host.display());
        return Ok(());
    }
    let mut bench =
        Bench { host, scratch: tempfile::tempdir_in("/dev/shm").or_else(|_| tempfile::tempdir())?, sleepers: vec![] };
    let mut table = Table::new(&["what", "clockgate", "the bare writes", "ratio", "goal"]);
    for count in COUNTS {
        bench.start_sleepers(count)?;
        bench.compare(Layout::Folder, count, &mut table)?;
        bench.compare(Layout::Scopes, count, &mut table)?;
    }
    table.write("freezer")
}

#[derive(Clone, Copy)]
enum Layout {
    Folder,
    Scopes,
}

impl Layout {
    const fn name(self) -> &'static str {
        match self {
            Self::Folder => "in one folder",
            Self::Scopes => "in scopes",
        }
    }

    fn containers(self, count: usize) -> Vec<String> {
        let name = |n: usize| match self {
            Self::Folder => format!("docker/{n:064x}"),
            Self::Scopes => format!("system.slice/docker-{n:064x}.scope"),
        };
        (0..count).map(name).collect()
    }
}

/// A folder in the cgroup2 hierarchy that stands for the whole, and processes that do nothing.
struct Bench {
    host: PathBuf,
    scratch: tempfile::TempDir,
    sleepers: Vec<Child>,
}

impl Bench {
    fn compare(&self, layout: Layout, count: usize, table: &mut Table) -> Outcome {
        let containers = layout.containers(count);
        for (container, sleeper) in containers.iter().zip(&self.sleepers) {
            fs::create_dir_all(self.host.join(container))?;
            fs::write(self.host.join(container).join("cgroup.procs"), sleeper.id().to_string())?;
        }
        let paths: Vec<PathBuf> = match layout {
            Layout::Folder => vec![self.host.join("docker")],
            Layout::Scopes => containers.iter().map(|container| self.host.join(container)).collect(),
        };
        let workloads = Workloads::new(FreezeSettings {
            engines: Engine::ALL.to_vec(),
            ledger: self.scratch.path().join(format!("ledger-{count}-{}", layout.name())),
            guard: CLOCKGATE.into(),
            cgroup: Some(self.host.clone()),
            root: self.scratch.path().to_owned(),
            ..FreezeSettings::default()
        });
        workloads.prepare(Thoroughness::Anew)?;
        let rounds = if count > 1_000 { 5 } else { 21 };
        let mut times = [vec![], vec![], vec![], vec![]];
        for round in 0..=rounds {
            std::thread::sleep(SETTLE);
            let started = Instant::now();
            let report = workloads.freeze(LIMIT, Awake::NEVER)?;
            let frozen = started.elapsed();
            if (report.frozen.count(), report.of) != (count, count) {
                return Err(format!("{report:?}").into());
            }
            let started = Instant::now();
            workloads.thaw()?;
            await_all(&paths, "frozen 0")?;
            let ours = [frozen, started.elapsed()];
            std::thread::sleep(SETTLE);
            let bare = [bare(&paths, "1")?, bare(&paths, "0")?];
            // The first of each does not count.
            if round > 0 {
                times.iter_mut().zip([ours, bare].concat()).for_each(|(times, time)| times.push(time));
            }
        }
        let [freeze, thaw, bare_freeze, bare_thaw] = times.map(|times| median(&times));
        let containers = format!("{count} container{} {}", if count == 1 { "" } else { "s" }, layout.name());
        table.compare(&format!("{containers}, frozen"), freeze, bare_freeze, GOAL);
        table.compare(&format!("{containers}, thawed"), thaw, bare_thaw, GOAL);
        drop(workloads);
        for sleeper in &self.sleepers {
            fs::write(self.host.join("cgroup.procs"), sleeper.id().to_string())?;
        }
        remove_below(&self.host);
        Ok(())
    }

    fn start_sleepers(&mut self, count: usize) -> Outcome {
        let program = sleeper(self.scratch.path())?;
        while self.sleepers.len() < count {
            let child = Command::new(&program).stdin(Stdio::null()).stdout(Stdio::null()).spawn()?;
            fs::write(self.host.join("cgroup.procs"), child.id().to_string())?;
            self.sleepers.push(child);
        }
        Ok(())
    }
}

impl Drop for Bench {
    fn drop(&mut self) {
        let _ = fs::write(self.host.join("cgroup.kill"), "1");
        for sleeper in &mut self.sleepers {
            let _ = sleeper.kill();
            let _ = sleeper.wait();
        }
        remove_below(&self.host);
        let _ = fs::remove_dir(&self.host);
    }
}

/// Writes the mark everywhere and waits until the kernel says the same everywhere.
fn bare(cgroups: &[PathBuf], mark: &str) -> Outcome<Duration> {
    let started = Instant::now();
    for cgroup in cgroups {
        File::options().write(true).open(cgroup.join("cgroup.freeze"))?.write_all(mark.as_bytes())?;
    }
    await_all(cgroups, &format!("frozen {mark}"))?;
    Ok(started.elapsed())
}

fn await_all(cgroups: &[PathBuf], wanted: &str) -> Outcome {
    for cgroup in cgroups {
        let events = File::open(cgroup.join("cgroup.events"))?;
        let mut bytes = [0; 64];
        loop {
            let length = events.read_at(&mut bytes, 0)?;
            if std::str::from_utf8(&bytes[..length])?.contains(wanted) {
                break;
            }
            let mut fds = [nix::poll::PollFd::new(std::os::fd::AsFd::as_fd(&events), nix::poll::PollFlags::POLLPRI)];
            nix::poll::poll(&mut fds, 60_000_u16)?;
        }
    }
    Ok(())
}

fn remove_below(folder: &Path) {
    for entry in fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            remove_below(&entry.path());
            let _ = fs::remove_dir(entry.path());
        }
    }
}

fn mount() -> Option<PathBuf> {
    let mut mounts = String::new();
    File::open("/proc/self/mounts").ok()?.read_to_string(&mut mounts).ok()?;
    let mut fields = mounts.lines().map(|line| line.split(' ').collect::<Vec<_>>());
    fields.find(|fields| fields.get(2) == Some(&"cgroup2")).map(|fields| PathBuf::from(fields[1]))
}

/// The smallest program that our own compiler makes, which does nothing for ever.
fn sleeper(folder: &Path) -> Outcome<PathBuf> {
    let (source, program) = (folder.join("sleeper.rs"), folder.join("sleeper"));
    if program.exists() {
        return Ok(program);
    }
    fs::write(&source, "fn main() { loop { std::thread::park() } }")?;
    let rustc = std::env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let made = Command::new(rustc)
        .args(["--edition=2024", "-O", "-Ctarget-feature=+crt-static", "-o"])
        .args([&program, &source])
        .status()?;
    if made.success() { Ok(program) } else { Err("cannot compile the sleeper".into()) }
}

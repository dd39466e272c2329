//! Many waiters, released at once: from gate open until the last of them has become `true` and ended,
//! against a bare futex and as many sleepers.

use std::fs::File;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use clockgate::decision::{Gate, Snapshot};
use clockgate::page::sys::futex;
use clockgate::page::sys::mapping::{LEN, Mapping, WritableMapping};
use clockgate::publish::gate_page::GatePage;

use crate::report::machine::value;
use crate::report::{Table, in_turn};
use crate::support::gate_page::proven;
use crate::support::{CLOCKGATE, Outcome, until};

/// The argument that makes this program a bare waiter.
pub const BARE: &str = "bare-waiter";

/// How many waiters, and how often: one alone is over in a millisecond, and noise is as long.
const ROUNDS: [(usize, usize); 3] = [(1, 200), (100, 15), (10_000, 3)];
/// Ten thousand processes on two busy cores.
const PATIENCE: Duration = Duration::from_secs(180);

pub fn measure(folder: &Path, page: &mut GatePage, table: &mut Table) -> Outcome {
    let public = folder.join("public");
    let bare_path = folder.join("bare");
    let file = File::options().read(true).write(true).create(true).truncate(true).open(&bare_path)?;
    file.set_len(LEN as u64)?;
    let bare = WritableMapping::new(&file)?;
    let this = std::env::current_exe()?;
    let log = folder.join("waiters");
    let at_the_gate = || {
        let mut wait = Command::new(CLOCKGATE);
        wait.args(["run", "--max-wait", "infinity", "--page"]).arg(&public).args(["--", "/bin/true"]);
        wait
    };
    let at_a_futex = || {
        let mut wait = Command::new(&this);
        wait.arg(BARE).arg(&bare_path);
        wait
    };
    let (mut own, mut own_bare) = (0, 0);
    for (count, rounds) in ROUNDS {
        let mut gate = || {
            page.publish(&Snapshot { gate: Gate::Shut, ..proven() })?;
            let waiters = Waiters::start(count, &log, at_the_gate)?;
            own = waiters.private_kib();
            waiters.ended_after(|| drop(page.publish(&proven())))
        };
        let futex = || {
            bare.store_u32(0, 0);
            let waiters = Waiters::start(count, &log, at_a_futex)?;
            own_bare = waiters.private_kib();
            waiters.ended_after(|| {
                bare.store_u32(0, 1);
                // Fails for no mapped word.
                drop(futex::wake_all(&bare, 0));
            })
        };
        let what =
            format!("{count} waiter{} released; so many sleepers on a bare futex", if count == 1 { "" } else { "s" });
        match in_turn(rounds, &mut gate, futex) {
            Ok((a, b)) => table.compare(&what, a, b, 1.3),
            // A machine that allows fewer processes is no reason to measure nothing.
            Err(error) => {
                table.row(&[&what, &"-", &"-", &"-", &format!("not measured: {}", error.message().unwrap_or_default())])
            }
        }
    }
    let ratio = own as f64 / own_bare as f64;
    table.row(&[&"memory of a waiter's own", &kib(own), &kib(own_bare), &format!("{ratio:.2}"), &"none set"]);
    Ok(())
}

fn kib(number: u64) -> String {
    format!("{number} KiB")
}

/// What `run` comes to without clockgate: map, sleep on the word, execute.
pub fn bare_waiter(path: &Path) -> ExitCode {
    let wait = || -> Outcome {
        let mapping = Mapping::new(&File::open(path)?)?;
        eprintln!("waiting");
        while mapping.load_u32(0) == 0 {
            futex::wait(&mapping, 0, 0, PATIENCE);
        }
        Err(Command::new("/bin/true").exec().into())
    };
    if let Err(error) = wait() {
        eprintln!("{}", error.message().unwrap_or_default());
    }
    ExitCode::FAILURE
}

/// Processes that wait; killed if nobody lets them go.
struct Waiters(Vec<Child>);

impl Waiters {
    /// Starts so many, and returns when every one of them sleeps.
    fn start(count: usize, log: &PathBuf, command: impl Fn() -> Command) -> Outcome<Self> {
        // One file for all of them: a pipe each would need as many descriptors, and one pipe a reader that is woken each time.
        File::create(log)?;
        let to = File::options().append(true).open(log)?;
        let mut waiters = Self(Vec::with_capacity(count));
        for _ in 0..count {
            let child = command().stdin(Stdio::null()).stdout(Stdio::null()).stderr(to.try_clone()?).spawn()?;
            waiters.0.push(child);
        }
        let have_spoken = || std::fs::read(log).is_ok_and(|text| text.split(|byte| *byte == b'\n').count() > count);
        until("every waiter says that it waits", PATIENCE, have_spoken)?;
        // The last one has spoken and may not be asleep yet.
        for child in &waiters.0 {
            until("a waiter falls asleep", PATIENCE, || is_asleep(child.id()))?;
        }
        Ok(waiters)
    }

    /// Lets them go; how long until the last one has ended.
    fn ended_after(mut self, let_go: impl FnOnce()) -> Outcome<Duration> {
        let started = Instant::now();
        let_go();
        for child in &mut self.0 {
            if !child.wait()?.success() {
                return Err("a waiter failed".into());
            }
        }
        Ok(started.elapsed())
    }

    /// The memory that the first one shares with nobody and nothing.
    fn private_kib(&self) -> u64 {
        let path = self.0.first().map(|child| format!("/proc/{}/smaps_rollup", child.id())).unwrap_or_default();
        value(&std::fs::read_to_string(path).unwrap_or_default(), "Private_Dirty:")
    }
}

impl Drop for Waiters {
    fn drop(&mut self) {
        for child in &mut self.0 {
            // One that has ended needs no killing.
            let _ = child.kill();
            let _ = child.wait();
        }
    }
}

fn is_asleep(pid: u32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat")).is_ok_and(|stat| stat.contains(") S "))
}

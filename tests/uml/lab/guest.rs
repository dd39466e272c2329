//! The machine under test: user-mode Linux with systemd, logind and a clock that may be broken.

use std::collections::HashMap;
use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, mpsc};
use std::time::Duration;

use clockgate::decision::{Offset, Realtime, forward};
use clockgate::sys::clock;
use nix::sys::signal::{Signal, kill, killpg};
use nix::sys::statvfs::{FsFlags, statvfs};
use nix::unistd::Pid;

use super::stage::Begins;
use super::wire::{Answer, Ask, Clocks, Ran, Reply, Request};
use super::world::World;
use super::{Outcome, ensure, fail, folder, stage, until};

const MEMORY_MIB: u64 = 512;
const BOOT: Duration = Duration::from_secs(90);
/// How long a script may take where the scenario does not say; generous, for machines that are busy.
const USUAL: Duration = Duration::from_secs(30);

type Waiting = Arc<Mutex<HashMap<u64, mpsc::Sender<Result<Reply, String>>>>>;

/// A running guest; it ends when this is dropped.
#[derive(Debug)]
pub struct Guest {
    linux: Child,
    line: Mutex<UnixStream>,
    waiting: Waiting,
    /// Where our part says once that it is ready.
    booted: Mutex<mpsc::Receiver<Result<Reply, String>>>,
    asked: AtomicU64,
    console: PathBuf,
}

impl Guest {
    /// Boots a guest into `world`; logind and the system bus run when this returns, no time daemon does.
    pub fn boot(world: &World, begins: Begins) -> Outcome<Self> {
        let staged = world.run().join("stage");
        stage::prepare(&staged, begins)?;
        let (ours, theirs) = UnixStream::pair()?;
        let linux = start(world, begins, &staged, theirs.into())?;
        Self::on(linux, ours, world.console())?.booted_within(BOOT)
    }

    /// A guest that this process runs, with our part of it at the other end of the line.
    pub fn on(process: Child, line: UnixStream, console: PathBuf) -> Outcome<Self> {
        let waiting = Waiting::default();
        let (ready, booted) = mpsc::channel();
        lock(&waiting).insert(0, ready);
        let (heard, answers) = (line.try_clone()?, Arc::clone(&waiting));
        std::thread::spawn(move || hear(heard, &answers));
        let (line, booted) = (Mutex::new(line), Mutex::new(booted));
        Ok(Self { linux: process, line, waiting, booted, asked: AtomicU64::new(1), console })
    }

    /// Waits until our part in the guest says that it is ready.
    pub fn booted_within(self, deadline: Duration) -> Outcome<Self> {
        let booted = lock(&self.booted).recv_timeout(deadline);
        ensure(booted.is_ok(), format!("the guest did not boot; its console:\n{}", self.console()))?;
        Ok(self)
    }

    /// Runs a shell script in the guest. A process it leaves in the background must not hold its output.
    pub fn run(&self, script: &str) -> Outcome<Ran> {
        self.run_within(script, USUAL)
    }

    /// Runs a shell script that may take up to `deadline`, after which it is killed (137).
    pub fn run_within(&self, script: &str, deadline: Duration) -> Outcome<Ran> {
        let deadline_ms = u64::try_from(deadline.as_millis())?;
        let ask = Ask::Run { script: script.into(), deadline_ms };
        let Reply::Ran(ran) = self.ask(ask, deadline + Duration::from_secs(10))? else {
            return fail(format!("not an answer to a script: {script}"));
        };
        Ok(ran)
    }

    /// Runs a shell script that has to succeed; what it printed, trimmed.
    pub fn sh(&self, script: &str) -> Outcome<String> {
        self.sh_within(script, USUAL)
    }

    /// Runs a shell script that has to succeed within `deadline`; what it printed, trimmed.
    pub fn sh_within(&self, script: &str, deadline: Duration) -> Outcome<String> {
        let ran = self.run_within(script, deadline)?;
        ensure(ran.code == 0, format!("`{script}` ended with {} in the guest: {}{}", ran.code, ran.out, ran.err))?;
        Ok(ran.out.trim().to_owned())
    }

    /// Writes a file in the guest, readable by all.
    pub fn put(&self, path: &str, text: &str) -> Outcome {
        self.write(path, text, 0o644)
    }

    /// Writes a program in the guest, executable by all.
    pub fn put_program(&self, path: &str, text: &str) -> Outcome {
        self.write(path, text, 0o755)
    }

    fn write(&self, path: &str, text: &str, mode: u32) -> Outcome {
        self.ask(Ask::Write { path: path.into(), text: text.into(), mode }, USUAL).map(drop)
    }

    /// What a file has behind `from` bytes, as far as the last whole line; costs the guest no process.
    pub fn lines(&self, path: &str, from: u64) -> Outcome<String> {
        let Reply::Lines(text) = self.ask(Ask::Read { path: path.into(), from }, USUAL)? else {
            return fail(format!("not what is in {path}"));
        };
        Ok(text)
    }

    /// The guest's clocks, as soon as it answers.
    pub fn clocks(&self) -> Outcome<Clocks> {
        let Reply::Clocks(clocks) = self.ask(Ask::Clocks, USUAL)? else {
            return fail("not an answer to a question for the clocks");
        };
        Ok(clocks)
    }

    /// Truth minus guest: positive, the guest is behind. Good to half of what the question took, some milliseconds.
    pub fn offset(&self) -> Outcome<Offset> {
        let (truth, clocks, _) = self.compare()?;
        Ok(truth - Realtime::from_nanos(clocks.realtime))
    }

    /// Truth minus the guest's time since boot, which no step changes.
    pub fn truth(&self) -> Outcome<Offset> {
        let (truth, clocks, _) = self.compare()?;
        Ok(truth - Realtime::from_nanos(i64::try_from(clocks.boottime)?))
    }

    /// The guest's clocks, the true time at which they were read, and how far off that may be: the quickest answer of five.
    pub fn compare(&self) -> Outcome<(Realtime, Clocks, Duration)> {
        let mut quickest: Option<(Duration, Realtime, Clocks)> = None;
        for _ in 0..5 {
            let before = clock::realtime();
            let clocks = self.clocks()?;
            let took = (clock::realtime() - before).abs();
            if quickest.is_none_or(|(best, ..)| took < best) {
                quickest = Some((took, before + forward(took / 2), clocks));
            }
        }
        quickest.map_or_else(|| fail("never asked"), |(took, truth, clocks)| Ok((truth, clocks, took / 2)))
    }

    /// Sets the guest's clock to the truth, as well as a command can.
    pub fn set_right(&self) -> Outcome {
        let now = clock::realtime().as_nanos();
        self.sh(&format!("date -u -s @{}.{:09}", now / 1_000_000_000, now % 1_000_000_000)).map(drop)
    }

    /// Sends the guest to sleep through logind; it sleeps when this returns, since the true time it tells.
    pub fn suspend(&self) -> Outcome<Realtime> {
        let already = self.sleeps();
        self.sh("echo s2idle >/sys/power/mem_sleep; systemctl suspend")?;
        until("the guest freezes all tasks", USUAL, || Ok((self.sleeps() > already).then_some(())))?;
        let asleep = clock::realtime();
        // Devices are next, in a millisecond; a signal that comes before the last of them calls the sleep off.
        let mut ran = 0;
        until("the guest lies still", USUAL, || {
            Ok((self.ran()? == std::mem::replace(&mut ran, self.ran()?)).then_some(()))
        })?;
        Ok(asleep)
    }

    /// Wakes the guest; it is awake when this returns, since the true time it tells.
    pub fn wake(&self) -> Outcome<Realtime> {
        let pid = self.pid()?;
        let already = self.wakings();
        kill(pid, Signal::SIGUSR1)?;
        let woken = until("the guest wakes", USUAL, || Ok((self.wakings() > already).then(clock::realtime)))?;
        self.clocks()?;
        Ok(woken)
    }

    /// How often the kernel said that tasks run again.
    fn wakings(&self) -> usize {
        self.console().matches("Restarting tasks").count()
    }

    /// How often the kernel said that all tasks are frozen.
    fn sleeps(&self) -> usize {
        self.console().matches("Freezing remaining freezable tasks completed").count()
    }

    /// Nanoseconds that its kernel has run for (proc_pid_schedstat(5)).
    fn ran(&self) -> Outcome<u64> {
        let stat = std::fs::read_to_string(format!("/proc/{}/schedstat", self.linux.id()))?;
        Ok(stat.split(' ').next().unwrap_or_default().parse()?)
    }

    /// All that the guest's kernel said so far.
    pub fn console(&self) -> String {
        std::fs::read(&self.console).map(|text| String::from_utf8_lossy(&text).into_owned()).unwrap_or_default()
    }

    /// The ends of its console and its journal, for whoever wants to know why.
    pub fn last_words(&self) -> String {
        let woken = if self.sleeps() > self.wakings() { self.wake().map(drop) } else { Ok(()) };
        let journal = woken
            .and_then(|()| self.sh("journalctl -b --no-pager -n 60 -o short-monotonic"))
            .unwrap_or_else(|failed| failed.message().unwrap_or_default().to_owned());
        let console = self.console();
        let from = console.lines().count().saturating_sub(15);
        let end: Vec<&str> = console.lines().skip(from).collect();
        format!("the guest's console ends:\n{}\nthe guest's journal ends:\n{journal}", end.join("\n"))
    }

    fn pid(&self) -> Outcome<Pid> {
        Ok(Pid::from_raw(i32::try_from(self.linux.id())?))
    }

    fn ask(&self, ask: Ask, within: Duration) -> Outcome<Reply> {
        let id = self.asked.fetch_add(1, Ordering::Relaxed);
        let (answer, answered) = mpsc::channel();
        lock(&self.waiting).insert(id, answer);
        let what = format!("{ask:?}");
        let mut text = serde_json::to_vec(&Request { id, ask })?;
        text.push(b'\n');
        self.line.lock().unwrap_or_else(PoisonError::into_inner).write_all(&text)?;
        let answer = answered.recv_timeout(within);
        lock(&self.waiting).remove(&id);
        match answer {
            Ok(reply) => Ok(reply?),
            Err(_) => fail(format!("the guest did not answer within {within:?}: {what}")),
        }
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        // Its image cannot be written to, so pulling the plug harms nothing. Helpers outlive the first process; the
        // group is theirs and ours alone.
        if let Ok(pid) = self.pid() {
            let _ = killpg(pid, Signal::SIGKILL);
        }
        let _ = self.linux.wait();
    }
}

fn start(world: &World, begins: Begins, staged: &Path, line: OwnedFd) -> Outcome<Child> {
    let console = File::create(world.console())?;
    let over = begins.over().map(|tree| format!("over={}", folder().join(tree).display()));
    Command::new("/usr/bin/linux.uml")
        .arg(format!("mem={MEMORY_MIB}M"))
        .args(["root=/dev/root", "rootfstype=hostfs", "ro", "init=/lab-init", "systemd.unit=multi-user.target"])
        .arg(format!("rootflags={}", folder().join(begins.root()).display()))
        .arg(format!("stage={}", staged.display()))
        .args(over)
        .arg(format!("address={}/24", world.guest_address()))
        .arg(format!("vec0:transport=tap,ifname={},depth=128,gro=1", world.tap()))
        .args(["con=null", "con0=null,fd:1", "ssl=null", "ssl0=fd:0"])
        // What the kernel says on the console tells when all is asleep.
        .args(["loglevel=7", "no_console_suspend", "systemd.show_status=0", "selinux=0", begins.security()])
        // A socket lies in there, whose path has to be short: relative to the folder we start it in.
        .args(["uml_dir=./", "umid=uml"])
        .current_dir(world.run())
        .env("TMPDIR", memory_folder(world))
        .env("LD_PRELOAD", std::fs::canonicalize(folder().join("xstate/xstate.so"))?)
        .stdin(line)
        .stdout(console.try_clone()?)
        .stderr(console)
        .process_group(0)
        .spawn()
        .map_err(|e| format!("cannot start user-mode Linux: {e}").into())
}

/// Where the guest's memory is kept: in the host's memory, where containers leave enough of it and allow code there.
fn memory_folder(world: &World) -> PathBuf {
    let shm = Path::new("/dev/shm");
    let fits = statvfs(shm).is_ok_and(|fs| {
        let free = fs.blocks_available() * fs.fragment_size();
        free > 2 * MEMORY_MIB * 1024 * 1024 && !fs.flags().contains(FsFlags::ST_NOEXEC)
    });
    if fits { shm.into() } else { world.run().into() }
}

/// Hands the guest's answers to those who wait for them, until the line closes.
fn hear(line: UnixStream, waiting: &Waiting) {
    for text in BufReader::new(line).split(b'\n') {
        let Ok(text) = text else { return };
        // What the terminal says before our part runs is no answer.
        let Ok(answer) = serde_json::from_slice::<Answer>(&text) else { continue };
        if let Some(waiter) = lock(waiting).remove(&answer.id) {
            // Who gave up waiting needs no answer.
            let _ = waiter.send(answer.reply);
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

//! The guard: a process of its own that thaws by the ledger when the agent's end of a socket closes, whatever killed it, or when
//! the agent has not thawed for too long. It waits in poll(2) and needs neither PID 1 nor a bus: what it opens lies in `/run`
//! and in the cgroup hierarchy, which are memory.
//!
//! It shares the agent's cgroup, which is never frozen by us. It blocks every signal: what ends it is the end of its agent, so
//! a TERM for the whole unit leaves it the moment that it needs. Where all of the unit is killed, `ExecStopPost=` thaws.

use std::io::{self, Read as _};
use std::os::fd::{AsFd, AsRawFd as _, BorrowedFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::signal::SigSet;
use nix::sys::socket::{MsgFlags, send};

use super::error::Thawed;
use super::freezer::Freezer;
use super::ledger::Ledger;
use super::{WorkloadError, boot_id};
use crate::decision::{Awake, nanos_u64};
use crate::sys::cgroup::Hierarchy;
use crate::sys::clock::monotonic_nanos;
use crate::sys::output::{self, Priority};

/// How long a guard may take to be ready, and to end.
const PATIENCE: Duration = Duration::from_secs(5);
/// What cannot be thawed is tried so often again, so far apart.
const TRIES: (usize, Duration) = (50, Duration::from_millis(100));
/// The agent itself thaws at the end that both know; the guard, a moment later, what an agent that hangs has left.
const GRACE: Duration = Duration::from_secs(1);
/// A word on the line: the end, eight bytes of nanoseconds on CLOCK_MONOTONIC; the far end of time where nothing is frozen.
type Word = [u8; 8];

/// What a guard watches over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuardTask {
    /// The ledger.
    pub ledger: PathBuf,
    /// The folder of the hierarchy.
    pub folder: PathBuf,
    /// The agent whose entries it thaws; a later agent's are not its business.
    pub session: u64,
}

/// A guard as its agent sees it. It ends when this is dropped, and thaws what is frozen still.
#[derive(Debug)]
pub struct Guard {
    /// None while it is being dropped.
    line: Option<UnixStream>,
    child: Child,
}

impl Guard {
    /// Starts a guard and waits until it is ready.
    ///
    /// # Errors
    /// [`WorkloadError::Guard`] when it cannot be started, or is not ready in time: then nothing may be frozen.
    pub fn post(program: &Path, watch: &GuardTask) -> Result<Self, WorkloadError> {
        let failed = |source| WorkloadError::Guard { program: program.to_owned(), source };
        let (line, its_end) = UnixStream::pair().map_err(failed)?;
        let child = Command::new(program)
            .arg("thaw")
            .args(["--guard", &format!("{:016x}", watch.session)])
            .arg("--ledger")
            .arg(&watch.ledger)
            .arg("--cgroup")
            .arg(&watch.folder)
            // Nothing of the service manager's is for the guard, least of all the right to speak for the agent.
            .env_clear()
            .current_dir("/")
            .stdin(OwnedFd::from(its_end))
            .stdout(Stdio::null())
            .stderr(Stdio::inherit())
            .spawn()
            .map_err(failed)?;
        let guard = Self { line: Some(line), child };
        guard.wait_until_ready().map_err(failed)?;
        Ok(guard)
    }

    fn wait_until_ready(&self) -> io::Result<()> {
        let Some(mut line) = self.line.as_ref() else { return Ok(()) };
        let end = monotonic_nanos().saturating_add(nanos_u64(PATIENCE));
        while !readable_until(line.as_fd(), Some(end)) {
            if monotonic_nanos() >= end {
                return Err(io::ErrorKind::TimedOut.into());
            }
        }
        // At the end of the file it has ended before it was ready; its own words are on standard error.
        line.read_exact(&mut [0])
    }

    /// It thaws a moment after `until`, which replaces any earlier time: time asleep does not count, since the containers miss nothing
    /// while the machine sleeps.
    ///
    /// # Errors
    /// What write(2) said: the guard has ended, and another has to be posted.
    pub fn arm(&self, until: Awake) -> io::Result<()> {
        self.say(until)
    }

    /// Nothing is frozen any more.
    ///
    /// # Errors
    /// As [`Self::arm`].
    pub fn disarm(&self) -> io::Result<()> {
        self.say(Awake::NEVER)
    }

    fn say(&self, until: Awake) -> io::Result<()> {
        let Some(line) = &self.line else { return Ok(()) };
        // A guard that has ended is an error to handle, no SIGPIPE; one that does not listen is not waited for.
        send(line.as_raw_fd(), &until.as_nanos().to_ne_bytes(), MsgFlags::MSG_NOSIGNAL | MsgFlags::MSG_DONTWAIT)?;
        Ok(())
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        self.line = None;
        // It is reaped, or it would stay a zombie for as long as the agent lives; but it is not waited for without a limit.
        let end = monotonic_nanos().saturating_add(nanos_u64(PATIENCE));
        while matches!(self.child.try_wait(), Ok(None)) && monotonic_nanos() < end {
            crate::sys::nap(Duration::from_millis(2));
        }
    }
}

/// What the guard does: standard input is the line to the agent, and a byte on it says that it is ready.
///
/// # Errors
/// [`WorkloadError`] when it cannot begin, or could not thaw everything.
pub fn keep(watch: &GuardTask) -> Result<(), WorkloadError> {
    // A child leads no group yet, so this works; and if not, the guard is still one.
    let _ = nix::unistd::setsid();
    let _ = SigSet::all().thread_block();
    let hierarchy =
        Hierarchy::open(&watch.folder).map_err(|error| WorkloadError::from_io("open", &watch.folder, error))?;
    let boot = boot_id(Path::new("/proc"))?;
    let ledger = Ledger::open(&watch.ledger, &boot)?;
    let ledger = ledger.ok_or_else(|| WorkloadError::Absent { what: "guard", path: watch.ledger.clone() })?;
    let freezer = Freezer { hierarchy: &hierarchy, ledger: &ledger, old_freezer: None };
    nix::unistd::write(io::stdin(), b"\n")
        .map_err(|e| WorkloadError::from_io("speak to", Path::new("the agent"), e.into()))?;
    let mut armed_until = None;
    loop {
        match listen(armed_until) {
            GuardMessage::Until(Awake::NEVER) => armed_until = None,
            GuardMessage::Until(until) => armed_until = Some((until + GRACE).as_nanos()),
            GuardMessage::Nothing => {
                armed_until = None;
                say("the agent has left containers frozen for too long", &thaw_at_last(&freezer, watch.session));
            }
            GuardMessage::End => {
                let outcome = thaw_at_last(&freezer, watch.session);
                say("the agent has ended", &outcome);
                return outcome.map(|_| ());
            }
        }
    }
}

enum GuardMessage {
    /// When to thaw.
    Until(Awake),
    /// The time is up.
    Nothing,
    /// The agent has ended.
    End,
}

fn listen(until: Option<u64>) -> GuardMessage {
    let stdin = io::stdin();
    loop {
        if !readable_until(stdin.as_fd(), until) {
            if until.is_some_and(|until| monotonic_nanos() >= until) {
                return GuardMessage::Nothing;
            }
            continue;
        }
        // Words are written whole and read by whole words: none is ever cut.
        let mut words = [0; 32 * size_of::<Word>()];
        match nix::unistd::read(stdin.as_fd(), &mut words).map(|length| words[..length].as_chunks().0.last().copied()) {
            Ok(Some(word)) => return GuardMessage::Until(Awake::from_nanos(u64::from_ne_bytes(word))),
            Err(Errno::EINTR | Errno::EAGAIN) => {}
            Ok(None) | Err(_) => return GuardMessage::End,
        }
    }
}

/// Waits until there is something to read, or its end, or the time has come, or a signal was handled.
fn readable_until(fd: BorrowedFd<'_>, until: Option<u64>) -> bool {
    // Rounded up: a moment too late rather than a busy loop.
    let left = until.map(|until| Duration::from_nanos(until.saturating_sub(monotonic_nanos()).saturating_add(999_999)));
    let timeout = left.map_or(PollTimeout::NONE, |left| PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
    matches!(poll(&mut [PollFd::new(fd, PollFlags::POLLIN)], timeout), Ok(1..))
}

fn thaw_at_last(freezer: &Freezer<'_>, session: u64) -> Result<Thawed, WorkloadError> {
    let thaw = || freezer.thaw(&freezer.ledger.read()?, Some(session));
    let mut outcome = thaw();
    for _ in 0..TRIES.0 {
        if outcome.is_ok() {
            break;
        }
        crate::sys::nap(TRIES.1);
        outcome = thaw();
    }
    outcome
}

/// Prints what was done, if anything was; after it was done, since the output may have no reader.
fn say(why: &str, outcome: &Result<Thawed, WorkloadError>) {
    let (priority, what) = match outcome {
        Ok(thawed) if thawed.thawed.is_empty() => return,
        Ok(thawed) => (Priority::Warning, format!("thawed {} cgroup(s)", thawed.thawed.len())),
        Err(error) => (Priority::Error, crate::error_chain::in_full(error)),
    };
    output::log(priority, &format!("clockgate guard: {why}: {what}"));
}

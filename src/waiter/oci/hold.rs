//! Holding one container: at the gate page, or without an agent by the policy for that.

use std::path::{Path, PathBuf};
use std::time::Duration;

use super::settings::{NoAgent, Settings};
use crate::decision::{Boottime, Gate};
use crate::page::{self, Page, View};
use crate::sys::clock::boottime;
use crate::sys::nap;
use crate::waiter::alone::{self, Alone};
use crate::waiter::{self, Ground, OnTimeout, Options};

/// An agent that ended is started again by systemd within a second or two; one that is gone for so long is no agent.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// Futexes and poll(2) sleep by a clock that stands still while the machine sleeps, so none of them sleeps for long.
const LOOK_EVERY: Duration = Duration::from_secs(5);
/// Nothing wakes us when an agent comes.
const LOOK_FOR_AGENT_EVERY: Duration = Duration::from_secs(1);

/// Why a container was refused.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refused {
    /// How long it was held.
    pub waited: Duration,
    /// Why the gate was shut.
    pub why: String,
}

/// Why a container was let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Released {
    /// The gate, or the policy where there is none, let it.
    On(Ground),
    /// It does not have to wait.
    Exempt,
}

/// The container that is held.
pub trait Held {
    /// Whether a shut gate is nothing to it; asked once, before the first sleep.
    fn is_exempt(&mut self) -> bool;
    /// It is still held, and why; told before every sleep.
    fn waits(&mut self, waited: Duration, why: &str);
}

/// Holds until there is ground to let go.
///
/// # Errors
/// [`Refused`] when `patience` is over.
pub fn hold(settings: &Settings, patience: Option<Duration>, held: &mut dyn Held) -> Result<Released, Refused> {
    let since = boottime();
    let mut lookout = Lookout { settings, gone_since: None, alone_since: None };
    let mut is_asked = false;
    loop {
        let now = boottime();
        let shut = match lookout.look(now) {
            Ok(ground) => return Ok(Released::On(ground)),
            Err(shut) => shut,
        };
        if !std::mem::replace(&mut is_asked, true) && held.is_exempt() {
            return Ok(Released::Exempt);
        }
        let waited = now.since(since);
        let left = patience.map_or(LOOK_EVERY, |patience| patience.saturating_sub(waited));
        if left.is_zero() {
            return Err(Refused { waited, why: shut.why });
        }
        held.waits(waited, &shut.why);
        shut.sleep(left.min(LOOK_EVERY));
    }
}

/// What we look for, and since when some of it is missing.
struct Lookout<'a> {
    settings: &'a Settings,
    gone_since: Option<Boottime>,
    alone_since: Option<Boottime>,
}

/// A gate that is shut, or none: why, and what to sleep on.
struct Shut {
    why: String,
    page: Option<Box<(Page, View)>>,
    /// How soon to look again, woken or not.
    again: Duration,
}

impl Shut {
    fn sleep(&self, at_most: Duration) {
        let at_most = self.again.min(at_most);
        match self.page.as_deref() {
            Some((page, view)) => page.wait(view, at_most),
            None => nap(at_most),
        }
    }
}

impl Lookout<'_> {
    fn look(&mut self, now: Boottime) -> Result<Ground, Shut> {
        let page = match Page::open(&self.settings.page) {
            Ok(page) => page,
            Err(page::Error::Absent(_)) => return self.look_alone(now, "there is no agent"),
            // Of another version, or not to be read: as good as none, and our word for it is the log's.
            Err(_) => return self.look_alone(now, "there is no agent whose gate page we can read"),
        };
        let view = page.read();
        match view.gate {
            Gate::Proven => return Ok(Ground::Proven(view)),
            Gate::Unproven => return Ok(Ground::Unproven(view)),
            Gate::Shut => {}
        }
        if agent_is_gone(&self.settings.page) {
            if now.since(*self.gone_since.get_or_insert(now)) >= GONE_AFTER {
                return self.look_alone(now, "the agent has ended");
            }
        } else {
            self.gone_since = None;
        }
        self.alone_since = None;
        let again = if self.gone_since.is_some() { LOOK_FOR_AGENT_EVERY } else { LOOK_EVERY };
        let why = format!("the gate is shut: {}", view.why);
        Err(Shut { why, page: Some(Box::new((page, view))), again })
    }

    fn look_alone(&mut self, now: Boottime, absence: &str) -> Result<Ground, Shut> {
        let waited = now.since(*self.alone_since.get_or_insert(now));
        match self.settings.no_agent {
            NoAgent::Open => Ok(Ground::NoAgent),
            NoAgent::Hold => {
                Err(Shut { why: format!("{absence} (no-agent = hold)"), page: None, again: LOOK_FOR_AGENT_EVERY })
            }
            NoAgent::Kernel => match Alone::new(&kernel(&self.settings.page)).look() {
                Ok(ground) => Ok(ground),
                Err(why) if waited >= self.settings.no_agent_wait => {
                    Ok(Ground::TimedOut { why: format!("{absence}, and {why}") })
                }
                Err(why) => {
                    let again = alone::look_every(waiter::NoAgent::Kernel);
                    Err(Shut { why: format!("{absence}, and {why}"), page: None, again })
                }
            },
        }
    }
}

/// As `run --no-agent kernel` looks.
fn kernel(page: &Path) -> Options {
    Options {
        directory: page.to_owned(),
        max_wait: None,
        on_timeout: OnTimeout::Fail,
        require_proof: false,
        no_agent: waiter::NoAgent::Kernel,
        servers: vec![],
        threshold: Duration::from_millis(200),
    }
}

/// Whether nobody holds the lock that an agent holds as long as it lives, beside the folder of its page.
///
/// The lock is looked for in the kernel's list and never tried: trying it could keep an agent from starting. The list has all
/// locks for the first process namespace alone; elsewhere, and where the file is not to be seen, the agent is taken to live.
fn agent_is_gone(directory: &Path) -> bool {
    use std::os::unix::fs::MetadataExt;
    /// `PROC_PID_INIT_INO` of include/linux/proc_ns.h
    const FIRST_NAMESPACE: u64 = 0xEFFF_FFFC;
    let namespace = std::fs::metadata("/proc/self/ns/pid").map(|meta| meta.ino());
    if !namespace.is_ok_and(|inode| inode == FIRST_NAMESPACE) {
        return false;
    }
    let lock: PathBuf = directory.with_extension("lock");
    let (Ok(meta), Ok(locks)) = (lock.metadata(), std::fs::read_to_string("/proc/locks")) else { return false };
    let name = format!("{:02x}:{:02x}:{}", libc::major(meta.dev()), libc::minor(meta.dev()), meta.ino());
    !locks.lines().any(|line| line.contains("FLOCK") && line.split_whitespace().any(|word| word == name))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn settings(no_agent: NoAgent) -> Settings {
        Settings { page: PathBuf::from("/nowhere"), no_agent, no_agent_wait: Duration::ZERO, ..Settings::default() }
    }

    #[derive(Default)]
    struct Container {
        exempt: bool,
        asked: u32,
        waits: u32,
    }

    impl Held for Container {
        fn is_exempt(&mut self) -> bool {
            self.asked += 1;
            self.exempt
        }

        fn waits(&mut self, _waited: Duration, why: &str) {
            assert!(why.contains("no agent"), "{why}");
            self.waits += 1;
        }
    }

    #[test]
    fn without_an_agent_the_policy_lets_go_or_holds() {
        let patience = Some(Duration::from_millis(20));
        let hold = |no_agent| hold(&settings(no_agent), patience, &mut Container::default());
        assert_eq!(hold(NoAgent::Open), Ok(Released::On(Ground::NoAgent)));
        let let_go = hold(NoAgent::Kernel);
        assert!(matches!(let_go, Ok(Released::On(Ground::Kernel { .. } | Ground::TimedOut { .. }))), "{let_go:?}");
        assert!(
            hold(NoAgent::Hold).is_err_and(|refused| refused.why.contains("no agent") && !refused.waited.is_zero())
        );
    }

    #[test]
    fn who_is_exempt_is_asked_once_and_not_held() {
        let mut container = Container { exempt: true, ..Container::default() };
        assert_eq!(hold(&settings(NoAgent::Hold), None, &mut container), Ok(Released::Exempt));
        assert_eq!((container.asked, container.waits), (1, 0));
        let mut container = Container::default();
        assert!(hold(&settings(NoAgent::Hold), Some(Duration::from_millis(250)), &mut container).is_err());
        assert_eq!(container.asked, 1, "waited {} times", container.waits);
        assert!(container.waits >= 1);
    }

    #[test]
    fn an_agent_lives_as_long_as_it_holds_its_lock() {
        let folder = tempfile::tempdir().unwrap();
        let directory = folder.path().join("public");
        assert!(!agent_is_gone(&directory), "without a lock nobody can tell");
        let file = std::fs::File::create(directory.with_extension("lock")).unwrap();
        let tell = |alive: bool| agent_is_gone(&directory) != alive;
        // In a process namespace of a container nobody can tell either.
        let first =
            std::fs::read_link("/proc/self/ns/pid").is_ok_and(|link| link.to_string_lossy().contains("4026531836"));
        assert!(tell(!first));
        let lock = nix::fcntl::Flock::lock(file, nix::fcntl::FlockArg::LockExclusive).unwrap();
        assert!(tell(true));
        drop(lock);
        assert!(tell(!first));
    }
}

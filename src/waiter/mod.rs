//! Let them go: waits at the gate page and reads nothing else. No runtime, no bus; it works in an empty root, as any uid.

mod alone;
pub mod oci;
mod progress;
pub mod run;

use std::path::PathBuf;
use std::time::Duration;

use crate::decision::{Boottime, Gate, Offset};
use crate::page::{self, Page, View};
use crate::reference::ServerName;
use crate::sys::clock::boottime;
use crate::sys::nap;

pub use progress::{Progress, Style};

use alone::Alone;

/// How often to look for an agent's page where there is none.
const LOOK_FOR_PAGE_EVERY: Duration = Duration::from_secs(1);

/// What to do when the deadline has come and the gate is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum OnTimeout {
    /// Go through all the same, and say so.
    Open,
    /// Refuse.
    Fail,
}

/// What to do where there is no gate page.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum NoAgent {
    /// Ask NTP servers until they say that the clock is right.
    Measure,
    /// Go through once the kernel's own maximum error is within the threshold, which it can be of a stale clock too.
    Kernel,
    /// Refuse.
    Fail,
    /// Go through.
    Open,
}

/// How to wait.
#[derive(Clone, Debug)]
pub struct Options {
    /// The folder of the gate page.
    pub directory: PathBuf,
    /// How long; none is for ever.
    pub max_wait: Option<Duration>,
    /// What then.
    pub on_timeout: OnTimeout,
    /// Whether a gate that was opened without a proof is shut to us.
    pub require_proof: bool,
    /// What to do without a page.
    pub no_agent: NoAgent,
    /// Whom to ask without a page.
    pub servers: Vec<ServerName>,
    /// The bound that is good enough without a page; with one, the agent's counts.
    pub threshold: Duration,
}

/// On what ground a waiter was let go.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The gate is open on a proof.
    Proven(View),
    /// The agent opened the gate without a proof, for the reason it gives.
    Unproven(View),
    /// There is no agent; this server said that the clock is right.
    Measured {
        /// Who said so.
        source: String,
        /// Reference minus local.
        offset: Offset,
        /// The most the clock is wrong.
        bound: Duration,
    },
    /// There is no agent; the kernel says how wrong its clock is at most.
    Kernel {
        /// The kernel's own estimate of the most it is wrong.
        max_error: Duration,
        /// Whether its flag STA_UNSYNC says otherwise, as beside chronyd without `rtcsync`.
        unsynchronised: bool,
    },
    /// There is no agent, and none is wanted.
    NoAgent,
    /// The deadline came, and the caller wants to go on regardless.
    TimedOut {
        /// Why it was still shut.
        why: String,
    },
}

/// Why a waiter was not let go.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The deadline came first.
    #[error("the gate is still shut after {} s: {why}", waited.as_secs())]
    StillShut {
        /// How long we waited.
        waited: Duration,
        /// Why it was shut.
        why: String,
    },
    /// There is no page, and the caller wants one.
    #[error("{why}")]
    NoAgent {
        /// What is wanted.
        why: String,
        /// What is not there.
        source: page::Error,
    },
    /// There is a page that we cannot read.
    #[error("the gate cannot be seen")]
    Page(#[source] page::Error),
}

/// Waits until the gate lets us through, or the deadline.
///
/// # Errors
/// [`Refusal`].
pub fn wait(options: &Options, progress: &mut Progress) -> Result<Ground, Refusal> {
    let patience = Patience::new(options.max_wait);
    let outcome = wait_patiently(options, &patience, progress);
    progress.end();
    match outcome {
        Err(Refusal::StillShut { why, .. }) if options.on_timeout == OnTimeout::Open => Ok(Ground::TimedOut { why }),
        outcome => outcome,
    }
}

fn wait_patiently(options: &Options, patience: &Patience, progress: &mut Progress) -> Result<Ground, Refusal> {
    let alone = Alone::new(options);
    let (mut look_at, mut why) = (Boottime::default(), String::new());
    loop {
        // An agent may come while we wait without one; its gate counts from then on.
        let absent = match Page::open(&options.directory) {
            Ok(page) => return at_the_page(&page, options, patience, progress),
            Err(absent @ page::Error::Absent(_)) => absent,
            Err(error) => return Err(Refusal::Page(error)),
        };
        let now = boottime();
        if now >= look_at {
            why = match alone.look() {
                Ok(ground) => return Ok(ground),
                Err(why) if options.no_agent == NoAgent::Fail => return Err(Refusal::NoAgent { why, source: absent }),
                Err(why) => format!("no agent, and {why}"),
            };
            look_at = now + alone::look_every(options.no_agent);
        }
        let now = boottime();
        if patience.is_over(now) {
            return Err(patience.refusal(now, why));
        }
        progress.show(&progress::Line::alone("clock", why.clone(), patience, now));
        nap(LOOK_FOR_PAGE_EVERY.min(look_at.since(now)).min(patience.left(now)));
    }
}

fn at_the_page(
    page: &Page,
    options: &Options,
    patience: &Patience,
    progress: &mut Progress,
) -> Result<Ground, Refusal> {
    loop {
        let view = page.read();
        match view.gate {
            Gate::Proven => return Ok(Ground::Proven(view)),
            Gate::Unproven if !options.require_proof => return Ok(Ground::Unproven(view)),
            Gate::Unproven | Gate::Shut => {}
        }
        let now = boottime();
        if patience.is_over(now) {
            return Err(patience.refusal(now, view.why));
        }
        let pause = progress.show(&progress::Line::of(&view, patience, now)).min(patience.left(now));
        page.wait(&view, pause);
    }
}

/// How long we wait, on the clock that counts time asleep.
#[derive(Clone, Copy, Debug)]
struct Patience {
    since: Boottime,
    deadline: Boottime,
}

impl Patience {
    fn new(max_wait: Option<Duration>) -> Self {
        let since = boottime();
        Self { since, deadline: max_wait.map_or(Boottime::NEVER, |wait| since + wait) }
    }

    fn is_over(&self, now: Boottime) -> bool {
        now >= self.deadline
    }

    fn left(&self, now: Boottime) -> Duration {
        self.deadline.since(now)
    }

    fn refusal(&self, now: Boottime, why: String) -> Refusal {
        Refusal::StillShut { waited: now.since(self.since), why }
    }
}

impl std::fmt::Display for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proven(view) => {
                write!(f, "the clock is proven right to ±{:.3} ms", millis(view.bound.unwrap_or_default()))
            }
            Self::Unproven(view) => write!(f, "the gate is open without a proof: {}", view.why),
            Self::Measured { source, offset, bound } => {
                write!(f, "no agent; {source} says that the clock is off by {offset}, at most {:.3} ms", millis(*bound))
            }
            Self::Kernel { max_error, unsynchronised } => {
                let flag = if *unsynchronised { " (its maximum error; STA_UNSYNC is set)" } else { "" };
                let bound = millis(*max_error);
                write!(f, "no agent; unproven: the kernel says that its clock is at most {bound:.3} ms wrong{flag}")
            }
            Self::NoAgent => f.write_str("no agent; nobody vouches for the clock"),
            Self::TimedOut { why } => write!(f, "the deadline came while the gate was shut: {why}"),
        }
    }
}

fn millis(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

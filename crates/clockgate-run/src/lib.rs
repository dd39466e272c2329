//! Waits at clockgate's gate page and becomes a command: what `clockgate run`, `clockgate wait` and the program `clockgate-run` have in
//! common. No runtime, no bus; it works in an empty root, as any uid.

mod alone;
pub mod duration;
pub mod error_chain;
pub mod exec;
pub mod exit;
mod observation;
mod progress;
pub mod sys;
pub mod tolerance;
pub mod values;

use std::path::PathBuf;
use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::time::{Boottime, Offset, bound_in_words};
use clockgate_page::{Gate, View};

use exit::Exit;
use progress::WaitProgress;

pub use alone::{Alone, Measuring, look_every};
pub use observation::{Absence, Lookout, Sight, is_kept};
pub use progress::{Progress, Released, Style};

/// The bound that is good enough without a page; the agent's own default.
pub const THRESHOLD: Duration = Duration::from_millis(200);
/// How long is waited if nothing else is said.
pub const MAX_WAIT: Duration = Duration::from_secs(60);
/// Where a container names NTP servers, separated by commas or white space.
pub const ENVIRONMENT: &str = "CLOCKGATE_SERVERS";

/// The servers that the environment names, as they are written; empty where it names none.
#[must_use]
pub fn named_servers() -> String {
    std::env::var(ENVIRONMENT).unwrap_or_default()
}

/// What to do where the agent has not opened its gate.
pub const ASK_STATUS: &str = "see `clockgate status` and `journalctl -u clockgate`";

/// What to do where references were asked in vain.
pub const ASK_OTHERS: &str = "see each answer with `clockgate measure` (NTP is UDP port 123), or name others with `--server HOST` or `servers` in the configuration";

/// What to do when the deadline has come and the gate is shut.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum OnTimeout {
    /// Continue, and print a warning.
    Open,
    /// Refuse.
    Fail,
}

/// What to do where there is no gate page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoAgent {
    /// Ask NTP servers until they prove the clock.
    Measure,
    /// Continue once the maximum error of the kernel is within the threshold, even if the clock is stale.
    Kernel,
    /// Refuse.
    Fail,
    /// Continue.
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
    /// How far off the clock may be, where the waiter says so; zero waits for a proof. An agent's measurement has to show it.
    pub tolerance: Option<Duration>,
    /// What to do without a page.
    pub no_agent: NoAgent,
    /// The bound that is good enough without a page; with one, the agent's counts.
    pub threshold: Duration,
}

/// Why a waiter was released.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ground {
    /// The gate is open on a proof.
    Proven(Box<View>),
    /// The agent opened the gate without a proof, for the reason it gives.
    Unproven(Box<View>),
    /// The gate is shut, and the clock is not so wrong that it matters to this waiter.
    Tolerated {
        /// The most that it is wrong now.
        bound: Duration,
        /// What the waiter tolerates.
        tolerance: Duration,
    },
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
    /// There is no agent, and none is required.
    NoAgent,
    /// The deadline came, and the caller wants to go on regardless.
    TimedOut {
        /// Why it was still shut.
        why: String,
    },
}

/// Why a waiter was not released.
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
    /// The deadline came first, and there is no agent.
    #[error("the clock is still not proven after {} s: {why}", waited.as_secs())]
    StillUnproven {
        /// How long we waited.
        waited: Duration,
        /// Why it was not.
        why: String,
    },
    /// The gate is open, and not as the caller wants it.
    #[error("after {} s the gate is open without a proof, which --require-proof does not accept: {why}", waited.as_secs())]
    OpenUnproven {
        /// How long we waited.
        waited: Duration,
        /// Why there is no proof.
        why: String,
    },
    /// The gate is open on a proof that is not fine enough for the caller.
    #[error("after {} s the gate is open, and the clock may be wrong by more than {}: {why}", waited.as_secs(), bound_in_words(*tolerance))]
    TooWide {
        /// How long we waited.
        waited: Duration,
        /// What the caller tolerates.
        tolerance: Duration,
        /// What is proven.
        why: String,
    },
    /// There is no agent, and the caller wants one.
    #[error("{why}")]
    NoAgent {
        /// What is required.
        why: String,
        /// What is not there.
        source: Absence,
    },
    /// There is a page that we cannot read.
    #[error("cannot read the gate")]
    Page(#[source] clockgate_page::Error),
}

impl Refusal {
    /// How a command ends with it.
    #[must_use]
    pub const fn exit(&self) -> Exit {
        match self {
            Self::StillShut { .. } | Self::StillUnproven { .. } | Self::OpenUnproven { .. } | Self::TooWide { .. } => {
                Exit::StillShut
            }
            Self::NoAgent { .. } | Self::Page(_) => Exit::NoAgent,
        }
    }

    /// What to do about it; none where the causes are enough.
    #[must_use]
    pub const fn advice(&self) -> Option<&'static str> {
        match self {
            Self::StillShut { .. } | Self::OpenUnproven { .. } | Self::TooWide { .. } => Some(ASK_STATUS),
            // Without an agent `status` has nothing to show.
            Self::StillUnproven { .. } => Some(ASK_OTHERS),
            Self::NoAgent { .. } | Self::Page(_) => None,
        }
    }
}

/// Waits until the gate lets us through, or the deadline.
///
/// # Errors
/// [`Refusal`].
pub fn wait(options: &Options, measuring: Measuring<'_>, progress: &mut Progress) -> Result<Ground, Refusal> {
    let patience = WaitTime::new(options.max_wait);
    let outcome = wait_patiently(options, Alone::new(options, measuring), (&patience, progress));
    progress.end();
    match outcome {
        Err(
            Refusal::StillShut { why, .. }
            | Refusal::StillUnproven { why, .. }
            | Refusal::OpenUnproven { why, .. }
            | Refusal::TooWide { why, .. },
        ) if options.on_timeout == OnTimeout::Open => Ok(Ground::TimedOut { why }),
        outcome => outcome,
    }
}

fn wait_patiently(
    options: &Options,
    mut alone: Alone<'_>,
    (patience, progress): (&WaitTime, &mut Progress),
) -> Result<Ground, Refusal> {
    let mut lookout = Lookout::new(options.directory.clone());
    loop {
        // An agent may come while we wait without one; its gate counts from then on.
        let sight = match lookout.look().map_err(Refusal::Page)? {
            Sight::NoAgent(source) => match alone.requires_an_agent() {
                Some(why) => return Err(Refusal::NoAgent { why: why.to_owned(), source }),
                None => Sight::NoAgent(source),
            },
            gate @ Sight::Gate(_) => gate,
        };
        let now = boottime();
        let (line, again) = match &sight {
            Sight::Gate(view) => match passes(view, options.tolerance, options.require_proof) {
                Some(ground) => return Ok(ground),
                None => (WaitProgress::of(view, patience, now), watch_every(options.tolerance)),
            },
            Sight::NoAgent(_) => match alone.look_in_time(now) {
                Ok(ground) => return Ok(ground),
                Err(why) => {
                    (WaitProgress::alone("clock", format!("no agent, and {why}"), patience, now), alone.pause(now))
                }
            },
        };
        let now = boottime();
        if patience.is_over(now) {
            let waited = now.since(patience.since);
            return Err(match sight {
                Sight::Gate(view) if view.gate == Gate::Unproven => Refusal::OpenUnproven { waited, why: view.why },
                Sight::Gate(view) if view.gate == Gate::Proven => {
                    Refusal::TooWide { waited, tolerance: options.tolerance.unwrap_or_default(), why: too_wide(&view) }
                }
                Sight::Gate(view) if view.why.is_empty() => {
                    Refusal::StillShut { waited, why: "the agent gives no reason".to_owned() }
                }
                Sight::Gate(view) => Refusal::StillShut { waited, why: view.why },
                Sight::NoAgent(_) => Refusal::StillUnproven { waited, why: line.why },
            });
        }
        let pause = progress.show(&line).min(again).min(patience.left(now));
        lookout.sleep(&sight, pause);
    }
}

/// On what ground a waiter goes on at this gate. With a tolerance an open gate alone is not enough where the tolerance is below the
/// threshold, and is not needed where two exchanges show a bound within it.
fn passes(view: &View, tolerance: Option<Duration>, require_proof: bool) -> Option<Ground> {
    let within = tolerance.and_then(|tolerance| Some((view.within(tolerance)?, tolerance)));
    let is_narrow = tolerance.is_some_and(|tolerance| tolerance <= view.threshold);
    match (view.gate, within) {
        (Gate::Proven, Some(_)) => Some(Ground::Proven(Box::new(view.clone()))),
        (Gate::Proven, None) => {
            // Zero is no bound that a clock could have: a proof will do.
            let is_enough = tolerance.is_none_or(|tolerance| tolerance.is_zero());
            is_enough.then(|| Ground::Proven(Box::new(view.clone())))
        }
        (Gate::Unproven, None) if !require_proof && !is_narrow => Some(Ground::Unproven(Box::new(view.clone()))),
        (Gate::Unproven | Gate::Shut, Some((bound, tolerance))) => Some(Ground::Tolerated { bound, tolerance }),
        (Gate::Unproven | Gate::Shut, None) => None,
    }
}

/// How often to look at a gate at least: its number stays the same when a measurement comes.
const fn watch_every(tolerance: Option<Duration>) -> Duration {
    if tolerance.is_some() { Duration::from_secs(1) } else { Duration::MAX }
}

fn too_wide(view: &View) -> String {
    format!("the clock is proven right to ±{}", bound_in_words(view.bound_now.unwrap_or_default()))
}

/// How long we wait, on the clock that counts time asleep.
#[derive(Clone, Copy, Debug)]
struct WaitTime {
    since: Boottime,
    deadline: Boottime,
}

impl WaitTime {
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
}

impl std::fmt::Display for Ground {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Proven(view) => {
                write!(f, "the clock is proven right to ±{}", bound_in_words(view.bound.unwrap_or_default()))
            }
            Self::Unproven(view) => write!(f, "the gate is open without a proof: {}", view.why),
            Self::Tolerated { bound, tolerance } => write!(
                f,
                "the gate is shut; by two exchanges the clock is wrong by at most {}, within the tolerance of {}",
                bound_in_words(*bound),
                duration::print(*tolerance)
            ),
            Self::Measured { source, offset, bound } => {
                write!(
                    f,
                    "no agent; {source} says that the clock is off by {offset}, at most {}",
                    bound_in_words(*bound)
                )
            }
            Self::Kernel { max_error, unsynchronised } => {
                let flag = if *unsynchronised { " (its maximum error; STA_UNSYNC is set)" } else { "" };
                let bound = bound_in_words(*max_error);
                write!(f, "no agent; unproven: the kernel says that its clock is at most {bound} wrong{flag}")
            }
            Self::NoAgent => f.write_str("no agent; the clock was not checked"),
            Self::TimedOut { why } => write!(f, "the deadline has passed while the gate was shut: {why}"),
        }
    }
}

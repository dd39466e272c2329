//! What a waiter sees: a gate, or no agent. One rule for `run`, `wait`, the wrapper and the hook.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::sys::nap;
use clockgate_page::time::Boottime;
use clockgate_page::{self as page, Agent, Gate, Page, View};

/// An agent that ended is started again by systemd within a second or two; after so long there is none.
const GONE_AFTER: Duration = Duration::from_secs(10);
/// How often to look for an agent where there is none, or none that lives: nothing wakes us when one comes.
const LOOK_FOR_AGENT_EVERY: Duration = Duration::from_secs(1);

/// How often to look at the page of an agent that may be about to report that it lives.
const LOOK_AT_SILENT_EVERY: Duration = Duration::from_millis(200);

/// Whether an agent keeps the page in `directory`. One that has ended does not; one that is silent is watched for as long as
/// waiters do, for after a sleep of the machine it may need a moment to say that it lives.
///
/// # Errors
/// What keeps us from reading what is there.
pub fn is_kept(directory: &Path) -> Result<bool, page::Error> {
    let until = boottime() + GONE_AFTER;
    loop {
        let agent = match Page::open(directory) {
            Ok(page) => page.read().agent,
            Err(error) if error.is_absence() => return Ok(false),
            Err(error) => return Err(error),
        };
        match agent {
            Agent::Alive | Agent::Starting => return Ok(true),
            Agent::Ended { .. } => return Ok(false),
            Agent::Silent { .. } | Agent::PageGone if boottime() >= until => return Ok(false),
            Agent::Silent { .. } | Agent::PageGone => nap(LOOK_AT_SILENT_EVERY),
        }
    }
}

/// What is seen.
#[derive(Debug)]
pub enum Sight {
    /// An agent's gate, or the proof that one left behind: good by our own clocks.
    Gate(Box<View>),
    /// No agent keeps a gate here.
    NoAgent(Absence),
}

/// Why there is no gate here.
#[derive(Debug, thiserror::Error)]
pub enum Absence {
    /// There is no page.
    #[error(transparent)]
    NoPage(page::Error),
    /// There is a page, and its agent has ended.
    #[error("{0}")]
    Gone(String),
}

/// Who looks, again and again.
#[derive(Debug)]
pub struct Lookout {
    directory: PathBuf,
    page: Option<Page>,
    gone_since: Option<Boottime>,
}

impl Lookout {
    /// Nothing seen yet.
    #[must_use]
    pub const fn new(directory: PathBuf) -> Self {
        Self { directory, page: None, gone_since: None }
    }

    /// Looks once.
    ///
    /// # Errors
    /// What keeps us from reading what is there.
    pub fn look(&mut self) -> Result<Sight, page::Error> {
        let mut view = match self.read() {
            Ok(view) => view,
            Err(error) if error.is_absence() => return Ok(Sight::NoAgent(Absence::NoPage(error))),
            Err(error) => return Err(error),
        };
        let absence = view.absence().filter(|_| view.gate == Gate::Shut);
        let Some(absence) = absence else {
            self.gone_since = None;
            return Ok(Sight::Gate(Box::new(view)));
        };
        let now = boottime();
        let seen_gone = now.since(*self.gone_since.get_or_insert(now));
        let gone_for = match view.agent {
            Agent::Ended { at } => view.now.since(at),
            // After a sleep of the machine every agent has been silent for a moment: that has to be watched.
            Agent::Silent { .. } | Agent::PageGone | Agent::Alive | Agent::Starting => seen_gone,
        };
        if gone_for >= GONE_AFTER {
            return Ok(Sight::NoAgent(Absence::Gone(absence)));
        }
        view.why = absence;
        Ok(Sight::Gate(Box::new(view)))
    }

    /// Sleeps until there may be something new to see, and no longer than `at_most`.
    pub fn sleep(&self, sight: &Sight, at_most: Duration) {
        match (sight, &self.page) {
            // A proof that is void by our own clocks leaves the word as it was, and an agent that has ended wakes no reader.
            (Sight::Gate(view), Some(page)) if view.word == Gate::Shut as u32 && !view.agent.is_gone() => {
                page.wait(view, at_most);
            }
            (Sight::Gate(view), Some(page)) => page.wait(view, at_most.min(LOOK_FOR_AGENT_EVERY)),
            (Sight::Gate(_) | Sight::NoAgent(_), _) => nap(at_most.min(LOOK_FOR_AGENT_EVERY)),
        }
    }

    /// Where the page was removed there may be another one by now, or in a moment: an agent that is started again makes its own.
    fn read(&mut self) -> Result<View, page::Error> {
        let gone = match self.page.as_ref().map(Page::read) {
            Some(view) if view.agent != Agent::PageGone => return Ok(view),
            gone => gone,
        };
        match (Page::open(&self.directory), gone) {
            (Ok(page), _) => Ok(self.page.insert(page).read()),
            (Err(error), Some(gone)) if error.is_absence() => Ok(gone),
            (Err(error), _) => Err(error),
        }
    }
}

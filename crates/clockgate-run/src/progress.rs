//! What a waiter says while it waits: one live line on a terminal; elsewhere a line at once and then every ten seconds.

use std::time::Duration;

use clockgate_page::sys::clock::boottime;
use clockgate_page::time::{Boottime, Offset, bound_in_words, nanos_u64};
use clockgate_page::{Gate, View};

use crate::sys::output::say;
use crate::sys::{signals, terminal};

use crate::{Ground, WaitTime};

const LIVE_EVERY: Duration = Duration::from_secs(1);
const LINE_EVERY: Duration = Duration::from_secs(10);

/// The form of the messages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// One line that is written over again.
    Live,
    /// Lines for a log.
    Lines,
    /// Lines for a program.
    Json,
}

impl Style {
    /// What suits standard error.
    #[must_use]
    pub fn of_stderr(json: bool) -> Self {
        match (json, terminal::is_live(&std::io::stderr())) {
            (true, _) => Self::Json,
            (false, true) => Self::Live,
            (false, false) => Self::Lines,
        }
    }
}

/// Says on standard error why we wait.
#[derive(Debug)]
pub struct Progress {
    style: Style,
    last: Option<Boottime>,
}

/// Why we wait, since when, and until when.
#[derive(Debug, serde::Serialize)]
pub(crate) struct WaitProgress {
    version: u32,
    waiting_for: &'static str,
    pub(crate) why: String,
    waited_ms: u64,
    /// How long the gate has been shut.
    shut_ms: Option<u64>,
    offset_ns: Option<i64>,
    bound_ns: Option<u64>,
    remaining_ms: Option<u64>,
}

impl WaitProgress {
    pub(crate) fn of(view: &View, patience: &WaitTime, now: Boottime) -> Self {
        let (waiting_for, why) = match view.gate {
            Gate::Proven => ("tolerance", crate::too_wide(view)),
            Gate::Unproven => ("proof", view.why.clone()),
            Gate::Shut => ("gate", view.why.clone()),
        };
        Self {
            // Where only our own clocks show that it is shut, the time since then is unknown.
            shut_ms: (view.word == Gate::Shut as u32).then(|| whole_millis(view.now.since(view.since))),
            offset_ns: view.offset.map(Offset::as_nanos),
            bound_ns: view.bound.map(nanos_u64),
            ..Self::alone(waiting_for, why, patience, now)
        }
    }

    pub(crate) fn alone(waiting_for: &'static str, why: String, patience: &WaitTime, now: Boottime) -> Self {
        Self {
            version: 2,
            waiting_for,
            why,
            waited_ms: whole_millis(now.since(patience.since)),
            shut_ms: None,
            offset_ns: None,
            bound_ns: None,
            remaining_ms: (patience.deadline != Boottime::NEVER).then(|| whole_millis(patience.left(now))),
        }
    }
}

impl std::fmt::Display for WaitProgress {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "waiting for the {}: {}", self.waiting_for, self.why)?;
        if let Some(shut) = self.shut_ms {
            write!(f, "; shut for {} s", shut / 1000)?;
        }
        if let (Some(offset), Some(bound)) = (self.offset_ns, self.bound_ns) {
            let offset = Offset::from_nanos(offset).in_words();
            write!(f, "; last seen {offset}, wrong by at most {}", bound_in_words(Duration::from_nanos(bound)))?;
        }
        match self.remaining_ms {
            Some(left) => write!(f, "; {} s left", left.div_ceil(1000)),
            None => f.write_str("; no deadline"),
        }
    }
}

impl Progress {
    /// Nothing said yet.
    #[must_use]
    pub const fn new(style: Style) -> Self {
        Self { style, last: None }
    }

    /// Says `line` if it is time to, and returns how long it is until the next one.
    pub(crate) fn show(&mut self, line: &WaitProgress) -> Duration {
        let now = boottime();
        let every = if self.style == Style::Live { LIVE_EVERY } else { LINE_EVERY };
        if let Some(last) = self.last
            && now.since(last) < every
        {
            return every.saturating_sub(now.since(last));
        }
        self.last = Some(now);
        signals::line_begun(self.style == Style::Live);
        say(&match self.style {
            Style::Live => format!(
                "\r\x1b[K{}",
                terminal::cut(&format!("clockgate: {line}"), terminal::size(&std::io::stderr()).columns)
            ),
            Style::Lines => format!("clockgate: {line}\n"),
            Style::Json => format!("{}\n", serde_json::to_string(line).unwrap_or_default()),
        });
        every
    }

    /// Takes the live line away.
    pub(crate) fn end(&mut self) {
        if self.style == Style::Live && self.last.is_some() {
            say("\r\x1b[K");
            signals::line_begun(false);
        }
    }

    /// Says on what ground the waiter goes through, if that was waited for or is worth a word: a gate that was open on a proof is not.
    pub fn released(&self, ground: &Ground) {
        if self.last.is_some() || !matches!(ground, Ground::Proven(_)) {
            self.ground(ground);
        }
    }

    /// Says on what ground the waiter goes through.
    pub fn ground(&self, ground: &Ground) {
        say(&match self.style {
            Style::Json => format!("{}\n", Released::on(ground).json()),
            Style::Live | Style::Lines => format!("clockgate: {ground}\n"),
        });
    }
}

/// The end of a wait, for a program.
#[derive(Debug, serde::Serialize)]
pub struct Released {
    reason: String,
    released: bool,
    version: u32,
}

impl Released {
    /// On this ground.
    #[must_use]
    pub fn on(ground: &Ground) -> Self {
        Self { reason: ground.to_string(), released: true, version: 2 }
    }

    /// As one line of JSON.
    #[must_use]
    pub fn json(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

fn whole_millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

//! What the hypervisor and the agent say to each other: lines of text, which any program can write. `docs/interfaces.md` has
//! them in words.

use std::fmt;
use std::time::Duration;

use crate::decision::{Realtime, Snapshot, State, nanos_u64};
use crate::disruption::notice::NoticeKind;

/// The version of what is said.
pub const VERSION: u32 = 1;
/// The port that the agent listens on, unless the configuration says otherwise.
pub const PORT: u32 = 9123;
/// No line of the hypervisor's is longer.
pub const LINE_MOST: usize = 256;
/// No line of the agent's is longer: a reason of 256 bytes, each escaped, and the rest.
pub const ANSWER_MOST: usize = 4096;
/// An hour is longer than any caller has to wait, and too short to be a number of nanoseconds by mistake.
const WAIT_MOST: Duration = Duration::from_secs(3600);

/// A line that is not of this protocol.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoticeError {
    /// It begins with another word.
    #[error("expected `{1}`, found `{0}`")]
    Unexpected(String, &'static str),
    /// Another version of this program.
    #[error("expected version {VERSION}, found {0}")]
    Version(String),
    /// A part is missing, or cannot be read.
    #[error("the {0} of `{1}` is missing or invalid")]
    Part(&'static str, String),
}

/// The agent's first line: `clockgate 1`.
#[must_use]
pub fn greeting() -> String {
    format!("clockgate {VERSION}")
}

/// Checks the agent's first line.
///
/// # Errors
/// [`NoticeError`]
pub fn greeted(line: &str) -> Result<(), NoticeError> {
    match rest_of(line, "clockgate")? {
        version if version.split(' ').next() == Some(&VERSION.to_string()) => Ok(()),
        version => Err(NoticeError::Version(version.to_owned())),
    }
}

/// The hypervisor's one request: `notify post-restore wait=30000 time=yes`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Request {
    /// What happened, or is about to.
    pub what: NoticeKind,
    /// How long it waits for the outcome; zero: not at all.
    pub wait: Duration,
    /// Whether it can be asked for the time while it waits.
    pub has_time: bool,
}

impl Request {
    /// Reads the line. Settings of a later version are skipped.
    ///
    /// # Errors
    /// [`NoticeError`]
    pub fn parse(line: &str) -> Result<Self, NoticeError> {
        let mut words = rest_of(line, "notify")?.split(' ').filter(|word| !word.is_empty());
        let bad = |part| NoticeError::Part(part, line.to_owned());
        let what = words.next().and_then(NoticeKind::named).ok_or_else(|| bad("notice"))?;
        let mut request = Self { what, wait: Duration::ZERO, has_time: false };
        for word in words {
            match word.split_once('=') {
                Some(("wait", millis)) => {
                    let wait = millis.parse().map(Duration::from_millis).map_err(|_| bad("wait"))?;
                    request.wait = wait.min(WAIT_MOST);
                }
                Some(("time", "yes")) => request.has_time = true,
                Some(("time", "no")) => request.has_time = false,
                Some(("time", _)) | None => return Err(bad("setting")),
                Some(_) => {}
            }
        }
        Ok(request)
    }
}

impl fmt::Display for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = if self.has_time { "yes" } else { "no" };
        write!(f, "notify {} wait={} time={time}", self.what.name(), self.wait.as_millis())
    }
}

/// The agent's question for the time: `time 7f3a9c`. The hypervisor repeats the number, so that no answer belongs to an older
/// question.
#[must_use]
pub fn question(nonce: u64) -> String {
    format!("time {nonce:x}")
}

/// The hypervisor's answer: `time 7f3a9c 1793491200123456789 50000`, nanoseconds since 1970 and how wrong they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeAnswer {
    /// The number of the question.
    pub nonce: u64,
    /// The time when the question was read.
    pub at: Realtime,
    /// How wrong it may be.
    pub bound: Duration,
}

impl TimeAnswer {
    /// Reads the line.
    ///
    /// # Errors
    /// [`NoticeError`]
    pub fn parse(line: &str) -> Result<Self, NoticeError> {
        let mut words = rest_of(line, "time")?.split(' ');
        let bad = |part| NoticeError::Part(part, line.to_owned());
        let nonce = words.next().and_then(|word| u64::from_str_radix(word, 16).ok()).ok_or_else(|| bad("number"))?;
        let at = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| bad("time"))?;
        let bound = words.next().and_then(|word| word.parse().ok()).ok_or_else(|| bad("bound"))?;
        Ok(Self { nonce, at: Realtime::from_nanos(at), bound: Duration::from_nanos(bound) })
    }
}

impl fmt::Display for TimeAnswer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "time {:x} {} {}", self.nonce, self.at.as_nanos(), nanos_u64(self.bound))
    }
}

/// The agent's last line: `answer` and its state as JSON, or `refused` and why.
#[must_use]
pub fn answer(snapshot: &Snapshot) -> String {
    let json = serde_json::json!({
        "version": VERSION,
        "state": State::name_of(snapshot.state),
        "gate": snapshot.gate.to_string(),
        "epoch": snapshot.epoch.get(),
        "offset_ns": snapshot.offset.map(|offset| offset.as_nanos()),
        "bound_ns": snapshot.bound.map(nanos_u64),
        "why": snapshot.why.to_string(),
    });
    format!("answer {json}")
}

/// A refusal.
#[must_use]
pub fn refusal(why: &str) -> String {
    format!("refused {why}")
}

/// What the agent can say after the request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum AgentMessage {
    /// What time is it? With the number to repeat.
    Time(u64),
    /// Done.
    Answer(serde_json::Value),
    /// Not done.
    Refused(String),
}

impl AgentMessage {
    /// Reads the line.
    ///
    /// # Errors
    /// [`NoticeError`]
    pub fn parse(line: &str) -> Result<Self, NoticeError> {
        let bad = |part| NoticeError::Part(part, line.to_owned());
        match line.split_once(' ') {
            Some(("time", nonce)) => {
                let nonce = u64::from_str_radix(nonce.trim(), 16);
                nonce.map(Self::Time).map_err(|_| bad("number"))
            }
            Some(("answer", json)) => serde_json::from_str(json).map(Self::Answer).map_err(|_| bad("JSON")),
            Some(("refused", why)) => Ok(Self::Refused(why.to_owned())),
            _ => Err(NoticeError::Unexpected(line.to_owned(), "answer")),
        }
    }
}

fn rest_of<'a>(line: &'a str, word: &'static str) -> Result<&'a str, NoticeError> {
    let (first, rest) = line.trim_end().split_once(' ').unwrap_or((line, ""));
    if first == word { Ok(rest) } else { Err(NoticeError::Unexpected(line.to_owned(), word)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Epoch, Gate};
    use proptest::prelude::*;

    #[test]
    fn what_is_said_can_be_read() {
        assert_eq!(greeted(&greeting()), Ok(()));
        let request = Request { what: NoticeKind::PostRestore, wait: Duration::from_secs(30), has_time: true };
        assert_eq!(request.to_string(), "notify post-restore wait=30000 time=yes");
        assert_eq!(Request::parse(&request.to_string()), Ok(request));
        let time = TimeAnswer { nonce: 0x7f3a, at: Realtime::from_nanos(-5), bound: Duration::from_micros(50) };
        assert_eq!(time.to_string(), "time 7f3a -5 50000");
        assert_eq!(TimeAnswer::parse(&time.to_string()), Ok(time));
        assert_eq!(AgentMessage::parse(&question(0x7f3a)), Ok(AgentMessage::Time(0x7f3a)));
        assert_eq!(AgentMessage::parse(&refusal("no")), Ok(AgentMessage::Refused("no".to_owned())));
        let proven = Snapshot { state: 4, gate: Gate::Proven, epoch: Epoch::new(7), ..Snapshot::default() };
        let Ok(AgentMessage::Answer(json)) = AgentMessage::parse(&answer(&proven)) else { panic!("no answer") };
        assert_eq!((&json["gate"], &json["epoch"], &json["bound_ns"]), (&"open".into(), &7.into(), &().into()));
    }

    #[test]
    fn the_least_that_a_host_has_to_write_is_one_word_and_what() {
        let request = Request::parse("notify suspend").unwrap();
        assert_eq!((request.what, request.wait, request.has_time), (NoticeKind::Suspend, Duration::ZERO, false));
        assert!(Request::parse("notify post-restore later=7 wait=5").is_ok());
        assert_eq!(Request::parse("notify post-restore wait=99999999999").unwrap().wait, WAIT_MOST);
    }

    #[test]
    fn a_bad_line_says_what_was_bad() {
        let said = |line| Request::parse(line).unwrap_err().to_string();
        assert_eq!(said("notify lunch"), "the notice of `notify lunch` is missing or invalid");
        assert_eq!(said("notify resume wait=long"), "the wait of `notify resume wait=long` is missing or invalid");
        assert_eq!(said("GET / HTTP/1.1"), "expected `notify`, found `GET / HTTP/1.1`");
        assert_eq!(greeted("clockgate 2").unwrap_err().to_string(), "expected version 1, found 2");
        assert!(TimeAnswer::parse("time 1 2").is_err() && TimeAnswer::parse("time x 2 3").is_err());
        assert!(TimeAnswer::parse("time 1 2 -3").is_err());
    }

    proptest! {
        #[test]
        fn any_line_is_something_or_an_error(line in ".{0,80}") {
            for word in ["", "notify ", "time ", "answer ", "refused ", "clockgate "] {
                let line = format!("{word}{line}");
                let _ = (Request::parse(&line), TimeAnswer::parse(&line), AgentMessage::parse(&line), greeted(&line));
            }
        }
    }
}

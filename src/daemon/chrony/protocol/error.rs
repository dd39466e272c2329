//! What can go wrong between us and chronyd, in words for the person at 3 a.m.

use std::io;
use std::path::PathBuf;
use std::time::Duration;

use super::status::Status;
use super::wire::Malformed;

/// A request that did not get the answer it wanted.
#[derive(Debug, thiserror::Error)]
#[error("cannot ask chronyd for `{command}` at {socket}: {problem}")]
pub struct ChronyError {
    /// What was asked, in chronyc's words.
    pub command: &'static str,
    /// Where.
    pub socket: String,
    /// What came instead.
    pub problem: Problem,
}

/// What came instead of an answer.
#[derive(Debug, thiserror::Error)]
pub enum Problem {
    /// ENOENT.
    #[error("no such socket; chronyd is not running, or its `bindcmdaddress` is another")]
    NotThere,
    /// ECONNREFUSED from a Unix socket.
    #[error("nothing listens; chronyd died and left its socket behind: start it again")]
    Abandoned,
    /// ECONNREFUSED from a UDP port.
    #[error("nothing listens; chronyd is not running, or its `cmdport` is another")]
    NotListening,
    /// EACCES or EPERM.
    #[error("permission denied; run as root, or with CAP_DAC_OVERRIDE in AmbientCapabilities=")]
    Closed,
    /// Our own socket, which chronyd answers to, cannot be made.
    #[error("cannot create the socket {path} for the answer: {source}")]
    OwnSocket {
        /// Where it was to be.
        path: PathBuf,
        /// What bind(2) or chmod(2) said.
        source: io::Error,
    },
    /// The kernel said something else.
    #[error("{0}")]
    Io(io::Error),
    /// No reply to this request before the deadline.
    #[error("no answer within {} ms{}; it hangs, or may not write to our socket", waited.as_millis(), unparsed(ignored.as_ref()))]
    Silent {
        /// How long we waited.
        waited: Duration,
        /// The last packet that came and was no reply to this request.
        ignored: Option<Malformed>,
    },
    /// A reply, and it is no.
    #[error("{0}")]
    Refused(Status),
    /// A reply whose content cannot be parsed.
    #[error("its answer is malformed: {0}")]
    Malformed(Malformed),
}

fn unparsed(ignored: Option<&Malformed>) -> String {
    ignored.map_or_else(String::new, |why| format!(", only a packet that does not answer it ({why})"))
}

impl ChronyError {
    /// Whether chronyd answered that it does not know the command.
    #[must_use]
    pub fn is_too_old(&self) -> bool {
        matches!(self.problem, Problem::Refused(Status::Invalid))
    }

    /// Whether chronyd let its deadline pass.
    #[must_use]
    pub fn is_silent(&self) -> bool {
        matches!(self.problem, Problem::Silent { .. })
    }

    /// Whether there is certainly no chronyd behind this socket.
    #[must_use]
    pub fn is_absent(&self) -> bool {
        matches!(self.problem, Problem::NotThere | Problem::Abandoned | Problem::NotListening)
    }
}

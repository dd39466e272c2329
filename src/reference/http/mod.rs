//! The `Date` of an HTTP server: coarse evidence where NTP is blocked. The request is ours, since the instants of sending and of the
//! first byte are the measurement; the reply is parsed by httparse, its date by httpdate.

mod connection;
pub mod reply;
mod span;
mod url;

use std::io;
use std::net::SocketAddr;
use std::time::Duration;

use nix::poll::{PollTimeout, poll};

use self::connection::{Connection, addresses};
use self::span::{AnswersApart, Span};
use self::url::Scheme;
use super::ntp::resolver;
use super::tls::TlsClient;
use crate::decision::{Boottime, Floor, HttpDate, Offset, PeerCheck, Realtime};
use crate::sys::clock::{boottime, clocks};

pub use super::tls::{AuthoritiesError, TlsError, TrustedAuthorities, certificate_error};
pub use url::{HttpUrl, HttpUrlError};

/// An answer that took longer says too little.
const LONGEST_DELAY: Duration = Duration::from_secs(5);
/// How many questions at most: five halve the second to 16 ms each side.
const MOST_ANSWERS: usize = 6;
/// What is good enough, each side; a server's own error is larger.
const GOOD_ENOUGH: Duration = Duration::from_millis(100);
/// How long the questions after the first may take together: one edge of a second each, and the round trip.
const NARROWING: Duration = Duration::from_secs(8);

/// Why a server's `Date` says nothing of our clock.
#[derive(Debug, thiserror::Error)]
pub enum HttpError {
    /// Its name has no address.
    #[error(transparent)]
    Resolve(resolver::ResolverError),
    /// Its name was not found in time.
    #[error("its name was not resolved in time")]
    Unresolved,
    /// It cannot be reached.
    #[error("cannot connect to {address}: {}", because(error))]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// What connect(2) said.
        error: io::Error,
    },
    /// The time is up.
    #[error("no answer in time")]
    Late,
    /// Something failed on the way.
    #[error("{what}: {}", because(error))]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel, or rustls, said.
        error: io::Error,
    },
    /// It closed the connection without a reply.
    #[error("the server closed the connection without a reply")]
    Silent,
    /// It closed the connection within the head.
    #[error("the reply was cut off within its head")]
    Cut,
    /// What it said is not its own time of now.
    #[error(transparent)]
    Reply(#[from] reply::ReplyError),
    /// Who it is could not be verified.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// It took too long.
    #[error("the answer took {} s, and one that takes more than {} s says too little", .0.as_secs(), LONGEST_DELAY.as_secs())]
    Slow(Duration),
    /// It names a time that has passed.
    #[error("it says that it is {}, before {floor}: an old answer, or an old key", said.minute())]
    BelowFloor {
        /// What it says.
        said: Realtime,
        /// What has certainly passed, in words.
        floor: String,
    },
    /// Its answers do not go together.
    #[error(transparent)]
    AnswersApart(#[from] AnswersApart),
}

impl HttpError {
    fn io(what: &'static str, error: io::Error) -> Self {
        Self::Io { what, error }
    }

    /// Whether another question was not answered, which does not void the earlier answers.
    const fn is_silence(&self) -> bool {
        match self {
            Self::Resolve(_)
            | Self::Unresolved
            | Self::Connect { .. }
            | Self::Late
            | Self::Io { .. }
            | Self::Silent
            | Self::Cut
            | Self::Slow(_) => true,
            Self::Reply(_) | Self::Tls(_) | Self::BelowFloor { .. } | Self::AnswersApart(_) => false,
        }
    }
}

/// How a `Date` is asked for.
#[derive(Clone, Debug)]
pub struct HttpQuestion {
    /// How long the first answer may take.
    pub timeout: Duration,
    /// Whose certificates are believed.
    pub authorities: TrustedAuthorities,
    /// What it cannot be before.
    pub floor: Floor,
}

/// Asks a server for the time until its answers around the edges of seconds leave 0.1 s on each side, or no more can be had. Blocks for
/// the timeout and a few seconds.
///
/// # Errors
/// [`HttpError`].
pub fn measure(url: &HttpUrl, question: &HttpQuestion) -> Result<HttpDate, HttpError> {
    let began = clocks();
    let deadline = began.boot + question.timeout;
    let addresses = addresses(url, deadline)?;
    let tls = match url.scheme {
        Scheme::Http => None,
        Scheme::Https => Some(TlsClient::for_http(url.server.host(), &question.authorities, question.floor.highest())?),
    };
    let mut server = DateServer { url, question, addresses, tls, connection: None };
    let first = server.ask(deadline)?;
    let (mut known, mut delay, mut answers) = (first.span(), first.delay(), 1);
    let end = boottime() + NARROWING;
    while answers < MOST_ANSWERS && is_worth_asking(known, delay) {
        // A server that needs a connection for each question is connected before the edge.
        let at = known.edge(boottime() + server.lead(delay), delay);
        if at >= end {
            break;
        }
        let answer = match server.ready(end).and_then(|()| {
            wait_until(at);
            server.ask(end)
        }) {
            Ok(answer) => answer,
            Err(error) if error.is_silence() => break,
            Err(error) => return Err(error),
        };
        known = known.and(answer.span())?;
        delay = delay.min(answer.delay());
        answers += 1;
    }
    // What BOOTTIME lacks to the server's time, less what it lacks to our clock's.
    let ours = began.real - began.boot.as_realtime();
    Ok(HttpDate {
        source: url.to_string(),
        peer: if server.tls.is_some() { PeerCheck::Verified } else { PeerCheck::Unverified },
        as_of: began.boot,
        local: began.real,
        offset: Offset::from_nanos(known.middle()) - ours,
        measured: known.half(),
        delay,
        answers,
    })
}

/// Whether one more answer can tell more: not below what the round trip hides.
fn is_worth_asking(known: Span, delay: Duration) -> bool {
    known.half() > GOOD_ENOUGH && known.half() > delay
}

/// A server, and the connection to it while it lasts.
struct DateServer<'a> {
    url: &'a HttpUrl,
    question: &'a HttpQuestion,
    addresses: Vec<SocketAddr>,
    tls: Option<TlsClient>,
    connection: Option<Connection>,
}

impl DateServer<'_> {
    /// How long before an edge a question is prepared: a connection and a handshake, where one is needed.
    fn lead(&self, delay: Duration) -> Duration {
        if self.connection.is_some() { Duration::ZERO } else { delay.saturating_mul(4) + Duration::from_millis(20) }
    }

    /// Connects, if that is to be done.
    fn ready(&mut self, deadline: Boottime) -> Result<(), HttpError> {
        if self.connection.is_none() {
            self.connection = Some(Connection::open(&self.addresses, self.tls.as_ref(), deadline)?);
        }
        Ok(())
    }

    /// Asks once; what comes back is verified and judged.
    fn ask(&mut self, deadline: Boottime) -> Result<span::DatedAnswer, HttpError> {
        let deadline = deadline.min(boottime() + LONGEST_DELAY);
        let was_open = self.connection.is_some();
        self.ready(deadline)?;
        let Some(mut connection) = self.connection.take() else { return Err(HttpError::Silent) };
        let outcome = connection.ask(self.url, deadline);
        let (head, measured) = match outcome {
            // It kept the connection for as long as it liked.
            Err(HttpError::Silent | HttpError::Io { .. }) if was_open => {
                self.ready(deadline)?;
                let Some(fresh) = self.connection.as_mut() else { return Err(HttpError::Silent) };
                let outcome = fresh.ask(self.url, deadline);
                connection = self.connection.take().unwrap_or(connection);
                outcome?
            }
            outcome => outcome?,
        };
        let answer = measured.with(head.judge(self.url)?);
        let said = Realtime::from_secs(answer.date);
        let floor = &self.question.floor;
        if said < floor.highest() {
            return Err(HttpError::BelowFloor { said, floor: floor.name() });
        }
        if let Some(tls) = &self.tls {
            tls.verify_at(said)?;
        }
        if answer.delay() > LONGEST_DELAY {
            return Err(HttpError::Slow(answer.delay()));
        }
        self.connection = connection.is_reusable.then_some(connection);
        Ok(answer)
    }
}

/// How long is left.
fn within(deadline: Boottime) -> Result<Duration, HttpError> {
    let left = deadline.since(boottime());
    if left.is_zero() { Err(HttpError::Late) } else { Ok(left) }
}

/// Waits; poll(2) without descriptors knows milliseconds, so it is a little late rather than early.
fn wait_until(at: Boottime) {
    loop {
        let left = at.since(boottime());
        if left.is_zero() {
            return;
        }
        let timeout = i32::try_from(left.as_millis()).unwrap_or(i32::MAX).saturating_add(1);
        // EINTR only comes back here.
        let _ = poll(&mut [], PollTimeout::try_from(timeout).unwrap_or(PollTimeout::MAX));
    }
}

/// A timeout set by SO_RCVTIMEO is EAGAIN.
fn because(error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        "no answer in time".to_owned()
    } else {
        error.to_string()
    }
}

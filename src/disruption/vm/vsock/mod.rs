//! The hypervisor's own word, by a vsock port of this machine: what it is about to do with it, or has done, and what time it
//! is. One connection is one notice. While the hypervisor waits for the outcome, it can be asked for the time as often as it
//! takes; so a machine without a network has one reference.

mod connection;
pub mod host;
pub mod protocol;

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream as StdStream;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use self::connection::{HypervisorConnection, SAYS_WITHIN, SOURCE, VsockError};
use self::protocol::Request;
use crate::decision::{AtDeadline, Event, Gate, Snapshot, State, Voice};
use crate::disruption::notice::Notice;
use crate::disruption::notice_rate::{Rate, Teller};
use crate::disruption::{DisruptionSource, LastMark};
use crate::reference::caller::registry::{CallerRegistration, Callers, TimeRequest};
use crate::sys::async_descriptor::readable;
use crate::sys::vsock;

/// What the agent may take to answer a notice whose sender does not wait.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// More than one that waits and one that comes after it.
const AT_ONCE: usize = 4;
/// How often a refused connection is logged.
const REFUSAL_LOGGED_EVERY: Duration = Duration::from_secs(60);

/// Where notices go, and what is published about them.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Where events go whose sender may wait for the answer.
    pub notices: mpsc::Sender<Notice>,
    /// What is published.
    pub published: watch::Receiver<Snapshot>,
    /// Who can be asked for the time.
    pub callers: Callers,
    /// How many notices each caller has sent.
    pub rate: Rate,
}

/// Where to listen, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port of this machine.
    pub port: u32,
    /// The CID that may connect.
    pub peer: u32,
}

/// The port, on which the hypervisor alone is listened to.
#[derive(Debug)]
pub struct Calls {
    at: Port,
    desk: Desk,
    mark: LastMark<()>,
}

impl Calls {
    /// Notices that come by that port go to that desk.
    #[must_use]
    pub const fn new(at: Port, desk: Desk) -> Self {
        Self { at, desk, mark: LastMark::Unread }
    }
}

impl DisruptionSource for Calls {
    const NAME: &'static str = "vsock";
    type Error = io::Error;

    async fn watch(&mut self, events: &mpsc::Sender<Event>) -> io::Result<()> {
        self.watch_by(vsock::listen, events).await
    }
}

impl Calls {
    async fn watch_by(
        &mut self,
        listen: impl FnOnce(u32) -> io::Result<OwnedFd>,
        events: &mpsc::Sender<Event>,
    ) -> io::Result<()> {
        let was_lost = self.mark.begins_again();
        let listener = readable(listen(self.at.port)?)?;
        debug!(at = ?self.at, "listening for the hypervisor");
        // A caller that connected meanwhile was not answered, and may have continued without us.
        if was_lost && events.send(Event::Unseen(<Self as DisruptionSource>::NAME)).await.is_err() {
            return Ok(());
        }
        serve(&listener, self.at, &self.desk).await
    }
}

/// Takes notices until the agent ends.
async fn serve(listener: &AsyncFd<OwnedFd>, at: Port, desk: &Desk) -> io::Result<()> {
    let mut conversations = JoinSet::new();
    let mut refusals = RefusedConnections::default();
    loop {
        let mut ready = tokio::select! {
            () = desk.notices.closed() => return Ok(()),
            ready = listener.readable() => ready?,
            Some(_) = conversations.join_next() => continue,
        };
        match ready.try_io(|fd| accept(fd.get_ref())) {
            Ok(Ok(Some((stream, cid)))) if cid == Some(at.peer) => {
                if conversations.len() < AT_ONCE {
                    conversations.spawn(listen_to(UnixStream::from_std(stream)?, desk.clone()));
                }
            }
            Ok(Ok(Some((_, cid)))) => {
                if let Some(unlogged) = refusals.count(Instant::now()) {
                    warn!(cid, unlogged, "connection refused: not from the hypervisor");
                }
            }
            Ok(Ok(None)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

/// Takes a connection, and the CID that it comes from.
fn accept(listener: &OwnedFd) -> io::Result<Option<(StdStream, Option<u32>)>> {
    match vsock::accept(listener) {
        Ok(accepted) => Ok(Some(accepted)),
        // It was gone before it was taken in.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::ENOTCONN)) => Ok(None),
        Err(error) => Err(error),
    }
}

/// Connections that are not the hypervisor's. Every process of this machine can reach the port, and other machines can where this
/// one is their hypervisor: the log has one line in a minute of them.
#[derive(Debug, Default)]
struct RefusedConnections {
    logged: Option<Instant>,
    unlogged: u64,
}

impl RefusedConnections {
    /// Counts one; how many before it had no line of their own, if this one is to have one.
    fn count(&mut self, now: Instant) -> Option<u64> {
        if self.logged.is_some_and(|logged| now < logged + REFUSAL_LOGGED_EVERY) {
            self.unlogged += 1;
            return None;
        }
        self.logged = Some(now);
        Some(std::mem::take(&mut self.unlogged))
    }
}

async fn listen_to(stream: UnixStream, desk: Desk) {
    let mut line = HypervisorConnection::new(stream);
    if let Err(error) = converse(&mut line, &desk).await {
        info!(error = &error as &dyn std::error::Error, "a notification from the hypervisor is lost");
        // The other end may have disconnected.
        let _ = line.say(&protocol::refusal(&error.to_string())).await;
    }
}

/// One conversation, from the greeting to the answer.
async fn converse(line: &mut HypervisorConnection, desk: &Desk) -> Result<(), VsockError> {
    line.say(&protocol::greeting()).await?;
    let request = Request::parse(&line.receive(SAYS_WITHIN).await?)?;
    info!(what = request.what.name(), has_time = request.has_time, "notified by the hypervisor");
    // On the line before the notice: the first measurement follows at once.
    let mut on_the_line = request.has_time.then(|| desk.callers.put_on_the_line(SOURCE, Voice::hypervisor()));
    let outcome = outcome(request, desk.clone());
    tokio::pin!(outcome);
    let snapshot = loop {
        tokio::select! {
            snapshot = &mut outcome => break snapshot?,
            question = asked(&mut on_the_line) => {
                let answered = line.ask().await;
                let lost = matches!(answered, Err(VsockError::Broken(_) | VsockError::HungUp));
                // The reader of the answer may have disconnected.
                let _ = question.send(answered.map_err(|error| error.to_string()));
                if lost {
                    return Err(VsockError::HungUp);
                }
            }
        }
    };
    drop(on_the_line);
    line.say(&protocol::answer(&snapshot)).await
}

/// The next question for the time; none for a caller that has no time.
async fn asked(on_the_line: &mut Option<CallerRegistration>) -> TimeRequest {
    match on_the_line {
        Some(line) => line.asked().await,
        None => pending().await,
    }
}

/// Notifies the agent and waits for what the hypervisor waits for.
async fn outcome(request: Request, desk: Desk) -> Result<Snapshot, VsockError> {
    if !desk.rate.turn(Teller::Hypervisor).await {
        return Err(VsockError::TooOften);
    }
    let (notice, answer) = Notice::new(request.what.event());
    desk.notices.send(notice).await.map_err(|_| VsockError::Ending)?;
    let until = Instant::now() + request.wait;
    let waits = !request.wait.is_zero();
    if !waits && request.what.begins() {
        return Ok(desk.published.borrow().clone());
    }
    let taken = timeout_at(if waits { until } else { Instant::now() + TAKEN_WITHIN }, answer).await;
    let answered = match taken {
        Ok(Ok(Ok(snapshot))) => snapshot,
        Ok(Err(_)) => return Err(VsockError::Ending),
        // A notice of the hypervisor's is never refused.
        Ok(Ok(Err(_))) | Err(_) => return Ok(desk.published.borrow().clone()),
    };
    if !waits || request.what.begins() {
        return Ok(answered);
    }
    let gave_up = State::GaveUp(AtDeadline::Hold).code();
    let settled = |now: &Snapshot| now.epoch >= answered.epoch && (now.gate == Gate::Proven || now.state == gave_up);
    let mut published = desk.published.clone();
    let waited = timeout_at(until, published.wait_for(settled)).await.map(|outcome| outcome.map(|now| now.clone()));
    match waited {
        Ok(Ok(snapshot)) => Ok(snapshot),
        Ok(Err(_)) => Err(VsockError::Ending),
        // Still shut is an answer.
        Err(_) => Ok(published.borrow().clone()),
    }
}

#[cfg(test)]
mod tests;

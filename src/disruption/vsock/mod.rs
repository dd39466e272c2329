//! The hypervisor's own word, by a vsock port of this machine: what it is about to do with it, or has done, and what time it
//! is. One connection is one notice. While the hypervisor waits for the outcome, it can be asked for the time as often as it
//! takes; so a machine without a network has one reference.

mod line;
pub mod wire;

use std::future::pending;
use std::io;
use std::os::fd::OwnedFd;
use std::time::Duration;

use tokio::io::unix::AsyncFd;
use tokio::net::UnixStream;
use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::{Instant, timeout_at};
use tracing::{debug, info, warn};

use self::line::{Error, Line, SAYS_WITHIN, SOURCE};
use self::wire::Request;
use super::callers::{Callers, OnTheLine, Question};
use super::notify::Notice;
use super::{Mark, Source};
use crate::decision::{AtDeadline, Event, Gate, Snapshot, State, Voice};
use crate::sys::readable::readable;
use crate::sys::vsock;

/// What the agent may take to answer a notice that nobody waits for.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);
/// More than one that waits and one that comes after it.
const AT_ONCE: usize = 4;

/// Where notices go, and what is published about them.
#[derive(Clone, Debug)]
pub struct Desk {
    /// Where events go whose sender may wait for the answer.
    pub notices: mpsc::Sender<Notice>,
    /// What is published.
    pub published: watch::Receiver<Snapshot>,
    /// Who can be asked for the time.
    pub callers: Callers,
}

/// Where to listen, and to whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Port {
    /// The port of this machine.
    pub port: u32,
    /// The only machine whose word counts, by its CID.
    pub peer: u32,
}

/// The port, on which the hypervisor alone is listened to.
#[derive(Debug)]
pub struct Calls {
    at: Port,
    desk: Desk,
    mark: Mark<()>,
}

impl Calls {
    /// Notices that come by that port go to that desk.
    #[must_use]
    pub const fn new(at: Port, desk: Desk) -> Self {
        Self { at, desk, mark: Mark::Unread }
    }
}

impl Source for Calls {
    const NAME: &'static str = "vsock";
    type Error = io::Error;

    async fn watch(&mut self, events: &mpsc::Sender<Event>) -> io::Result<()> {
        let was_lost = !self.mark.is_unread();
        self.mark.lose();
        let listener = readable(vsock::listen(self.at.port)?)?;
        debug!(at = ?self.at, "listening for the hypervisor");
        // Whoever called meanwhile was not answered, and may have gone on without.
        if was_lost && events.send(Event::Unseen(Self::NAME)).await.is_err() {
            return Ok(());
        }
        serve(&listener, self.at, &self.desk).await
    }
}

/// Takes notices until the agent ends.
async fn serve(listener: &AsyncFd<OwnedFd>, at: Port, desk: &Desk) -> io::Result<()> {
    let mut conversations = JoinSet::new();
    loop {
        let mut ready = tokio::select! {
            () = desk.notices.closed() => return Ok(()),
            ready = listener.readable() => ready?,
            Some(_) = conversations.join_next() => continue,
        };
        match ready.try_io(|fd| accept(fd.get_ref(), at.peer)) {
            Ok(Ok(Some(stream))) if conversations.len() < AT_ONCE => {
                conversations.spawn(listen_to(stream, desk.clone()));
            }
            Ok(Ok(_)) => {}
            Ok(Err(error)) => return Err(error),
            Err(_would_block) => {}
        }
    }
}

/// Takes a connection; none if it is not the hypervisor's. Every process of this machine can reach the port, and other
/// machines can where this one is their hypervisor.
fn accept(listener: &OwnedFd, peer: u32) -> io::Result<Option<UnixStream>> {
    let (stream, cid) = match vsock::accept(listener) {
        Ok(accepted) => accepted,
        // It was gone before it was taken in.
        Err(error) if matches!(error.raw_os_error(), Some(libc::ECONNABORTED | libc::ENOTCONN)) => return Ok(None),
        Err(error) => return Err(error),
    };
    if cid != Some(peer) {
        warn!(cid, "not the hypervisor: turned away");
        return Ok(None);
    }
    UnixStream::from_std(stream).map(Some)
}

async fn listen_to(stream: UnixStream, desk: Desk) {
    let mut line = Line::new(stream);
    if let Err(error) = converse(&mut line, &desk).await {
        info!(error = &error as &dyn std::error::Error, "what the hypervisor wanted to say is lost");
        // Nobody may be there any more.
        let _ = line.say(&wire::refusal(&error.to_string())).await;
    }
}

/// One conversation, from the greeting to the answer.
async fn converse(line: &mut Line, desk: &Desk) -> Result<(), Error> {
    line.say(&wire::greeting()).await?;
    let request = Request::parse(&line.hear(SAYS_WITHIN).await?)?;
    info!(what = request.what.name(), tells_time = request.tells_time, "told by the hypervisor");
    // On the line before the notice: the first measurement follows at once.
    let mut on_the_line = request.tells_time.then(|| desk.callers.put_on_the_line(SOURCE, Voice::hypervisor()));
    let outcome = outcome(request, desk.clone());
    tokio::pin!(outcome);
    let snapshot = loop {
        tokio::select! {
            snapshot = &mut outcome => break snapshot?,
            question = asked(&mut on_the_line) => {
                let answered = line.ask().await;
                let lost = matches!(answered, Err(Error::Broken(_) | Error::HungUp));
                // Whoever asked may not have waited.
                let _ = question.send(answered.map_err(|error| error.to_string()));
                if lost {
                    return Err(Error::HungUp);
                }
            }
        }
    };
    drop(on_the_line);
    line.say(&wire::answer(&snapshot)).await
}

/// The next question for the time; none comes to who does not tell it.
async fn asked(on_the_line: &mut Option<OnTheLine>) -> Question {
    match on_the_line {
        Some(line) => line.asked().await,
        None => pending().await,
    }
}

/// Tells the agent and waits for what the hypervisor waits for.
async fn outcome(request: Request, desk: Desk) -> Result<Snapshot, Error> {
    let (notice, answer) = Notice::new(request.what.event());
    desk.notices.send(notice).await.map_err(|_| Error::Ending)?;
    let until = Instant::now() + request.wait;
    let waits = !request.wait.is_zero();
    if !waits && request.what.begins() {
        return Ok(desk.published.borrow().clone());
    }
    let taken = timeout_at(if waits { until } else { Instant::now() + TAKEN_WITHIN }, answer).await;
    let told = match taken {
        Ok(Ok(snapshot)) => snapshot,
        Ok(Err(_)) => return Err(Error::Ending),
        Err(_) => return Ok(desk.published.borrow().clone()),
    };
    if !waits || request.what.begins() {
        return Ok(told);
    }
    let gave_up = State::GaveUp(AtDeadline::Hold).code();
    let settled = |now: &Snapshot| now.epoch >= told.epoch && (now.gate == Gate::Proven || now.state == gave_up);
    let mut published = desk.published.clone();
    let waited = timeout_at(until, published.wait_for(settled)).await.map(|outcome| outcome.map(|now| now.clone()));
    match waited {
        Ok(Ok(snapshot)) => Ok(snapshot),
        Ok(Err(_)) => Err(Error::Ending),
        // Still shut is an answer.
        Err(_) => Ok(published.borrow().clone()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Cause, Epoch, Offset};
    use crate::disruption::notify::What;
    use crate::sys::clock::realtime;
    use tokio::io::{AsyncBufReadExt as _, AsyncWriteExt as _, BufReader};

    /// A hypervisor's end of a socket pair, which stands for a vsock, and the agent's desk.
    struct Call {
        host: BufReader<UnixStream>,
        notices: mpsc::Receiver<Notice>,
        publish: watch::Sender<Snapshot>,
        callers: Callers,
    }

    fn call() -> Call {
        let (host, guest) = UnixStream::pair().unwrap();
        let (sender, notices) = mpsc::channel(4);
        let (publish, published) = watch::channel(proven(1));
        let callers = Callers::default();
        let desk = Desk { notices: sender, published, callers: callers.clone() };
        tokio::spawn(listen_to(guest, desk));
        Call { host: BufReader::new(host), notices, publish, callers }
    }

    impl Call {
        async fn says(&mut self, line: &str) {
            self.host.write_all(format!("{line}\n").as_bytes()).await.unwrap();
        }

        async fn hears(&mut self) -> String {
            let mut line = String::new();
            self.host.read_line(&mut line).await.unwrap();
            line.trim_end().to_owned()
        }

        async fn hears_answer(&mut self) -> serde_json::Value {
            let line = self.hears().await;
            let Ok(wire::Reply::Answer(json)) = wire::Reply::parse(&line) else { panic!("{line}") };
            json
        }
    }

    fn proven(epoch: u64) -> Snapshot {
        Snapshot {
            state: State::Synchronized.code(),
            gate: Gate::Proven,
            epoch: Epoch::new(epoch),
            ..Snapshot::default()
        }
    }

    fn shut(epoch: u64) -> Snapshot {
        Snapshot { state: State::Disrupted.code(), gate: Gate::Shut, epoch: Epoch::new(epoch), ..Snapshot::default() }
    }

    #[tokio::test]
    async fn a_snapshot_is_answered_when_the_gate_is_shut() {
        let mut call = call();
        assert_eq!(call.hears().await, "clockgate 1");
        call.says("notify pre-snapshot wait=10000").await;
        let notice = call.notices.recv().await.unwrap();
        assert_eq!(notice.event, Event::Disrupted(Cause::Snapshot));
        notice.answer.send(shut(2)).unwrap();
        let answer = call.hears_answer().await;
        assert_eq!((&answer["gate"], &answer["epoch"]), (&"shut".into(), &2.into()));
    }

    #[tokio::test]
    async fn after_a_restore_the_hypervisor_is_asked_for_the_time_until_the_clock_is_proven() {
        let mut call = call();
        call.hears().await;
        call.says("notify post-restore wait=10000 time=yes").await;
        let notice = call.notices.recv().await.unwrap();
        assert_eq!(notice.event, Event::Disrupted(Cause::Restore));
        call.publish.send_replace(shut(2));
        notice.answer.send(shut(2)).unwrap();
        for ahead in [60, 0] {
            let callers = call.callers.clone();
            let asked = tokio::spawn(async move { callers.measure(Duration::from_secs(10)).await });
            let Ok(wire::Reply::Time(nonce)) = wire::Reply::parse(&call.hears().await) else { panic!("no question") };
            let at = realtime() + Offset::from_secs(ahead);
            // What belongs to another question is passed over.
            call.says(&wire::Time { nonce: nonce ^ 1, at, bound: Duration::ZERO }.to_string()).await;
            call.says(&wire::Time { nonce, at, bound: Duration::from_millis(3) }.to_string()).await;
            let reading = asked.await.unwrap().unwrap().unwrap();
            assert!((reading.offset - Offset::from_secs(ahead)).abs() <= reading.root_distance, "{reading:?}");
            assert!(reading.root_distance >= Duration::from_millis(3) && !reading.authenticated, "{reading:?}");
        }
        call.publish.send_replace(proven(2));
        assert_eq!(call.hears_answer().await["gate"], "open");
        // Off the line again.
        assert!(call.callers.measure(Duration::from_secs(1)).await.is_none());
    }

    #[tokio::test]
    async fn whoever_does_not_wait_is_answered_at_once_and_asked_nothing() {
        let mut call = call();
        call.hears().await;
        call.says("notify suspend").await;
        assert_eq!(call.hears_answer().await["gate"], "open");
        assert_eq!(call.notices.recv().await.unwrap().event.clone(), What::Suspend.event());
        assert!(call.callers.measure(Duration::from_secs(1)).await.is_none());
    }

    #[tokio::test]
    async fn nonsense_is_refused_and_tells_the_agent_nothing() {
        for nonsense in ["GET / HTTP/1.1", "notify lunch", &"x".repeat(600)] {
            let mut call = call();
            call.hears().await;
            call.says(nonsense).await;
            assert!(call.hears().await.starts_with("refused "), "{nonsense}");
            assert!(call.notices.try_recv().is_err());
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_hypervisor_that_says_nothing_is_not_waited_for() {
        let mut call = call();
        call.hears().await;
        assert_eq!(call.hears().await, "refused the hypervisor says nothing");
    }

    #[tokio::test(start_paused = true)]
    async fn still_shut_is_an_answer_when_the_time_is_over() {
        let mut call = call();
        call.hears().await;
        call.says("notify post-restore wait=2000").await;
        call.notices.recv().await.unwrap().answer.send(shut(2)).unwrap();
        call.publish.send_replace(shut(2));
        assert_eq!(call.hears_answer().await["gate"], "shut");
    }

    #[tokio::test]
    async fn a_hypervisor_that_hangs_up_is_off_the_line() {
        let mut call = call();
        call.hears().await;
        call.says("notify post-restore wait=10000 time=yes").await;
        let notice = call.notices.recv().await.unwrap();
        notice.answer.send(shut(2)).unwrap();
        drop(call.host);
        let asked = call.callers.measure(Duration::from_secs(10)).await.unwrap();
        assert_eq!(asked.unwrap_err().source, SOURCE);
    }
}

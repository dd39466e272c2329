//! Sleep as logind announces it (org.freedesktop.login1(5)): `PrepareForSleep`, held back by a delay inhibitor until the gate
//! is shut and published.

use std::future::{pending, poll_fn};
use std::pin::Pin;
use std::time::Duration;

use futures_core::Stream;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, sleep, timeout, timeout_at};
use tracing::{debug, info, warn};
use zbus::names::{OwnedUniqueName, UniqueName};
use zbus::{Connection, MatchRule, Message, MessageStream, OwnedFd, connection, fdo, message};

use super::notice::{Notice, NoticeAnswer};
use crate::decision::{Event, Notifier};

const LOGIND: &str = "org.freedesktop.login1";
const DRIVER: &str = "org.freedesktop.DBus";
/// The name under which this source is reported as lost.
const NAME: &str = "logind";

/// logind waits `InhibitDelayMaxSec`, 5 s by default, and then sleeps regardless: we release the inhibitor before that.
const HOLD_AT_MOST: Duration = Duration::from_secs(4);
const BEFORE_LOGIND_GIVES_UP: Duration = Duration::from_secs(1);
/// Neither the bus nor logind takes this long while they are well.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// Between attempts to reach the bus, or to take the inhibitor again.
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LAST: Duration = Duration::from_secs(30);

#[zbus::proxy(
    interface = "org.freedesktop.login1.Manager",
    default_service = "org.freedesktop.login1",
    default_path = "/org/freedesktop/login1"
)]
trait LogindManager {
    fn inhibit(&self, what: &str, who: &str, why: &str, mode: &str) -> zbus::Result<OwnedFd>;
    #[zbus(property)]
    fn preparing_for_sleep(&self) -> zbus::Result<bool>;
    #[zbus(property, name = "InhibitDelayMaxUSec")]
    fn inhibit_delay_max_usec(&self) -> zbus::Result<u64>;
}

/// Sends what logind announces, until no receiver is left. `address` is the bus; the system bus without one.
///
/// A bus that is lost is said once ([`Event::SourceLost`]) and sought for ever.
pub async fn watch(address: Option<String>, notices: mpsc::Sender<Notice>) {
    let mut watch = LogindMonitor {
        notices,
        asleep: false,
        inhibitor: None,
        delay: HOLD_AT_MOST,
        held_until: None,
        lost: false,
        refused: false,
        unreadable: false,
    };
    let listener = watch.notices.clone();
    tokio::select! {
        () = listener.closed() => {}
        () = watch.for_ever(address.as_deref()) => {}
    }
}

/// Why logind is unavailable.
#[derive(Debug, thiserror::Error)]
enum LogindError {
    #[error("cannot reach the bus")]
    Unreachable(#[source] zbus::Error),
    #[error("the bus did not answer within {} s", ANSWER_WITHIN.as_secs())]
    Silent,
    #[error("cannot subscribe to logind's signals")]
    Deaf(#[source] zbus::Error),
    #[error("the bus connection was lost")]
    Disconnected,
}

/// What outlives a connection.
struct LogindMonitor {
    notices: mpsc::Sender<Notice>,
    /// Whether a sleep was announced and has not ended.
    asleep: bool,
    /// While this is open, the machine does not sleep.
    inhibitor: Option<OwnedFd>,
    /// How long a sleep is held back.
    delay: Duration,
    /// The answer that is waited for, and until when, before the inhibitor is released.
    held_until: Option<(oneshot::Receiver<NoticeAnswer>, Instant)>,
    /// Whether the loss was said.
    lost: bool,
    /// Whether it was said that logind refuses the inhibitor.
    refused: bool,
    /// Whether the last announcement was none that can be read.
    unreadable: bool,
}

/// One connection to the bus.
struct LogindConnection {
    manager: LogindManagerProxy<'static>,
    /// logind's unique name, which cannot be forged; none while it is not there.
    owner: Option<OwnedUniqueName>,
    owners: MessageStream,
    sleeps: MessageStream,
}

impl LogindMonitor {
    async fn for_ever(&mut self, address: Option<&str>) {
        let mut pause = PAUSE_FIRST;
        loop {
            let error = match LogindConnection::connect(address).await {
                Ok(connection) => {
                    pause = PAUSE_FIRST;
                    self.listen(connection).await
                }
                Err(error) => error,
            };
            // Held without hearing anything, it would make every sleep five seconds late.
            self.release();
            self.say_lost(&error).await;
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_LAST);
        }
    }

    /// Subscribed already; reads the present state, acts, and listens until the bus goes away.
    async fn listen(&mut self, mut connection: LogindConnection) -> LogindError {
        if connection.owner.is_some() {
            self.begin(&connection).await;
        } else {
            self.say_lost(&"logind is not on the bus").await;
        }
        let mut pause = PAUSE_FIRST;
        loop {
            let without = connection.owner.is_some() && self.inhibitor.is_none() && !self.asleep;
            tokio::select! {
                // A signal that follows a change of owner is judged by the new owner.
                biased;
                message = next(&mut connection.owners) => match message {
                    Some(Ok(message)) => {
                        if let Some(owner) = new_owner(&message) {
                            self.owner_changed(&mut connection, owner).await;
                        }
                    }
                    Some(Err(error)) => debug!(%error, "unreadable message"),
                    None => return LogindError::Disconnected,
                },
                message = next(&mut connection.sleeps) => match message {
                    Some(Ok(message)) => self.signal(&connection, &message).await,
                    Some(Err(error)) => debug!(%error, "unreadable message"),
                    None => return LogindError::Disconnected,
                },
                answer = answered(&mut self.held_until) => self.may_sleep(answer),
                () = sleep(pause), if without => {
                    pause = pause.saturating_mul(2).min(PAUSE_LAST);
                    self.take_inhibitor(&connection).await;
                }
            }
            if self.inhibitor.is_some() {
                pause = PAUSE_FIRST;
            }
        }
    }

    /// logind is there: what did we miss, and hold the next sleep back.
    async fn begin(&mut self, connection: &LogindConnection) {
        match connection.manager.preparing_for_sleep().await {
            Ok(true) => self.sleeping().await,
            Ok(false) => {
                self.take_inhibitor(connection).await;
                if self.asleep {
                    self.woken().await;
                }
            }
            Err(error) => {
                warn!(%error, "cannot read logind's PreparingForSleep");
                self.take_inhibitor(connection).await;
                // A sleep that was announced has ended, as far as is known; another one may have been missed.
                if self.asleep {
                    self.woken().await;
                } else if self.lost {
                    drop(self.send(Event::Unseen(NAME)).await);
                }
            }
        }
        if self.lost {
            info!("logind is available again");
        }
        self.lost = false;
    }

    async fn owner_changed(&mut self, connection: &mut LogindConnection, owner: Option<OwnedUniqueName>) {
        connection.owner = owner;
        if connection.owner.is_some() {
            // A restarted logind knows the inhibitors of its predecessor (/run/systemd/inhibit); a replaced one does not.
            self.begin(connection).await;
        } else {
            self.say_lost(&"logind left the bus").await;
        }
    }

    async fn signal(&mut self, connection: &LogindConnection, message: &Message) {
        // Any client may send us a signal of any name; only the sender's name is set by the bus itself.
        let header = message.header();
        let from = header.sender().map(UniqueName::as_str);
        if from.is_none() || from != connection.owner.as_ref().map(|owner| owner.as_str()) {
            debug!(?from, "PrepareForSleep from a sender other than logind");
            return;
        }
        let announced = goes_to_sleep(message);
        let was_unreadable = std::mem::replace(&mut self.unreadable, announced.is_err());
        match announced {
            Ok(true) => self.sleeping().await,
            Ok(false) => {
                self.held_until = None;
                self.woken().await;
                self.take_inhibitor(connection).await;
            }
            Err(error) if was_unreadable => debug!(%error, "still cannot read logind's PrepareForSleep"),
            Err(error) => warn!(%error, "cannot read logind's PrepareForSleep"),
        }
    }

    async fn sleeping(&mut self) {
        self.asleep = true;
        // Of two announcements in a row, logind's delay counts from the first.
        let until = self.held_until.as_ref().map_or_else(|| Instant::now() + self.delay, |(_, until)| *until);
        if let Some(answer) = self.send(Event::Sleeping(Notifier::Logind)).await {
            self.held_until = Some((answer, until));
        } else {
            self.release();
        }
    }

    async fn woken(&mut self) {
        self.asleep = false;
        drop(self.send(Event::Woken(Notifier::Logind)).await);
    }

    fn may_sleep(&mut self, answer: NoticeOutcome) {
        match answer {
            NoticeOutcome::Given => debug!("the gate is shut; logind may suspend"),
            NoticeOutcome::Never => warn!("cannot shut the gate, the agent does not answer; logind may suspend"),
            NoticeOutcome::TooLate => warn!("cannot shut the gate in time; logind suspends"),
        }
        self.release();
    }

    fn release(&mut self) {
        self.held_until = None;
        self.inhibitor = None;
    }

    async fn take_inhibitor(&mut self, connection: &LogindConnection) {
        let why = "shut the gate before suspend";
        match connection.manager.inhibit("sleep", "clockgate", why, "delay").await {
            // Only now is an older one dropped, so that there is no moment without.
            Ok(inhibitor) => {
                self.inhibitor = Some(inhibitor);
                self.refused = false;
                let micros = connection.manager.inhibit_delay_max_usec().await;
                self.delay = micros.map_or(HOLD_AT_MOST, |micros| delay_within(Duration::from_micros(micros)));
            }
            Err(error) if self.refused => debug!(%error, "still cannot take logind's inhibitor"),
            Err(error) => {
                self.refused = true;
                warn!(%error, "cannot take logind's inhibitor: the machine may sleep before the gate is shut");
            }
        }
    }

    async fn say_lost(&mut self, why: &(dyn std::fmt::Display + Sync)) {
        if !self.lost {
            self.lost = true;
            warn!(%why, "logind unavailable: suspend is seen at resume only");
            drop(self.send(Event::SourceLost(NAME)).await);
        }
    }

    /// Hands an event on; an agent that does not take it in time is as good as none.
    async fn send(&self, event: Event) -> Option<oneshot::Receiver<NoticeAnswer>> {
        let (notice, answer) = Notice::new(event);
        match timeout(HOLD_AT_MOST, self.notices.send(notice)).await {
            Ok(Ok(())) => Some(answer),
            Ok(Err(_)) | Err(_) => None,
        }
    }
}

impl LogindConnection {
    async fn connect(address: Option<&str>) -> Result<Self, LogindError> {
        let builder = address.map_or_else(connection::Builder::system, connection::Builder::address);
        let build = builder.method_timeout(ANSWER_WITHIN).build();
        let bus =
            timeout(ANSWER_WITHIN, build).await.map_err(|_| LogindError::Silent)?.map_err(LogindError::Unreachable)?;
        Self::subscribe(bus).await.map_err(LogindError::Deaf)
    }

    async fn subscribe(bus: Connection) -> zbus::Result<Self> {
        let signal = || MatchRule::builder().msg_type(message::Type::Signal);
        let owners = signal().sender(DRIVER).interface(DRIVER).member("NameOwnerChanged").add_arg(LOGIND).build()?;
        let owners = MessageStream::for_match_rule(owners, &bus, None).await?;
        let sleeps = signal().sender(LOGIND).path("/org/freedesktop/login1");
        let sleeps = sleeps.interface("org.freedesktop.login1.Manager").member("PrepareForSleep").build()?;
        let sleeps = MessageStream::for_match_rule(sleeps, &bus, None).await?;
        let driver = fdo::DBusProxy::new(&bus).await?;
        // The name has no owner where there is no logind.
        let owner = driver.get_name_owner(LOGIND.try_into()?).await.ok();
        let manager =
            LogindManagerProxy::builder(&bus).cache_properties(zbus::proxy::CacheProperties::No).build().await?;
        Ok(Self { manager, owner, owners, sleeps })
    }
}

/// How long a sleep is held back where logind itself waits so long.
fn delay_within(logind: Duration) -> Duration {
    logind.saturating_sub(BEFORE_LOGIND_GIVES_UP).max(logind / 2).min(HOLD_AT_MOST)
}

/// What `PrepareForSleep` announces: a sleep, or its end.
///
/// # Errors
/// Whatever is no such signal.
pub fn goes_to_sleep(message: &Message) -> zbus::Result<bool> {
    message.body().deserialize()
}

/// The owner of logind's name now, if the bus itself reports it.
#[must_use]
pub fn new_owner(message: &Message) -> Option<Option<OwnedUniqueName>> {
    if message.header().sender().map(UniqueName::as_str) != Some(DRIVER) {
        return None;
    }
    let (name, _, new) = message.body().deserialize::<(String, String, String)>().ok()?;
    (name == LOGIND).then(|| OwnedUniqueName::try_from(new).ok())
}

enum NoticeOutcome {
    /// The gate is shut and published.
    Given,
    /// The agent dropped the question.
    Never,
    /// logind would not wait longer.
    TooLate,
}

/// The answer to a notice that was sent; waits for ever when none was.
async fn answered(held_until: &mut Option<(oneshot::Receiver<NoticeAnswer>, Instant)>) -> NoticeOutcome {
    let Some((answer, until)) = held_until else { return pending().await };
    match timeout_at(*until, answer).await {
        Ok(Ok(_)) => NoticeOutcome::Given,
        Ok(Err(_)) => NoticeOutcome::Never,
        Err(_) => NoticeOutcome::TooLate,
    }
}

async fn next(stream: &mut MessageStream) -> Option<zbus::Result<Message>> {
    poll_fn(|context| Pin::new(&mut *stream).poll_next(context)).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_inhibitor_is_released_before_logind_sleeps_regardless() {
        let secs = Duration::from_secs;
        assert_eq!(delay_within(secs(5)), secs(4));
        assert_eq!(delay_within(secs(60)), secs(4));
        assert_eq!(delay_within(secs(3)), secs(2));
        assert_eq!(delay_within(secs(1)), Duration::from_millis(500));
        assert_eq!(delay_within(Duration::ZERO), Duration::ZERO);
    }
}

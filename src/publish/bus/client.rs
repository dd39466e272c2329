//! The client of the agent's socket, which the command line uses.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::runtime::Runtime;
use tokio::time::timeout;
use zbus::connection;
use zbus::proxy::CacheProperties;

pub use super::object::NoticeKind;
use crate::decision::{HttpDate, PeerCheck, nanos_u64};
use crate::metrics::MetricsFormat;
pub use crate::reference::caller::caller_time::CallerTime;
use crate::sys::service_manager::{AGENT, ServiceManager};
use crate::sys::unix_peer::connect;

/// How long the agent may take to greet us.
const GREETED_WITHIN: Duration = Duration::from_secs(5);
/// What the agent's own time is exceeded by before we stop listening.
const GRACE: Duration = Duration::from_secs(6);

/// What the agent answered: its state after the event.
#[derive(Clone, Debug, PartialEq, Eq, serde::Serialize)]
pub struct Outcome {
    /// The state's name.
    pub state: String,
    /// `shut`, `open` or `unproven`.
    pub gate: String,
    /// The count of disruptions.
    pub epoch: u64,
    /// Reference minus local at the last measurement of this epoch, nanoseconds; none before it.
    pub offset_ns: Option<i64>,
    /// The most the clock was wrong then, nanoseconds; none before it.
    pub bound_ns: Option<u64>,
    /// Why the gate is shut, in words.
    pub why: String,
}

/// Why the agent did not do it.
#[derive(Debug, thiserror::Error)]
pub enum ClientError {
    /// There is no agent.
    #[error("no agent answers on {}; to start it: {start}", path.display())]
    NoAgent {
        /// The socket.
        path: PathBuf,
        /// What starts it on this host.
        start: String,
        /// What connect(2) said.
        source: io::Error,
    },
    /// We may not.
    #[error("not permitted: {0}; run as root, or as a member of the group clockgate")]
    NotPermitted(String),
    /// The agent does not accept the arguments, or its guards do not allow it.
    #[error("the agent refused: {0}")]
    Refused(String),
    /// Too many notices in too short a time.
    #[error("refused for now: {0}")]
    TooOften(String),
    /// The time was too short.
    #[error("{0}")]
    StillShut(String),
    /// The agent has no such method, or one with other arguments.
    #[error(
        "the agent on {} is of another version than this clockgate, {version}, and cannot do that; to restart it: {restart}",
        path.display(), version = env!("CARGO_PKG_VERSION")
    )]
    OtherVersion {
        /// The socket.
        path: PathBuf,
        /// What restarts it on this host.
        restart: String,
        /// What the agent said.
        source: zbus::Error,
    },
    /// The agent is there and does not do its work.
    #[error("the agent on {} does not answer", path.display())]
    Stuck {
        /// The socket.
        path: PathBuf,
        /// What went wrong, if an answer was received.
        source: Option<zbus::Error>,
    },
}

#[zbus::proxy(
    interface = "org.clockgate.Agent1",
    default_service = "org.clockgate.Agent1",
    default_path = "/org/clockgate/Agent1"
)]
trait AgentInterface {
    fn sync(&self, timeout_ms: u32) -> zbus::Result<(String, String, u64, i64, u64, String)>;
    fn accept(&self) -> zbus::Result<(String, String, u64, i64, u64, String)>;
    fn reckon(&self, timeout_ms: u32) -> zbus::Result<(String, String, u64, i64, u64, String)>;
    fn step_by_date(
        &self,
        url: &str,
        verified: bool,
        date: (i64, u64, i64, u64),
    ) -> zbus::Result<(String, String, u64, i64, u64, String)>;
    fn notify(&self, what: &str, wait_ms: u32) -> zbus::Result<(String, String, u64, i64, u64, String)>;
    fn notify_with_time(
        &self,
        what: &str,
        wait_ms: u32,
        time: (i64, u64, u64),
    ) -> zbus::Result<(String, String, u64, i64, u64, String)>;
    fn metrics(&self, format: &str) -> zbus::Result<String>;
}

/// A connection to the agent; its calls block.
#[derive(Debug)]
pub struct AgentClient {
    runtime: Runtime,
    agent: AgentInterfaceProxy<'static>,
    path: PathBuf,
}

impl AgentClient {
    /// Connects to the agent's socket.
    ///
    /// # Errors
    /// [`ClientError::NoAgent`], [`ClientError::NotPermitted`] or [`ClientError::Stuck`].
    pub fn connect(path: &Path) -> Result<Self, ClientError> {
        let stream = connect(path, GREETED_WITHIN).map_err(|source| {
            if source.kind() == io::ErrorKind::PermissionDenied {
                ClientError::NotPermitted(format!("cannot connect to {}", path.display()))
            } else {
                ClientError::NoAgent {
                    path: path.to_owned(),
                    start: ServiceManager::of_this_host().start(AGENT),
                    source,
                }
            }
        })?;
        let stuck = |source| ClientError::Stuck { path: path.to_owned(), source };
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let runtime = runtime.map_err(|error| stuck(Some(error.into())))?;
        let greeted = runtime.block_on(async {
            timeout(GREETED_WITHIN, async {
                let bus = connection::Builder::unix_stream(stream).p2p().build().await?;
                AgentInterfaceProxy::builder(&bus).cache_properties(CacheProperties::No).build().await
            })
            .await
        });
        match greeted {
            Ok(Ok(agent)) => Ok(Self { runtime, agent, path: path.to_owned() }),
            Ok(Err(error)) => Err(stuck(Some(error))),
            Err(_) => Err(stuck(None)),
        }
    }

    /// Has the clock proven afresh, and waits until it is, for `time_limit` at most.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn sync(&self, time_limit: Duration) -> Result<Outcome, ClientError> {
        let limit = millis(time_limit).max(1);
        self.call(time_limit, self.agent.sync(limit))
    }

    /// Says that the time of the clock is meant.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn accept(&self) -> Result<Outcome, ClientError> {
        self.call(Duration::ZERO, self.agent.accept())
    }

    /// Has the clock set by dead reckoning.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn reckon(&self, time_limit: Duration) -> Result<Outcome, ClientError> {
        self.call(time_limit, self.agent.reckon(millis(time_limit).max(1)))
    }

    /// Has the clock stepped by a web server's `Date`; the step itself is not waited for.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn step_by_date(&self, date: &HttpDate) -> Result<Outcome, ClientError> {
        let measured = (date.local.as_nanos(), date.as_of.as_nanos(), date.offset.as_nanos(), nanos_u64(date.measured));
        let is_verified = date.peer == PeerCheck::Verified;
        self.call(Duration::ZERO, self.agent.step_by_date(&date.source, is_verified, measured))
    }

    /// Sends a notice of a disruption, and waits for what follows from it, if `time_limit` is not zero.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn notify(&self, what: NoticeKind, time_limit: Duration) -> Result<Outcome, ClientError> {
        self.call(time_limit, self.agent.notify(what.name(), millis(time_limit)))
    }

    /// Sends a notice that a disruption is over, with the time; waits for what follows.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn notify_with_time(
        &self,
        what: NoticeKind,
        supplied: CallerTime,
        time_limit: Duration,
    ) -> Result<Outcome, ClientError> {
        let time = (supplied.at.as_nanos(), supplied.as_of.as_nanos(), nanos_u64(supplied.bound));
        self.call(time_limit, self.agent.notify_with_time(what.name(), millis(time_limit).max(1), time))
    }

    /// The agent's metrics as a text.
    ///
    /// # Errors
    /// [`ClientError`]
    pub fn metrics(&self, format: MetricsFormat) -> Result<String, ClientError> {
        self.answer(Duration::ZERO, self.agent.metrics(format.name()))
    }

    fn call(
        &self,
        time_limit: Duration,
        call: impl Future<Output = zbus::Result<(String, String, u64, i64, u64, String)>>,
    ) -> Result<Outcome, ClientError> {
        let (state, gate, epoch, offset, bound, why) = self.answer(time_limit, call)?;
        let measured = bound != u64::MAX;
        let (offset_ns, bound_ns) = (measured.then_some(offset), measured.then_some(bound));
        Ok(Outcome { state, gate, epoch, offset_ns, bound_ns, why })
    }

    fn answer<T>(&self, time_limit: Duration, call: impl Future<Output = zbus::Result<T>>) -> Result<T, ClientError> {
        let within = time_limit.saturating_add(GRACE);
        match self.runtime.block_on(async { timeout(within, call).await }) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.refusal(error)),
            Err(_) => Err(ClientError::Stuck { path: self.path.clone(), source: None }),
        }
    }

    fn refusal(&self, error: zbus::Error) -> ClientError {
        if is_of_another_version(&error) {
            let restart = ServiceManager::of_this_host().restart(AGENT);
            return ClientError::OtherVersion { path: self.path.clone(), restart, source: error };
        }
        let (name, sentence) = if let zbus::Error::MethodError(name, sentence, _) = &error {
            (name.as_str().strip_prefix("org.clockgate.Error."), sentence.clone().unwrap_or_default())
        } else {
            (None, String::new())
        };
        match name {
            Some("NotPermitted") => ClientError::NotPermitted(sentence),
            Some("InvalidArgument" | "Refused") => ClientError::Refused(sentence),
            Some("TooOften") => ClientError::TooOften(sentence),
            Some("StillShut") => ClientError::StillShut(format!("the clock is still not proven: {sentence}")),
            Some("NotYetShut") => ClientError::StillShut(format!("the gate is still not shut: {sentence}")),
            _ => ClientError::Stuck { path: self.path.clone(), source: Some(error) },
        }
    }
}

/// Whether it is what an agent answers whose interface is not ours.
fn is_of_another_version(error: &zbus::Error) -> bool {
    use zbus::fdo::Error;
    let zbus::Error::FDO(error) = error else { return matches!(error, zbus::Error::SignatureMismatch(..)) };
    matches!(
        **error,
        Error::UnknownMethod(_) | Error::UnknownInterface(_) | Error::UnknownObject(_) | Error::InvalidArgs(_)
    )
}

fn millis(duration: Duration) -> u32 {
    u32::try_from(duration.as_millis()).unwrap_or(u32::MAX)
}

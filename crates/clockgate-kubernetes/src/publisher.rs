//! The program's loop: what the page says goes into the plan, and what the plan wants goes to the API server.

use std::io;
use std::path::PathBuf;
use std::pin::Pin;
use std::thread;
use std::time::Duration;

use clockgate_page::boot_id;
use clockgate_page::sys::clock::boottime;
use clockgate_page::time::Boottime;
use clockgate_run::error_chain::in_full;
use clockgate_run::sys::output::{Priority, log};
use hyper::StatusCode;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use crate::api_server::{ApiServer, RequestError};
use crate::condition::{ClockCondition, Reason};
use crate::jitter::Jitter;
use crate::plan::{Answer, Happening, Plan, What, Write};
use crate::request_body::{self, ApiRequest, ConditionTimes};
use crate::sys::alarm::Alarm;
use crate::watch::{Look, watch};

/// How long the last request may take when the program is stopped.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long the removal may take, and the pause before it is tried again.
const REMOVAL: Duration = Duration::from_secs(5);
const REMOVAL_ATTEMPTS: u32 = 3;
/// How often the same failure is logged.
const COMPLAIN_EVERY: Duration = Duration::from_secs(60);

/// The node's condition, and where it is written.
#[derive(Clone, Debug)]
pub struct NodeWriter {
    pub node: String,
    pub server: ApiServer,
}

type UnderWay = Pin<Box<dyn Future<Output = Result<(), RequestError>>>>;

/// Publishes until TERM or INT.
///
/// # Errors
/// What the kernel refuses: a thread, a timer, a handler of signals.
pub async fn publish(writer: NodeWriter, page: PathBuf) -> io::Result<()> {
    let mut term = signal(SignalKind::terminate())?;
    let mut int = signal(SignalKind::interrupt())?;
    let mut alarm = Alarm::new()?;
    let (to, mut looks) = watch::channel(None::<Look>);
    thread::Builder::new().name("page".to_owned()).spawn(move || watch(page, &to))?;
    let mut plan = Plan::new(Jitter::of_this_process());
    let mut under_way: Option<(What, UnderWay)> = None;
    let mut complaints = Complaints::default();
    loop {
        let happening = tokio::select! {
            biased;
            _ = term.recv() => break,
            _ = int.recv() => break,
            result = ended(&mut under_way) => {
                let what = under_way.take().map(|(what, _)| what);
                let answer = judge(what.as_ref(), &result);
                complaints.take_in(what.as_ref(), &result);
                Happening::Answered(answer)
            }
            changed = looks.changed() => match (changed, looks.borrow_and_update().clone()) {
                (Ok(()), Some(Look { condition, gate })) => Happening::Seen { condition, gate },
                (Ok(()), None) => continue,
                (Err(_), _) => return Err(io::Error::other("the thread that watches the page has ended")),
            },
            waited = alarm.until(plan.wake_at()) => {
                waited?;
                Happening::Time
            }
        };
        if let Some(Write { what, within }) = plan.step(happening, boottime()) {
            let writer = writer.clone();
            let to_write = what.clone();
            under_way = Some((what, Box::pin(async move { writer.write(&to_write, within).await })));
        }
    }
    let stopped = ClockCondition::new(Reason::AgentGone, "clockgate-kubernetes was stopped");
    let farewell = What::Condition { condition: stopped, is_transition: true };
    if let Err(error) = writer.write(&farewell, FAREWELL).await {
        log(Priority::Warning, &format!("the condition stays as it was: {}", in_full(&error)));
    }
    Ok(())
}

/// Takes the condition away.
///
/// # Errors
/// [`RequestError`], after several attempts.
pub async fn remove(writer: &NodeWriter) -> Result<(), RequestError> {
    let request = request_body::removal(&writer.node);
    let mut attempt = 1;
    loop {
        let error = match writer.send(&request, REMOVAL).await {
            Ok(()) => return Ok(()),
            // A node that is gone has no condition.
            Err(RequestError::Refused { status: StatusCode::NOT_FOUND, .. }) => return Ok(()),
            Err(error) => error,
        };
        if attempt == REMOVAL_ATTEMPTS {
            return Err(error);
        }
        attempt += 1;
        if let Ok(mut alarm) = Alarm::new() {
            let _ = alarm.after(Duration::from_secs(1)).await;
        }
    }
}

impl NodeWriter {
    async fn write(&self, what: &What, within: Duration) -> Result<(), RequestError> {
        let request = match what {
            What::Condition { condition, is_transition } => {
                let now = self.server.clock.measured();
                let times = ConditionTimes { heartbeat: now, transition: now.filter(|_| *is_transition) };
                request_body::condition(&self.node, condition, times)
            }
            What::Event(disruption) => {
                let boot = u128::from_be_bytes(boot_id().unwrap_or_default());
                let boot = format!("{:08x}", boot >> 96);
                request_body::event(&self.node, &boot, disruption, self.server.clock.now())
            }
        };
        match (what, self.send(&request, within).await) {
            // Written before, by us or by another publisher of this node: it is named by what happened.
            (What::Event(_), Err(RequestError::Refused { status: StatusCode::CONFLICT, .. })) => Ok(()),
            (_, result) => result,
        }
    }

    async fn send(&self, request: &ApiRequest, within: Duration) -> Result<(), RequestError> {
        let mut alarm = Alarm::new().map_err(|error| RequestError::Connect(self.node.clone(), error))?;
        tokio::select! {
            biased;
            answer = self.server.send(request) => answer,
            _ = alarm.after(within) => Err(RequestError::Late(within)),
        }
    }
}

/// The end of what is under way; never where nothing is.
async fn ended(under_way: &mut Option<(What, UnderWay)>) -> Result<(), RequestError> {
    match under_way {
        Some((_, request)) => request.as_mut().await,
        None => std::future::pending().await,
    }
}

fn judge(what: Option<&What>, result: &Result<(), RequestError>) -> Answer {
    let is_event = matches!(what, Some(What::Event(_)));
    match result {
        Ok(()) => Answer::Done,
        Err(RequestError::Refused { status, .. }) if !is_event && *status == StatusCode::NOT_FOUND => Answer::NoNode,
        Err(RequestError::Refused { status, retry_after, .. })
            if status.is_server_error() || *status == StatusCode::TOO_MANY_REQUESTS =>
        {
            Answer::Failed(*retry_after)
        }
        Err(RequestError::Refused { .. }) => Answer::Refused,
        Err(
            RequestError::Identity(_)
            | RequestError::Address(_)
            | RequestError::Setup(_)
            | RequestError::Connect(..)
            | RequestError::Tls(..)
            | RequestError::Http(..)
            | RequestError::Request(_)
            | RequestError::Late(_),
        ) => Answer::Failed(None),
    }
}

/// What was logged of failures, so that a server that is down for a day is not a log of a day.
#[derive(Debug, Default)]
struct Complaints {
    condition: Failures,
    event: Failures,
}

/// How often the same failed, and when that was logged.
#[derive(Debug, Default)]
struct Failures {
    count: u32,
    logged: Option<Boottime>,
}

impl Complaints {
    fn take_in(&mut self, what: Option<&What>, result: &Result<(), RequestError>) {
        match (what, result) {
            (Some(What::Condition { condition, is_transition }), Ok(())) => {
                let failed = std::mem::take(&mut self.condition).count;
                if failed > 0 {
                    log(Priority::Notice, &format!("the API server takes the condition again; failures: {failed}"));
                }
                if *is_transition {
                    let ClockCondition { reason, message } = condition;
                    let status = reason.status().name();
                    log(Priority::Info, &format!("published {status}: {}: {message}", reason.name()));
                }
            }
            (Some(What::Event(_)), Ok(())) => self.event = Failures::default(),
            (None, _) => {}
            (Some(What::Condition { .. }), Err(error)) => self.condition.count("condition", error),
            (Some(What::Event(_)), Err(error)) => self.event.count("event", error),
        }
    }
}

impl Failures {
    fn count(&mut self, what: &str, error: &RequestError) {
        let now = boottime();
        self.count += 1;
        if self.logged.is_none_or(|logged| now.since(logged) >= COMPLAIN_EVERY) {
            log(Priority::Warning, &format!("the {what} is not published: {}", in_full(error)));
            self.logged = Some(now);
        }
    }
}

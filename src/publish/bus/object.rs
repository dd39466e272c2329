//! The object: properties are a snapshot's fields, methods are notices that are waited for.

use std::convert::Infallible;
use std::time::Duration;

use tokio::time::{Instant, timeout, timeout_at};
use tracing::{debug, info};
use zbus::message::Header;
use zbus::{Connection, interface};

use super::Face;
use super::access::{Admitted, Door, NOTIFY_ACTION, SYNC_ACTION};
use super::error::MethodError;
use super::properties::{bound, nanos, offset, tolerance};
use super::supplied_date::supplied_date;
use crate::decision::{Boottime, Cause, Event, Gate, Realtime, Snapshot, State, Voice};
pub use crate::disruption::notice::NoticeKind;
use crate::disruption::notice::{Notice, NoticeAnswer};
use crate::disruption::notice_rate::Teller;
use crate::reference::caller::caller_time::{AcceptedTime, CallerTime, SOURCE};
use crate::reference::caller::registry::CallerRegistration;

/// What a caller gets that names no timeout.
const USUAL_TIMEOUT: Duration = Duration::from_secs(60);
/// An agent that takes no notice in this time is stuck.
const TAKEN_WITHIN: Duration = Duration::from_secs(5);

/// The object, behind one of its doors.
#[derive(Debug)]
pub(super) struct BusObject {
    pub(super) face: Face,
    pub(super) door: Door,
}

// The comments below are the documentation in the introspection, and in the XML file that is shipped.
#[interface(name = "org.clockgate.Agent1")]
impl BusObject {
    /// Shuts the gate, proves the clock afresh, and answers when that is done or at the deadline.
    ///
    /// `timeout_ms` is how long the caller waits, 0 for a minute; StillShut is the answer when that time ends.
    #[zbus(out_args("state", "gate", "epoch", "offset", "bound", "why"))]
    async fn sync(
        &self,
        timeout_ms: u32,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(String, String, u64, i64, u64, String), MethodError> {
        let caller = self.door.admit(SYNC_ACTION, &header, bus).await?;
        let until = Instant::now() + time_limit(timeout_ms);
        self.takes_turn(&caller, "sync").await?;
        let asked = self.notify_agent(Event::Disrupted(Cause::Requested), until).await?;
        Ok(answer_of(&self.settled(&asked, until).await?))
    }

    /// Notifies of a disruption: `suspend`, `resume`, `pre-snapshot` or `post-restore`.
    ///
    /// With `wait_ms` of 0 the answer comes at once. Otherwise `suspend` and `pre-snapshot` are answered when the gate is shut
    /// and the machine may sleep, `resume` and `post-restore` when the clock is proven again or at the deadline.
    #[zbus(out_args("state", "gate", "epoch", "offset", "bound", "why"))]
    async fn notify(
        &self,
        what: &str,
        wait_ms: u32,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(String, String, u64, i64, u64, String), MethodError> {
        let caller = self.door.admit(NOTIFY_ACTION, &header, bus).await?;
        let what = named(what)?;
        self.takes_turn(&caller, what.name()).await?;
        if wait_ms == 0 {
            self.send(what.event()).await?;
            return Ok(answer_of(&self.now()));
        }
        let until = Instant::now() + Duration::from_millis(wait_ms.into());
        let answer = self.notify_agent(what.event(), until).await?;
        Ok(answer_of(&if what.begins() { answer } else { self.settled(&answer, until).await? }))
    }

    /// Notifies of `resume` or `post-restore`, with the time; answers as Notify does, after a minute if `wait_ms` is 0.
    ///
    /// `time`: nanoseconds since 1970; the moment on CLOCK_BOOTTIME, some seconds ago at most, at which it was that; how wrong
    /// it may have been then. It is a reference like any other until this is answered, or until the next disruption. For root
    /// alone.
    #[expect(clippy::too_many_arguments, reason = "two of them are zbus's own")]
    #[zbus(out_args("state", "gate", "epoch", "offset", "bound", "why"))]
    async fn notify_with_time(
        &self,
        what: &str,
        wait_ms: u32,
        time: (i64, u64, u64),
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(String, String, u64, i64, u64, String), MethodError> {
        let caller = self.door.admit_root(&header, bus).await?;
        let what = named(what)?;
        if let Some(why) = what.refuses_time() {
            return Err(MethodError::InvalidArgument(why));
        }
        let supplied = CallerTime {
            at: Realtime::from_nanos(time.0),
            as_of: Boottime::from_nanos(time.1),
            bound: Duration::from_nanos(time.2),
        };
        let accepted = AcceptedTime::take(supplied, &self.face.root)
            .map_err(|error| MethodError::InvalidArgument(error.to_string()))?;
        let until = Instant::now() + time_limit(wait_ms);
        self.takes_turn(&caller, what.name()).await?;
        // On the registration before the notice: the first measurement follows at once.
        let registration = self.face.callers.put_on_the_line(SOURCE, Voice::server(SOURCE));
        let answer = self.notify_agent(what.event(), until).await?;
        tokio::select! {
            settled = self.settled(&answer, until) => Ok(answer_of(&settled?)),
            never = self.answer_questions(registration, accepted, &answer) => match never {},
        }
    }

    /// Takes the time of the clock for meant: what dead reckoning and the dates of files say against it is forgotten, and the gate
    /// opens without a proof. A reference that disagrees shuts it again. For root alone.
    #[zbus(out_args("state", "gate", "epoch", "offset", "bound", "why"))]
    async fn accept(
        &self,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(String, String, u64, i64, u64, String), MethodError> {
        let caller = self.door.admit_root(&header, bus).await?;
        self.takes_turn(&caller, "accept").await?;
        Ok(answer_of(&self.notify_agent(Event::Accepted, Instant::now() + TAKEN_WITHIN).await?))
    }

    /// Sets the clock by dead reckoning from the last proof in this boot, and opens the gate without a proof. For root alone.
    ///
    /// `timeout_ms` is how long the caller waits, 0 for a minute.
    #[zbus(out_args("state", "gate", "epoch", "offset", "bound", "why"))]
    async fn reckon(
        &self,
        timeout_ms: u32,
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(String, String, u64, i64, u64, String), MethodError> {
        let caller = self.door.admit_root(&header, bus).await?;
        self.takes_turn(&caller, "reckon").await?;
        let until = Instant::now() + time_limit(timeout_ms);
        let asked = self.notify_agent(Event::Reckon, until).await?;
        Ok(answer_of(&self.settled(&asked, until).await?))
    }

    /// The metrics of docs/metrics.md as a text; `format` is `openmetrics` or `prometheus`. Everybody may ask.
    #[zbus(out_args("text"))]
    async fn metrics(&self, format: &str) -> Result<String, MethodError> {
        self.face.metrics.write(format).await
    }

    /// Steps the clock by the `Date` of a web server, where the guards allow it, and shuts the gate until the clock is proven; answers
    /// when the step is ordered. For root alone.
    ///
    /// `verified`: whether the server's certificate was, at the time received. `date`: the clock when the question was asked,
    /// nanoseconds since 1970; that moment on CLOCK_BOOTTIME, a minute ago at most; the server's time minus the clock's; how far that
    /// may be off, the error of the server's own clock aside.
    #[expect(clippy::too_many_arguments, reason = "two of them are zbus's own")]
    #[zbus(out_args("state", "gate", "epoch", "offset", "bound", "why"))]
    async fn step_by_date(
        &self,
        url: &str,
        verified: bool,
        date: (i64, u64, i64, u64),
        #[zbus(header)] header: Header<'_>,
        #[zbus(connection)] bus: &Connection,
    ) -> Result<(String, String, u64, i64, u64, String), MethodError> {
        let caller = self.door.admit_root(&header, bus).await?;
        let date = supplied_date(url, verified, date)?;
        self.takes_turn(&caller, "step by date").await?;
        Ok(answer_of(&self.notify_agent(Event::StepByDate(date), Instant::now() + TAKEN_WITHIN).await?))
    }

    /// Unknown, Suspended, Disrupted, Settling, Synchronized, FreeRunning or GaveUp.
    #[zbus(property)]
    fn state(&self) -> String {
        State::name_of(self.now().state).to_owned()
    }

    /// shut; open, on a proof made after the last disruption; or unproven, open by policy.
    #[zbus(property)]
    fn gate(&self) -> String {
        self.now().gate.to_string()
    }

    /// The count of disruptions.
    #[zbus(property)]
    fn epoch(&self) -> u64 {
        self.now().epoch.get()
    }

    /// Why this epoch began.
    #[zbus(property)]
    fn cause(&self) -> String {
        self.now().cause.to_string()
    }

    /// When this epoch began.
    #[zbus(property)]
    fn since(&self) -> u64 {
        self.now().since.as_nanos()
    }

    /// Reference minus local at AsOf; 0 before the first measurement of this epoch.
    #[zbus(property)]
    fn offset(&self) -> i64 {
        offset(&self.now())
    }

    /// The most the clock was wrong at AsOf; the largest number before the first measurement of this epoch.
    #[zbus(property)]
    fn bound(&self) -> u64 {
        bound(&self.now())
    }

    /// When the last question was asked.
    #[zbus(property)]
    fn as_of(&self) -> u64 {
        self.now().as_of.as_nanos()
    }

    /// The bound under which the gate opens.
    #[zbus(property)]
    fn threshold(&self) -> u64 {
        nanos(self.now().threshold)
    }

    /// The rate at which the bound grows, parts per million.
    #[zbus(property)]
    fn max_drift_ppm(&self) -> u32 {
        self.now().max_drift_ppm
    }

    /// When the growing bound meets the threshold and the proof is void; 0 without a proof.
    #[zbus(property)]
    fn valid_until(&self) -> u64 {
        self.now().valid_until.as_nanos()
    }

    /// Whether references that prove who they are (NTS, symmetric keys), and no others, stand behind the proof; false without a proof.
    #[zbus(property)]
    fn authenticated(&self) -> bool {
        self.now().is_authenticated
    }

    /// The most the clock was wrong at ToleranceAsOf, by two exchanges since the last disruption that prove no clock within the
    /// threshold: a waiter with a wider tolerance goes on by it. The largest number where there is no such measurement.
    #[zbus(property)]
    fn tolerance_bound(&self) -> u64 {
        tolerance(&self.now()).0
    }

    /// When the exchanges of ToleranceBound were asked; 0 where there is no such measurement.
    #[zbus(property)]
    fn tolerance_as_of(&self) -> u64 {
        tolerance(&self.now()).1
    }

    /// When the policy for a clock that could not be proven applies; 0 when nothing waits for it.
    #[zbus(property)]
    fn deadline(&self) -> u64 {
        self.now().deadline.as_nanos()
    }

    /// Why the gate is shut, in words; empty when it is open on a proof.
    #[zbus(property)]
    fn why(&self) -> String {
        self.now().why.to_string()
    }

    /// The agent's version.
    #[zbus(property(emits_changed_signal = "const"))]
    fn version(&self) -> &'static str {
        env!("CARGO_PKG_VERSION")
    }
}

impl BusObject {
    fn now(&self) -> Snapshot {
        self.face.snapshots.borrow().clone()
    }

    /// Logs who sends the notice, when its turn has come.
    async fn takes_turn(&self, caller: &Admitted, what: &str) -> Result<(), MethodError> {
        if self.face.rate.turn(Teller::User(caller.uid)).await {
            info!(uid = caller.uid, what, "notified by a caller");
            return Ok(());
        }
        debug!(uid = caller.uid, what, "too many notifications: refused");
        Err(MethodError::TooOften(format!(
            "uid {} has sent too many notifications in the last seconds; try again later",
            caller.uid
        )))
    }

    async fn send(&self, event: Event) -> Result<tokio::sync::oneshot::Receiver<NoticeAnswer>, MethodError> {
        let (notice, answer) = Notice::new(event);
        match timeout(TAKEN_WITHIN, self.face.notices.send(notice)).await {
            Ok(Ok(())) => Ok(answer),
            Ok(Err(_)) => Err(MethodError::NoAnswer("the agent is ending".to_owned())),
            Err(_) => Err(MethodError::NoAnswer("the agent does not process notifications".to_owned())),
        }
    }

    /// Sends an event and waits until the agent has answered it.
    async fn notify_agent(&self, event: Event, until: Instant) -> Result<Snapshot, MethodError> {
        let begins = matches!(event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot));
        let answer = self.send(event).await?;
        match timeout_at(until, answer).await {
            Ok(Ok(answered)) => answered.map_err(MethodError::Refused),
            Ok(Err(_)) => Err(MethodError::NoAnswer("the agent ended before it answered".to_owned())),
            Err(_) if begins => Err(MethodError::NotYetShut("the agent did not answer in time".to_owned())),
            Err(_) => Err(MethodError::StillShut("the agent did not answer in time".to_owned())),
        }
    }

    /// Answers every question for the time with what the caller has supplied.
    async fn answer_questions(
        &self,
        mut registration: CallerRegistration,
        mut accepted: AcceptedTime,
        answer: &Snapshot,
    ) -> Infallible {
        accepted.bind(answer);
        loop {
            let question = registration.asked().await;
            // The reader of the answer may have disconnected.
            let _ = question.send(accepted.reading(&self.now()));
        }
    }

    /// Waits until the clock is proven in the epoch of the answer or a later one, or the agent has reached its deadline.
    async fn settled(&self, since: &Snapshot, until: Instant) -> Result<Snapshot, MethodError> {
        let mut snapshots = self.face.snapshots.clone();
        let done = |snapshot: &Snapshot| {
            snapshot.epoch >= since.epoch && (snapshot.gate == Gate::Proven || gave_up(snapshot.state))
        };
        let waited = timeout_at(until, snapshots.wait_for(done)).await.map(|outcome| outcome.map(|s| s.clone()));
        match waited {
            Ok(Ok(snapshot)) => Ok(snapshot),
            Ok(Err(_)) => Err(MethodError::NoAnswer("the agent ended meanwhile".to_owned())),
            Err(_) => Err(MethodError::StillShut(self.now().why.to_string())),
        }
    }
}

fn named(what: &str) -> Result<NoticeKind, MethodError> {
    NoticeKind::named(what).ok_or_else(|| {
        let names = NoticeKind::ALL.map(NoticeKind::name).join(", ");
        MethodError::InvalidArgument(format!("`{what}` is not one of {names}"))
    })
}

fn time_limit(millis: u32) -> Duration {
    if millis == 0 { USUAL_TIMEOUT } else { Duration::from_millis(millis.into()) }
}

fn answer_of(snapshot: &Snapshot) -> (String, String, u64, i64, u64, String) {
    let state = State::name_of(snapshot.state).to_owned();
    let (epoch, why) = (snapshot.epoch.get(), snapshot.why.to_string());
    (state, snapshot.gate.to_string(), epoch, offset(snapshot), bound(snapshot), why)
}

fn gave_up(state: u32) -> bool {
    state == State::GaveUp(crate::decision::AtDeadline::Hold).code()
}

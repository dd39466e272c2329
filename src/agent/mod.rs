//! The event loop: take an event, step the machine, publish, start the actions. Nothing is decided here.

mod ask;
mod debounce;
mod default_servers;
mod oneshot;
mod perform;
mod serve_metrics;
pub mod signals;
mod watchers;

use std::future::Future;
use std::io;
use std::sync::Arc;

use tokio::io::unix::AsyncFd;
use tokio::sync::{mpsc, watch};
use tracing::{debug, error, info, warn};

use crate::config::{self, Config};
use crate::daemon::Corrector;
use crate::decision::{Action, Cause, Clocks, Event, Gate, Leap, Machine, Policy, Snapshot};
use crate::disruption::clock_set::ClockSet;
use crate::disruption::notice::{Notice, NoticeAnswer};
use crate::disruption::notice_rate::Rate;
use crate::disruption::vm::hypervisor;
use crate::error_chain::in_full;
use crate::publish::bus::{Face, MetricsFace};
use crate::publish::clockbound::ClockBoundPage;
use crate::publish::gate_page::{self, GatePage};
use crate::publish::held_starts::HeldStarts;
use crate::publish::last_good::LastGood;
use crate::publish::metrics_reader::MetricsReader;
use crate::publish::outlets::Outlets;
use crate::publish::proof_file::ProofFile;
use crate::publish::sd_notify::{self, Watchdog};
use crate::reference::ServerName;
use crate::reference::local::{phc, vmclock};
use crate::sys::adjtimex;
use crate::sys::async_descriptor::readable;
use crate::sys::clock::{boottime, clocks};
use crate::sys::step::SystemClock;
use crate::sys::timerfd::Alarm;
use crate::transition::{Recorder, Walked};
use crate::workload::Thoroughness;

pub use oneshot::{Goal, OneshotOutcome, measure, measure_step_and_prove, step_once, stepped_meanwhile};
use perform::Performer;
use serve_metrics::serve_metrics;
use signals::Successor;

/// Events that wait for the machine; a source that finds the queue full waits, nothing is lost.
const QUEUE: usize = 64;

/// The configuration, read again. In a box: a channel has room for 32 of what it passes on.
pub type Reread = Result<Box<Config>, config::ConfigError>;

/// Why the agent could not start, or ended.
#[derive(Debug, thiserror::Error)]
pub enum AgentError {
    /// The gate page cannot be written.
    #[error("cannot publish the gate")]
    Page(#[from] gate_page::GatePageError),
    /// The kernel refused an alarm.
    #[error("cannot set an alarm on CLOCK_BOOTTIME")]
    Alarm(#[source] io::Error),
}

/// Keeps the gate until `shutdown`, which says who comes next; it is shut when this returns. What comes by `reloads` is taken as a
/// whole, but for where things are published and who talks to the agent ([`Config::reload`]); a fault is said and nothing of it taken.
///
/// # Errors
/// [`AgentError`]; what fails later than the start is reported, and the gate stays shut for it.
pub async fn run(
    config: Config,
    mut reloads: mpsc::Receiver<Reread>,
    shutdown: impl Future<Output = Successor>,
) -> Result<Successor, AgentError> {
    let clock = Arc::new(SystemClock::new());
    let clock_set = ClockSet::new(clock.clone()).map_err(AgentError::Alarm)?;
    let alarm = Alarm::new().and_then(readable).map_err(AgentError::Alarm)?;
    // From here on the page is left with the reason why the agent ended, on every way out.
    let (page, epoch) = GatePage::open(&config.page)?;
    let (disruptions, mut disrupted) = mpsc::channel(QUEUE);
    let (outcomes, mut done) = mpsc::channel(QUEUE);
    let (notices, mut noticed) = mpsc::channel(QUEUE);
    let (untaken, not_in_force) = watch::channel(None);
    let held = HeldStarts::default();
    let metrics = MetricsReader::new(&config.root, &config.page, held.clone());
    let mut outlets = Outlets::new(&config.root, metrics, Snapshot { epoch, ..Snapshot::default() });
    outlets.name_containers(config.history.containers);
    let (snapshots, news) = (outlets.published(), outlets.news());
    let corrector = Corrector::new(clock.clone(), config.correction_settings());
    perform::heed_authority(&corrector, &config);
    let known = ProofFile::beside(&config.page);
    let mut event_loop = EventLoop {
        machine: Machine::new(policy(&config), epoch).knowing(known.read()),
        alarm,
        performer: Performer::new(corrector, outcomes, &config),
        page,
        clockbound: clockbound(&config),
        last_good: LastGood::new(&config.root),
        known,
        recorder: Recorder::default(),
        outlets,
        held,
        sleepers: vec![],
        watchdog: Watchdog::new(boottime()),
        clock,
        kernel_leap: Leap::None,
        untaken,
        config,
    };
    let config = event_loop.config.clone();
    // An agent that was killed may have left containers frozen; they are thawed before everything else.
    if let Err(error) = event_loop.performer.thaw_all().await {
        error!(error = &error as &dyn std::error::Error, "cannot thaw everything that an earlier agent froze");
    }
    let callers = event_loop.performer.callers();
    tokio::spawn(sd_notify::notify_status(news.clone(), not_in_force));
    serve_metrics(&config.metrics, &mut event_loop.outlets);
    let metrics = MetricsFace::new(event_loop.outlets.metrics());
    let face = Face { snapshots, news, notices, callers, rate: Rate::default(), metrics, root: config.root.clone() };
    let _watchers = watchers::start(&config, &disruptions, &face);
    tokio::pin!(shutdown);
    let ended = async {
        event_loop.take(Event::Started)?;
        sd_notify::ready();
        loop {
            // In this order: what voids a proof is received before what would make one.
            tokio::select! {
                biased;
                successor = &mut shutdown => return Ok(successor),
                Some(notice) = noticed.recv() => event_loop.take_notice(notice)?,
                events = clock_set.changed() => event_loop.take_all(events.map_err(AgentError::Alarm)?)?,
                Some(event) = disrupted.recv() => event_loop.take(event)?,
                Some(event) = done.recv() => event_loop.take_answer(event, clock_set.undisturbed())?,
                Some(config) = reloads.recv() => event_loop.reload(config)?,
                fired = on_alarm(&event_loop.alarm) => {
                    fired.map_err(AgentError::Alarm)?;
                    event_loop.say_alive();
                    event_loop.take(Event::Alarm)?;
                }
            }
        }
    }
    .await;
    // The unit goes on with the successor.
    if ended.as_ref().ok() != Some(&Successor::ItsProgram) {
        sd_notify::stopping();
    }
    event_loop.leave(&ended).await;
    ended
}

/// What the loop works with.
struct EventLoop {
    machine: Machine,
    alarm: AsyncFd<Alarm>,
    performer: Performer,
    page: GatePage,
    clockbound: Option<ClockBoundPage>,
    last_good: LastGood,
    /// What was proven in this boot, for the next agent or `sync` in it.
    known: ProofFile,
    /// Makes the records of what happens.
    recorder: Recorder,
    /// Where they are reported.
    outlets: Outlets,
    /// Who is held at the gate, for the records.
    held: HeldStarts,
    /// Callers that wait for the permission to sleep.
    sleepers: Vec<tokio::sync::oneshot::Sender<NoticeAnswer>>,
    watchdog: Watchdog,
    clock: Arc<SystemClock>,
    /// As it was seen last.
    kernel_leap: Leap,
    /// What is in force.
    config: Config,
    /// What of the configuration is not in force, as it was read last, and why.
    untaken: watch::Sender<Option<String>>,
}

impl EventLoop {
    /// Takes an event whose sender waits for the answer: for a sleep, until the machine may sleep.
    fn take_notice(&mut self, Notice { event, answer }: Notice) -> Result<(), AgentError> {
        if matches!(event, Event::Sleeping(_) | Event::Disrupted(Cause::Snapshot)) {
            self.sleepers.push(answer);
            return self.take(event);
        }
        let refusal =
            if let Event::StepByDate(date) = &event { self.machine.refuses_date(date, &clocks()) } else { None };
        self.take(event)?;
        // The caller may have disconnected.
        let _ = answer.send(refusal.map_or_else(|| Ok(self.machine.snapshot()), Err));
        Ok(())
    }

    fn take_all(&mut self, events: Vec<Event>) -> Result<(), AgentError> {
        events.into_iter().try_for_each(|event| self.take(event))
    }

    /// An answer, after what voids it.
    fn take_answer(&mut self, answer: Event, (voids, now): (Vec<Event>, Clocks)) -> Result<(), AgentError> {
        self.take_all(voids)?;
        self.step(answer, now)
    }

    /// The leap second that the kernel will make comes before what happened: a leap second is no step.
    fn take(&mut self, event: Event) -> Result<(), AgentError> {
        let flagged = adjtimex::read().map_or(Leap::None, |kernel| kernel.leap);
        if flagged != self.kernel_leap {
            self.kernel_leap = flagged;
            self.step(Event::KernelFlagged(flagged), clocks())?;
        }
        self.step(event, clocks())
    }

    /// One event: decide, publish, act.
    fn step(&mut self, event: Event, now: Clocks) -> Result<(), AgentError> {
        debug!(?event, "event");
        self.recorder.receive(&event);
        self.performer.heed(&event);
        let before = self.machine.snapshot();
        let actions = self.machine.step(event.clone(), now);
        let after = self.machine.snapshot();
        let woken = if after == before { 0 } else { self.publish(&before, &after) };
        let (machine, held) = (&self.machine, &self.held.seen());
        let walked = Walked { before: &before, after: &after, machine, actions: &actions, at: now, woken, held };
        let happened = self.recorder.record(&event, &walked);
        self.held.follow(&happened);
        happened.into_iter().for_each(|record| self.outlets.record(record));
        for action in actions {
            debug!(?action, "action");
            self.act(action);
        }
        self.prepare(&before, &after);
        if !self.machine.is_proving()
            && let Err(error) = self.known.note(self.machine.evidence())
        {
            warn!(%error, "cannot save the last proof to {}", self.known.path().display());
        }
        self.outlets.report(self.machine.is_under_way(), now.boot);
        let next = self.machine.alarm().min(self.watchdog.next()).min(self.outlets.due());
        self.alarm.get_ref().set(next).map_err(AgentError::Alarm)
    }

    /// New rules apply from the next answer on, new servers from the next question, what is frozen from the next freeze. A daemon
    /// that is found elsewhere is another one: then the clock is proven anew.
    fn reload(&mut self, read: Reread) -> Result<(), AgentError> {
        let new = match read {
            Ok(new) => new,
            Err(error) => {
                error!("{error}; the previous configuration stays in force");
                let faults: Vec<String> = error.faults.iter().map(ToString::to_string).collect();
                let untaken =
                    format!("cannot reload the configuration, the previous one stays in force: {}", faults.join("; "));
                self.untaken.send_replace(Some(untaken));
                return Ok(());
            }
        };
        let keeper = self.config.correction_settings();
        let waiting = self.config.reload(*new);
        let is_another_keeper = self.config.correction_settings() != keeper;
        let untaken = (!waiting.is_empty()).then(|| format!("restart the agent to apply {}", waiting.join(", ")));
        match &untaken {
            Some(untaken) => warn!("configuration reloaded; {untaken}"),
            None => info!("configuration reloaded"),
        }
        self.untaken.send_replace(untaken);
        if is_another_keeper {
            let corrector = Corrector::new(self.clock.clone(), self.config.correction_settings());
            self.performer = self.performer.with_corrector(corrector);
        }
        self.outlets.name_containers(self.config.history.containers);
        self.performer = self.performer.with(&self.config);
        self.performer.refresh();
        self.machine.set_policy(policy(&self.config));
        if is_another_keeper { self.take(Event::Disrupted(Cause::Requested)) } else { Ok(()) }
    }

    /// Publishes what has changed; says how many waiters that woke.
    fn publish(&mut self, before: &Snapshot, after: &Snapshot) -> u64 {
        if let Err(error) = self.page.publish(after) {
            error!(error = &error as &dyn std::error::Error, "the gate page is missing: readers do not see this gate");
        }
        let released = self.page.woken();
        self.publish_clockbound(after);
        if let Err(error) = self.last_good.note(after) {
            warn!(%error, "cannot save the last good time to {}", crate::decision::LAST_GOOD_FILE);
        }
        if before.gate != Gate::Proven && after.gate == Gate::Proven {
            self.performer.judge_rtc();
        }
        released
    }

    /// Each proof is an occasion to look who has come since; behind the thaw, if there is one.
    fn prepare(&self, before: &Snapshot, after: &Snapshot) {
        let is_new_proof = after.gate == Gate::Proven && after.as_of != before.as_of;
        if is_new_proof {
            self.performer.prepare_daemon();
        }
        if is_new_proof && self.machine.freezes() {
            let opens = before.gate != Gate::Proven;
            self.performer.prepare(if opens { Thoroughness::Anew } else { Thoroughness::WhatIsNew });
        }
    }

    fn say_alive(&mut self) {
        if let Some(until) = self.watchdog.alive(boottime())
            && let Err(error) = self.page.alive(until)
        {
            error!(error = &error as &dyn std::error::Error, "the gate page is missing: readers do not see this gate");
        }
    }

    fn publish_clockbound(&mut self, snapshot: &Snapshot) {
        if let Some(Err(error)) = self.clockbound.as_mut().map(|page| page.publish(snapshot)) {
            error!(error = &error as &dyn std::error::Error, "ClockBound's page is no longer written");
            self.clockbound = None;
        }
    }

    fn act(&mut self, action: Action) {
        match action {
            Action::AllowSleep => {
                for sleeper in self.sleepers.drain(..) {
                    let _ = sleeper.send(Ok(self.machine.snapshot()));
                }
            }
            // Its record is reported.
            Action::Warn(_) => {}
            Action::ResetDaemon(..)
            | Action::Measure(..)
            | Action::Step { .. }
            | Action::ResyncDaemon(_)
            | Action::AskDaemon(_)
            | Action::Freeze(..)
            | Action::Prolong(..)
            | Action::ThawCarriers(_)
            | Action::ThawTolerant(..)
            | Action::Thaw(_) => {
                self.performer.start(action, self.machine.state().gate());
            }
        }
    }

    /// The last state that is published: shut, since nothing watches the clock from here on.
    async fn leave(mut self, ended: &Result<Successor, AgentError>) {
        let why = match ended {
            Ok(_) => "it was stopped".to_owned(),
            Err(error) => in_full(error),
        };
        if let Err(error) = self.page.end(&why) {
            error!(error = &error as &dyn std::error::Error, "cannot write the end of the agent to the gate page");
        }
        if self.machine.may_be_frozen()
            && let Err(error) = self.performer.thaw_all().await
        {
            error!(error = &error as &dyn std::error::Error, "cannot thaw everything; run `clockgate thaw`");
        }
        if let Some(Err(error)) = self.clockbound.take().map(ClockBoundPage::retire) {
            warn!(error = &error as &dyn std::error::Error, "cannot write the end of the agent to ClockBound's page");
        }
        self.outlets.record(self.recorder.end(&self.machine, clocks()));
        self.outlets.end().await;
    }
}

/// The rules, with what the configuration does not say: whether this machine can stand still without a clock of it noticing.
fn policy(config: &Config) -> Policy {
    let has_witness = !phc::find(&config.root).is_empty() || vmclock::measure(&config.root).is_ok();
    let may_pause = hypervisor::can_be_paused(&config.root) && !has_witness;
    let (wanted, named) = (config.policy.min_references, &config.servers);
    let is_fixed = !named.is_empty() && !named.iter().any(ServerName::is_pool);
    if is_fixed && wanted > named.len() && !has_witness && !config.vsock.enabled {
        warn!(
            "min-references is {wanted}, servers names {}, and this machine has no hypervisor clock: add servers, or supply the time with `clockgate notify --time`",
            named.len()
        );
    }
    Policy { may_pause, ..config.policy.clone() }
}

/// ClockBound's page, if it is configured; the gate works without it all the same.
fn clockbound(config: &Config) -> Option<ClockBoundPage> {
    let page = config.clockbound.enabled.then(|| ClockBoundPage::open(&config.clockbound.path, &config.root))?;
    page.inspect_err(|error| error!(error = error as &dyn std::error::Error, "cannot write ClockBound's page")).ok()
}

/// Waits for the machine's alarm.
async fn on_alarm(alarm: &AsyncFd<Alarm>) -> io::Result<()> {
    loop {
        let mut ready = alarm.readable().await?;
        if let Ok(rang) = ready.try_io(|alarm| alarm.get_ref().rang()) {
            return rang;
        }
    }
}

//! Performing what the machine orders. Every action is a task of its own, and its outcome comes back as an event.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use tokio::sync::Mutex;
use tokio::sync::mpsc::Sender;
use tracing::{debug, warn};

use super::debounce::Gathered;
use super::default_servers::DefaultServers;
use crate::config::Config;
use crate::daemon::Corrector;
use crate::decision::{
    Action, Awake, ContainerList, ContainerText, Correction, Event, Fix, Floor, Forgotten, FreezeOutcome, Gate,
    OrderId, Samples, StepBy,
};
use crate::error_chain::in_full;
use crate::reference::caller::registry::Callers;
use crate::reference::http::{self, HttpQuestion, HttpUrl, TrustedAuthorities};
use crate::reference::local::rtc;
use crate::reference::{Hope, MEMORY_FILE, References, Security, Server, ServerName};
use crate::workload::{self, Thaw, Thoroughness, Workloads};

/// How long the daemon is waited for: after that it is asked again.
const DAEMON_WITHIN: Duration = Duration::from_secs(30);
/// What is not frozen by then is named, and the attempt continues: a sleep is held back for 4 s at most, a step for no longer.
const FREEZE_WITHIN: Duration = Duration::from_secs(2);

/// The performer of the machine.
#[derive(Clone, Debug)]
pub struct Performer {
    pub(super) corrector: Arc<Corrector>,
    pub(super) references: Arc<References>,
    pub(super) events: Sender<Event>,
    workloads: Arc<RwLock<Workloads>>,
    pub(super) callers: Callers,
    /// Held by who freezes or thaws: they take turns.
    turn: Arc<Mutex<()>>,
    /// The last freeze or thaw that was ordered: an earlier one is neither performed nor continued.
    last_order: Arc<AtomicU32>,
    pub(super) rules: Arc<ActionSettings>,
    /// The state of the gate when this was ordered.
    pub(super) gate: Gate,
    /// Whom we ask; none before that was found out.
    pub(super) asked: Arc<std::sync::Mutex<Option<Vec<Server>>>>,
    /// Where the servers come from when the configuration names none.
    pub(super) default_servers: Arc<std::sync::Mutex<DefaultServers>>,
    /// Held while that is being found out; a caller that already knows a server does not wait for it.
    pub(super) finding: Arc<Mutex<()>>,
    /// Held while web servers are asked.
    pub(super) web: Arc<Mutex<()>>,
    /// The refresh that a change of the network asks for.
    pub(super) refreshing: Gathered,
    /// What the RTC turned out to be worth at the last proof in this boot; none before that.
    rtc_worth: Arc<std::sync::Mutex<Option<rtc::Worth>>>,
}

#[derive(Debug)]
pub(super) struct ActionSettings {
    threshold: Duration,
    pub(super) measure_timeout: Duration,
    daemon_timeout: Duration,
    /// Empty: ask those of the daemon, or the default ones.
    pub(super) servers: Vec<ServerName>,
    pub(super) http_references: Vec<HttpUrl>,
    pub(super) security: Security,
    ca_file: Option<PathBuf>,
    floor: Floor,
    pub(super) root: PathBuf,
}

impl From<&Config> for ActionSettings {
    fn from(config: &Config) -> Self {
        Self {
            threshold: config.policy.threshold,
            measure_timeout: config.measure_timeout.min(config.policy.deadline),
            daemon_timeout: config.policy.deadline.min(DAEMON_WITHIN),
            servers: config.servers.clone(),
            http_references: config.http_references.clone(),
            security: config.security(),
            ca_file: config.ca_file.clone(),
            floor: config.policy.floor.clone(),
            root: config.root.clone(),
        }
    }
}

impl ActionSettings {
    /// How a web server's `Date` is asked for.
    pub(super) fn http_question(&self) -> Result<HttpQuestion, http::AuthoritiesError> {
        let authorities = TrustedAuthorities::load(self.ca_file.as_deref())?;
        Ok(HttpQuestion { timeout: self.measure_timeout, authorities, floor: self.floor.clone() })
    }
}

impl Performer {
    /// Hands that send what came of it to `events`.
    #[must_use]
    pub fn new(corrector: Corrector, events: Sender<Event>, config: &Config) -> Self {
        let references = References::new(config.servers.clone());
        references.secure(config.security());
        references.set_memory(config.root.join(MEMORY_FILE));
        Self {
            corrector: Arc::new(corrector),
            references: Arc::new(references),
            events,
            callers: Callers::default(),
            workloads: Arc::new(RwLock::new(Workloads::new(config.workload_settings()))),
            turn: Arc::default(),
            last_order: Arc::default(),
            rules: Arc::new(ActionSettings::from(config)),
            gate: Gate::Shut,
            asked: Arc::default(),
            default_servers: Arc::default(),
            finding: Arc::default(),
            web: Arc::default(),
            refreshing: Gathered::default(),
            rtc_worth: Arc::new(std::sync::Mutex::new(None)),
        }
    }

    /// The callers that notified us and can be asked for the time.
    pub(super) fn callers(&self) -> Callers {
        self.callers.clone()
    }

    /// The same performer under new rules.
    #[must_use]
    pub fn with(&self, config: &Config) -> Self {
        heed_authority(&self.corrector, config);
        let performer = Self { rules: Arc::new(ActionSettings::from(config)), ..self.clone() };
        performer.references.secure(performer.rules.security.clone());
        performer.settle(config.workload_settings());
        performer
    }

    /// The same performer, with a daemon that is found elsewhere.
    #[must_use]
    pub fn with_corrector(&self, corrector: Corrector) -> Self {
        Self { corrector: Arc::new(corrector), ..self.clone() }
    }

    /// What is ordered from now on is done by these settings; in the background, behind what was ordered before.
    fn settle(&self, settings: workload::FreezeSettings) {
        let performer = self.clone();
        tokio::spawn(async move {
            let _turn = performer.turn.lock().await;
            let workloads = performer.workloads.clone();
            let set = move || workloads.write().unwrap_or_else(PoisonError::into_inner).set(settings);
            // It does not panic, and nothing cancels it.
            let _ = tokio::task::spawn_blocking(set).await;
        });
    }

    /// Freezing, thawing and looking take turns by themselves; only other settings want them to have ended.
    fn workloads(&self) -> RwLockReadGuard<'_, Workloads> {
        self.workloads.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Starts an action in this state of the gate. Publishing is not among them: the event loop does that before the actions.
    pub fn start(&self, action: Action, gate: Gate) {
        if let Action::Freeze(order, _) | Action::Thaw(order) = &action {
            self.last_order.store(order.number, Ordering::Relaxed);
        }
        let performer = Self { gate, ..self.clone() };
        tokio::spawn(async move {
            if let Some(event) = performer.perform(action).await {
                // The loop has ended; so does what it ordered.
                let _ = performer.events.send(event).await;
            }
        });
    }

    async fn perform(&self, action: Action) -> Option<Event> {
        Some(match action {
            Action::ResetDaemon(epoch, samples) => {
                let forget = async {
                    match samples {
                        Samples::Good if self.has_no_server() => self.corrector.look().await,
                        Samples::Good => self.corrector.forget_again().await,
                        Samples::Void => self.corrector.forget().await,
                    }
                };
                let (rtc, forgotten) = tokio::join!(self.rtc(), forget);
                let hope = if self.rules.servers.is_empty() { Hope::AfterKeys } else { Hope::BeforeKeys };
                let has_keys = self.references.may_authenticate(hope);
                let only_source = self.only_source().await;
                Event::Forgotten(epoch, Forgotten { rtc, only_source, has_keys, ..forgotten })
            }
            Action::Measure(epoch, round, StepBy::Own) => {
                self.ask(epoch, round).await;
                return None;
            }
            Action::Measure(epoch, round, StepBy::Daemon) => {
                let patience = self.only_source().await.unwrap_or(self.rules.daemon_timeout);
                Event::Measured(epoch, round, self.corrector.measure(patience).await)
            }
            Action::Step { order, way, offset, as_of, local } => {
                Event::Stepped(order, self.corrector.step(way, offset, local, as_of).await)
            }
            Action::ResyncDaemon(epoch) => Event::HandedOver(epoch, self.corrector.hand_over().await),
            Action::AskDaemon(epoch) => Event::DaemonAsked(epoch, self.corrector.ask(self.rules.threshold).await),
            Action::Freeze(order, until) => Event::Frozen(order, self.freeze(order, until).await?),
            Action::Prolong(order, until) => {
                self.prolong(order, until).await;
                return None;
            }
            Action::ThawCarriers(order) => Event::CarriersThawed(order, self.thaw_carriers(order).await?),
            Action::ThawTolerant(order, tolerance) => {
                let thawed = self.in_turn(order, move |workloads| workloads.thaw_tolerant(tolerance)).await?;
                Event::TolerantThawed(order, thawed)
            }
            Action::Thaw(order) => Event::Thawed(order, self.thaw(order).await?),
            Action::AllowSleep | Action::Warn(_) => return None,
        })
    }

    /// How long to wait for the daemon, where it has sources and no other reference can be asked.
    async fn only_source(&self) -> Option<Duration> {
        if !self.has_no_server() {
            return None;
        }
        Some(self.corrector.four_polls().await.unwrap_or_default().max(self.rules.daemon_timeout))
    }

    async fn freeze(&self, order: OrderId, until: Awake) -> Option<FreezeOutcome> {
        let frozen = self.in_turn(order, move |workloads| workloads.freeze(FREEZE_WITHIN, until)).await?;
        Some(frozen.unwrap_or_else(|why| FreezeOutcome { stuck: vec![why], ..FreezeOutcome::default() }))
    }

    async fn prolong(&self, order: OrderId, until: Awake) {
        if let Some(Err(why)) = self.in_turn(order, move |workloads| workloads.prolong(until)).await {
            warn!(epoch = order.epoch.get(), "cannot extend the time of the guard, it may thaw too early: {why}");
        }
    }

    /// Between two waves the turn is free: a freeze that is ordered meanwhile ends this thaw.
    async fn thaw(&self, order: OrderId) -> Option<Result<(), ContainerText>> {
        let mut thaw = Thaw::default();
        loop {
            let wave = move |workloads: &Workloads| {
                let pause = workloads.thaw_wave(&mut thaw)?;
                if pause.is_some() { Ok((thaw, pause)) } else { thaw.outcome().map(|_| (Thaw::default(), None)) }
            };
            match self.in_turn(order, wave).await? {
                Ok((_, None)) => return Some(Ok(())),
                Ok((rest, Some(pause))) => {
                    thaw = rest;
                    tokio::time::sleep(pause).await;
                }
                Err(why) => return Some(Err(why)),
            }
        }
    }

    async fn thaw_carriers(&self, order: OrderId) -> Option<Result<ContainerList, ContainerText>> {
        self.in_turn(order, Workloads::thaw_carriers).await
    }

    /// Works on the containers when the turn comes; not at all when a later order has overtaken this one by then.
    async fn in_turn<T: Send + 'static>(
        &self,
        order: OrderId,
        work: impl FnOnce(&Workloads) -> Result<T, workload::WorkloadError> + Send + 'static,
    ) -> Option<Result<T, ContainerText>> {
        let _turn = self.turn.lock().await;
        if self.last_order.load(Ordering::Relaxed) != order.number {
            return None;
        }
        let performer = self.clone();
        let outcome = tokio::task::spawn_blocking(move || work(&performer.workloads())).await;
        Some(match outcome {
            Ok(outcome) => outcome.map_err(|error| error.text()),
            // It ended in a panic, which may say anything.
            Err(error) => Err(ContainerText::default().private(error.to_string(), "the work was not done")),
        })
    }

    /// Thaws what is frozen, ours or left by an agent before us, behind what is under way. What was ordered before and has not begun is
    /// not performed any more.
    pub(super) async fn thaw_all(&self) -> Result<(), workload::WorkloadError> {
        self.last_order.store(u32::MAX, Ordering::Relaxed);
        // A freeze whose turn it is has not begun for sure: behind our thaw it would be the last.
        let _turn = self.turn.lock().await;
        self.workloads().thaw_at_once().map(drop)
    }

    /// Gets ready for the next freeze, in the background, after what was ordered before.
    pub(super) fn prepare(&self, thoroughness: Thoroughness) {
        let performer = self.clone();
        tokio::spawn(async move {
            let _turn = performer.turn.lock().await;
            let at_work = performer.clone();
            let outcome = tokio::task::spawn_blocking(move || at_work.workloads().prepare(thoroughness)).await;
            // A freeze would fail as well, and its failure is reported.
            if let Ok(Err(error)) = outcome {
                debug!(error = in_full(&error), "not ready to freeze");
            }
        });
    }

    /// The clock was just proven right: what the daemon says of its sources is remembered, in the background.
    pub(super) fn prepare_daemon(&self) {
        let corrector = self.corrector.clone();
        tokio::spawn(async move { corrector.prepare().await });
    }

    /// What the RTC says, as far as it is worth believing.
    async fn rtc(&self) -> Option<Fix> {
        let rules = self.rules.clone();
        let read = tokio::task::spawn_blocking(move || rtc::evidence(&rules.root)).await.ok()?;
        let reading = read.inspect_err(|error| debug!(%error, "cannot read the RTC")).ok()?;
        // Believed until it was judged, but it refutes nothing until then.
        let judged = *self.rtc_worth.lock().unwrap_or_else(PoisonError::into_inner);
        let believed = rtc::believed(reading, judged.unwrap_or(rtc::Worth::Right))?;
        let found_right = judged.is_some();
        Some(Fix { at: believed.as_of, truth: believed.local + believed.offset, found_right })
    }

    /// The clock was just proven right: what is the RTC worth? Found out in the background.
    pub(super) fn judge_rtc(&self) {
        let (rules, worth) = (self.rules.clone(), self.rtc_worth.clone());
        tokio::task::spawn_blocking(move || {
            if let Ok(reading) = rtc::evidence(&rules.root) {
                *worth.lock().unwrap_or_else(PoisonError::into_inner) = Some(rtc::worth(&reading));
            }
        });
    }
}

/// Where `servers:` or `correction:` is configured, what the daemon reported of authentication before does not count. For the
/// agent alone: servers that an operator names once (`clockgate sync SERVER`) are no configuration.
pub(super) fn heed_authority(corrector: &Corrector, config: &Config) {
    if config.servers.is_empty() && config.policy.correction != Correction::Clockgate {
        corrector.remember_authority();
    } else {
        corrector.forget_authority();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::sys::step::SystemClock;
    use std::future::Future as _;
    use std::pin::pin;
    use std::task::{Context, Waker};

    #[tokio::test]
    async fn the_last_thaw_comes_after_a_freeze_whose_turn_it_is() {
        let root = tempfile::tempdir().unwrap();
        std::fs::create_dir(root.path().join("etc")).unwrap();
        let config = Config::unread(root.path());
        let (events, _inbox) = tokio::sync::mpsc::channel(1);
        let corrector = Corrector::new(Arc::new(SystemClock::new()), config.correction_settings());
        let performer = Performer::new(corrector, events, &config);
        let frozen = performer.turn.clone().lock_owned().await;
        let mut thaws = pin!(performer.thaw_all());
        assert!(thaws.as_mut().poll(&mut Context::from_waker(Waker::noop())).is_pending());
        drop(frozen);
        // Below this root nothing was ever frozen; there is no ledger to be had either.
        let _ = thaws.await;
        let order = OrderId { epoch: crate::decision::Epoch::default(), number: 7 };
        assert!(performer.in_turn(order, |_| Ok(())).await.is_none(), "what was ordered before is over");
    }
}

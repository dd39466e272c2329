//! Asking the references: whom, and how what they say comes back. Nothing here waits for a name, a bus or a daemon where an
//! address is known.

use std::ops::ControlFlow;
use std::sync::{MutexGuard, PoisonError};
use std::time::Duration;

use tracing::{info, warn};

use super::default_servers::{DefaultServers, names};
use super::perform::{ActionSettings, Performer};
use crate::decision::{AwaitedSource, Cause, Epoch, Event, Failure, HttpDate, Measurement, Round};
use crate::error_chain::in_full;
use crate::reference::http;
use crate::reference::{PendingAnswer, Question, Server, caller};
use crate::sys::clock::boottime;

/// A link that comes up brings thirty addresses in half a second, which are reported at once and a second later: one refresh of names and
/// of servers is enough for them.
const NETWORK_SETTLES: Duration = Duration::from_millis(1200);

/// The first `Date` that a configured web server has for us; who has none is named.
fn first_date(rules: &ActionSettings) -> Option<HttpDate> {
    let question =
        rules.http_question().inspect_err(|error| info!("cannot ask http-references: {}", in_full(error))).ok()?;
    rules.http_references.iter().find_map(|url| {
        let measured = http::measure(url, &question);
        measured.inspect_err(|error| info!(source = %url, "no Date: {}", in_full(error))).ok()
    })
}

impl Performer {
    /// What an event means for whom we ask, and for what is known of them.
    pub(super) fn heed(&self, event: &Event) {
        // Another machine may have been made of the same snapshot, and have the same keys.
        if let Event::Disrupted(Cause::Restore(_)) = event {
            self.references.renew_keys();
        }
        match event {
            Event::Started => self.refresh(),
            Event::NetworkChanged => {
                self.references.network_changed();
                // Whom we know is asked at once, and names that were never found are looked up with them.
                let performer = self.clone();
                self.refreshing.after(NETWORK_SETTLES, move || {
                    performer.references.refresh();
                    performer.refresh();
                });
            }
            Event::Disrupted(Cause::Resume { .. } | Cause::Restore(_) | Cause::Pause { .. }) | Event::Woken(_) => {
                self.references.network_changed();
                // No matter what was asked before: a real disruption has its two exchanges.
                self.references.replenish();
            }
            Event::Disrupted(_)
            | Event::Sleeping(_)
            | Event::Forgotten(..)
            | Event::Measured(..)
            | Event::Stepped(..)
            | Event::HandedOver(..)
            | Event::DaemonAsked(..)
            | Event::Frozen(..)
            | Event::Thawed(..)
            | Event::CarriersThawed(..)
            | Event::TolerantThawed(..)
            | Event::Hinted(..)
            | Event::Dated(..)
            | Event::Accepted
            | Event::Reckon
            | Event::StepByDate(_)
            | Event::SourceLost(_)
            | Event::Unseen(_)
            | Event::KernelFlagged(_)
            | Event::Alarm => {}
        }
    }

    /// Asks every reference at once, and passes each answer on as it arrives.
    pub(super) async fn ask(&self, epoch: Epoch, round: Round) {
        let question = self.question().await;
        let (references, events) = (self.references.clone(), self.events.clone());
        let ask = move || {
            let mut is_answered = false;
            references.ask(question, &mut |measurement| {
                is_answered |= !measurement.readings.is_empty();
                // The loop has ended; so does what it ordered.
                match events.blocking_send(Event::Measured(epoch, round, measurement)) {
                    Ok(()) => ControlFlow::Continue(()),
                    Err(_) => ControlFlow::Break(()),
                }
            });
            is_answered
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        if let Err(error) = &asked {
            let failure = Failure::remark("every server", format!("the exchange failed: {error}"));
            let measurement = Measurement { failures: vec![failure], ..Measurement::default() };
            let _ = self.events.send(Event::Measured(epoch, round, measurement)).await;
        }
        // The daemon may have a road that we have not, and so may the web.
        if !asked.unwrap_or(false) {
            if let Some(hint) = self.corrector.hint().await {
                let _ = self.events.send(Event::Hinted(epoch, hint)).await;
            }
            self.ask_the_web(epoch);
        }
        // For the next time: the daemon may have others by now.
        self.find_servers().await;
    }

    /// Asks the web servers that were configured for their `Date`, in the background: one that answers is enough. It takes seconds, so
    /// there is no second question beside one that is under way.
    fn ask_the_web(&self, epoch: Epoch) {
        if self.rules.http_references.is_empty() {
            return;
        }
        let Ok(turn) = self.web.clone().try_lock_owned() else { return };
        let performer = self.clone();
        tokio::spawn(async move {
            let rules = performer.rules.clone();
            let asked = tokio::task::spawn_blocking(move || first_date(&rules)).await;
            if let Ok(Some(date)) = asked {
                let _ = performer.events.send(Event::Dated(epoch, date)).await;
            }
            drop(turn);
        });
    }

    /// Asks every reference once, until no answer is outstanding.
    pub(super) async fn measure(&self) -> Measurement {
        let question = self.question().await;
        let references = self.references.clone();
        let ask = move || {
            // Who asks once would rather wait for a name than do without its server.
            references.resolve(question.timeout);
            references.measure(question)
        };
        let asked = tokio::task::spawn_blocking(ask).await;
        asked.unwrap_or_else(|error| {
            let failure = Failure::remark("every server", format!("the exchange failed: {error}"));
            Measurement { failures: vec![failure], ..Measurement::default() }
        })
    }

    async fn question(&self) -> Question {
        if self.asked().is_none() {
            self.find_servers().await;
        }
        Question {
            timeout: self.rules.measure_timeout,
            gate: self.gate,
            hardware: Some(self.rules.root.clone()),
            callers: self.ask_callers(),
        }
    }

    /// Who is on the line is asked beside the servers.
    fn ask_callers(&self) -> Vec<PendingAnswer> {
        let Some((source, voice)) = self.callers.on_the_line() else { return vec![] };
        let waiting = AwaitedSource { source: source.to_owned(), voice };
        let (answer, asked) = match caller(waiting) {
            Ok(ends) => ends,
            Err(error) => {
                warn!(%error, "cannot ask {source} for the time");
                return vec![];
            }
        };
        let (callers, within) = (self.callers.clone(), self.rules.measure_timeout);
        tokio::spawn(async move {
            if let Some(outcome) = callers.measure(within).await {
                answer.give(outcome);
            }
        });
        vec![asked]
    }

    /// Finds out whom to ask and where they are, in the background: the network or the daemon may have changed.
    pub fn refresh(&self) {
        let performer = self.clone();
        tokio::spawn(async move { performer.find_servers().await });
    }

    /// What did not change costs a look at the daemon and no word.
    async fn find_servers(&self) {
        let _turn = self.finding.lock().await;
        let servers: Vec<Server> = if self.rules.servers.is_empty() {
            let of_the_daemon = self.corrector.servers().await;
            let Some(servers) = self.default_servers().update(&self.rules.root, of_the_daemon, boottime()) else {
                return;
            };
            servers
        } else {
            *self.default_servers() = DefaultServers::default();
            self.rules.servers.iter().cloned().map(Server::from).collect()
        };
        let before = self.asked().clone();
        if before.as_ref() == Some(&servers) {
            return;
        }
        self.references.set_servers(servers.clone());
        // A pool's addresses come and go with the daemon; DNS is asked for other names only.
        if before.as_deref().map(names) != Some(names(&servers)) {
            self.references.refresh();
        }
        *self.asked() = Some(servers);
    }

    /// Whether it was found out that there is no server to ask: the daemon has sources, and none of them can be asked directly.
    pub(super) fn has_no_server(&self) -> bool {
        self.asked().as_ref().is_some_and(Vec::is_empty)
    }

    fn default_servers(&self) -> MutexGuard<'_, DefaultServers> {
        self.default_servers.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn asked(&self) -> MutexGuard<'_, Option<Vec<Server>>> {
        self.asked.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

//! All the NTP servers that this host asks, as one thing to ask.

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use crate::decision::Measurement;
use crate::reference::exchange::exchange;
use crate::reference::ntp::address_file::AddressFile;
use crate::reference::ntp::association::KeyRing;
use crate::reference::ntp::security::Security;
use crate::reference::ntp::server::Server;
use crate::reference::ntp::server_pool::{Hope, ServerPool};
use crate::reference::question::Question;
use crate::reference::shared::Shared;
use crate::sys::clock::boottime;

/// The references of this host. Any number of threads may call; those calls that block say so.
#[derive(Debug)]
pub struct References {
    shared: Arc<Shared>,
}

impl References {
    /// These servers; nothing is asked yet, and no name is looked up.
    #[must_use]
    pub fn new<S: Into<Server>>(servers: Vec<S>) -> Self {
        let references = Self { shared: Arc::default() };
        references.set_servers(servers);
        references
    }

    /// Replaces the servers. What is known of those that stay is kept; who refused to be asked is asked anew.
    pub fn set_servers<S: Into<Server>>(&self, servers: Vec<S>) {
        self.shared.pool().set(servers.into_iter().map(Into::into).collect(), boottime());
    }

    /// How servers prove who they are from now on. Reads the file of keys, if one is named. Keys that were exchanged are kept, but for a
    /// change of what they rest on.
    pub fn secure(&self, security: Security) {
        let keys = KeyRing::of(&security);
        let mut pool = self.shared.pool();
        pool.secure(security.authentication, keys);
        let before = std::mem::replace(&mut *self.shared.security(), security.clone());
        if before != security {
            pool.forget_keys();
        }
    }

    /// Forgets the keys that were exchanged, and exchanges new ones in the background: after a restore another machine may have the
    /// same.
    pub fn renew_keys(&self) {
        self.shared.pool().forget_keys();
        let names = self.shared.pool().take_new_names();
        self.shared.look_up(names);
    }

    /// Whether an authenticated server can be asked, as far as is known.
    #[must_use]
    pub fn may_authenticate(&self, hope: Hope) -> bool {
        self.shared.pool().may_authenticate(hope)
    }

    /// Keeps the last addresses of every name in this file, and asks at those that are there until a name is found anew. Reads
    /// the file; it is written in the background, by a look-up that found something new.
    pub fn set_memory(&self, path: PathBuf) {
        let memory = AddressFile::read(path);
        self.shared.pool().remember(memory.names());
        *self.shared.memory() = memory;
    }

    /// Begins to look every name up again, and does not block. A name that does not resolve keeps the addresses it had. A server that
    /// refused to be asked is asked anew.
    pub fn refresh(&self) {
        let names = self.shared.pool().take_names();
        self.shared.look_up(names);
    }

    /// Looks every name up again and blocks until all have been, or until the deadline: for who asks once. What comes later
    /// counts all the same.
    pub fn resolve(&self, deadline: Duration) {
        self.refresh();
        // Condvars count awake time alone: a sleep meanwhile prolongs the wait, and what is found after it is fresh.
        let still = |pool: &mut ServerPool| pool.is_resolving();
        drop(self.shared.looked_up.wait_timeout_while(self.shared.pool(), deadline, still));
    }

    /// The network is another, or the machine slept: how long the servers took to answer means nothing any more.
    pub fn network_changed(&self) {
        self.shared.pool().void_delays();
    }

    /// After a disruption that was real each server may be asked twice, regardless of earlier questions.
    pub fn replenish(&self) {
        self.shared.pool().replenish(boottime());
    }

    /// Asks every reference at once. Blocks until all have answered, until `report` breaks off, or until the timeout.
    ///
    /// `report` is given the whole of what is known: first when something is, then whenever something came (what is there
    /// together is reported together), whenever a reference has been waited for long enough, and at the end; the last time with
    /// no answer outstanding. A reference that is no longer waited for is a failure, and its late answer still counts. A server is waited
    /// for three times the largest of its last eight delays, 300 ms at least, and 1 s if it did not answer since they were void,
    /// until that was in vain three times while others answered; but as long as none at all has answered, all are waited for until
    /// the timeout.
    ///
    /// No look-up is waited for unless no address is known; then each server is asked as soon as it is found.
    pub fn ask(&self, question: Question, report: &mut dyn FnMut(Measurement) -> ControlFlow<()>) {
        exchange(&self.shared, question, report);
    }

    /// Asks every reference once and blocks until no answer is waited for any longer.
    #[must_use]
    pub fn measure(&self, question: impl Into<Question>) -> Measurement {
        let mut last = Measurement::default();
        self.ask(question.into(), &mut |measurement| {
            last = measurement;
            if last.waiting.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        });
        last
    }
}

#[cfg(test)]
mod tests;

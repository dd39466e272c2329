//! Who may join an exchange without being a server that we asked: names that are being looked up, and callers.

use std::time::Duration;

use super::caller::pending_answer::PendingAnswer;
use super::ntp::server_name::ServerName;
use super::ntp::server_pool::Unresolved;
use crate::decision::{AwaitedSource, Failure, Reading, Voice};

/// How long keys are waited for once one reference has answered: connection, TLS, question and answer are four round trips.
pub const PATIENCE_KEYS: Duration = Duration::from_secs(3);
/// How long they are waited for once one reference has answered: as long as a server that never answered.
pub const PATIENCE_OTHERS: Duration = Duration::from_secs(1);

/// Who may still join.
#[derive(Debug)]
pub struct Joining {
    names: Vec<Name>,
    /// Those who have not answered.
    callers: Vec<PendingAnswer>,
    callers_are_waited_for: bool,
}

/// A name whose look-up may add a server.
#[derive(Debug)]
pub struct Name {
    /// The name.
    pub name: ServerName,
    /// Whether a server is asked for it meanwhile, at an address known otherwise.
    pub is_asked: bool,
    /// Whether it is waited for: where no address was known, and where its server proves who it is.
    is_waited_for: bool,
}

impl Joining {
    /// These names, which are waited for where no address is known or where their servers prove who they are, and these callers, which always are.
    pub fn new(names: &[Unresolved], no_address_is_known: bool, callers: Vec<PendingAnswer>) -> Self {
        let name = |unresolved: &Unresolved| {
            let Unresolved { name, is_asked } = unresolved.clone();
            let is_waited_for = no_address_is_known || (name.is_authenticated() && !is_asked);
            Name { name, is_asked, is_waited_for }
        };
        Self { names: names.iter().map(name).collect(), callers, callers_are_waited_for: true }
    }

    /// Whether no server can join any more.
    pub const fn have_ended(&self) -> bool {
        self.names.is_empty() && self.callers.is_empty()
    }

    /// Whether one of them is waited for.
    pub fn are_waited_for(&self) -> bool {
        self.names_are_waited_for() || (self.callers_are_waited_for && !self.callers.is_empty())
    }

    /// Whether no address was known, and a look-up is waited for.
    pub fn names_are_waited_for(&self) -> bool {
        self.names.iter().any(|n| n.is_waited_for)
    }

    /// How long they are waited for once one reference has answered.
    pub fn patience(&self) -> Duration {
        let waits_for_keys = self.names.iter().any(|n| n.is_waited_for && n.name.is_authenticated());
        if waits_for_keys { PATIENCE_KEYS } else { PATIENCE_OTHERS }
    }

    /// The keys of this server, which was asked already, are exchanged anew.
    pub fn await_keys(&mut self, name: ServerName) {
        self.names.push(Name { name, is_asked: true, is_waited_for: true });
    }

    /// Ends the wait for all, and still accepts their answers; returns whether that changed anything.
    pub fn give_up(&mut self) -> bool {
        let changes = self.are_waited_for();
        self.names.iter_mut().for_each(|name| name.is_waited_for = false);
        self.callers_are_waited_for = false;
        changes
    }

    /// Those to listen to.
    pub fn callers(&self) -> impl Iterator<Item = &PendingAnswer> {
        self.callers.iter()
    }

    /// What callers have answered.
    pub fn receive_callers(&mut self) -> Vec<Result<Reading, Failure>> {
        let mut outcomes = vec![];
        self.callers.retain(|caller| match caller.receive() {
            None => true,
            Some(outcome) => {
                outcomes.push(outcome);
                false
            }
        });
        outcomes
    }

    /// The names, to see what became of each; those of which nothing has are to be kept.
    pub fn take_names(&mut self) -> Vec<Name> {
        std::mem::take(&mut self.names)
    }

    /// Nothing has become of it yet.
    pub fn keep(&mut self, name: Name) {
        self.names.push(name);
    }

    /// Who is waited for.
    pub fn waiting(&self) -> impl Iterator<Item = AwaitedSource> {
        let names = self.names.iter().filter(|n| n.is_waited_for && !n.is_asked).map(Name::waiting);
        let callers = self.callers.iter().filter(|_| self.callers_are_waited_for).map(|c| c.waiting.clone());
        names.chain(callers)
    }

    /// Who no longer is, and has not joined.
    pub fn failures(&self) -> impl Iterator<Item = Failure> {
        let names = self.names.iter().filter(|n| !n.is_waited_for);
        let names = names.filter_map(|name| name.failure("its name is still being resolved"));
        let callers = self.callers.iter().filter(|_| !self.callers_are_waited_for);
        names.chain(callers.map(|caller| caller.failure("does not answer")))
    }
}

impl Name {
    /// That no server is asked for it; none where one is.
    pub fn failure(&self, why: &str) -> Option<Failure> {
        let voice = Some(Voice::server(self.name.to_string()));
        (!self.is_asked).then(|| Failure { voice, asked: false, ..Failure::remark(self.name.to_string(), why) })
    }

    fn waiting(&self) -> AwaitedSource {
        AwaitedSource { source: self.name.to_string(), voice: Voice::server(self.name.to_string()) }
    }
}

//! Who can be asked: the servers, their addresses, and what is known of each. No I/O and no clock.

mod entry;

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

pub use self::entry::LookUp;
use self::entry::PoolEntry;
use crate::decision::{AuthenticationPolicy, Boottime, Failure, Gate, Voice};
use crate::reference::ntp::address::Address;
use crate::reference::ntp::association::{Association, KeyRing};
use crate::reference::ntp::nts::session::Session;
use crate::reference::ntp::resolver::label;
use crate::reference::ntp::server::Server;
use crate::reference::ntp::server_name::{ServerName, ServerProof};

/// The most addresses asked of one name.
const MOST_OF_A_NAME: usize = 4;
/// As many addresses are asked at once, all names together, unless there are more names: a public pool is a gift.
const ENOUGH: usize = 8;
/// How long no keys are asked for after that failed, doubled with each failure (RFC 8915 section 4.2 wants it so), and at most. An
/// operator's order and another network are no such wait.
const KEYS_AGAIN_FIRST: Duration = Duration::from_secs(2);
const KEYS_AGAIN_LAST: Duration = Duration::from_secs(128);

/// The servers, in the order they were named.
#[derive(Debug, Default)]
pub struct ServerPool {
    entries: Vec<PoolEntry>,
    /// What is known of each address that was asked, under whichever name.
    addresses: HashMap<SocketAddr, Address>,
    /// Where each name was last found, in this life or an earlier one.
    remembered: HashMap<ServerName, Vec<SocketAddr>>,
    /// Whether plain servers are asked.
    authentication: AuthenticationPolicy,
    keys: KeyRing,
}

/// Whether a server counts as one that can be asked before keys were ever exchanged with it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Hope {
    /// An operator named it.
    BeforeKeys,
    /// It was found out: at another port, or by an authority of the daemon's own, its keys may be out of our reach.
    AfterKeys,
}

/// A server to ask, whose bucket is one question emptier.
#[derive(Clone, Debug)]
pub struct InvitedServer {
    /// As it was configured.
    pub name: ServerName,
    /// Under what it is asked.
    pub association: Association,
    /// Where.
    pub socket: SocketAddr,
    /// Who that is, for people.
    pub label: String,
    /// Whom its answer counts for.
    pub voice: Voice,
    /// How long it is waited for.
    pub patience: Duration,
    /// When a question can be taken for lost; zero for a server that never answered.
    pub lost_after: Duration,
    /// Whether the time daemon asks it as well.
    pub is_the_daemons: bool,
}

/// Whom to ask now.
#[derive(Clone, Debug, Default)]
pub struct Invited {
    /// Those who are asked.
    pub targets: Vec<InvitedServer>,
    /// Who is not asked and why.
    pub failures: Vec<Failure>,
    /// The names whose look-up may add a server.
    pub names: Vec<Unresolved>,
}

/// A name that was never resolved since we began.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unresolved {
    /// The name.
    pub name: ServerName,
    /// Whether a server is asked for it, at an address known otherwise.
    pub is_asked: bool,
}

impl ServerPool {
    /// Replaces the servers; what is known of those that stay is kept, and who refused us is asked anew.
    pub fn set(&mut self, servers: Vec<Server>, now: Boottime) {
        let mut old = std::mem::take(&mut self.entries);
        for server in servers {
            if self.entry(&server.name).is_some() {
                continue;
            }
            let entry = match old.iter().position(|e| e.server.name == server.name) {
                Some(at) => PoolEntry { server, ..old.swap_remove(at) },
                None => PoolEntry::new(server),
            };
            self.entries.push(entry);
        }
        self.addresses.values_mut().for_each(Address::forgive);
        self.recall();
        self.tidy(now);
    }

    /// What names were found at in an earlier life; those not resolved in this one are asked there.
    pub fn remember(&mut self, names: &[(ServerName, Vec<SocketAddr>)]) {
        self.remembered.extend(names.iter().cloned());
        self.recall();
    }

    /// How servers prove who they are from now on.
    pub fn secure(&mut self, authentication: AuthenticationPolicy, keys: KeyRing) {
        (self.authentication, self.keys) = (authentication, keys);
    }

    /// Every name that is no address, marked from now on as being looked up; who refused us is asked anew. Keys that are good are kept.
    pub fn take_names(&mut self) -> Vec<ServerName> {
        self.addresses.values_mut().for_each(Address::forgive);
        self.entries.iter_mut().for_each(|e| e.not_before = Boottime::default());
        self.entries.iter_mut().for_each(|e| e.is_due_again = e.is_under_way);
        self.take(|entry| !entry.has_keys())
    }

    /// The names that were never looked up, marked from now on as being so; and those whose cookies run out.
    pub fn take_new_names(&mut self) -> Vec<ServerName> {
        self.take(|entry| entry.standing() == LookUp::Never || entry.is_running_out())
    }

    /// The names that were looked up in vain, or never, marked from now on as being so.
    pub fn take_unfound_names(&mut self, now: Boottime) -> Vec<ServerName> {
        self.take(|entry| (entry.standing() != LookUp::Found && entry.not_before <= now) || entry.is_running_out())
    }

    /// The name whose server can no longer read its cookies, marked as being looked up.
    pub fn take_void(&mut self, name: &ServerName) -> Option<ServerName> {
        self.take(|entry| entry.server.name == *name && entry.standing() == LookUp::Never).pop()
    }

    fn take(&mut self, which: impl Fn(&PoolEntry) -> bool) -> Vec<ServerName> {
        let asks_plain = self.authentication != AuthenticationPolicy::Require;
        let entries = self.entries.iter_mut().filter(|e| asks_plain || e.server.name.is_authenticated());
        entries.filter(|entry| which(entry)).filter_map(PoolEntry::take_name).collect()
    }

    /// Forgets every key that was exchanged: the machine's memory was copied.
    pub fn forget_keys(&mut self) {
        for entry in &mut self.entries {
            entry.session = None;
            // Under way are those of the machine that was copied.
            entry.is_due_again = entry.is_under_way && entry.server.name.proof() == ServerProof::Nts;
        }
    }

    /// The names of those who prove who they are.
    pub fn authenticated(&self) -> impl Iterator<Item = String> {
        self.entries.iter().map(|e| &e.server.name).filter(|name| name.is_authenticated()).map(ToString::to_string)
    }

    /// Whether one of them can be asked, as far as is known.
    pub fn may_authenticate(&self, hope: Hope) -> bool {
        self.entries.iter().any(|entry| match entry.server.name.proof() {
            ServerProof::None => false,
            ServerProof::Nts => {
                entry.has_keys() || (entry.in_vain == 0 && (entry.was_keyed || hope == Hope::BeforeKeys))
            }
            ServerProof::Key(id) => self.keys.key(id).is_ok(),
        })
    }

    /// Whether plain servers wait until no authenticated one has answered.
    pub fn holds_plain_back(&self) -> bool {
        self.authentication == AuthenticationPolicy::Prefer && self.authenticated().next().is_some()
    }

    /// What came of exchanging keys, and whether another exchange is to begin.
    pub fn exchanged(
        &mut self,
        name: &ServerName,
        found: Result<(Vec<SocketAddr>, Session), String>,
        now: Boottime,
    ) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|e| e.server.name == *name) else { return false };
        match found {
            // What was under way when the keys were to be forgotten is forgotten as well.
            Ok(_) if entry.is_due_again => self.resolved(name, Err("keys are exchanged anew".to_owned()), now),
            Ok((sockets, session)) => {
                (entry.session, entry.in_vain, entry.was_keyed) = (Some(Arc::new(session)), 0, true);
                entry.found = sockets;
                entry.look_up = LookUp::Found;
                entry.is_under_way = false;
                self.tidy(now);
                false
            }
            Err(why) => {
                let pause = KEYS_AGAIN_FIRST.saturating_mul(1 << entry.in_vain.min(6)).min(KEYS_AGAIN_LAST);
                entry.not_before = now + pause;
                entry.in_vain = entry.in_vain.saturating_add(1);
                if !entry.has_keys() {
                    entry.look_up = LookUp::Failed(why.clone());
                }
                self.resolved(name, Err(why), now)
            }
        }
    }

    /// What a look-up found, and whether another one is to begin, which is under way from now on; a name that no longer
    /// resolves keeps its old addresses.
    pub fn resolved(&mut self, name: &ServerName, found: Result<Vec<SocketAddr>, String>, now: Boottime) -> bool {
        let Some(entry) = self.entries.iter_mut().find(|e| e.server.name == *name) else { return false };
        entry.is_under_way = std::mem::take(&mut entry.is_due_again);
        let again = entry.is_under_way;
        match found {
            Ok(sockets) => {
                self.remembered.insert(name.clone(), sockets.clone());
                (entry.look_up, entry.found) = (LookUp::Found, sockets);
            }
            Err(why) if entry.look_up != LookUp::Found => entry.look_up = LookUp::Failed(why),
            Err(_) => {}
        }
        self.tidy(now);
        again
    }

    /// Whether a look-up is under way.
    pub fn is_resolving(&self) -> bool {
        self.entries.iter().any(|e| e.is_under_way)
    }

    /// What came of looking this name up.
    pub fn look_up(&self, name: &ServerName) -> LookUp {
        match self.entry(name) {
            Some(entry) if entry.standing() == LookUp::Found => LookUp::Found,
            Some(entry) if entry.is_under_way => LookUp::UnderWay,
            Some(entry) => entry.standing(),
            None => LookUp::Failed("it is no longer among the servers".to_owned()),
        }
    }

    /// The servers to ask now. Each name appears by its voice: as a target, a failure or a name to resolve; but for one whose
    /// every address is asked as another's.
    pub fn invite(&mut self, now: Boottime, gate: Gate) -> Invited {
        let mut invited = Invited::default();
        let only_authenticated = self.authentication == AuthenticationPolicy::Require || self.holds_plain_back();
        // Those first who prove who they are: a plain name of the same address is no second voice.
        for is_authenticated in [true, false] {
            for at in 0..self.entries.len() {
                if self.is_authenticated(at) == is_authenticated && (is_authenticated || !only_authenticated) {
                    self.invite_entry(at, &[], &mut invited, Asking { now, gate });
                }
            }
        }
        if self.authentication == AuthenticationPolicy::Require && self.authenticated().next().is_none() {
            let why = "no server that is asked is authenticated: name one as nts://HOST or HOST?key=N";
            invited.failures.push(Failure { asked: false, ..Failure::remark("`authentication: require`", why) });
        }
        invited
    }

    /// The plain servers that were held back.
    pub fn invite_plain(&mut self, now: Boottime, gate: Gate) -> Invited {
        let mut invited = Invited::default();
        for at in (0..self.entries.len()).filter(|at| !self.is_authenticated(*at)).collect::<Vec<_>>() {
            self.invite_entry(at, &[], &mut invited, Asking { now, gate });
        }
        invited
    }

    fn is_authenticated(&self, at: usize) -> bool {
        self.entries.get(at).is_some_and(|entry| entry.server.name.is_authenticated())
    }

    /// Whom to ask of a name that was just resolved, those asked already excepted.
    pub fn invite_found(&mut self, name: &ServerName, asked: &[SocketAddr], now: Boottime, gate: Gate) -> Invited {
        let mut invited = Invited::default();
        if let Some(at) = self.entries.iter().position(|e| e.server.name == *name) {
            self.invite_entry(at, asked, &mut invited, Asking { now, gate });
        }
        invited
    }

    /// What is known of an address that is asked.
    pub fn at(&mut self, socket: SocketAddr) -> &mut Address {
        self.addresses.entry(socket).or_default()
    }

    /// The road may be another: the delays known are void.
    pub fn void_delays(&mut self) {
        self.addresses.values_mut().for_each(Address::void_delays);
    }

    /// Every server may be asked twice, regardless of earlier questions.
    pub fn replenish(&mut self, now: Boottime) {
        self.addresses.values_mut().for_each(|address| address.replenish(now));
    }

    fn invite_entry(&mut self, at: usize, asked: &[SocketAddr], invited: &mut Invited, Asking { now, gate }: Asking) {
        let quota = (ENOUGH / self.entries.len().max(1)).clamp(1, MOST_OF_A_NAME);
        let Some(entry) = self.entries.get(at) else { return };
        let name = &entry.server.name;
        let sockets = entry.sockets();
        let association = match name.proof() {
            ServerProof::None => Ok(Association::Plain),
            // Where there are no keys, there are no sockets either.
            ServerProof::Nts => Ok(entry.session.clone().map_or_else(Association::default, Association::Nts)),
            ServerProof::Key(id) => self.keys.key(id).map(Association::Keyed),
        };
        let association = match association {
            Ok(association) => association,
            Err(why) => {
                let voice = Some(Voice::server(name.to_string()));
                invited.failures.push(Failure { voice, asked: false, ..Failure::remark(name.to_string(), why) });
                return;
            }
        };
        if name.wants_look_up() && entry.standing() != LookUp::Found {
            invited.names.push(Unresolved { name: name.clone(), is_asked: !sockets.is_empty() });
        }
        let (mut left, mut is_mentioned) = (quota, false);
        for socket in &sockets {
            let is_asked = asked.contains(socket) && !association.is_authenticated();
            let is_anothers = is_asked || invited.targets.iter().any(|t| t.socket == *socket);
            if left == 0 || is_anothers {
                continue;
            }
            is_mentioned = true;
            let (label, voice) = (label(name, *socket), entry.server.voice(*socket));
            let address = self.addresses.entry(*socket).or_default();
            match address.ask(now, gate) {
                Err(why) => {
                    invited.failures.push(Failure { voice: Some(voice), asked: false, ..Failure::remark(label, why) });
                }
                Ok(()) => {
                    left -= 1;
                    invited.targets.push(InvitedServer {
                        name: name.clone(),
                        association: association.clone(),
                        socket: *socket,
                        label,
                        voice,
                        patience: address.patience(),
                        lost_after: address.lost_after(),
                        is_the_daemons: entry.server.addresses.contains(socket),
                    });
                }
            }
        }
        if !is_mentioned && !sockets.is_empty() && asked.is_empty() {
            invited.failures.push(is_anothers(name));
        }
    }

    fn recall(&mut self) {
        for entry in self.entries.iter_mut().filter(|e| e.look_up != LookUp::Found && e.found.is_empty()) {
            entry.found = self.remembered.get(&entry.server.name).cloned().unwrap_or_default();
        }
    }

    /// Removes the addresses that no name has any more, unless that would let us ask them sooner.
    fn tidy(&mut self, now: Boottime) {
        let used: Vec<SocketAddr> = self.entries.iter().flat_map(PoolEntry::sockets).collect();
        self.addresses.retain(|socket, address| used.contains(socket) || address.is_restrained(now));
    }

    fn entry(&self, name: &ServerName) -> Option<&PoolEntry> {
        self.entries.iter().find(|e| e.server.name == *name)
    }
}

/// What is said of a name whose every address is asked as another's: it takes no voice from a majority.
pub fn is_anothers(name: &ServerName) -> Failure {
    let why = "its addresses are asked under another name as well, and count once";
    Failure { asked: false, ..Failure::remark(name.to_string(), why) }
}

#[derive(Clone, Copy)]
struct Asking {
    now: Boottime,
    gate: Gate,
}

#[cfg(test)]
mod tests;

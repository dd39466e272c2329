//! Who can be asked: the servers, their addresses, and what is known of each. No I/O and no clock.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::time::Duration;

use crate::decision::{Boottime, Failure, Gate, Voice};
use crate::reference::ntp::address::Address;
use crate::reference::ntp::resolver::label;
use crate::reference::ntp::server::Server;
use crate::reference::ntp::server_name::ServerName;

/// The most addresses asked of one name.
const MOST_OF_A_NAME: usize = 4;
/// As many addresses are asked at once, all names together, unless there are more names: a public pool is a gift.
const ENOUGH: usize = 8;

/// The servers, in the order they were named.
#[derive(Debug, Default)]
pub struct ServerPool {
    entries: Vec<PoolEntry>,
    /// What is known of each address that was asked, under whichever name.
    addresses: HashMap<SocketAddr, Address>,
    /// Where each name was last found, in this life or an earlier one.
    remembered: HashMap<ServerName, Vec<SocketAddr>>,
}

#[derive(Debug)]
struct PoolEntry {
    server: Server,
    /// What the last look-up found, in this life or, until there was one, in an earlier one.
    found: Vec<SocketAddr>,
    look_up: LookUp,
    is_under_way: bool,
    /// A look-up was requested while one was under way: its result may be of a network that is no longer there.
    is_due_again: bool,
}

/// What came of looking a name up.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUp {
    /// Not tried yet.
    Never,
    /// It is being looked up.
    UnderWay,
    /// It has addresses.
    Found,
    /// It has none that we could find, and why.
    Failed(String),
}

/// A server to ask, whose bucket is one question emptier.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InvitedServer {
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
#[derive(Clone, Debug, Default, PartialEq, Eq)]
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

    /// Every name that is no address, marked from now on as being looked up; who refused us is asked anew.
    pub fn take_names(&mut self) -> Vec<ServerName> {
        self.addresses.values_mut().for_each(Address::forgive);
        self.entries.iter_mut().for_each(|e| e.is_due_again = e.is_under_way);
        self.entries.iter_mut().filter_map(PoolEntry::take_name).collect()
    }

    /// The names that were never looked up, marked from now on as being so.
    pub fn take_new_names(&mut self) -> Vec<ServerName> {
        self.entries.iter_mut().filter(|e| e.look_up == LookUp::Never).filter_map(PoolEntry::take_name).collect()
    }

    /// The names that were looked up in vain, or never, marked from now on as being so.
    pub fn take_unfound_names(&mut self) -> Vec<ServerName> {
        self.entries.iter_mut().filter(|e| e.look_up != LookUp::Found).filter_map(PoolEntry::take_name).collect()
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
            Some(entry) if entry.look_up == LookUp::Found => LookUp::Found,
            Some(entry) if entry.is_under_way => LookUp::UnderWay,
            Some(entry) => entry.look_up.clone(),
            None => LookUp::Failed("it is no longer among the servers".to_owned()),
        }
    }

    /// The servers to ask now. Each name appears by its voice: as a target, a failure or a name to resolve; but for one whose
    /// every address is asked as another's.
    pub fn invite(&mut self, now: Boottime, gate: Gate) -> Invited {
        let mut invited = Invited::default();
        for at in 0..self.entries.len() {
            self.invite_entry(at, &[], &mut invited, Asking { now, gate });
        }
        invited
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
        if name.address().is_none() && entry.look_up != LookUp::Found {
            invited.names.push(Unresolved { name: name.clone(), is_asked: !sockets.is_empty() });
        }
        let (mut left, mut is_mentioned) = (quota, false);
        for socket in &sockets {
            let is_anothers = asked.contains(socket) || invited.targets.iter().any(|t| t.socket == *socket);
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

impl PoolEntry {
    const fn new(server: Server) -> Self {
        Self { server, found: vec![], look_up: LookUp::Never, is_under_way: false, is_due_again: false }
    }

    /// Its addresses: itself, those the daemon reported, those that were looked up.
    fn sockets(&self) -> Vec<SocketAddr> {
        let own = self.server.name.address().map(|ip| SocketAddr::new(ip, self.server.name.port()));
        let mut sockets: Vec<SocketAddr> = vec![];
        for socket in own.iter().chain(&self.server.addresses).chain(&self.found) {
            if !sockets.contains(socket) {
                sockets.push(*socket);
            }
        }
        sockets
    }

    /// The name, unless it is an address or a look-up is under way.
    fn take_name(&mut self) -> Option<ServerName> {
        if self.server.name.address().is_some() || self.is_under_way {
            return None;
        }
        self.is_under_way = true;
        if self.look_up == LookUp::Never {
            self.look_up = LookUp::Failed("its name is still being resolved".to_owned());
        }
        Some(self.server.name.clone())
    }
}

#[cfg(test)]
mod tests;

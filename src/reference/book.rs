//! Who can be asked: the servers, their addresses, and who of them asked to be left alone. No I/O and no clock.

use std::net::SocketAddr;
use std::time::Duration;

use super::ntp::wire::Kiss;
use super::resolver::label;
use super::server::Server;
use super::server_name::ServerName;
use crate::decision::{Boottime, Failure, Voice};

/// The most addresses asked of one name.
const MOST_OF_A_NAME: usize = 4;
/// As many addresses are asked at once, all names together, unless there are more names: a public pool is a gift.
const ENOUGH: usize = 8;
/// How long a server that sent RATE is left alone: chrony's default for its own clients, 2^3 s (chrony.conf(5), ratelimit).
const FIRST_PAUSE: Duration = Duration::from_secs(8);
const LONGEST_PAUSE: Duration = Duration::from_secs(1024);

/// The servers, in the order they were named.
#[derive(Debug, Default)]
pub struct Book {
    entries: Vec<Entry>,
}

#[derive(Debug)]
struct Entry {
    name: ServerName,
    addresses: Vec<Address>,
    /// Whether it was ever looked up.
    tried: bool,
    resolving: bool,
    trouble: Option<String>,
}

#[derive(Clone, Debug)]
struct Address {
    socket: SocketAddr,
    /// How long it was left alone the last time; zero once it has answered well.
    pause: Duration,
    /// When it may be asked again.
    until: Boottime,
    /// It does not want to be asked at all.
    refused: Option<Kiss>,
}

/// Somebody to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Target {
    /// Where.
    pub socket: SocketAddr,
    /// Who that is, for people.
    pub label: String,
    /// Whom its answer counts for.
    pub voice: Voice,
}

impl Book {
    /// Replaces the servers; what is known of those that stay is kept, and who refused us is asked anew.
    pub fn set(&mut self, names: Vec<ServerName>) {
        let mut old = std::mem::take(&mut self.entries);
        for name in names {
            if self.entry(&name).is_some() {
                continue;
            }
            let mut entry = match old.iter().position(|e| e.name == name) {
                Some(at) => old.swap_remove(at),
                None => Entry::new(name),
            };
            entry.addresses.iter_mut().for_each(|a| a.refused = None);
            self.entries.push(entry);
        }
    }

    /// Every name, marked from now on as being looked up; who refused us is asked anew.
    pub fn take_names(&mut self) -> Vec<ServerName> {
        self.entries.iter_mut().flat_map(|e| &mut e.addresses).for_each(|a| a.refused = None);
        self.entries.iter_mut().filter_map(Entry::take_name).collect()
    }

    /// The names that were never looked up, marked from now on as being so.
    pub fn take_new_names(&mut self) -> Vec<ServerName> {
        self.entries.iter_mut().filter(|e| !e.tried).filter_map(Entry::take_name).collect()
    }

    /// What a look-up found; a name that no longer resolves keeps its old addresses.
    pub fn resolved(&mut self, name: &ServerName, found: Result<Vec<SocketAddr>, String>) {
        let Some(entry) = self.entry_mut(name) else { return };
        entry.resolving = false;
        match found {
            Ok(sockets) => {
                entry.trouble = None;
                let old = std::mem::take(&mut entry.addresses);
                let known = |socket: &SocketAddr| old.iter().find(|a| a.socket == *socket).cloned();
                entry.addresses = sockets.iter().map(|s| known(s).unwrap_or_else(|| Address::new(*s))).collect();
            }
            Err(why) => entry.trouble = Some(why),
        }
    }

    /// Whether a look-up is under way.
    pub fn resolving(&self) -> bool {
        self.entries.iter().any(|e| e.resolving)
    }

    /// Whether there are names and no address of any.
    pub fn knows_nobody(&self) -> bool {
        !self.entries.is_empty() && self.entries.iter().all(|e| e.addresses.is_empty())
    }

    /// Whom to ask now, and who cannot be asked and why.
    pub fn targets(&self, now: Boottime) -> (Vec<Target>, Vec<Failure>) {
        let (mut targets, mut failures): (Vec<Target>, _) = (vec![], vec![]);
        let quota = (ENOUGH / self.entries.len().max(1)).clamp(1, MOST_OF_A_NAME);
        for entry in &self.entries {
            if entry.addresses.is_empty() {
                let voice = Some(Voice::server(entry.name.to_string()));
                failures.push(Failure { voice, ..Failure::remark(entry.name.to_string(), entry.why_unknown()) });
            }
            let mut left = quota;
            for address in &entry.addresses {
                let label = label(&entry.name, address.socket);
                match address.objection(now) {
                    Some(why) => {
                        let voice = Some(Server::from(entry.name.clone()).voice(address.socket));
                        failures.push(Failure { voice, asked: false, ..Failure::remark(label, why) });
                    }
                    None if left == 0 || targets.iter().any(|t| t.socket == address.socket) => {}
                    None => {
                        left -= 1;
                        let voice = Server::from(entry.name.clone()).voice(address.socket);
                        targets.push(Target { socket: address.socket, label, voice });
                    }
                }
            }
        }
        (targets, failures)
    }

    /// Heeds a kiss of death.
    pub fn heed(&mut self, socket: SocketAddr, kiss: Kiss, now: Boottime) {
        for address in self.at(socket) {
            match kiss {
                Kiss::Rate => {
                    address.pause = (address.pause * 2).clamp(FIRST_PAUSE, LONGEST_PAUSE);
                    address.until = now + address.pause;
                }
                Kiss::Deny | Kiss::Restricted => address.refused = Some(kiss),
                Kiss::Other(_) => {}
            }
        }
    }

    /// A good answer came: the next pause, if there is one, is short again.
    pub fn answered(&mut self, socket: SocketAddr) {
        self.at(socket).for_each(|address| address.pause = Duration::ZERO);
    }

    fn at(&mut self, socket: SocketAddr) -> impl Iterator<Item = &mut Address> {
        self.entries.iter_mut().flat_map(|e| &mut e.addresses).filter(move |a| a.socket == socket)
    }

    fn entry(&self, name: &ServerName) -> Option<&Entry> {
        self.entries.iter().find(|e| e.name == *name)
    }

    fn entry_mut(&mut self, name: &ServerName) -> Option<&mut Entry> {
        self.entries.iter_mut().find(|e| e.name == *name)
    }
}

impl Entry {
    fn new(name: ServerName) -> Self {
        let known = name.address().map(|ip| Address::new(SocketAddr::new(ip, name.port())));
        Self { name, addresses: known.into_iter().collect(), tried: false, resolving: false, trouble: None }
    }

    /// The name, unless it is an address or a look-up is under way.
    fn take_name(&mut self) -> Option<ServerName> {
        if self.name.address().is_some() || self.resolving {
            return None;
        }
        (self.tried, self.resolving) = (true, true);
        Some(self.name.clone())
    }

    fn why_unknown(&self) -> String {
        match &self.trouble {
            Some(why) => why.clone(),
            None if self.resolving => "its name is still being resolved".to_owned(),
            None => "its name was never resolved".to_owned(),
        }
    }
}

impl Address {
    const fn new(socket: SocketAddr) -> Self {
        Self { socket, pause: Duration::ZERO, until: Boottime::from_nanos(0), refused: None }
    }

    fn objection(&self, now: Boottime) -> Option<String> {
        if let Some(kiss) = self.refused {
            return Some(format!("it does not want to be asked (kiss code {kiss})"));
        }
        let left = self.until.since(now);
        (!left.is_zero())
            .then(|| format!("we asked too often (kiss code RATE); it is left alone for {} s more", left.as_secs() + 1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> ServerName {
        text.parse().unwrap()
    }

    fn socket(last: u8) -> SocketAddr {
        SocketAddr::from(([192, 0, 2, last], 123))
    }

    fn book(names: &[&str]) -> Book {
        let mut book = Book::default();
        book.set(names.iter().map(|n| name(n)).collect());
        book
    }

    fn asked(book: &Book, secs: u64) -> Vec<SocketAddr> {
        book.targets(at(secs)).0.into_iter().map(|t| t.socket).collect()
    }

    fn at(secs: u64) -> Boottime {
        Boottime::from_nanos(secs * 1_000_000_000)
    }

    #[test]
    fn an_address_is_known_and_a_name_is_not_until_it_is_resolved() {
        let mut book = book(&["192.0.2.1", "ntp.example"]);
        assert_eq!(asked(&book, 0), [socket(1)]);
        assert!(!book.knows_nobody());
        assert_eq!(book.take_names(), [name("ntp.example")]);
        assert_eq!(book.take_names(), [], "it is under way");
        assert_eq!(book.take_new_names(), []);
        let (_, failures) = book.targets(at(0));
        assert_eq!(failures[0].source, "ntp.example");
        book.resolved(&name("ntp.example"), Ok(vec![socket(2), socket(1)]));
        assert_eq!(asked(&book, 0), [socket(1), socket(2)], "nobody is asked twice");
        assert!(!book.resolving());
    }

    #[test]
    fn a_name_that_no_longer_resolves_keeps_its_addresses() {
        let mut book = book(&["ntp.example"]);
        book.resolved(&name("ntp.example"), Ok(vec![socket(2)]));
        book.resolved(&name("ntp.example"), Err("no answer".to_owned()));
        assert_eq!(asked(&book, 0), [socket(2)]);
    }

    #[test]
    fn four_of_one_name_are_asked_and_two_of_each_of_four() {
        let nine: Vec<_> = (1..=9).map(socket).collect();
        let mut one = book(&["a.example"]);
        one.resolved(&name("a.example"), Ok(nine.clone()));
        assert_eq!(asked(&one, 0).len(), 4);
        let mut four = book(&["a.example", "b.example", "c.example", "192.0.2.200"]);
        four.resolved(&name("a.example"), Ok(nine.clone()));
        four.resolved(&name("b.example"), Ok(nine));
        assert_eq!(asked(&four, 0), [socket(1), socket(2), socket(3), socket(4), socket(200)]);
    }

    #[test]
    fn rate_doubles_the_pause_and_a_good_answer_ends_it() {
        let mut book = book(&["192.0.2.1"]);
        book.heed(socket(1), Kiss::Rate, at(100));
        assert!(asked(&book, 107).is_empty());
        assert!(book.targets(at(107)).1[0].why.contains("RATE"));
        assert_eq!(asked(&book, 108), [socket(1)]);
        book.heed(socket(1), Kiss::Rate, at(108));
        assert!(asked(&book, 123).is_empty());
        for _ in 0..30 {
            book.heed(socket(1), Kiss::Rate, at(200));
        }
        assert_eq!(asked(&book, 200 + 1024), [socket(1)]);
        book.answered(socket(1));
        book.heed(socket(1), Kiss::Rate, at(2000));
        assert_eq!(asked(&book, 2008), [socket(1)]);
    }

    #[test]
    fn deny_drops_an_address_until_it_is_named_or_resolved_anew() {
        for kiss in [Kiss::Deny, Kiss::Restricted] {
            let mut book = book(&["192.0.2.1"]);
            book.heed(socket(1), kiss, at(0));
            assert!(asked(&book, 1_000_000).is_empty());
            book.set(vec![name("192.0.2.1")]);
            assert_eq!(asked(&book, 0), [socket(1)]);
            book.heed(socket(1), kiss, at(0));
            assert_eq!(book.take_names(), []);
            assert_eq!(asked(&book, 0), [socket(1)]);
            book.heed(socket(1), Kiss::Other(*b"INIT"), at(0));
            assert_eq!(asked(&book, 0), [socket(1)]);
        }
    }

    #[test]
    fn a_name_that_stays_keeps_what_is_known_of_it() {
        let mut book = book(&["a.example", "b.example"]);
        book.resolved(&name("a.example"), Ok(vec![socket(1)]));
        book.heed(socket(1), Kiss::Rate, at(0));
        book.set(vec![name("c.example"), name("a.example"), name("a.example")]);
        assert!(asked(&book, 7).is_empty());
        assert_eq!(asked(&book, 8), [socket(1)]);
        assert_eq!(book.take_names(), [name("c.example"), name("a.example")]);
        book.resolved(&name("c.example"), Err("no such name".to_owned()));
        assert_eq!(book.take_new_names(), [], "only resolve tries again");
        book.set(vec![name("d.example"), name("c.example")]);
        assert_eq!(book.take_new_names(), [name("d.example")]);
        book.set(vec![]);
        assert!(!book.knows_nobody() && asked(&book, 8).is_empty());
    }
}

//! All the NTP servers that this host asks, as one thing to ask.

use std::fmt::Write as _;
use std::net::SocketAddr;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::BUILT;
use super::book::{Book, Target};
use super::ntp::exchange::{Answer, Error, exchange};
use super::ntp::timestamp::Timestamp;
use super::ntp::wire;
use super::resolver;
use super::server_name::ServerName;
use crate::decision::{Failure, Kind, Measurement, Reading, Upstream};
use crate::sys::adjtimex;
use crate::sys::clock::boottime;

/// The NTP servers of this host. Every call blocks its thread; any number of threads may call.
#[derive(Debug)]
pub struct References {
    shared: Arc<Shared>,
}

#[derive(Debug, Default)]
struct Shared {
    book: Mutex<Book>,
    /// Told whenever a look-up ends.
    looked_up: Condvar,
}

impl References {
    /// These servers; nothing is asked yet, and no name is looked up.
    #[must_use]
    pub fn new(servers: Vec<ServerName>) -> Self {
        let references = Self { shared: Arc::default() };
        references.set_servers(servers);
        references
    }

    /// Replaces the servers. What is known of those that stay is kept; who refused to be asked is asked anew.
    pub fn set_servers(&self, servers: Vec<ServerName>) {
        self.shared.book().set(servers);
    }

    /// Looks every name up again, and returns when all have been found or at the deadline. What comes later counts all the
    /// same; a name that does not resolve keeps the addresses it had.
    pub fn resolve(&self, deadline: Duration) {
        let names = self.shared.book().take_names();
        self.look_up(names);
        // Condvars count awake time alone: a sleep meanwhile prolongs the wait, and what is found after it is fresh.
        let waited = self.shared.looked_up.wait_timeout_while(self.shared.book(), deadline, |book| book.resolving());
        drop(waited);
    }

    /// Asks every address at once and returns when all have answered, 100 ms after the first good answer, or at the timeout.
    ///
    /// Only where no address is known at all, names are looked up first, for half of the timeout at most. Otherwise the names
    /// never looked up are so meanwhile, for the next time.
    #[must_use]
    pub fn measure(&self, timeout: Duration) -> Measurement {
        let began = boottime();
        if self.shared.book().knows_nobody() {
            self.resolve(timeout / 2);
        } else {
            let names = self.shared.book().take_new_names();
            self.look_up(names);
        }
        let (targets, failures) = self.shared.book().targets(boottime());
        let sockets: Vec<SocketAddr> = targets.iter().map(|t| t.socket).collect();
        let left = timeout.saturating_sub(boottime().since(began));
        let mut tally = Tally { readings: vec![], seen: vec![], failures };
        for (socket, outcome) in exchange(&sockets, left, BUILT) {
            self.shared.remember(socket, &outcome);
            if let Some(target) = targets.iter().find(|t| t.socket == socket) {
                tally.count(target, outcome);
            }
        }
        Measurement {
            readings: tally.readings,
            failures: tally.failures,
            waiting: vec![],
            rate_ppm: adjtimex::read().map_or(0, |clock| clock.rate_ppm()),
        }
    }

    /// Begins to look the names up; the book hears of each, however late.
    fn look_up(&self, names: Vec<ServerName>) {
        for name in names {
            let (shared, whose) = (Arc::clone(&self.shared), name.clone());
            let started = resolver::look_up(name.clone(), move |found| shared.resolved(&whose, found));
            if let Err(error) = started {
                self.shared.resolved(&name, Err(error));
            }
        }
    }
}

impl Shared {
    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn remember(&self, socket: SocketAddr, outcome: &Result<Answer, Error>) {
        match outcome {
            Ok(_) => self.book().answered(socket),
            Err(Error::Refused(wire::Error::Kiss(kiss))) => self.book().heed(socket, *kiss, boottime()),
            Err(_) => {}
        }
    }

    fn resolved(&self, name: &ServerName, found: Result<Vec<SocketAddr>, resolver::Error>) {
        self.book().resolved(name, found.map_err(|error| in_words(&error)));
        self.looked_up.notify_all();
    }
}

/// What came of one question to everybody.
struct Tally {
    readings: Vec<Reading>,
    /// Whom each server listens to, when it last set its clock, and who it is.
    seen: Vec<([u8; 4], Timestamp, String)>,
    failures: Vec<Failure>,
}

impl Tally {
    fn count(&mut self, target: &Target, outcome: Result<Answer, Error>) {
        match outcome {
            Ok(answer) => match self.twin(&answer) {
                Some(other) => self.fail(target, format!("answers as {other} does: one server, counted once")),
                None => self.take(target, &answer),
            },
            Err(error) => self.fail(target, in_words(&error)),
        }
    }

    /// The IPv4 and the IPv6 address of a name are often one machine, and one machine is no second opinion: both say to the
    /// 2^-32 s when it last set its clock. (Whole seconds say nothing: two radio clocks can agree on one.)
    fn twin(&self, answer: &Answer) -> Option<String> {
        let (id, reference) = (answer.reply.reference_id, answer.reply.reference);
        let same = |(i, r, _): &&([u8; 4], Timestamp, String)| *i == id && *r == reference && !r.is_whole();
        self.seen.iter().find(same).map(|(.., source)| source.clone())
    }

    fn take(&mut self, target: &Target, answer: &Answer) {
        let reply = &answer.reply;
        self.seen.push((reply.reference_id, reply.reference, target.label.clone()));
        self.readings.push(Reading {
            source: target.label.clone(),
            voice: target.voice.clone(),
            kind: Kind::Ntp,
            as_of: answer.as_of,
            local: answer.local,
            offset: answer.sample.offset,
            root_distance: answer.sample.root_distance,
            authenticated: false,
            leap: reply.leap,
            stratum: Some(reply.stratum),
            delay: Some(answer.sample.delay),
            upstream: (!reply.reference.is_whole())
                .then_some(Upstream { id: reply.reference_id, set: reply.reference.0 }),
        });
    }

    fn fail(&mut self, target: &Target, why: String) {
        let voice = Some(target.voice.clone());
        self.failures.push(Failure { voice, ..Failure::remark(target.label.clone(), why) });
    }
}

/// An error and its causes in one line.
pub(super) fn in_words(error: &dyn std::error::Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(next) = cause {
        // Writing to a string does not fail.
        let _ = write!(words, ": {next}");
        cause = next.source();
    }
    words
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::{Boottime, Offset, Policy};
    use crate::reference::ntp::fake::{self, Server};

    const SHORT: Duration = Duration::from_millis(200);
    const LONG: Duration = Duration::from_secs(5);

    fn numeric(server: &Server) -> ServerName {
        ServerName::numeric(server.address.ip(), server.address.port())
    }

    fn known(servers: &[&Server]) -> References {
        References::new(servers.iter().map(|s| numeric(s)).collect())
    }

    fn kissing(code: [u8; 4]) -> Server {
        Server::start("127.0.0.1", move |q| {
            vec![fake::Answer { leap: 3, stratum: 0, reference_id: code, ..fake::Answer::to(q) }.bytes()]
        })
    }

    #[test]
    fn a_reading_names_its_source_and_carries_what_the_server_said() {
        let server = Server::ahead(Offset::from_secs(60));
        let measured = known(&[&server]).measure(LONG);
        let reading = measured.readings.first().unwrap();
        assert_eq!(reading.source, server.address.to_string());
        assert_eq!((reading.kind, reading.stratum, reading.authenticated), (Kind::Ntp, Some(1), false));
        assert!((reading.offset - Offset::from_secs(60)).abs() <= reading.root_distance, "{reading:?}");
        assert!(reading.as_of > Boottime::default() && reading.delay.is_some());
    }

    #[test]
    fn two_of_three_that_lie_apart_leave_no_majority_and_two_that_agree_win() {
        let honest = [Server::ahead(Offset::ZERO), Server::ahead(Offset::ZERO)];
        let liars = [Server::ahead(Offset::from_secs(600)), Server::ahead(Offset::from_secs(-900))];
        let measured = |servers: &[&Server]| {
            let references = known(servers);
            (0..20).map(|_| references.measure(LONG)).find(|m| m.readings.len() == servers.len()).unwrap()
        };
        let agreed = |m: &Measurement| m.agreement(&Policy::default(), boottime());
        assert!(agreed(&measured(&[&honest[0], &liars[0], &liars[1]])).is_err());
        let both = agreed(&measured(&[&honest[0], &honest[1], &liars[0]])).unwrap();
        assert_eq!(both.falsetickers, [liars[0].address.to_string()]);
    }

    #[test]
    fn who_sent_rate_is_left_alone_and_who_sent_deny_is_dropped_until_resolved_anew() {
        let (rate, deny) = (kissing(*b"RATE"), kissing(*b"DENY"));
        let references = known(&[&rate, &deny]);
        let first = references.measure(LONG);
        assert!(first.failures.iter().all(|f| f.why.contains("kiss code")), "{first:?}");
        let second = references.measure(LONG);
        assert!(second.failures.iter().any(|f| f.why.contains("left alone for 8 s")), "{second:?}");
        assert!(second.failures.iter().any(|f| f.why.contains("does not want to be asked")), "{second:?}");
        references.resolve(LONG);
        let third = references.measure(LONG);
        assert!(third.readings.is_empty());
        assert_eq!((rate.heard(), deny.heard()), (1, 2));
    }

    #[test]
    fn silence_and_a_closed_port_are_told_apart() {
        let silent = Server::start("127.0.0.1", |_| vec![]);
        let gone = Server::start("127.0.0.1", |_| vec![]);
        let references = known(&[&silent, &gone]);
        let closed = gone.address;
        drop(gone);
        let measured = references.measure(SHORT);
        let why = |address: SocketAddr| {
            measured.failures.iter().find(|f| f.source == address.to_string()).map(|f| f.why.clone()).unwrap()
        };
        assert!(why(silent.address).contains("no answer within"), "{measured:?}");
        assert!(why(closed).contains("refused"), "{measured:?}");
    }

    #[test]
    fn a_name_is_looked_up_before_the_first_question_and_then_known() {
        let server = Server::ahead(Offset::ZERO);
        let name = format!("localhost:{}", server.address.port());
        let references = References::new(vec![name.parse().unwrap()]);
        for _ in 0..2 {
            let measured = references.measure(LONG);
            assert_eq!(measured.readings.len(), 1, "{measured:?}");
            assert!(measured.readings[0].source.ends_with("(localhost)"), "{measured:?}");
        }
    }

    #[test]
    fn a_name_that_does_not_resolve_is_a_failure_in_words() {
        let references = References::new(vec!["no-such-host.invalid".parse().unwrap()]);
        let measured = references.measure(Duration::from_secs(2));
        assert_eq!(measured.failures.len(), 1);
        let why = &measured.failures[0].why;
        assert!(why.contains("/etc/resolv.conf") || why.contains("still being resolved"), "{why}");
    }

    #[test]
    fn one_machine_behind_two_addresses_is_counted_once() {
        let set_its_clock_at = |reference: u64| {
            Server::start("127.0.0.1", move |q| {
                vec![fake::Answer { reference, ..fake::Answer::ahead(q, Offset::ZERO) }.bytes()]
            })
        };
        let counted_once = |m: &Measurement| m.failures.iter().filter(|f| f.why.contains("counted once")).count();
        let measured = |servers: [&Server; 3]| {
            let references = known(&servers);
            let all = |m: &Measurement| m.readings.len() + counted_once(m) == 3;
            (0..20).map(|_| references.measure(LONG)).find(all).map(|m| m.readings.len()).unwrap()
        };
        let (one, same, other) = (set_its_clock_at(77), set_its_clock_at(77), set_its_clock_at(78));
        assert_eq!(measured([&one, &same, &other]), 2);
        let radio_clocks = [9 << 32; 3].map(set_its_clock_at);
        assert_eq!(measured(radio_clocks.each_ref()), 3);
    }
}

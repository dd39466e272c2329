//! One exchange with several servers at once: blocking, with a deadline, over IPv4 and IPv6.

use std::io;
use std::net::SocketAddr;
use std::os::fd::AsFd;
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};

use super::conversation::Conversation;
pub use super::conversation::{Answer, Error};
use crate::decision::{Boottime, Realtime};
use crate::sys::clock::boottime;
use crate::sys::timerfd::Alarm;

/// How long after the first good answer the others are waited for.
pub const SETTLE: Duration = Duration::from_millis(100);

/// Asks every server at once, each from a socket and a random port of its own, and says how each of them answered, in the
/// order the answers came. It returns when all have answered, [`SETTLE`] after the first good answer, or at the timeout.
///
/// The server's timestamps are taken to lie in the era nearest to `pivot`.
#[must_use]
pub fn exchange(
    servers: &[SocketAddr],
    timeout: Duration,
    pivot: Realtime,
) -> Vec<(SocketAddr, Result<Answer, Error>)> {
    let began = boottime();
    let mut round = Round { began, deadline: began + timeout, pivot, over: vec![] };
    let mut open: Vec<Conversation> = servers.iter().filter_map(|server| round.begin(*server)).collect();
    if let Err(error) = round.listen(&mut open) {
        let local = |error: &io::Error| Error::Local { what: "poll(2)", source: io::Error::from(error.kind()) };
        round.over.extend(open.drain(..).map(|c| (c.server(), Err(local(&error)))));
    }
    let waited = boottime().since(began);
    round.over.extend(open.into_iter().map(|c| (c.server(), Err(c.in_vain(waited)))));
    round.over
}

/// One exchange under way.
struct Round {
    began: Boottime,
    deadline: Boottime,
    pivot: Realtime,
    over: Vec<(SocketAddr, Result<Answer, Error>)>,
}

impl Round {
    fn begin(&mut self, server: SocketAddr) -> Option<Conversation> {
        let opened = Conversation::open(server).and_then(|mut c| c.ask().map(|()| c));
        opened.map_err(|error| self.over.push((server, Err(error)))).ok()
    }

    /// Hears and asks again until everybody has answered or the time has come.
    fn listen(&mut self, open: &mut Vec<Conversation>) -> io::Result<()> {
        // The alarm counts time asleep, which poll's own timeout does not.
        let alarm = Alarm::new()?;
        while !open.is_empty() {
            self.ask_again(open, boottime());
            let next = open.iter().map(|c| c.ask_again_at(self.began)).min().unwrap_or(Boottime::NEVER);
            alarm.set(next.min(self.deadline))?;
            // Read first and look at the time afterwards: what came in time counts, however late we are scheduled.
            let mut ready = wait(&alarm, open)?.into_iter();
            open.retain_mut(|conversation| match ready.next() {
                Some(true) => match conversation.hear(self.pivot) {
                    Some(outcome) => self.end(conversation.server(), outcome),
                    None => true,
                },
                _ => true,
            });
            if boottime() >= self.deadline {
                break;
            }
        }
        Ok(())
    }

    fn ask_again(&mut self, open: &mut Vec<Conversation>, now: Boottime) {
        open.retain_mut(|conversation| {
            if conversation.ask_again_at(self.began) > now {
                return true;
            }
            match conversation.ask() {
                Ok(()) => true,
                Err(error) => self.end(conversation.server(), Err(error)),
            }
        });
    }

    /// Books an outcome; the conversation does not stay open.
    fn end(&mut self, server: SocketAddr, outcome: Result<Answer, Error>) -> bool {
        if outcome.is_ok() {
            self.deadline = self.deadline.min(boottime() + SETTLE);
        }
        self.over.push((server, outcome));
        false
    }
}

/// Which of the conversations has something to be read; all false when the alarm rang.
fn wait(alarm: &Alarm, open: &[Conversation]) -> io::Result<Vec<bool>> {
    let mut fds = vec![PollFd::new(alarm.as_fd(), PollFlags::POLLIN)];
    fds.extend(open.iter().map(|c| PollFd::new(c.as_fd(), PollFlags::POLLIN)));
    match poll(&mut fds, PollTimeout::NONE) {
        Ok(_) | Err(Errno::EINTR) => Ok(fds.iter().skip(1).map(|fd| fd.any().unwrap_or(true)).collect()),
        Err(errno) => Err(errno.into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::decision::Offset;
    use crate::reference::ntp::fake::{self, Server};
    use crate::reference::ntp::wire::{self, Kiss};
    use crate::sys::clock::realtime;
    use std::io::ErrorKind;
    use std::sync::mpsc;

    const PIVOT: Realtime = Realtime::from_secs(1_793_491_200);
    const SHORT: Duration = Duration::from_millis(150);
    const LONG: Duration = Duration::from_secs(5);

    fn ask(servers: &[&Server], timeout: Duration) -> Vec<(SocketAddr, Result<Answer, Error>)> {
        exchange(&servers.iter().map(|s| s.address).collect::<Vec<_>>(), timeout, PIVOT)
    }

    fn ask_one(server: &Server, timeout: Duration) -> Result<Answer, Error> {
        let mut outcomes = ask(&[server], timeout);
        assert_eq!(outcomes.len(), 1);
        outcomes.remove(0).1
    }

    /// How long `what` took, on the clock that the deadlines are kept on.
    fn timed<T>(what: impl FnOnce() -> T) -> (T, Duration) {
        let began = boottime();
        let outcome = what();
        (outcome, boottime().since(began))
    }

    fn off_by(answer: &Answer, expected: Offset) -> bool {
        (answer.sample.offset - expected).abs() <= answer.sample.root_distance
    }

    #[test]
    fn a_server_an_hour_ahead_tells_us_so_within_its_root_distance() {
        let hour = Offset::from_secs(3600);
        let answer = ask_one(&Server::ahead(hour), LONG).unwrap();
        assert!(off_by(&answer, hour), "{answer:?}");
        assert!(answer.sample.root_distance < LONG / 2, "{answer:?}");
        assert_eq!(answer.reply.stratum, 1);
    }

    #[test]
    fn ipv6_is_asked_as_ipv4_is() {
        let server = Server::start("::1", |q| vec![fake::Answer::ahead(q, Offset::from_secs(-7)).bytes()]);
        assert!(off_by(&ask_one(&server, LONG).unwrap(), Offset::from_secs(-7)));
    }

    #[test]
    fn a_silent_server_is_asked_again_and_given_up_at_the_timeout() {
        let server = Server::start("127.0.0.1", |_| vec![]);
        let (outcome, took) = timed(|| ask_one(&server, Duration::from_millis(1200)));
        assert!(matches!(outcome, Err(Error::Silent { questions: 3, .. })), "{outcome:?}");
        assert!(took >= Duration::from_millis(1200), "{took:?}");
        assert_eq!(server.heard(), 3);
    }

    #[test]
    fn a_lost_question_is_asked_again_under_a_new_nonce() {
        let mut first = None;
        let server = Server::start("127.0.0.1", move |question| match &first {
            None => {
                first = Some(question.to_vec());
                vec![]
            }
            Some(lost) if lost == question => vec![],
            Some(_) => vec![fake::Answer::ahead(question, Offset::ZERO).bytes()],
        });
        let (answer, took) = timed(|| ask_one(&server, LONG));
        assert!(off_by(&answer.unwrap(), Offset::ZERO));
        assert!(took >= Duration::from_millis(300), "{took:?}");
        assert_eq!(server.heard(), 2);
    }

    #[test]
    fn the_answer_to_the_first_question_counts_when_it_comes_after_the_second() {
        let mut questions = vec![];
        let server = Server::start("127.0.0.1", move |question| {
            questions.push(fake::Answer::ahead(question, Offset::ZERO));
            if questions.len() < 2 { vec![] } else { vec![questions[0].bytes()] }
        });
        let answer = ask_one(&server, LONG).unwrap();
        assert!(answer.sample.delay >= Duration::from_millis(290), "{answer:?}");
        assert!(off_by(&answer, Offset::ZERO), "{answer:?}");
    }

    #[test]
    fn an_answer_after_the_timeout_is_none() {
        let (release, held) = mpsc::channel::<()>();
        let server = Server::start("127.0.0.1", move |question| {
            assert!(held.recv_timeout(LONG).is_err());
            vec![fake::Answer::ahead(question, Offset::ZERO).bytes()]
        });
        let (outcome, took) = timed(|| ask_one(&server, SHORT));
        drop(release);
        assert!(matches!(outcome, Err(Error::Silent { .. })), "{outcome:?}");
        assert!(took < LONG, "{took:?}");
    }

    #[test]
    fn garbage_forgeries_and_replays_are_passed_over_until_the_answer_comes() {
        let mut old = None;
        let server = Server::start("127.0.0.1", move |question| {
            let answer = fake::Answer::ahead(question, Offset::ZERO);
            let forged =
                fake::Answer { origin: answer.origin ^ 1, ..fake::Answer::ahead(question, Offset::from_secs(9)) };
            let kiss = fake::Answer { stratum: 0, reference_id: *b"DENY", ..forged };
            let replayed = old.replace(answer.bytes()).unwrap_or_default();
            vec![
                vec![],
                vec![0; 47],
                b"not NTP at all".to_vec(),
                question.to_vec(),
                forged.bytes(),
                kiss.bytes(),
                replayed,
                answer.bytes(),
            ]
        });
        for _ in 0..2 {
            let answer = ask_one(&server, LONG).unwrap();
            assert!(off_by(&answer, Offset::ZERO), "{answer:?}");
        }
    }

    #[test]
    fn when_only_noise_came_the_failure_says_what_it_was() {
        let server = Server::start("127.0.0.1", |question| {
            vec![vec![1; 20], fake::Answer { origin: 4, ..fake::Answer::to(question) }.bytes()]
        });
        let outcome = ask_one(&server, SHORT);
        assert!(matches!(outcome, Err(Error::Noise { packets: 2, last: wire::Error::Origin, .. })), "{outcome:?}");
        let said = outcome.map_err(|e| e.to_string());
        assert!(said.as_ref().is_err_and(|s| s.contains("2 packet(s)") && s.contains("did not ask")), "{said:?}");
    }

    #[test]
    fn a_refusal_by_the_server_ends_the_waiting_at_once() {
        let refusal = |change: fn(&mut fake::Answer)| {
            let server = Server::start("127.0.0.1", move |question| {
                let mut answer = fake::Answer::ahead(question, Offset::ZERO);
                change(&mut answer);
                vec![answer.bytes()]
            });
            let (outcome, took) = timed(|| ask_one(&server, LONG));
            assert!(took < LONG, "{took:?}");
            match outcome {
                Err(Error::Refused(error)) => error,
                other => panic!("{other:?}"),
            }
        };
        assert_eq!(refusal(|a| a.leap = 3), wire::Error::Unsynchronised);
        assert_eq!(refusal(|a| a.stratum = 16), wire::Error::Stratum(16));
        assert_eq!(refusal(|a| (a.stratum, a.reference_id) = (0, *b"RATE")), wire::Error::Kiss(Kiss::Rate));
        assert_eq!(refusal(|a| (a.stratum, a.reference_id) = (0, *b"DENY")), wire::Error::Kiss(Kiss::Deny));
        assert_eq!(refusal(|a| a.transmit = 0), wire::Error::NoTimestamp("transmit"));
        assert!(matches!(refusal(|a| a.root_dispersion = 4 << 16), wire::Error::Distance(_)));
    }

    #[test]
    fn nobody_at_the_port_is_heard_of_at_once() {
        let server = Server::start("127.0.0.1", |_| vec![]);
        let address = server.address;
        drop(server);
        let (outcomes, took) = timed(|| exchange(&[address], LONG, PIVOT));
        assert!(
            matches!(&outcomes[0].1, Err(Error::Unreachable(e)) if e.kind() == ErrorKind::ConnectionRefused),
            "{outcomes:?}"
        );
        assert!(took < LONG, "{took:?}");
    }

    #[test]
    fn after_the_first_good_answer_the_others_have_a_tenth_of_a_second() {
        let (good, silent) = (Server::ahead(Offset::ZERO), Server::start("127.0.0.1", |_| vec![]));
        let (outcomes, took) = timed(|| ask(&[&silent, &good], LONG));
        assert_eq!(outcomes[0].0, good.address);
        assert!(matches!(outcomes[1], (who, Err(Error::Silent { .. })) if who == silent.address), "{outcomes:?}");
        assert!(took >= SETTLE && took < LONG, "{took:?}");
    }

    #[test]
    fn when_all_have_answered_nobody_is_waited_for() {
        let servers =
            [Server::ahead(Offset::ZERO), Server::ahead(Offset::from_secs(60)), Server::ahead(Offset::from_secs(60))];
        // On a busy machine one of them may miss the tenth of a second.
        let all =
            |outcomes: &Vec<_>| outcomes.iter().all(|(_, answer): &(SocketAddr, Result<Answer, Error>)| answer.is_ok());
        let outcomes = (0..20).map(|_| ask(&servers.each_ref(), LONG)).find(all).unwrap();
        for (who, outcome) in &outcomes {
            let lies = *who != servers[0].address;
            assert!(off_by(outcome.as_ref().unwrap(), Offset::from_secs(if lies { 60 } else { 0 })), "{outcomes:?}");
        }
        assert_eq!(outcomes.len(), 3);
    }

    #[test]
    fn a_server_in_the_next_era_is_understood() {
        let later = Realtime::from_secs(2_100_000_000);
        let ahead = later - realtime();
        let answer = ask_one(&Server::ahead(ahead), LONG).unwrap();
        assert!(off_by(&answer, ahead), "{answer:?}");
    }

    #[test]
    fn nobody_to_ask_is_no_wait() {
        let (outcomes, took) = timed(|| ask(&[], LONG));
        assert!(outcomes.is_empty() && took < LONG, "{took:?}");
    }
}

//! Questions to servers that answer well, badly, late or not at all.

use std::io::ErrorKind;
use std::sync::mpsc;

use nix::poll::{PollFd, PollFlags, poll};

use super::*;
use crate::decision::Offset;
use crate::reference::ntp::fake::{self, FakeServer};
use crate::reference::ntp::packet::{self, Kiss};

const PIVOT: Realtime = Realtime::from_secs(1_793_491_200);
const SHORT: Duration = Duration::from_millis(150);
const LONG: Duration = Duration::from_secs(5);

fn ask_one(server: &FakeServer, timeout: Duration) -> Result<Answer, ExchangeError> {
    ask_at(server.address, timeout)
}

fn ask_at(server: SocketAddr, timeout: Duration) -> Result<Answer, ExchangeError> {
    let began = boottime();
    let mut conversation = Conversation::open(server, Association::Plain)?;
    conversation.ask()?;
    while boottime() < began + timeout {
        if conversation.may_repeat() && boottime() >= began + conversation.repeat_after(Duration::ZERO) {
            conversation.ask()?;
        }
        poll(&mut [PollFd::new(conversation.as_fd(), PollFlags::POLLIN)], 10_u16).unwrap();
        if let Some(outcome) = conversation.receive(PIVOT) {
            return outcome;
        }
    }
    Err(conversation.in_vain(boottime().since(began)))
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
fn a_server_an_hour_ahead_is_measured_within_its_root_distance() {
    let hour = Offset::from_secs(3600);
    let answer = ask_one(&FakeServer::ahead(hour), LONG).unwrap();
    assert!(off_by(&answer, hour), "{answer:?}");
    assert!(answer.sample.root_distance < LONG / 2, "{answer:?}");
    assert_eq!(answer.reply.stratum, 1);
}

#[test]
fn ipv6_is_asked_as_ipv4_is() {
    let server = FakeServer::start("::1", |q| vec![fake::FakeAnswer::ahead(q, Offset::from_secs(-7)).bytes()]);
    assert!(off_by(&ask_one(&server, LONG).unwrap(), Offset::from_secs(-7)));
}

#[test]
fn a_silent_server_is_asked_again_and_given_up_at_the_timeout() {
    let server = FakeServer::start("127.0.0.1", |_| vec![]);
    let (outcome, took) = timed(|| ask_one(&server, Duration::from_millis(1200)));
    assert!(matches!(outcome, Err(ExchangeError::Silent { questions: 3, .. })), "{outcome:?}");
    assert!(took >= Duration::from_millis(1200), "{took:?}");
    assert_eq!(server.received(), 3);
}

#[test]
fn a_lost_question_is_asked_again_under_a_new_nonce() {
    let mut first = None;
    let server = FakeServer::start("127.0.0.1", move |question| match &first {
        None => {
            first = Some(question.to_vec());
            vec![]
        }
        Some(lost) if lost == question => vec![],
        Some(_) => vec![fake::FakeAnswer::ahead(question, Offset::ZERO).bytes()],
    });
    let (answer, took) = timed(|| ask_one(&server, LONG));
    assert!(off_by(&answer.unwrap(), Offset::ZERO));
    assert!(took >= Duration::from_millis(300), "{took:?}");
    assert_eq!(server.received(), 2);
}

#[test]
fn the_answer_to_the_first_question_counts_when_it_comes_after_the_second() {
    let mut questions = vec![];
    let server = FakeServer::start("127.0.0.1", move |question| {
        questions.push(fake::FakeAnswer::ahead(question, Offset::ZERO));
        if questions.len() < 2 { vec![] } else { vec![questions[0].bytes()] }
    });
    let answer = ask_one(&server, LONG).unwrap();
    assert!(answer.sample.delay >= Duration::from_millis(290), "{answer:?}");
    assert!(off_by(&answer, Offset::ZERO), "{answer:?}");
}

#[test]
fn an_answer_after_the_timeout_is_none() {
    let (release, held) = mpsc::channel::<()>();
    let server = FakeServer::start("127.0.0.1", move |question| {
        assert!(held.recv_timeout(LONG).is_err());
        vec![fake::FakeAnswer::ahead(question, Offset::ZERO).bytes()]
    });
    let (outcome, took) = timed(|| ask_one(&server, SHORT));
    drop(release);
    assert!(matches!(outcome, Err(ExchangeError::Silent { .. })), "{outcome:?}");
    assert!(took < LONG, "{took:?}");
}

#[test]
fn garbage_forgeries_and_replays_are_passed_over_until_the_answer_comes() {
    let mut old = None;
    let server = FakeServer::start("127.0.0.1", move |question| {
        let answer = fake::FakeAnswer::ahead(question, Offset::ZERO);
        let forged =
            fake::FakeAnswer { origin: answer.origin ^ 1, ..fake::FakeAnswer::ahead(question, Offset::from_secs(9)) };
        let kiss = fake::FakeAnswer { stratum: 0, reference_id: *b"DENY", ..forged };
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
    let server = FakeServer::start("127.0.0.1", |question| {
        vec![vec![1; 20], fake::FakeAnswer { origin: 4, ..fake::FakeAnswer::to(question) }.bytes()]
    });
    let outcome = ask_one(&server, SHORT);
    assert!(
        matches!(outcome, Err(ExchangeError::Noise { packets: 2, last: packet::PacketError::Origin, .. })),
        "{outcome:?}"
    );
    let said = outcome.map_err(|e| e.to_string());
    assert!(said.as_ref().is_err_and(|s| s.contains("2 other packet(s)") && s.contains("was not asked")), "{said:?}");
}

#[test]
fn a_refusal_by_the_server_ends_the_waiting_at_once() {
    let rate = packet::PacketError::Kiss(Kiss::Rate { poll: Duration::from_secs(64) });
    let refusal = |change: fn(&mut fake::FakeAnswer)| {
        let server = FakeServer::start("127.0.0.1", move |question| {
            let mut answer = fake::FakeAnswer::ahead(question, Offset::ZERO);
            change(&mut answer);
            vec![answer.bytes()]
        });
        let (outcome, took) = timed(|| ask_one(&server, LONG));
        assert!(took < LONG, "{took:?}");
        match outcome {
            Err(ExchangeError::Refused(error)) => error,
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(refusal(|a| a.leap = 3), packet::PacketError::Unsynchronised);
    assert_eq!(refusal(|a| a.stratum = 16), packet::PacketError::Stratum(16));
    assert_eq!(refusal(|a| (a.stratum, a.reference_id) = (0, *b"RATE")), rate);
    assert_eq!(refusal(|a| (a.stratum, a.reference_id) = (0, *b"DENY")), packet::PacketError::Kiss(Kiss::Deny));
    assert_eq!(refusal(|a| a.transmit = 0), packet::PacketError::NoTimestamp("transmit"));
    assert!(matches!(refusal(|a| a.root_dispersion = 4 << 16), packet::PacketError::Distance(_)));
}

#[test]
fn a_closed_port_is_reported_at_once() {
    let server = FakeServer::start("127.0.0.1", |_| vec![]);
    let address = server.address;
    drop(server);
    let (outcome, took) = timed(|| ask_at(address, LONG));
    assert!(
        matches!(&outcome, Err(ExchangeError::Unreachable(e)) if e.kind() == ErrorKind::ConnectionRefused),
        "{outcome:?}"
    );
    assert!(took < LONG, "{took:?}");
}

#[test]
fn a_server_in_the_next_era_is_understood() {
    let later = Realtime::from_secs(2_100_000_000);
    let ahead = later - realtime();
    let answer = ask_one(&FakeServer::ahead(ahead), LONG).unwrap();
    assert!(off_by(&answer, ahead), "{answer:?}");
}

//! Whole exchanges with servers on loopback.

use std::net::SocketAddr;
use std::sync::mpsc::{self, Receiver};

use super::*;
use crate::decision::{AwaitedSource, Boottime, Failure, Gate, Offset, Policy, Reading, ReferenceKind, Voice};
use crate::reference::caller::pending_answer::caller;
use crate::reference::ntp::fake;
use crate::reference::ntp::server_name::ServerName;

const SHORT: Duration = Duration::from_millis(200);
const LONG: Duration = Duration::from_secs(20);

fn numeric(server: &fake::FakeServer) -> ServerName {
    ServerName::numeric(server.address.ip(), server.address.port())
}

fn known(servers: &[&fake::FakeServer]) -> References {
    References::new(servers.iter().map(|s| numeric(s)).collect())
}

fn named(names: &[&str]) -> References {
    References::new(names.iter().map(|n| n.parse::<ServerName>().unwrap()).collect())
}

fn silent() -> fake::FakeServer {
    fake::FakeServer::start("127.0.0.1", |_| vec![])
}

/// A server that answers its first question once it may, and no other.
fn held(may: Receiver<()>) -> fake::FakeServer {
    let mut may = Some(may);
    fake::FakeServer::start("127.0.0.1", move |question| {
        let Some(may) = may.take() else { return vec![] };
        let answer = fake::FakeAnswer::ahead(question, Offset::ZERO).bytes();
        let _ = may.recv_timeout(LONG);
        vec![answer]
    })
}

fn kissing(code: [u8; 4]) -> fake::FakeServer {
    fake::FakeServer::start("127.0.0.1", move |q| {
        vec![fake::FakeAnswer { leap: 3, stratum: 0, reference_id: code, ..fake::FakeAnswer::to(q) }.bytes()]
    })
}

fn sources(readings: &[Reading]) -> Vec<&str> {
    readings.iter().map(|r| r.source.as_str()).collect()
}

/// Every report of an exchange, to the end or until `act` breaks off; what has to hold for each is looked at.
fn reports(
    references: &References,
    question: impl Into<Question>,
    mut act: impl FnMut(&Measurement) -> ControlFlow<()>,
) -> Vec<Measurement> {
    let (mut reports, mut broken): (Vec<Measurement>, bool) = (vec![], false);
    references.ask(question.into(), &mut |measured| {
        assert!(!broken, "ordered to break off, and it continued");
        if let Some(before) = reports.last() {
            assert_ne!(*before, measured, "nothing new");
            assert!(measured.readings.starts_with(&before.readings), "{before:?} {measured:?}");
        }
        let mut each: Vec<&str> = measured.waiting.iter().map(|w| w.source.as_str()).collect();
        each.extend(sources(&measured.readings));
        each.extend(measured.failures.iter().map(|f| f.source.as_str()));
        each.sort_unstable();
        assert!(each.windows(2).all(|two| two[0] != two[1]), "a server twice: {measured:?}");
        let then = act(&measured);
        broken = then.is_break();
        reports.push(measured);
        then
    });
    assert!(broken || reports.last().is_some_and(|last| last.waiting.is_empty()), "{reports:?}");
    reports
}

const fn to_the_end(_: &Measurement) -> ControlFlow<()> {
    ControlFlow::Continue(())
}

fn why_of<'a>(measured: &'a Measurement, source: &str) -> Option<&'a Failure> {
    measured.failures.iter().find(|f| f.source.starts_with(source))
}

fn why<'a>(measured: &'a Measurement, source: &str) -> &'a Failure {
    why_of(measured, source).unwrap()
}

#[test]
fn a_reading_names_its_source_and_carries_what_the_server_said() {
    let server = fake::FakeServer::ahead(Offset::from_secs(60));
    let measured = known(&[&server]).measure(LONG);
    let reading = measured.readings.first().unwrap();
    assert_eq!(reading.source, server.address.to_string());
    assert_eq!((reading.kind, reading.stratum, reading.authenticated), (ReferenceKind::Ntp, Some(1), false));
    assert!((reading.offset - Offset::from_secs(60)).abs() <= reading.root_distance, "{reading:?}");
    assert!(reading.as_of > Boottime::default() && reading.delay.is_some());
}

#[test]
fn two_of_three_that_lie_apart_leave_no_majority_and_two_that_agree_win() {
    let honest = [fake::FakeServer::ahead(Offset::ZERO), fake::FakeServer::ahead(Offset::ZERO)];
    let liars = [fake::FakeServer::ahead(Offset::from_secs(600)), fake::FakeServer::ahead(Offset::from_secs(-900))];
    let measured = |servers: &[&fake::FakeServer]| {
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
    assert!(second.failures.iter().any(|f| f.why.contains("not asked for 8 s")), "{second:?}");
    assert!(second.failures.iter().any(|f| f.why.contains("refuses to answer")), "{second:?}");
    references.resolve(LONG);
    let third = references.measure(LONG);
    assert!(third.readings.is_empty());
    assert_eq!((rate.received(), deny.received()), (1, 2));
}

#[test]
fn silence_and_a_closed_port_are_different_failures() {
    let silent = fake::FakeServer::start("127.0.0.1", |_| vec![]);
    let gone = fake::FakeServer::start("127.0.0.1", |_| vec![]);
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
    let server = fake::FakeServer::ahead(Offset::ZERO);
    let references = named(&[&format!("localhost:{}", server.address.port())]);
    for _ in 0..2 {
        let measured = references.measure(LONG);
        assert_eq!(measured.readings.len(), 1, "{measured:?}");
        assert!(measured.readings[0].source.ends_with("(localhost)"), "{measured:?}");
        assert_eq!(measured.readings[0].voice.name, format!("localhost:{}", server.address.port()));
    }
}

#[test]
fn a_name_that_does_not_resolve_is_a_voice_and_a_failure_in_words() {
    let measured = named(&["no-such-host.invalid"]).measure(Duration::from_secs(2));
    let [Failure { why, voice, asked, .. }] = &measured.failures[..] else { panic!("{measured:?}") };
    assert!(why.contains("/etc/resolv.conf") || why.contains("still being resolved"), "{why}");
    assert!(!asked && voice == &Some(Voice::server("no-such-host.invalid")));
}

#[test]
fn a_name_that_is_never_found_delays_nobody() {
    let server = fake::FakeServer::ahead(Offset::ZERO);
    let references = References::new(vec![numeric(&server), "slow.invalid".parse().unwrap()]);
    let forever = references.shared.pool().take_names();
    let measured = references.measure(LONG);
    assert_eq!((measured.readings.len(), forever.len()), (1, 1));
    assert!(why(&measured, "slow.invalid").why.contains("still being resolved"), "{measured:?}");
}

#[test]
fn names_are_asked_as_they_are_found() {
    let servers = [fake::FakeServer::ahead(Offset::ZERO), fake::FakeServer::ahead(Offset::ZERO)];
    let references = named(&["one.invalid", "two.invalid"]);
    let found = |at: usize, name: &str| {
        references.shared.resolved(&name.parse().unwrap(), Ok(vec![servers[at].address]));
    };
    // Under way from here on: they are not looked up twice.
    assert_eq!(references.shared.pool().take_names().len(), 2);
    let reports = std::thread::scope(|scope| {
        scope.spawn(|| {
            while references.shared.listening().is_empty() {
                std::thread::yield_now();
            }
            found(0, "one.invalid");
        });
        reports(&references, LONG, |measured| {
            if measured.readings.len() == 1 {
                found(1, "two.invalid");
            }
            ControlFlow::Continue(())
        })
    });
    let first = reports.iter().find(|r| r.readings.len() == 1).unwrap();
    assert!(first.readings[0].source.contains("(one.invalid)"), "{first:?}");
    let last = reports.last().unwrap();
    assert!(last.readings.len() == 2 && last.waiting.is_empty() && last.failures.is_empty(), "{last:?}");
}

#[test]
fn a_name_that_is_found_where_another_is_asked_is_said_to_be_and_takes_no_voice() {
    let servers = [fake::FakeServer::ahead(Offset::ZERO), silent()];
    let references = References::new(vec![numeric(&servers[0]), numeric(&servers[1]), "also.invalid".parse().unwrap()]);
    assert_eq!(references.shared.pool().take_names().len(), 1);
    let last = reports(&references, LONG, |measured| {
        if why_of(measured, "also.invalid").is_some_and(|f| f.voice.is_some()) {
            references.shared.resolved(&"also.invalid".parse().unwrap(), Ok(vec![servers[0].address]));
            return ControlFlow::Continue(());
        }
        ControlFlow::Break(())
    });
    let also = why(last.last().unwrap(), "also.invalid");
    assert!(also.voice.is_none() && also.why.contains("count once"), "{also:?}");
}

#[test]
fn what_tells_two_names_of_one_machine_is_read_and_whole_seconds_tell_nothing() {
    let set_its_clock_at = |reference: u64| {
        fake::FakeServer::start("127.0.0.1", move |q| {
            vec![fake::FakeAnswer { reference, ..fake::FakeAnswer::ahead(q, Offset::ZERO) }.bytes()]
        })
    };
    let servers = [77, 77, 78, 9 << 32].map(set_its_clock_at);
    let measured = known(&servers.each_ref()).measure(LONG);
    let upstream = |server: &fake::FakeServer| {
        measured.readings.iter().find(|r| r.source == server.address.to_string()).unwrap().upstream
    };
    assert!(upstream(&servers[0]).is_some() && upstream(&servers[0]) == upstream(&servers[1]));
    assert!(upstream(&servers[2]).is_some() && upstream(&servers[2]) != upstream(&servers[1]));
    assert_eq!(upstream(&servers[3]), None);
}

#[test]
fn a_silent_server_does_not_delay_the_word_of_the_others() {
    let (good, silent) = (fake::FakeServer::ahead(Offset::ZERO), silent());
    let reports = reports(&known(&[&silent, &good]), LONG, |_| ControlFlow::Break(()));
    let [only] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(sources(&only.readings), [good.address.to_string()]);
    assert_eq!(
        only.waiting,
        [AwaitedSource { source: silent.address.to_string(), voice: Voice::server(numeric(&silent).to_string()) }]
    );
    assert!(only.failures.is_empty());
}

#[test]
fn whose_time_is_up_has_failed_and_a_late_answer_counts_and_is_waited_for_the_next_time() {
    let (release, may) = mpsc::channel();
    let (good, slow) = (fake::FakeServer::ahead(Offset::ZERO), held(may));
    let references = known(&[&good, &slow]);
    let reports = reports(&references, LONG, |measured| {
        if measured.failures.iter().any(|f| f.why.contains("no answer within")) {
            release.send(()).unwrap();
        }
        ControlFlow::Continue(())
    });
    let states: Vec<_> = reports.iter().map(|r| (r.readings.len(), r.failures.len(), r.waiting.len())).collect();
    assert_eq!(states, [(1, 0, 1), (1, 1, 0), (2, 0, 0)], "{reports:?}");
    assert!(reports[1].failures[0].asked);
    let next = references.shared.pool().invite(boottime(), Gate::Shut);
    let patience =
        |server: &fake::FakeServer| next.targets.iter().find(|t| t.socket == server.address).unwrap().patience;
    assert!(patience(&slow) >= Duration::from_secs(3), "{next:?}");
    assert!(patience(&good) < patience(&slow), "{next:?}");
}

#[test]
fn where_nobody_answers_everybody_is_waited_for_until_the_timeout_and_asked_again() {
    let servers = [silent(), silent()];
    let began = boottime();
    let reports = reports(&known(&servers.each_ref()), Duration::from_millis(1200), to_the_end);
    assert!(boottime().since(began) >= Duration::from_millis(1200));
    let [last] = &reports[..] else { panic!("{reports:?}") };
    assert!(last.waiting.is_empty() && last.failures.iter().all(|f| f.asked), "{last:?}");
    assert_eq!(servers.map(fake::FakeServer::received), [3, 3]);
}

#[test]
fn no_server_to_ask_is_one_report_and_no_wait() {
    let reports = reports(&named(&[]), LONG, to_the_end);
    let [only] = &reports[..] else { panic!("{reports:?}") };
    assert!(only.readings.is_empty() && only.failures.is_empty() && only.waiting.is_empty());
}

#[test]
fn the_ninth_question_in_a_row_is_withheld_and_is_no_silence() {
    let server = fake::FakeServer::ahead(Offset::ZERO);
    let references = known(&[&server]);
    let outcomes: Vec<Measurement> = (0..9).map(|_| references.measure(LONG)).collect();
    assert!(outcomes[..8].iter().all(|m| m.readings.len() == 1));
    let withheld = why(&outcomes[8], &server.address.to_string());
    assert!(!withheld.asked && withheld.why.contains("asked 8 times"), "{withheld:?}");
    references.replenish();
    assert_eq!(references.measure(LONG).readings.len(), 1);
    assert_eq!(server.received(), 9);
}

#[test]
fn a_caller_is_asked_beside_the_servers_and_waited_for_like_one() {
    let server = fake::FakeServer::ahead(Offset::ZERO);
    let waiting = |source: &str| AwaitedSource { source: source.to_owned(), voice: Voice::server(source) };
    let (answers, answering) = caller(waiting("a caller")).unwrap();
    let (hangs_up, hanging_up) = caller(waiting("another")).unwrap();
    let mut ends = Some((answers, hangs_up));
    let question = Question { callers: vec![answering, hanging_up], ..LONG.into() };
    let reports = reports(&known(&[&server]), question, |measured| {
        if let Some((answers, hangs_up)) = ends.take() {
            let supplied =
                Reading { source: "a caller".to_owned(), kind: ReferenceKind::Caller, ..measured.readings[0].clone() };
            answers.give(Ok(supplied));
            drop(hangs_up);
        }
        ControlFlow::Continue(())
    });
    let [first, last] = &reports[..] else { panic!("{reports:?}") };
    assert_eq!(first.waiting, [waiting("a caller"), waiting("another")]);
    assert_eq!(sources(&last.readings)[1..], ["a caller"]);
    assert_eq!((why(last, "another").why.as_str(), last.waiting.len()), ("hung up", 0));
}

#[test]
fn a_road_that_this_process_does_not_have_is_said_with_what_helps() {
    // connect(2) to the broadcast address is not permitted without SO_BROADCAST.
    let socket = "255.255.255.255:123".parse().unwrap();
    let server = Server { addresses: vec![socket], ..Server::from("255.255.255.255".parse::<ServerName>().unwrap()) };
    let failure = References::new(vec![server]).measure(SHORT).failures.remove(0);
    assert!(failure.why.contains("cannot be reached") && failure.why.contains("`correction: daemon`"), "{failure:?}");
    let plain = named(&["255.255.255.255"]).measure(SHORT).failures.remove(0);
    assert!(!plain.why.contains("`correction: daemon`"), "{plain:?}");
}

#[test]
fn a_question_that_could_not_be_sent_takes_nothing_from_the_bucket() {
    let references = named(&["255.255.255.255"]);
    for _ in 0..20 {
        assert!(references.measure(SHORT).failures[0].asked);
    }
}

#[test]
fn a_name_that_cannot_be_resolved_after_a_reboot_is_asked_where_it_was() {
    let server = fake::FakeServer::ahead(Offset::ZERO);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("addresses");
    let name: ServerName = format!("ntp.invalid:{}", server.address.port()).parse().unwrap();
    let first = References::new(vec![name.clone()]);
    first.set_memory(path.clone());
    first.shared.resolved(&name, Ok(vec![server.address]));
    let second = References::new(vec![name.clone()]);
    second.set_memory(path.clone());
    let measured = second.measure(LONG);
    assert_eq!(sources(&measured.readings), [format!("{} (ntp.invalid)", server.address)]);
    assert_eq!(measured.readings[0].voice, Voice::server(name.to_string()));
    assert!(measured.failures.is_empty(), "{measured:?}");
}

#[test]
fn the_hypervisors_clock_is_told_at_once_and_the_servers_are_waited_for_as_ever() {
    let Some(root) = crate::reference::local::vmclock::tests::root_with_a_page_that_is_right() else { return };
    let silent = silent();
    let question = Question { hardware: Some(root.path().into()), ..LONG.into() };
    let reports = reports(&known(&[&silent]), question, |measured| {
        if measured.waiting.is_empty() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let voices = |m: &Measurement| m.readings.iter().map(|r| r.voice.clone()).collect::<Vec<_>>();
    assert!(reports.iter().all(|r| voices(r) == [Voice::hypervisor()]), "{reports:?}");
    assert_eq!((reports[0].waiting.len(), reports[0].failures.len()), (1, 0));
    assert_eq!((reports[1].waiting.len(), reports[1].failures.len()), (0, 1), "its second is over");
}

#[test]
fn a_storm_of_network_events_stands_in_no_exchanges_way() {
    let server = fake::FakeServer::ahead(Offset::ZERO);
    let servers = || vec![numeric(&server), "slow.invalid".parse().unwrap()];
    let references = References::new(servers());
    // Under way from here on, for ever.
    assert_eq!(references.shared.pool().take_names().len(), 1);
    let over = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(std::sync::atomic::Ordering::Relaxed) {
                references.set_servers(servers());
                references.network_changed();
                references.refresh();
            }
        });
        let measured: Vec<Measurement> = (0..8).map(|_| references.measure(LONG)).collect();
        over.store(true, std::sync::atomic::Ordering::Relaxed);
        assert!(measured.iter().all(|m| m.readings.len() == 1), "{measured:?}");
    });
}

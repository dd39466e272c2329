//! Each request, and each way to be refused.

use std::fs;
use std::net::{IpAddr, Ipv4Addr};
use std::path::Path;
use std::time::Duration;

use clockgate::daemon::chrony::protocol::{
    AuthMode, ChronyClient, ChronyError, Problem, SourceAddress, SourceMode, Status,
};
use clockgate::decision::Leap;

use crate::Test;
use crate::lab::{Daemon, soon};
use crate::relay::{Relay, renumber};
use crate::support::chronyd::free_port;
use crate::support::{Outcome, until};

pub const TRIALS: &[Test] = &[
    ("every_request_gets_its_answer", every_request_gets_its_answer),
    ("after_a_reset_chronyd_knows_nothing_until_a_burst_is_done", after_a_reset_chronyd_knows_nothing),
    ("makestep_that_chronyd_may_not_make_fails_and_leaves_it_lying", makestep_fails_and_leaves_it_lying),
    ("sources_without_and_with_a_key_say_so", sources_say_how_they_are_authenticated),
    ("a_chronyd_without_sources_answers_all_the_same", a_chronyd_without_sources_answers),
    ("udp_reads_and_orders_nothing", udp_reads_and_orders_nothing),
    ("an_unknown_command_is_of_a_chronyd_too_old", an_unknown_command_is_of_a_chronyd_too_old),
    ("no_socket_a_dead_one_and_a_closed_port_are_told_apart", what_is_absent_is_told_apart),
    ("another_user_is_told_to_be_root", another_user_is_told_to_be_root),
    ("our_own_socket_is_gone_when_we_are", our_own_socket_is_gone_when_we_are),
];

const LOOPBACK: SourceAddress = SourceAddress::Ip(IpAddr::V4(Ipv4Addr::LOCALHOST));

fn refused<T: std::fmt::Debug>(outcome: Result<T, ChronyError>, status: Status) -> Outcome {
    match outcome {
        Err(ChronyError { problem: Problem::Refused(got), .. }) if got == status => Ok(()),
        other => Err(format!("{status:?} was expected, it is {other:?}").into()),
    }
}

fn every_request_gets_its_answer() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll 0 maxpoll 0 iburst key 1 offset 30"])?;
    client.synchronised()?;
    let mut ask = client.ask();
    let tracking = ask.tracking()?;
    assert_eq!((tracking.stratum, tracking.leap), (3, Some(Leap::None)));
    let offset = tracking.offset.as_nanos();
    assert!((29_990_000_000..30_010_000_000).contains(&offset), "a clock said to be 30 s behind: {offset}");
    assert!(tracking.root_distance() < Duration::from_secs(1), "{tracking:?}");
    let sources = ask.sources()?;
    let [source] = &sources[..] else { return Err(format!("{sources:?}").into()) };
    assert_eq!((source.address, source.mode, source.stratum), (LOOPBACK, SourceMode::Client, 2));
    assert!(source.reach != 0 && source.since_sample_secs.is_some());
    assert_eq!(ask.authentication(source)?, AuthMode::SymmetricKey);
    assert_eq!(ask.name(LOOPBACK)?, "127.0.0.1");
    let data = ask.ntp_data(LOOPBACK)?;
    assert!(data.remote == LOOPBACK && data.port == server.port && data.valid >= 3, "{data:?}");
    ask.online()?;
    assert_eq!(ask.activity()?.online + ask.activity()?.burst_online, 1);
    ask.burst(4, 8)?;
    ask.burst(4, 8)?;
    assert_eq!(ask.activity()?.burst_online, 1);
    ask.reset_sources()?;
    refused(ask.name(SourceAddress::Ip([127, 0, 0, 9].into())), Status::NoSuchSource)?;
    refused(ask.ntp_data(SourceAddress::Ip([127, 0, 0, 9].into())), Status::NoSuchSource)
}

fn after_a_reset_chronyd_knows_nothing() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll -2 maxpoll 0 iburst"])?;
    client.synchronised()?;
    let mut ask = client.ask();
    ask.reset_sources()?;
    let tracking = ask.tracking()?;
    assert_eq!((tracking.stratum, tracking.leap, tracking.synchronised()), (0, None, None));
    assert_eq!(ask.sources()?[0].reach, 0, "a reset clears what was reached, too");
    ask.burst(4, 8)?;
    client.synchronised()?;
    Ok(())
}

fn makestep_fails_and_leaves_it_lying() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll 4 maxpoll 4 iburst offset 30"])?;
    client.synchronised()?;
    let mut ask = client.ask();
    refused(ask.makestep(), Status::Failed)?;
    let after = ask.tracking()?;
    assert!(after.synchronised().is_some() && after.offset.abs() < Duration::from_millis(1), "the trap: {after:?}");
    ask.reset_sources()?;
    assert_eq!(ask.tracking()?.synchronised(), None);
    Ok(())
}

fn sources_say_how_they_are_authenticated() -> Outcome {
    let server = Daemon::server()?;
    let lines = ["server {server} key 1", "server 127.0.0.2 port 9", "server 127.0.0.3 port 9 nts"];
    let client = Daemon::client(&server, &lines)?;
    let mut ask = client.ask();
    let sources = ask.sources()?;
    let modes: Result<Vec<_>, _> = sources.iter().map(|s| ask.authentication(s)).collect();
    assert_eq!(modes?, [AuthMode::SymmetricKey, AuthMode::None, AuthMode::Nts { cookies: 0 }]);
    Ok(())
}

fn a_chronyd_without_sources_answers() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &[])?;
    let mut ask = client.ask();
    assert_eq!(ask.sources()?, []);
    assert_eq!(ask.tracking()?.synchronised(), None);
    ask.reset_sources()?;
    refused(ask.online(), Status::NoSuchSource)?;
    refused(ask.burst(4, 8), Status::NoSuchSource)?;
    Ok(())
}

fn udp_reads_and_orders_nothing() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll 0 maxpoll 0 iburst"])?;
    client.synchronised()?;
    let mut ask = ChronyClient::udp(client.udp, soon());
    assert!(ask.tracking()?.synchronised().is_some());
    assert_eq!(ask.activity()?.unresolved, 0);
    let sources = ask.sources()?;
    assert_eq!((sources.len(), ask.name(LOOPBACK)?.as_str()), (1, "127.0.0.1"));
    refused(ask.authentication(&sources[0]), Status::Unauthorised)?;
    refused(ask.ntp_data(LOOPBACK), Status::Unauthorised)?;
    refused(ask.burst(4, 8), Status::Unauthorised)?;
    refused(ask.online(), Status::Unauthorised)?;
    refused(ask.makestep(), Status::Unauthorised)?;
    let error = ask.reset_sources().err().ok_or("reset over UDP")?.to_string();
    let place = format!("UDP {}", client.udp);
    for part in ["`reset sources`", place.as_str(), "over its Unix socket only"] {
        assert!(error.contains(part), "{error}");
    }
    Ok(())
}

fn an_unknown_command_is_of_a_chronyd_too_old() -> Outcome {
    let server = Daemon::server()?;
    // chronyd itself says what it says to a command that it does not know: the relay gives ours a number without a command.
    let old = Relay::before(&server, renumber(&[66, 67, 65]))?;
    let mut ask = ChronyClient::unix(&old.socket(), soon());
    ask.tracking()?;
    let error = ask.reset_sources().err().ok_or("reset of an old chronyd")?;
    assert!(error.is_too_old() && error.to_string().contains("older than the command"), "{error}");
    refused(ask.name(LOOPBACK), Status::Invalid)
}

fn what_is_absent_is_told_apart() -> Outcome {
    let mut daemon = Daemon::server()?;
    let says = |ask: &mut ChronyClient| ask.tracking().err().map(|e| (e.is_absent(), e.to_string())).ok_or("an answer");
    let (absent, error) = says(&mut ChronyClient::unix(Path::new("/nonexistent/chronyd.sock"), soon()))?;
    assert!(absent && error.contains("`tracking` at /nonexistent/chronyd.sock: no such socket"), "{error}");
    let mut held = daemon.ask();
    held.tracking()?;
    daemon.killed()?;
    assert!(daemon.socket().exists());
    for ask in [&mut daemon.ask(), &mut held] {
        let (absent, error) = says(ask)?;
        assert!(absent && error.contains("died and left its socket behind: start it again"), "{error}");
    }
    let (absent, error) = says(&mut ChronyClient::udp(([127, 0, 0, 1], free_port()?).into(), soon()))?;
    assert!(absent && error.contains("nothing listens"), "{error}");
    Ok(())
}

fn another_user_is_told_to_be_root() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll 0 maxpoll 0 iburst"])?;
    client.synchronised()?;
    let heard = client.asked_by_nobody()?;
    let line = |start: &str| heard.lines().find(|l| l.starts_with(start)).unwrap_or_default().to_owned();
    assert!(line("tracking:").contains("permission denied; run as root"), "{heard}");
    let forgotten = line("forget:");
    for part in ["Some(\"chronyd\")", "authority: None", "for reading only", "CAP_SYS_TIME"] {
        assert!(forgotten.contains(part), "{part}: {heard}");
    }
    assert!(line("describe:").contains("chronyd"), "{heard}");
    assert!(line("servers:").contains("127.0.0.1"), "{heard}");
    Ok(())
}

fn our_own_socket_is_gone_when_we_are() -> Outcome {
    let server = Daemon::server()?;
    let ours = || {
        let entries = fs::read_dir(server.folder()).into_iter().flatten().flatten();
        entries.filter(|e| e.file_name().to_string_lossy().starts_with("clockgate-")).count()
    };
    let mut ask = server.ask();
    ask.tracking()?;
    assert_eq!(ours(), 1);
    drop(ask);
    until("our socket is gone", Duration::from_secs(1), || ours() == 0)
}

//! The corrector's walk with chronyd: forget, hand over, measure, ask.

use std::path::Path;
use std::str::FromStr;
use std::time::Duration;

use clockgate::correction::{BusAddress, Corrector};
use clockgate::decision::{DaemonVerdict, Kind, Offset, Reading, StepError, Way};
use clockgate::reference::ServerName;
use clockgate::sys::clock::{boottime, realtime};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::Test;
use crate::lab::{Daemon, block_on, corrector};
use crate::relay::{Relay, renumber};

pub const TRIALS: &[Test] = &[
    ("the_whole_walk_with_a_chronyd_that_is_right", the_whole_walk),
    ("a_chronyd_disrupted_in_the_middle_of_a_burst_knows_soon_again", disrupted_in_a_burst),
    ("sources_that_are_offline_are_taken_online", sources_that_are_offline_are_taken_online),
    ("one_server_without_a_key_makes_the_sources_unauthenticated", one_server_without_a_key),
    ("servers_are_told_by_address_and_port_and_unresolved_ones_by_name", servers_are_told),
    ("a_chronyd_too_old_to_forget_is_said_to_be_and_proves_nothing", a_chronyd_too_old_to_forget),
    ("a_chronyd_that_hangs_costs_a_second_and_not_the_walk", a_chronyd_that_hangs),
    ("a_chronyd_that_dies_on_the_way_ends_no_walk", a_chronyd_that_dies_on_the_way),
    ("without_any_daemon_the_kernel_is_kept_alone", without_any_daemon),
];

const THRESHOLD: Duration = Duration::from_millis(200);

pub async fn measured(corrector: &Corrector, patience: Duration) -> Result<Reading, Failed> {
    let measurement = corrector.measure(patience).await;
    measurement.readings.first().cloned().ok_or_else(|| format!("{:?}", measurement.failures).into())
}

fn the_whole_walk() -> Result<(), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll -2 maxpoll 0 iburst key 1"])?;
    client.synchronised()?;
    let corrector = client.corrector();
    block_on(async {
        assert!(matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Silent(_)), "it was not made to forget yet");
        let began = boottime();
        let forgotten = corrector.forget().await;
        let took = boottime().since(began);
        assert!(took < Duration::from_millis(500), "{took:?}");
        assert_eq!((forgotten.daemon.as_deref(), forgotten.authority.is_some()), (Some("chronyd"), true));
        assert_eq!(forgotten.trouble, None);
        assert_eq!(corrector.ask(THRESHOLD).await, DaemonVerdict::NotYet);
        assert_eq!(corrector.describe().await, None, "it knows nothing");
        let asked = boottime();
        let first = measured(&corrector, Duration::from_secs(10)).await?;
        assert!(first.as_of >= asked && first.kind == Kind::Daemon && first.authenticated, "{first:?}");
        assert!(first.offset.abs() < Duration::from_millis(50), "{first:?}");
        // The second rests on a sample that came after the first, which takes chronyd a moment.
        let hasty = corrector.measure(Duration::ZERO).await;
        let second = measured(&corrector, Duration::from_secs(10)).await?;
        assert!(second.as_of > first.as_of && (hasty.readings.is_empty() || hasty.readings[0].as_of > first.as_of));
        corrector.hand_over().await?;
        assert_eq!(corrector.ask(THRESHOLD).await, DaemonVerdict::NotYet, "it was made to forget again");
        client.synchronised()?;
        let verdict = corrector.ask(THRESHOLD).await;
        assert!(matches!(verdict, DaemonVerdict::Agrees { .. }), "{verdict:?}");
        assert_eq!(corrector.describe().await.map(|r| r.source), Some("chronyd".to_owned()));
        Ok(())
    })
}

/// At boot both start together: chronyd is at its first four samples when it is made to forget, and polls once a minute after.
fn disrupted_in_a_burst() -> Result<(), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} iburst"])?;
    client.synchronised()?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        corrector.hand_over().await?;
        let asked = || async { matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Agrees { .. }) };
        let deadline = boottime() + Duration::from_secs(30);
        while !asked().await {
            if boottime() > deadline {
                return Err(format!("chronyd does not know the time: {}", client.log()).into());
            }
            tokio::time::sleep(Duration::from_secs(2)).await;
        }
        Ok(())
    })
}

fn sources_that_are_offline_are_taken_online() -> Result<(), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll -2 maxpoll 0 iburst offline"])?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        corrector.hand_over().await?;
        measured(&corrector, Duration::from_secs(10)).await.map(|_| ())
    })
}

fn one_server_without_a_key() -> Result<(), Failed> {
    let server = Daemon::server()?;
    let poll = "minpoll 0 maxpoll 0 iburst";
    let both = [&format!("server {{server}} {poll} key 1")[..], &format!("server 127.0.0.1 port 9 {poll}")];
    assert!(block_on(Daemon::client(&server, &both[1..])?.corrector().forget()).authority.is_none());
    let none = Daemon::client(&server, &[])?;
    assert!(block_on(none.corrector().forget()).authority.is_none(), "no server at all");
    assert_eq!(block_on(none.corrector().hand_over()), Ok(()));
    // One that has never been heard does not count beside one that has.
    let other = both[1].replace("127.0.0.1", "127.0.0.2");
    let client = Daemon::client(&server, &[both[0], &other])?;
    assert!(block_on(client.corrector().forget()).authority.is_none(), "none of them was heard yet");
    client.synchronised()?;
    assert!(block_on(client.corrector().forget()).authority.is_some());
    Ok(())
}

fn servers_are_told() -> Result<(), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server}", "server name.invalid", "server 127.0.0.2"])?;
    let servers = block_on(client.corrector().servers());
    let port = server.port;
    for (host, port) in [("127.0.0.1", port), ("name.invalid", 123), ("127.0.0.2", 123)] {
        assert!(servers.contains(&ServerName::from_str(&format!("{host}:{port}"))?), "{servers:?}");
    }
    assert_eq!(servers.len(), 3);
    Ok(())
}

fn a_chronyd_too_old_to_forget() -> Result<(), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll 0 maxpoll 0 iburst key 1"])?;
    client.synchronised()?;
    let old = Relay::before(&client, renumber(&[66, 67, 65]))?;
    let corrector = corrector(&old.socket(), None, Path::new("/nonexistent"), BusAddress::Nowhere);
    block_on(async {
        let forgotten = corrector.forget().await;
        let trouble = forgotten.trouble.unwrap_or_default();
        assert!(trouble.contains("older than 4.0") && trouble.contains("CAP_SYS_TIME"), "{trouble}");
        assert_eq!((forgotten.daemon.as_deref(), forgotten.authority.is_some()), (Some("chronyd"), false));
        let measurement = corrector.measure(Duration::from_millis(100)).await;
        assert!(measurement.readings.is_empty() && measurement.failures[0].why.contains("proves nothing"));
        assert!(matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Silent(_)));
        corrector.hand_over().await?;
        assert!(client.ask().activity()?.burst_online > 0, "it was told to measure at least");
        Ok(())
    })
}

fn a_chronyd_that_hangs() -> Result<(), Failed> {
    let daemon = Daemon::server()?;
    let corrector = daemon.corrector();
    daemon.signal(Signal::SIGSTOP)?;
    block_on(async {
        let began = boottime();
        let forgotten = corrector.forget().await;
        let took = boottime().since(began);
        assert!(took < Duration::from_millis(1500), "{took:?}");
        let trouble = forgotten.trouble.unwrap_or_default();
        assert!(trouble.contains("`sources`") && trouble.contains("no answer within 1"), "{trouble}");
        assert_eq!(forgotten.daemon.as_deref(), Some("chronyd"));
        assert!(corrector.describe().await.is_none());
    });
    daemon.signal(Signal::SIGCONT)
}

fn a_chronyd_that_dies_on_the_way() -> Result<(), Failed> {
    let mut daemon = Daemon::server()?;
    let corrector = daemon.corrector();
    block_on(async {
        assert_eq!(corrector.forget().await.trouble, None);
        daemon.killed()?;
        let measurement = corrector.measure(Duration::from_secs(5)).await;
        let why = &measurement.failures.first().ok_or("no failure")?.why;
        assert!(why.contains("start it again"), "{why}");
        let handed = corrector.hand_over().await;
        assert!(handed.as_ref().is_err_and(|why| why.contains("`reset sources`")), "{handed:?}");
        assert!(matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Silent(_)));
        // The next walk finds nobody.
        assert_eq!(corrector.forget().await.daemon, None);
        Ok(())
    })
}

fn without_any_daemon() -> Result<(), Failed> {
    let corrector = corrector(Path::new("/nonexistent/sock"), None, Path::new("/nonexistent"), BusAddress::Nowhere);
    block_on(async {
        let forgotten = corrector.forget().await;
        assert_eq!((forgotten.daemon, forgotten.authority.is_some()), (None, false));
        // These tests may not set the clock, which is what it complains of.
        let trouble = forgotten.trouble.unwrap_or_default();
        assert!(trouble.contains("AmbientCapabilities=CAP_SYS_TIME"), "{trouble}");
        assert_eq!(corrector.hand_over().await, Ok(()));
        assert!(corrector.describe().await.is_none() && corrector.servers().await.is_empty());
        assert_eq!(corrector.measure(Duration::ZERO).await.failures.len(), 1);
        let hour = Offset::from_secs(3600);
        let refused = corrector.step(Way::Own, hour, realtime(), boottime()).await;
        assert!(
            matches!(refused, Err(StepError::NotPermitted(ref why)) if why.contains("run it as root")),
            "{refused:?}"
        );
        let stale = realtime() + Offset::from_secs(-5);
        let superseded = corrector.step(Way::Own, hour, stale, boottime()).await;
        assert!(matches!(superseded, Err(StepError::Superseded { .. })), "{superseded:?}");
        assert!(matches!(corrector.step(Way::Daemon, hour, realtime(), boottime()).await, Err(StepError::Failed(_))));
    });
    Ok(())
}

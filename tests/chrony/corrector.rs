//! The corrector's walk with chronyd: forget, hand over, measure, ask.

use std::fs;
use std::path::Path;
use std::time::Duration;

use clockgate::daemon::{BusAddress, Corrector, DaemonSources};
use clockgate::decision::{DaemonVerdict, Offset, Reading, ReferenceKind, StepBy, StepError};
use clockgate::reference::Server;
use clockgate::reference::ntp::default_servers::{self as defaults, ServersOrigin};
use clockgate::sys::clock::{boottime, realtime};
use libtest_mimic::Failed;
use nix::sys::signal::Signal;

use crate::Test;
use crate::lab::{Daemon, block_on, corrector};
use crate::relay::{Relay, renumber};
use crate::support::{Outcome, until};

pub const TRIALS: &[Test] = &[
    ("the_whole_walk_with_a_chronyd_that_is_right", the_whole_walk),
    ("a_chronyd_disrupted_in_the_middle_of_a_burst_knows_soon_again", disrupted_in_a_burst),
    ("sources_that_are_offline_are_taken_online", sources_that_are_offline_are_taken_online),
    ("servers_are_told_by_name_with_their_addresses_and_pools_as_pools", servers_are_told),
    ("servers_that_are_added_and_deleted_are_read_again", servers_are_read_again),
    ("reference_clocks_are_counted_and_keep_the_pool_from_being_asked", reference_clocks_are_counted),
    (
        "a_chronyd_whose_socket_is_elsewhere_is_said_to_be_and_its_configuration_is_read",
        a_chronyd_whose_socket_is_elsewhere,
    ),
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

fn the_whole_walk() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll -2 maxpoll 0 iburst key 1"])?;
    client.synchronised()?;
    let corrector = client.corrector();
    block_on(async {
        assert!(matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Silent(_)), "it was not reset yet");
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
        assert!(first.as_of >= asked && first.kind == ReferenceKind::Daemon && first.authenticated, "{first:?}");
        assert!(first.offset.abs() < Duration::from_millis(50), "{first:?}");
        // The second rests on a sample that came after the first, which takes chronyd a moment.
        let hasty = corrector.measure(Duration::ZERO).await;
        let second = measured(&corrector, Duration::from_secs(10)).await?;
        assert!(second.as_of > first.as_of && (hasty.readings.is_empty() || hasty.readings[0].as_of > first.as_of));
        corrector.hand_over().await?;
        let verdict = corrector.ask(THRESHOLD).await;
        assert!(
            matches!(verdict, DaemonVerdict::Agrees { .. }),
            "no step, and it keeps what it has heard: {verdict:?}"
        );
        assert_eq!(corrector.describe().await.map(|r| r.source), Some("chronyd".to_owned()));
        Ok(())
    })
}

/// At boot both start together: chronyd is at its first four samples when it is made to forget, and polls once a minute after.
fn disrupted_in_a_burst() -> Outcome {
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

fn sources_that_are_offline_are_taken_online() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll -2 maxpoll 0 iburst offline"])?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        corrector.hand_over().await?;
        measured(&corrector, Duration::from_secs(10)).await.map(|_| ())
    })
}

/// Each server's name, the addresses that are told with it, and whether it is a pool.
fn described(sources: &DaemonSources) -> Vec<String> {
    let of = |server: &Server| {
        let addresses = server.addresses.iter().map(|address| format!(" {address}"));
        let pool = server.is_pool.then(|| " pool".to_owned());
        std::iter::once(server.name.to_string()).chain(addresses).chain(pool).collect()
    };
    sources.servers.iter().map(of).collect()
}

/// A name of this machine's own stands for every other: no test asks DNS.
fn servers_are_told() -> Outcome {
    let server = Daemon::server()?;
    let port = server.port;
    let lines = [
        format!("server localhost port {port}"),
        "pool name.invalid".to_owned(),
        "server other.invalid".to_owned(),
        "server 127.0.0.2".to_owned(),
        format!("server 127.0.0.3 port {port}"),
    ];
    let client = Daemon::client(&server, &lines.each_ref().map(String::as_str))?;
    let corrector = client.corrector();
    let expected = [
        format!("localhost:{port} 127.0.0.1:{port}"),
        "name.invalid pool".to_owned(),
        "other.invalid".to_owned(),
        "127.0.0.2".to_owned(),
        format!("127.0.0.3:{port}"),
    ];
    let same = |told: &DaemonSources| {
        let told = described(told);
        told.len() == expected.len() && expected.iter().all(|line| told.contains(line))
    };
    // chronyd resolves its names in its own time.
    until("chronyd has found localhost", Duration::from_secs(20), || same(&block_on(corrector.servers())))
        .map_err(|e| format!("{:?}: {:?}", e.message(), described(&block_on(corrector.servers()))))?;
    let began = boottime();
    let told = block_on(corrector.servers());
    let took = boottime().since(began);
    println!("reading the list of {} servers took {took:?}", told.servers.len());
    assert!(took < Duration::from_millis(200), "{took:?}");
    assert_eq!((told.daemon.as_deref(), told.others, told.remark), (Some("chronyd"), 0, None));
    Ok(())
}

fn servers_are_read_again() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server 127.0.0.2"])?;
    let corrector = client.corrector();
    assert_eq!(described(&block_on(corrector.servers())), ["127.0.0.2"]);
    client.chronyc(&["add", "server", "127.0.0.3"])?;
    assert_eq!(described(&block_on(corrector.servers())), ["127.0.0.2", "127.0.0.3"]);
    client.chronyc(&["delete", "127.0.0.2"])?;
    assert_eq!(described(&block_on(corrector.servers())), ["127.0.0.3"]);
    Ok(())
}

/// The socket clock of chrony.conf(5) needs no hardware and no shared memory.
fn reference_clocks_are_counted() -> Outcome {
    let server = Daemon::server()?;
    let folder = tempfile::tempdir()?;
    let clock = format!("refclock SOCK {} refid TEST", folder.path().join("clock.sock").display());
    let alone = block_on(Daemon::client(&server, &[&clock])?.corrector().servers());
    assert_eq!((alone.servers.len(), alone.others, alone.daemon.as_deref()), (0, 1, Some("chronyd")));
    let (servers, origin) = defaults::servers(Path::new("/"), alone.servers, alone.others);
    assert_eq!((servers, origin), (vec![], ServersOrigin::DaemonAlone), "neither the cloud nor the pool is asked");
    let beside = block_on(Daemon::client(&server, &[&clock, "server 127.0.0.2"])?.corrector().servers());
    assert_eq!((described(&beside), beside.others), (vec!["127.0.0.2".to_owned()], 1));
    Ok(())
}

/// It runs where its process is in `/proc`, and its configuration says where it listens.
fn a_chronyd_whose_socket_is_elsewhere() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server 127.0.0.2 port 1123", "pool name.invalid"])?;
    let root = tempfile::tempdir()?;
    let process = root.path().join(format!("proc/{}", client.pid()));
    fs::create_dir_all(&process)?;
    for file in ["comm", "status", "cmdline"] {
        fs::write(process.join(file), fs::read(format!("/proc/{}/{file}", client.pid()))?)?;
    }
    let etc = root.path().join("etc/chrony");
    fs::create_dir_all(&etc)?;
    fs::copy(client.folder().join("chrony.conf"), etc.join("chrony.conf"))?;
    let elsewhere = corrector(Path::new("/nonexistent/chronyd.sock"), None, root.path(), BusAddress::Nowhere);
    let told = block_on(elsewhere.servers());
    assert_eq!(described(&told), ["127.0.0.2:1123", "name.invalid pool"]);
    let remark = told.remark.unwrap_or_default();
    assert!(remark.contains(&format!("set `chrony.socket: {}`", client.socket().display())), "{remark}");
    // One that hangs is no other socket's: its list is that of its configuration.
    client.signal(Signal::SIGSTOP)?;
    let hangs = corrector(&client.socket(), None, root.path(), BusAddress::Nowhere);
    let began = boottime();
    let told = block_on(hangs.servers());
    assert!(boottime().since(began) < Duration::from_secs(2));
    let remark = told.remark.clone().unwrap_or_default();
    assert!(remark.contains("no answer") && described(&told).len() == 2, "{told:?}");
    client.signal(Signal::SIGCONT)
}

fn a_chronyd_too_old_to_forget() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} minpoll 0 maxpoll 0 iburst key 1"])?;
    client.synchronised()?;
    let old = Relay::before(&client, renumber(&[66, 67, 65, 69]))?;
    let corrector = corrector(&old.socket(), None, Path::new("/nonexistent"), BusAddress::Nowhere);
    block_on(async {
        let forgotten = corrector.forget().await;
        let trouble = forgotten.trouble.unwrap_or_default();
        assert!(trouble.contains("older than 4.0") && trouble.contains("CAP_SYS_TIME"), "{trouble}");
        assert_eq!((forgotten.daemon.as_deref(), forgotten.authority.is_some()), (Some("chronyd"), false));
        let measurement = corrector.measure(Duration::from_millis(100)).await;
        assert!(measurement.readings.is_empty() && measurement.failures[0].why.contains("is not a proof"));
        assert!(matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Silent(_)));
        corrector.hand_over().await?;
        assert!(client.ask().activity()?.burst_online > 0, "it was told to measure at least");
        Ok(())
    })
}

fn a_chronyd_that_hangs() -> Outcome {
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

fn a_chronyd_that_dies_on_the_way() -> Outcome {
    let mut daemon = Daemon::server()?;
    let corrector = daemon.corrector();
    block_on(async {
        assert_eq!(corrector.forget().await.trouble, None);
        daemon.killed()?;
        let measurement = corrector.measure(Duration::from_secs(5)).await;
        let why = &measurement.failures.first().ok_or("no failure")?.why;
        assert!(why.contains("start it again"), "{why}");
        let handed = corrector.hand_over().await;
        assert!(handed.as_ref().is_err_and(|why| why.contains("start it again")), "{handed:?}");
        assert!(matches!(corrector.ask(THRESHOLD).await, DaemonVerdict::Silent(_)));
        // The next walk finds nobody.
        assert_eq!(corrector.forget().await.daemon, None);
        Ok(())
    })
}

fn without_any_daemon() -> Outcome {
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
        let refused = corrector.step(StepBy::Own, hour, realtime(), boottime()).await;
        assert!(
            matches!(refused, Err(StepError::NotPermitted(ref why)) if why.contains("run it as root")),
            "{refused:?}"
        );
        let stale = realtime() + Offset::from_secs(-5);
        let superseded = corrector.step(StepBy::Own, hour, stale, boottime()).await;
        assert!(matches!(superseded, Err(StepError::Superseded { .. })), "{superseded:?}");
        assert!(matches!(
            corrector.step(StepBy::Daemon, hour, realtime(), boottime()).await,
            Err(StepError::Failed(_))
        ));
    });
    Ok(())
}

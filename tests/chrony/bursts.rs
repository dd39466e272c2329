//! chronyd is never worse off: each reset has its burst, and a chronyd that quits by it is started again.

use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clockgate::daemon::BusAddress;
use clockgate::decision::Offset;
use libtest_mimic::Failed;
use zbus::connection::Builder;
use zbus::interface;

use crate::Test;
use crate::lab::{Daemon, block_on, corrector};
use crate::support::private_bus::PrivateBus;
use crate::support::{Outcome, until};

pub const TRIALS: &[Test] = &[
    ("a_chronyd_that_nobody_hands_the_clock_measures_again_by_itself", nobody_hands_over),
    ("a_chronyd_measures_again_when_who_made_it_forget_goes_away", who_made_it_forget_goes_away),
    ("a_chronyd_that_quits_by_our_burst_is_started_again_once", quits_by_our_burst),
    ("the_newest_sample_since_it_forgot_is_a_hint", the_newest_sample_is_a_hint),
];

/// Polled once in 64 s: without a burst it has no sample for a minute.
const SELDOM: &str = "server {server} iburst";
const PATIENCE: Duration = Duration::from_secs(20);

fn has_heard(client: &Daemon) -> bool {
    client.ask().sources().is_ok_and(|sources| sources.iter().any(|s| s.reach != 0))
}

fn idle() -> Result<(Daemon, Daemon), Failed> {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &[SELDOM])?;
    let idle = || client.ask().activity().is_ok_and(|a| a.online == 1 && a.burst_online == 0);
    client.synchronised()?;
    until("its first burst is over", PATIENCE, idle)?;
    Ok((server, client))
}

fn nobody_hands_over() -> Outcome {
    let (_server, client) = idle()?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        assert!(!has_heard(&client), "it was reset, and is not told to measure before the clock was judged");
        for _ in 0..200 {
            tokio::time::sleep(Duration::from_millis(100)).await;
            if has_heard(&client) {
                return Ok(());
            }
        }
        Err(client.log().into())
    })
}

fn who_made_it_forget_goes_away() -> Outcome {
    let (_server, client) = idle()?;
    let corrector = client.corrector();
    block_on(corrector.forget());
    assert!(!has_heard(&client));
    drop(corrector);
    until("it measures", PATIENCE, || has_heard(&client))
}

/// systemd, as far as one unit goes: failed as soon as its process is gone by itself.
#[derive(Clone, Default)]
struct Systemd {
    started: Arc<Mutex<Vec<String>>>,
}

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Systemd {
    fn start_unit(&self, unit: &str, mode: &str) -> zbus::OwnedObjectPath {
        self.started.lock().expect("no panic").push(format!("{unit} {mode}"));
        zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/1").expect("a path").into()
    }
}

struct Unit {
    log: std::path::PathBuf,
}

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> String {
        let log = std::fs::read_to_string(&self.log).unwrap_or_default();
        if log.contains("exiting") { "failed".to_owned() } else { "active".to_owned() }
    }
}

fn quits_by_our_burst() -> Outcome {
    let bus = PrivateBus::start()?;
    let server = Daemon::server()?;
    // An hour off, where no change of more than 1,000 s is taken from the first sample on; offline until it is told to measure.
    let client = Daemon::client(&server, &["maxchange 1000 0 0", "server {server} iburst offset 3600 offline"])?;
    let systemd = Systemd::default();
    block_on(async {
        let unit = Unit { log: client.folder().join("log") };
        let connection = Builder::address(bus.address().as_str())
            .serve_at("/org/freedesktop/systemd1", systemd.clone())
            .serve_at("/org/freedesktop/systemd1/unit/chrony_2eservice", unit)
            .build()
            .await?;
        connection.request_name("org.freedesktop.systemd1").await?;
        let corrector = corrector(&client.socket(), None, Path::new("/nonexistent"), BusAddress::At(bus.address()));
        corrector.forget().await;
        // Asked for its measurement, it measures, and quits.
        let measurement = corrector.measure(Duration::from_secs(15)).await;
        let started = || systemd.started.lock().expect("no panic").clone();
        for _ in 0..200 {
            if !started().is_empty() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        assert_eq!(started(), ["chrony.service replace"], "{measurement:?}: {}", client.log());
        Ok(())
    })
}

fn the_newest_sample_is_a_hint() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &["server {server} iburst offset 30"])?;
    client.synchronised()?;
    until("its first burst is over", PATIENCE, || client.ask().activity().is_ok_and(|a| a.burst_online == 0))?;
    let corrector = client.corrector();
    block_on(async {
        assert_eq!(corrector.hint().await, None, "it was not reset yet");
        corrector.forget().await;
        assert_eq!(corrector.hint().await, None, "it has no sample since");
        corrector.hand_over().await?;
        let is_sure = || client.ask().tracking().is_ok_and(|tracking| tracking.synchronised().is_some());
        let mut heard = 0;
        for _ in 0..400 {
            // From the first sample on, and just as well when chronyd is sure and means to correct it.
            let was_sure = is_sure();
            if let Some(hint) = corrector.hint().await {
                assert!((hint.offset - Offset::from_secs(30)).abs() < Duration::from_millis(50), "{hint:?}");
                assert!(hint.source == "127.0.0.1" && hint.width < Duration::from_millis(100), "{hint:?}");
                heard += 1;
                if was_sure {
                    return if heard > 1 { Ok(()) } else { Err("heard only when it was sure".into()) };
                }
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        Err(client.log().into())
    })
}

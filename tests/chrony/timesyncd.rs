//! systemd-timesyncd's D-Bus interface, by a stand-in on a private bus: the real one would set this machine's clock. The real one is
//! tested in a guest with a kernel of its own.

use std::fs;
use std::net::SocketAddr;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clockgate::daemon::{BusAddress, Corrector, CorrectorSettings};
use clockgate::decision::{DaemonVerdict, Offset, ReferenceKind, StepBy, StepError};
use clockgate::sys::clock::{boottime, realtime};
use clockgate::sys::step::SystemClock;
use libtest_mimic::Failed;
use zbus::connection::{Builder, Connection};
use zbus::interface;

use crate::Test;
use crate::lab::block_on;
use crate::support::Outcome;
use crate::support::private_bus::PrivateBus;

pub const TRIALS: &[Test] = &[
    ("timesyncd_is_restarted_where_we_may_not_set_the_clock", timesyncd_is_restarted),
    ("timesyncd_is_measured_by_what_it_says_after_it_was_told_to_ask", timesyncd_is_measured),
    ("timesyncd_agrees_or_not_by_an_answer_after_the_hand_over", timesyncd_agrees_or_not),
    ("timesyncd_that_has_heard_nobody_describes_nothing", timesyncd_that_has_heard_nobody),
    ("a_daemon_is_started_by_set_ntp_only_if_asked_for", a_daemon_is_started_by_set_ntp),
    ("a_bus_that_hangs_or_is_not_there_is_no_error_of_the_walk", a_bus_that_hangs_or_is_not_there),
];

const NOBODY: &str = "/nonexistent/chronyd.sock";

fn corrector(bus: &PrivateBus, set_ntp: bool) -> Corrector {
    let settings = CorrectorSettings {
        chrony_socket: Path::new(NOBODY).to_owned(),
        chrony_udp: None,
        root: Path::new("/nonexistent").to_owned(),
        bus: BusAddress::At(bus.address()),
        set_ntp,
    };
    Corrector::new(Arc::new(SystemClock::new()), settings)
}

/// What the stand-in does: the offset of its next answer, and what was asked of it.
#[derive(Debug, Default)]
struct Played {
    /// `NTPMessage`: origin time and offset in microseconds; none before the first answer.
    answer: Option<(u64, u64)>,
    asked: Vec<String>,
}

type Shared = Arc<Mutex<Played>>;
type NtpMessage = (u32, u32, u32, u32, i32, u64, u64, Vec<u8>, u64, u64, u64, u64, bool, u64, u64);

fn now_us() -> u64 {
    realtime().as_nanos().unsigned_abs() / 1000
}

struct Timesync(Shared);

#[interface(name = "org.freedesktop.timesync1.Manager")]
impl Timesync {
    #[zbus(property, name = "NTPMessage")]
    fn ntp_message(&self) -> NtpMessage {
        let Some((asked, offset)) = self.0.lock().expect("no panic").answer else {
            return (0, 0, 0, 0, 0, 0, 0, vec![0; 4], 0, 0, 0, 0, false, 0, 0);
        };
        let there = asked + offset + 500;
        (0, 4, 4, 2, -20, 1_000, 3_000, vec![127, 0, 0, 1], asked, there, there, asked + 1_000, false, 1, 0)
    }

    /// As an older one, it has no `RuntimeNTPServers`.
    #[zbus(property, name = "SystemNTPServers")]
    fn system_ntp_servers(&self) -> Vec<String> {
        vec!["ntp.example".to_owned(), "second.example".to_owned()]
    }

    #[zbus(property, name = "LinkNTPServers")]
    fn link_ntp_servers(&self) -> Vec<String> {
        vec!["link.example".to_owned()]
    }

    #[zbus(property, name = "FallbackNTPServers")]
    fn fallback_ntp_servers(&self) -> Vec<String> {
        vec!["0.debian.pool.ntp.org".to_owned()]
    }

    #[zbus(property)]
    fn server_name(&self) -> String {
        "ntp.example".to_owned()
    }

    #[zbus(property)]
    fn server_address(&self) -> (i32, Vec<u8>) {
        (2, vec![192, 0, 2, 7])
    }
}

struct Systemd(Shared);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Systemd {
    /// As the real one, it measures anew when it was restarted.
    fn restart_unit(&self, unit: &str, mode: &str) -> zbus::OwnedObjectPath {
        let mut played = self.0.lock().expect("no panic");
        played.asked.push(format!("restart {unit} {mode}"));
        if let Some((_, offset)) = played.answer {
            played.answer = Some((now_us(), offset));
        }
        zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/1").expect("a path").into()
    }
}

struct Timedate(Shared);

#[interface(name = "org.freedesktop.timedate1")]
impl Timedate {
    #[zbus(name = "SetNTP")]
    fn set_ntp(&self, on: bool, interactive: bool) {
        self.0.lock().expect("no panic").asked.push(format!("set-ntp {on} {interactive}"));
    }
}

async fn stand_in(bus: &PrivateBus, names: &[&str], played: &Shared) -> Result<Connection, Failed> {
    let builder = Builder::address(bus.address().as_str())
        .serve_at("/org/freedesktop/timesync1", Timesync(Arc::clone(played)))
        .serve_at("/org/freedesktop/systemd1", Systemd(Arc::clone(played)))
        .serve_at("/org/freedesktop/timedate1", Timedate(Arc::clone(played)));
    let connection = builder.build().await?;
    for name in names {
        connection.request_name(*name).await?;
    }
    Ok(connection)
}

const ALL: &[&str] = &["org.freedesktop.timesync1", "org.freedesktop.systemd1", "org.freedesktop.timedate1"];

fn playing(answer: Option<(u64, u64)>) -> Shared {
    Arc::new(Mutex::new(Played { answer, ..Played::default() }))
}

fn asked(played: &Shared) -> Vec<String> {
    played.lock().expect("no panic").asked.clone()
}

fn timesyncd_is_restarted() -> Outcome {
    let bus = PrivateBus::start()?;
    block_on(async {
        let played = playing(None);
        let _daemon = stand_in(&bus, ALL, &played).await?;
        let forgotten = corrector(&bus, false).forget().await;
        assert_eq!(forgotten.daemon.as_deref(), Some("systemd-timesyncd"));
        assert_eq!(asked(&played), ["restart systemd-timesyncd.service replace"]);
        let trouble = forgotten.trouble.unwrap_or_default();
        assert!(trouble.contains("CAP_SYS_TIME") && !trouble.contains("cannot restart"), "{trouble}");
        // Without systemd on the bus it cannot be restarted, and that is said too.
        let bus = PrivateBus::start()?;
        let _daemon = stand_in(&bus, &ALL[..1], &played).await?;
        let forgotten = corrector(&bus, false).forget().await;
        let trouble = forgotten.trouble.unwrap_or_default();
        assert!(trouble.contains("cannot restart systemd-timesyncd"), "{trouble}");
        Ok(())
    })
}

fn timesyncd_is_measured() -> Outcome {
    let bus = PrivateBus::start()?;
    block_on(async {
        let stale = now_us() - 1_000_000;
        let played = playing(Some((stale, 50_000)));
        let _daemon = stand_in(&bus, ALL, &played).await?;
        let corrector = corrector(&bus, false);
        let described = corrector.describe().await.ok_or("no description")?;
        assert_eq!(described.source, "systemd-timesyncd (192.0.2.7)");
        assert!(
            described.offset == Offset::from_nanos(50_000_000) && described.kind == ReferenceKind::Daemon,
            "{described:?}"
        );
        assert!(boottime().since(described.as_of) >= Duration::from_millis(900), "an old answer is as of when it came");
        let told = corrector.servers().await;
        assert_eq!((told.daemon.as_deref(), told.others), (Some("systemd-timesyncd"), 0));
        let names: Vec<String> = told.servers.iter().map(|server| server.name.to_string()).collect();
        assert_eq!(names, ["ntp.example", "second.example", "link.example"], "its fallback servers are not asked");
        assert_eq!(told.servers[0].addresses, [SocketAddr::from(([192, 0, 2, 7], 123))]);
        corrector.forget().await;
        let fresh = corrector.measure(Duration::from_secs(2)).await;
        let reading = fresh.readings.first().ok_or_else(|| format!("{:?}", fresh.failures))?;
        assert!(boottime().since(reading.as_of) < Duration::from_millis(900), "{reading:?}");
        // An answer from before it was told to ask is none.
        played.lock().expect("no panic").answer = Some((stale, 50_000));
        let old = corrector.measure(Duration::from_millis(60)).await;
        assert!(old.readings.is_empty() && old.failures[0].why.contains("no answer"), "{old:?}");
        let stepped = corrector.step(StepBy::Daemon, Offset::from_secs(1), realtime(), boottime()).await;
        assert!(matches!(stepped, Err(StepError::Failed(ref why)) if why.contains("cannot be made to step")));
        Ok(())
    })
}

fn timesyncd_agrees_or_not() -> Outcome {
    let bus = PrivateBus::start()?;
    block_on(async {
        let played = playing(Some((now_us(), 0)));
        let _daemon = stand_in(&bus, ALL, &played).await?;
        let corrector = corrector(&bus, false);
        corrector.forget().await;
        let threshold = Duration::from_millis(200);
        corrector.hand_over().await?;
        assert_eq!(corrector.ask(threshold).await, DaemonVerdict::NotYet);
        played.lock().expect("no panic").answer = Some((now_us() + 1, 1_000));
        assert_eq!(corrector.ask(threshold).await, DaemonVerdict::Agrees { offset: Offset::from_nanos(1_000_000) });
        played.lock().expect("no panic").answer = Some((now_us() + 1, 300_000));
        let offset = Offset::from_nanos(300_000_000);
        assert_eq!(corrector.ask(threshold).await, DaemonVerdict::Disagrees { offset });
        // It steps by so much as soon as it hears of it: of the clock as it is now it has said nothing.
        played.lock().expect("no panic").answer = Some((now_us() + 1, 7_000_000));
        assert_eq!(corrector.ask(threshold).await, DaemonVerdict::NotYet);
        assert_eq!(asked(&played).len(), 1, "handed over, it is not restarted once more");
        Ok(())
    })
}

fn timesyncd_that_has_heard_nobody() -> Outcome {
    let bus = PrivateBus::start()?;
    block_on(async {
        let _daemon = stand_in(&bus, ALL, &playing(None)).await?;
        let corrector = corrector(&bus, false);
        assert_eq!(corrector.describe().await, None);
        corrector.forget().await;
        assert_eq!(corrector.ask(Duration::from_secs(1)).await, DaemonVerdict::NotYet);
        Ok(())
    })
}

fn a_daemon_is_started_by_set_ntp() -> Outcome {
    let bus = PrivateBus::start()?;
    block_on(async {
        let played = playing(None);
        let _timedated = stand_in(&bus, &ALL[1..], &played).await?;
        for set_ntp in [false, true] {
            let corrector = corrector(&bus, set_ntp);
            assert_eq!(corrector.forget().await.daemon, None);
            corrector.hand_over().await?;
            assert_eq!(asked(&played).len(), usize::from(set_ntp));
        }
        assert_eq!(asked(&played), ["set-ntp true false"]);
        Ok(())
    })
}

fn a_bus_that_hangs_or_is_not_there() -> Outcome {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("bus");
    // Accepts in its backlog and never says a word.
    let _silent = std::os::unix::net::UnixListener::bind(&path)?;
    let hangs = BusAddress::At(format!("unix:path={}", path.display()));
    let gone = BusAddress::At("unix:path=/nonexistent/bus".to_owned());
    block_on(async {
        for bus in [hangs, gone, BusAddress::Nowhere] {
            let corrector = crate::lab::corrector(Path::new(NOBODY), None, Path::new("/nonexistent"), bus);
            let began = boottime();
            assert_eq!(corrector.forget().await.daemon, None);
            assert!(boottime().since(began) < Duration::from_millis(1500));
            assert!(corrector.describe().await.is_none() && corrector.servers().await.is_empty());
        }
        // Its folder says that it runs even where no bus does.
        fs::create_dir_all(folder.path().join("run/systemd/timesync"))?;
        let corrector = crate::lab::corrector(Path::new(NOBODY), None, folder.path(), BusAddress::Nowhere);
        let forgotten = corrector.forget().await;
        assert_eq!(forgotten.daemon.as_deref(), Some("systemd-timesyncd"));
        assert!(forgotten.trouble.unwrap_or_default().contains("there is no bus"));
        assert!(matches!(corrector.ask(Duration::from_secs(1)).await, DaemonVerdict::Silent(_)));
        Ok(())
    })
}

//! Daemons that take no orders but their unit's, by stand-ins: a `/proc` of the test's own, a socket, a private bus.

use std::fs;
use std::io::Write as _;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clockgate::daemon::{BusAddress, Corrector};
use clockgate::decision::{DaemonVerdict, Offset, ReferenceKind, StepBy, StepError};
use clockgate::sys::clock::{boottime, realtime};
use libtest_mimic::Failed;
use tempfile::TempDir;
use zbus::connection::{Builder, Connection};
use zbus::interface;

use crate::Test;
use crate::lab::{block_on, corrector};
use crate::support::Outcome;
use crate::support::private_bus::PrivateBus;

pub const TRIALS: &[Test] = &[
    ("ntpd_rs_is_asked_itself_and_with_nts_alone_outranks_plain_answers", ntpd_rs_is_asked_itself),
    ("a_daemon_that_has_quit_is_started_again_and_one_that_was_stopped_is_not", one_that_has_quit_is_started),
    ("connman_is_asked_for_its_servers_and_told_them_again_to_measure", connman_is_told_again),
];

type Log = Arc<Mutex<Vec<String>>>;

/// systemd: what was ordered of it.
struct Systemd(Log);

#[interface(name = "org.freedesktop.systemd1.Manager")]
impl Systemd {
    fn start_unit(&self, unit: &str, _mode: &str) -> zbus::OwnedObjectPath {
        self.ordered(format!("start {unit}"))
    }

    fn reset_failed_unit(&self, unit: &str) {
        self.ordered(format!("count anew {unit}"));
    }

    fn try_restart_unit(&self, unit: &str, _mode: &str) -> zbus::OwnedObjectPath {
        self.ordered(format!("restart {unit}"))
    }
}

impl Systemd {
    fn ordered(&self, what: String) -> zbus::OwnedObjectPath {
        self.0.lock().expect("no panic").push(what);
        zbus::ObjectPath::try_from("/org/freedesktop/systemd1/job/1").expect("a path").into()
    }
}

/// A unit in one state.
struct Unit(Arc<Mutex<&'static str>>);

#[interface(name = "org.freedesktop.systemd1.Unit")]
impl Unit {
    #[zbus(property(emits_changed_signal = "false"))]
    fn active_state(&self) -> String {
        (*self.0.lock().expect("no panic")).to_owned()
    }
}

struct Host {
    root: TempDir,
    bus: PrivateBus,
    ordered: Log,
    state: Arc<Mutex<&'static str>>,
}

impl Host {
    fn new() -> Result<Self, Failed> {
        let (root, bus) = (tempfile::tempdir()?, PrivateBus::start()?);
        Ok(Self { root, bus, ordered: Log::default(), state: Arc::new(Mutex::new("active")) })
    }

    /// With systemd on its bus, and this unit.
    async fn systemd(&self, path: &str) -> Result<Connection, Failed> {
        let connection = Builder::address(self.bus.address().as_str())
            .serve_at("/org/freedesktop/systemd1", Systemd(self.ordered.clone()))
            .serve_at(format!("/org/freedesktop/systemd1/unit/{path}"), Unit(self.state.clone()))
            .build()
            .await?;
        connection.request_name("org.freedesktop.systemd1").await?;
        Ok(connection)
    }

    fn runs(&self, comm: &str, unit: &str) -> Outcome {
        let folder = self.root.path().join("proc/77");
        fs::create_dir_all(&folder)?;
        fs::write(folder.join("comm"), format!("{comm}\n"))?;
        fs::write(folder.join("cmdline"), format!("{comm}\0"))?;
        fs::write(folder.join("status"), "NSpid:\t77\nCapPrm:\t0000000002000000\n")?;
        Ok(fs::write(folder.join("cgroup"), format!("0::/system.slice/{unit}\n"))?)
    }

    fn has_ended(&self, state: &'static str) -> Outcome {
        *self.state.lock().expect("no panic") = state;
        Ok(fs::remove_dir_all(self.root.path().join("proc/77"))?)
    }

    fn corrector(&self) -> Corrector {
        let bus = BusAddress::At(self.bus.address());
        corrector(Path::new("/nonexistent/chronyd.sock"), None, self.root.path(), bus)
    }

    fn ordered(&self) -> Vec<String> {
        self.ordered.lock().expect("no panic").clone()
    }
}

/// Seconds from 1900 to 1970.
const NTP_EPOCH_SECS: u64 = 2_208_988_800;

/// Answers every question until the test ends: one source by NTS, 3 ms off, last heard now or an hour ago.
fn observed(path: &Path, is_fresh: Arc<Mutex<bool>>) -> Outcome {
    fs::create_dir_all(path.parent().ok_or("no folder")?)?;
    let listener = UnixListener::bind(path)?;
    std::thread::spawn(move || {
        for mut stream in listener.incoming().map_while(Result::ok) {
            let now = realtime().as_secs().unsigned_abs() + NTP_EPOCH_SECS;
            let at = if *is_fresh.lock().expect("no panic") { now + 1 } else { now - 3600 };
            let body = format!(
                r#"{{"system":{{"stratum":3,"leap_indicator":"NoWarning"}},"sources":[{{"offset":0.003,"uncertainty":0.001,"delay":0.01,
                "remote_delay":0.01,"remote_uncertainty":0.001,"last_update":{{"timestamp":{}}},"unanswered_polls":0,"nts_cookies":8,
                "name":"nts.example:4460","address":"192.0.2.1:123","id":1}}]}}"#,
                at << 32
            );
            let _ =
                stream.write_all(&(body.len() as u64).to_be_bytes()).and_then(|()| stream.write_all(body.as_bytes()));
        }
    });
    Ok(())
}

fn ntpd_rs_is_asked_itself() -> Outcome {
    let host = Host::new()?;
    let is_fresh = Arc::new(Mutex::new(false));
    observed(&host.root.path().join("run/ntpd-rs/observe"), is_fresh.clone())?;
    host.runs("ntp-daemon", "ntpd-rs.service")?;
    block_on(async {
        let _systemd = host.systemd("ntpd_2drs_2eservice").await?;
        let corrector = host.corrector();
        let told = corrector.servers().await;
        let names: Vec<String> = told.servers.iter().map(|server| server.name.to_string()).collect();
        assert_eq!((told.daemon.as_deref(), names), (Some("ntpd-rs"), vec!["nts://nts.example".to_owned()]));
        assert_eq!(told.remark, None);
        let forgotten = corrector.forget().await;
        assert_eq!(forgotten.daemon.as_deref(), Some("ntpd-rs"));
        assert_eq!(forgotten.authority.ok_or("no authority")?.sources, ["nts.example"]);
        assert!(host.ordered().is_empty(), "it is left alone until the clock was judged");
        // It begins anew, and what it knew before is nothing.
        let old = corrector.measure(Duration::from_millis(400)).await;
        assert!(old.readings.is_empty() && old.failures[0].why.contains("has not measured"), "{old:?}");
        assert_eq!(host.ordered(), ["count anew ntpd-rs.service", "restart ntpd-rs.service"]);
        *is_fresh.lock().expect("no panic") = true;
        let fresh = corrector.measure(Duration::from_secs(5)).await;
        let reading = fresh.readings.first().ok_or_else(|| format!("{:?}", fresh.failures))?;
        assert!(reading.authenticated && reading.kind == ReferenceKind::Daemon, "{reading:?}");
        assert_eq!(reading.offset, Offset::from_nanos(3_000_000));
        assert_eq!(host.ordered().len(), 2, "it is not made to begin anew twice");
        let stepped = corrector.step(StepBy::Daemon, Offset::from_secs(1), realtime(), boottime()).await;
        assert!(matches!(stepped, Err(StepError::Failed(ref why)) if why.contains("cannot be made to step")));
        corrector.hand_over().await?;
        let verdict = corrector.ask(Duration::from_millis(200)).await;
        assert!(matches!(verdict, DaemonVerdict::Agrees { .. }), "{verdict:?}");
        assert_eq!(host.ordered().len(), 2, "nobody stepped: it goes on");
        corrector.forget_again().await;
        corrector.measure(Duration::from_secs(5)).await;
        assert_eq!(host.ordered().len(), 2, "a proof that is renewed makes it begin no more");
        Ok(())
    })
}

fn one_that_has_quit_is_started() -> Outcome {
    let host = Host::new()?;
    host.runs("ntpd", "ntpsec.service")?;
    block_on(async {
        let _systemd = host.systemd("ntpsec_2eservice").await?;
        let corrector = host.corrector();
        corrector.prepare().await;
        host.has_ended("inactive")?;
        assert_eq!(corrector.forget().await.daemon.as_deref(), Some("ntpsec"), "it may be restarting");
        corrector.hand_over().await?;
        assert!(host.ordered().is_empty(), "or somebody stopped it");
        assert_eq!(host.corrector().forget().await.daemon, None, "who has not seen it knows of none");
        host.runs("ntpd", "ntpsec.service")?;
        corrector.prepare().await;
        host.has_ended("failed")?;
        assert_eq!(corrector.forget().await.daemon.as_deref(), Some("ntpsec"));
        assert!(host.ordered().is_empty(), "not before the clock is right");
        corrector.hand_over().await?;
        assert_eq!(host.ordered(), ["count anew ntpsec.service", "start ntpsec.service"]);
        // One that nobody has seen alive, as after a restart of the agent.
        let corrector = host.corrector();
        let conf = host.root.path().join("etc/ntp.conf");
        fs::create_dir_all(conf.parent().ok_or("no folder")?)?;
        fs::write(conf, "server nts.example nts\n")?;
        let listed = corrector.servers().await;
        assert_eq!((listed.daemon.as_deref(), listed.servers.len()), (Some("ntpsec"), 1), "nobody else is asked");
        let forgotten = corrector.forget().await;
        assert_eq!(forgotten.daemon.as_deref(), Some("ntpsec"));
        assert_eq!(
            forgotten.authority.ok_or("no authority")?.sources,
            ["nts.example"],
            "its file says so where it cannot"
        );
        corrector.hand_over().await?;
        assert_eq!(host.ordered().len(), 4);
        Ok(())
    })
}

struct Clock(Log);

#[interface(name = "net.connman.Clock")]
impl Clock {
    fn get_properties(&self) -> std::collections::HashMap<String, zbus::OwnedVariant> {
        let text = |text: &str| zbus::OwnedVariant::try_from(zbus::Variant::from(text.to_owned())).expect("a text");
        let set = zbus::Variant::from(vec!["192.0.2.6".to_owned()]);
        let set = zbus::OwnedVariant::try_from(set).expect("a list");
        [("TimeUpdates".to_owned(), text("auto")), ("Timeservers".to_owned(), set)].into()
    }

    fn set_property(&self, name: &str, value: zbus::Variant<'_>) {
        let value = Vec::<String>::try_from(value).unwrap_or_default();
        self.0.lock().expect("no panic").push(format!("{name} {}", value.join(" ")));
    }
}

struct Manager;

#[interface(name = "net.connman.Manager")]
impl Manager {
    fn get_services(&self) -> Vec<(zbus::OwnedObjectPath, std::collections::HashMap<String, zbus::OwnedVariant>)> {
        let path = zbus::ObjectPath::try_from("/net/connman/service/x").expect("a path").into();
        let servers = zbus::Variant::from(vec!["192.0.2.5".to_owned()]);
        vec![(path, [("Timeservers".to_owned(), zbus::OwnedVariant::try_from(servers).expect("a list"))].into())]
    }
}

fn connman_is_told_again() -> Outcome {
    let host = Host::new()?;
    host.runs("connmand", "connman.service")?;
    block_on(async {
        let builder = Builder::address(host.bus.address().as_str());
        let connection = builder.serve_at("/", Clock(host.ordered.clone())).serve_at("/", Manager).build().await?;
        connection.request_name("net.connman").await?;
        let corrector = host.corrector();
        let told = corrector.servers().await;
        let names: Vec<String> = told.servers.iter().map(|server| server.name.to_string()).collect();
        assert_eq!(
            (told.daemon.as_deref(), names),
            (Some("connman"), ["192.0.2.5", "192.0.2.6"].map(str::to_owned).to_vec())
        );
        assert_eq!(corrector.forget().await.daemon.as_deref(), Some("connman"));
        let measured = corrector.measure(Duration::from_millis(100)).await;
        assert!(measured.readings.is_empty(), "it does not tell what it measured");
        assert_eq!(host.ordered(), ["Timeservers 192.0.2.6"], "and at no time switched off");
        Ok(())
    })
}

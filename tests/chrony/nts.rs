//! Network Time Security between two real chronyds, by a certificate of our own: who outranks whom, what is remembered, and what
//! is said where the doubtful clock makes a certificate invalid.

use std::fs;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::daemon::BusAddress;
use clockgate::decision::Offset;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::Test;
use crate::corrector::measured;
use crate::lab::{Daemon, block_on, corrector};
use crate::memory::{Host, is_remembered};
use crate::relay::{Relay, mute};
use crate::support::chronyd::free_port;
use crate::support::liar::Liar;
use crate::support::{Outcome, until};

pub const TRIALS: &[Test] = &[
    ("a_source_by_nts_outranks_plain_ones_unless_chronyd_ignores_authentication", each_mode),
    ("a_chronyd_that_is_silent_about_keys_has_no_list_of_plain_sources", silent_about_keys),
    ("a_source_by_nts_is_believed_against_plain_ones_that_agree_on_a_lie", against_liars),
    ("what_chronyd_said_of_nts_outlives_its_silence", outlives_silence),
    ("a_certificate_that_the_clock_makes_invalid_is_said_to_be_what_is_missing", not_valid_yet),
    ("nocerttimecheck_makes_keys_on_a_doubtful_clock", without_the_check),
];

const POLL: &str = "minpoll -2 maxpoll 0 iburst";
const PATIENCE: Duration = Duration::from_secs(20);
/// Valid on every day on which this is tested, and on none.
const NOW: [&str; 2] = ["20240101000000Z", "20990101000000Z"];
const LATER: [&str; 2] = ["20980101000000Z", "20990101000000Z"];

/// A server of time and of keys.
struct Server {
    folder: TempDir,
    /// For the keys; the time's own port is told by it.
    port: u16,
    _daemon: Daemon,
}

impl Server {
    fn with_certificate(validity: [&str; 2]) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        certificate(folder.path(), validity)?;
        let port = free_port()?;
        let file = |name: &str| folder.path().join(name).display().to_string();
        let lines = [
            "local stratum 2".to_owned(),
            "allow 127.0.0.1".to_owned(),
            format!("ntsport {port}"),
            // In the process that the test ends, and in no other.
            "ntsprocesses 0".to_owned(),
            format!("ntsservercert {}", file("certificate.pem")),
            format!("ntsserverkey {}", file("key.pem")),
        ];
        let daemon = Daemon::start(&lines.each_ref().map(String::as_str), free_port()?)?;
        Ok(Self { folder, port, _daemon: daemon })
    }

    fn trusted(&self) -> PathBuf {
        self.folder.path().join("certificate.pem")
    }

    /// A client that has this as its source by NTS, and more lines.
    fn client(&self, more: &[&str]) -> Result<Daemon, Failed> {
        let nts = format!("server localhost nts ntsport {} {POLL}", self.port);
        let trust = format!("ntstrustedcerts {}", self.trusted().display());
        Daemon::start(&[&[nts.as_str(), trust.as_str()], more].concat(), 0)
    }
}

/// One that is its own authority, for the name `localhost`.
fn certificate(folder: &Path, [from, to]: [&str; 2]) -> Outcome {
    fs::write(folder.join("index"), "")?;
    let rules = "[ca]\ndefault_ca = ours\n[ours]\ndatabase = index\nnew_certs_dir = .\nrand_serial = yes\n\
                 default_md = sha256\npolicy = any\ncopy_extensions = copy\n[any]\ncommonName = supplied\n";
    fs::write(folder.join("rules"), rules)?;
    let request = "req -new -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -keyout key.pem -out request \
                   -subj /CN=localhost -addext subjectAltName=DNS:localhost";
    let sign = format!(
        "ca -batch -selfsign -config rules -keyfile key.pem -in request -out certificate.pem -notext -startdate {from} -enddate {to}"
    );
    for order in [request, &sign] {
        let mut openssl = Command::new("openssl");
        let output = openssl.args(order.split_whitespace()).current_dir(folder).stdin(Stdio::null()).output()?;
        if !output.status.success() {
            return Err(format!("openssl {order}: {}", String::from_utf8_lossy(&output.stderr)).into());
        }
    }
    Ok(())
}

fn each_mode() -> Outcome {
    let server = Server::with_certificate(NOW)?;
    for (mode, outranks) in [("", true), ("authselectmode require", true), ("authselectmode ignore", false)] {
        let client = server.client(&[mode, &format!("server 127.0.0.2 port 9 {POLL}")])?;
        client.synchronised()?;
        let corrector = client.corrector();
        // Who outranks others is asked by NTS; where the keys are exchanged is not reported, and is the usual port.
        let mut asked = vec![];
        until("chronyd lists its sources in time", PATIENCE, || {
            asked = block_on(corrector.servers()).servers.into_iter().map(|s| s.name.to_string()).collect();
            !asked.is_empty()
        })?;
        assert_eq!(asked.contains(&"nts://localhost".to_owned()), outranks, "{mode}: {asked:?}");
        let authority = block_on(corrector.forget()).authority;
        let names = authority.map(|authority| authority.sources);
        assert_eq!(names, outranks.then(|| vec!["localhost".to_owned()]), "{mode}");
        let reading = block_on(measured(&corrector, PATIENCE))?;
        assert_eq!(reading.authenticated, outranks, "{mode}");
    }
    Ok(())
}

/// By `selectdata` it says who outranks whom, by `authdata` who is asked by NTS.
fn silent_about_keys() -> Outcome {
    let server = Server::with_certificate(NOW)?;
    let client = server.client(&[&format!("server 127.0.0.2 port 9 {POLL}")])?;
    client.synchronised()?;
    for silent in [&[69_u8], &[67]] {
        let relay = Relay::before(&client, mute(silent))?;
        let corrector = corrector(&relay.socket(), Some(client.udp), Path::new("/nonexistent"), BusAddress::Nowhere);
        let sources = block_on(corrector.servers());
        assert!(sources.servers.is_empty(), "{silent:?}: {:?}", sources.servers);
    }
    Ok(())
}

fn against_liars() -> Outcome {
    let server = Server::with_certificate(NOW)?;
    let liar = |host| Liar::start(SocketAddr::from(([127, 0, 0, host], 0)), Offset::from_secs(100));
    let liars = [liar(4)?, liar(5)?];
    let plain =
        liars.each_ref().map(|liar| format!("server {} port {} {POLL}", liar.address().ip(), liar.address().port()));
    let client = server.client(&plain.each_ref().map(String::as_str))?;
    client.synchronised()?;
    let corrector = client.corrector();
    block_on(async {
        assert!(corrector.forget().await.authority.is_some());
        let reading = measured(&corrector, PATIENCE).await?;
        assert!(reading.authenticated && reading.offset.abs() < Duration::from_secs(1), "{reading:?}");
        assert!(liars.iter().all(|liar| !liar.asked().is_empty()), "they lied to nobody");
        Ok(())
    })
}

fn outlives_silence() -> Outcome {
    let server = Server::with_certificate(NOW)?;
    let client = server.client(&[&format!("server 127.0.0.2 port 9 {POLL}")])?;
    client.synchronised()?;
    let host = Host::with(&client)?;
    client.signal(Signal::SIGSTOP)?;
    let forgotten = host.forget();
    client.signal(Signal::SIGCONT)?;
    assert!(is_remembered(&forgotten, "localhost"), "{forgotten:?}");
    Ok(())
}

fn not_valid_yet() -> Outcome {
    let server = Server::with_certificate(LATER)?;
    let client = server.client(&[])?;
    until("chronyd has tried", PATIENCE, || client.log().contains("not yet valid"))?;
    let corrector = client.corrector();
    block_on(async {
        let authority = corrector.forget().await.authority;
        assert_eq!(authority.map(|a| a.sources), Some(vec!["localhost".to_owned()]), "it outranks all the same");
        let measurement = corrector.measure(Duration::from_millis(500)).await;
        let why = &measurement.failures.first().ok_or("it measured without keys")?.why;
        assert!(why.contains("localhost has no NTS keys") && why.contains("`nocerttimecheck 1`"), "{why}");
        Ok(())
    })
}

fn without_the_check() -> Outcome {
    let server = Server::with_certificate(LATER)?;
    let client = server.client(&["nocerttimecheck 1"])?;
    client.synchronised()?;
    let corrector = client.corrector();
    block_on(async {
        corrector.forget().await;
        let reading = measured(&corrector, PATIENCE).await?;
        assert!(reading.authenticated, "{reading:?}");
        Ok(())
    })
}

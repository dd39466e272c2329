//! What chronyd said of authentication outlives its silence: stopped, restarted, gone, copied, replaced.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate::daemon::{BusAddress, Corrector};
use clockgate::decision::Forgotten;
use clockgate::sys::clock::boottime;
use libtest_mimic::Failed;
use nix::sys::signal::Signal;
use tempfile::TempDir;

use crate::Test;
use crate::corrector::measured;
use crate::lab::{Daemon, block_on, corrector};
use crate::support::Outcome;

pub const TRIALS: &[Test] = &[
    ("a_chronyd_that_is_stopped_at_a_disruption_keeps_its_authority_and_proves_when_it_goes_on", stopped),
    ("a_chronyd_that_restarts_at_a_disruption_keeps_its_authority_and_proves_when_it_is_back", restarting),
    ("a_chronyd_that_is_gone_for_thirty_seconds_is_set_aside_and_not_forgotten", gone),
    ("a_chronyd_whose_keys_were_taken_out_has_no_authority_and_none_is_remembered", keys_taken_out),
    ("a_copy_of_the_machine_remembers_nothing_of_the_original", golden_image),
    ("what_chronyd_said_is_set_aside_where_timesyncd_has_taken_its_place", replaced_by_timesyncd),
    ("what_chronyd_said_is_deleted_and_not_kept_where_other_servers_are_configured", not_wanted),
    ("a_chronyd_without_authentication_is_never_taken_for_authenticated", never_assumed),
];

const KEYED: &str = "server {server} minpoll -2 maxpoll 0 iburst key 1";
const PLAIN: &str = "server {server} minpoll -2 maxpoll 0 iburst";
const HOST: &str = "127.0.0.1";
const PATIENCE: Duration = Duration::from_secs(15);

/// A root of a host's file system, with one chronyd in its /proc and at its socket.
pub struct Host {
    root: TempDir,
}

impl Host {
    fn new() -> Result<Self, Failed> {
        let root = tempfile::tempdir()?;
        for folder in ["etc", "var/lib/clockgate", "run/chrony", "proc/sys/kernel/random"] {
            fs::create_dir_all(root.path().join(folder))?;
        }
        fs::copy("/proc/sys/kernel/random/boot_id", root.path().join("proc/sys/kernel/random/boot_id"))?;
        let host = Self { root };
        host.becomes("0123456789abcdef0123456789abcdef")?;
        Ok(host)
    }

    /// With a chronyd that has said what its sources are.
    pub fn with(daemon: &Daemon) -> Result<Self, Failed> {
        let host = Self::new()?;
        host.runs(daemon)?;
        block_on(host.corrector().prepare());
        Ok(host)
    }

    fn becomes(&self, machine_id: &str) -> Outcome {
        Ok(fs::write(self.root.path().join("etc/machine-id"), format!("{machine_id}\n"))?)
    }

    fn runs(&self, daemon: &Daemon) -> Outcome {
        drop(fs::remove_file(self.socket()));
        symlink(daemon.socket(), self.socket())?;
        symlink(format!("/proc/{}", daemon.pid()), self.root.path().join(format!("proc/{}", daemon.pid())))?;
        Ok(fs::write(self.root.path().join("run/chrony/chronyd.pid"), format!("{}\n", daemon.pid()))?)
    }

    fn socket(&self) -> PathBuf {
        self.root.path().join("run/chrony/chronyd.sock")
    }

    fn memory(&self) -> PathBuf {
        self.root.path().join("var/lib/clockgate/authenticated")
    }

    fn corrector(&self) -> Corrector {
        corrector(&self.socket(), None, self.root.path(), BusAddress::Nowhere)
    }

    pub fn forget(&self) -> Forgotten {
        block_on(self.corrector().forget())
    }
}

/// Whether it is told that chronyd does not answer, and what it said before of this source.
pub fn is_remembered(forgotten: &Forgotten, source: &str) -> bool {
    let day = forgotten.authority.as_ref().and_then(|a| a.remembered.clone());
    forgotten.daemon.as_deref() == Some("chronyd")
        && forgotten.trouble.is_some()
        && day.is_some_and(|day| day.len() == "2026-11-25".len())
        && forgotten.authority.as_ref().is_some_and(|a| a.sources == [source])
}

fn stopped() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &[KEYED])?;
    client.synchronised()?;
    let host = Host::with(&client)?;
    client.signal(Signal::SIGSTOP)?;
    let corrector = host.corrector();
    block_on(async {
        let began = boottime();
        let forgotten = corrector.forget().await;
        let took = boottime().since(began);
        assert!(is_remembered(&forgotten, HOST), "{forgotten:?}");
        assert!(took < Duration::from_millis(1500), "one second to answer, and no more: {took:?}");
        let (reading, ()) = tokio::join!(measured(&corrector, PATIENCE), async {
            tokio::time::sleep(Duration::from_secs(1)).await;
            drop(client.signal(Signal::SIGCONT));
        });
        assert!(reading?.authenticated, "it was made to forget when it went on");
        let now = corrector.forget().await;
        assert!(now.authority.is_some_and(|a| a.remembered.is_none()), "it says so itself");
        Ok(())
    })
}

fn restarting() -> Outcome {
    let server = Daemon::server()?;
    let mut client = Daemon::client(&server, &[KEYED])?;
    let host = Host::with(&client)?;
    client.killed()?;
    let corrector = host.corrector();
    let forgotten = block_on(corrector.forget());
    assert!(is_remembered(&forgotten, HOST), "{forgotten:?}");
    drop(client);
    let again = host.forget();
    assert!(is_remembered(&again, HOST), "its socket is gone, too: {again:?}");
    let successor = Daemon::client(&server, &[KEYED])?;
    host.runs(&successor)?;
    let reading = block_on(measured(&corrector, PATIENCE))?;
    assert!(reading.authenticated, "{reading:?}");
    Ok(())
}

fn gone() -> Outcome {
    let server = Daemon::server()?;
    let mut client = Daemon::client(&server, &[KEYED])?;
    let host = Host::with(&client)?;
    client.killed()?;
    assert!(is_remembered(&host.forget(), HOST));
    let text = fs::read_to_string(host.memory())?;
    let mut written: serde_json::Value = serde_json::from_str(&text)?;
    let since = written["gone_since_ns"].as_u64().ok_or("it is not noted since when chronyd is gone")?;
    written["gone_since_ns"] = since.saturating_sub(31_000_000_000).into();
    fs::write(host.memory(), written.to_string())?;
    let forgotten = host.forget();
    assert_eq!((forgotten.daemon, forgotten.authority), (None, None));
    assert!(host.memory().exists(), "it may be back tomorrow");
    Ok(())
}

fn keys_taken_out() -> Outcome {
    let server = Daemon::server()?;
    let host = Host::with(&Daemon::client(&server, &[KEYED])?)?;
    assert!(host.memory().exists());
    let mut plain = Daemon::client(&server, &[PLAIN])?;
    host.runs(&plain)?;
    assert_eq!(host.forget().authority, None);
    assert!(!host.memory().exists());
    plain.killed()?;
    assert_eq!(host.forget().authority, None);
    Ok(())
}

fn golden_image() -> Outcome {
    let server = Daemon::server()?;
    let mut client = Daemon::client(&server, &[KEYED])?;
    let host = Host::with(&client)?;
    client.killed()?;
    host.becomes("fedcba9876543210fedcba9876543210")?;
    let forgotten = host.forget();
    assert_eq!((forgotten.daemon, forgotten.authority), (None, None));
    assert!(!host.memory().exists());
    Ok(())
}

fn replaced_by_timesyncd() -> Outcome {
    let server = Daemon::server()?;
    let mut client = Daemon::client(&server, &[KEYED])?;
    let host = Host::with(&client)?;
    client.killed()?;
    // What systemd makes with the service and removes with it.
    fs::create_dir_all(host.root.path().join("run/systemd/timesync"))?;
    let forgotten = host.forget();
    assert_eq!((forgotten.daemon.as_deref(), forgotten.authority), (Some("systemd-timesyncd"), None));
    assert!(host.memory().exists(), "set aside, not deleted");
    Ok(())
}

fn not_wanted() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &[KEYED])?;
    let host = Host::with(&client)?;
    let corrector = host.corrector();
    corrector.forget_authority();
    assert!(!host.memory().exists());
    let says = block_on(corrector.forget()).authority;
    assert!(says.is_some(), "what chronyd says itself is told all the same");
    assert!(!host.memory().exists());
    corrector.remember_authority();
    block_on(corrector.prepare());
    assert!(host.memory().exists());
    Ok(())
}

fn never_assumed() -> Outcome {
    let server = Daemon::server()?;
    let client = Daemon::client(&server, &[PLAIN])?;
    let host = Host::with(&client)?;
    client.signal(Signal::SIGSTOP)?;
    let forgotten = host.forget();
    assert_eq!((forgotten.daemon.as_deref(), forgotten.authority), (Some("chronyd"), None));
    assert!(!host.memory().exists() && Path::new(&host.memory()).parent().is_some_and(Path::exists));
    client.signal(Signal::SIGCONT)
}

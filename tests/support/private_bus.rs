//! A dbus-daemon of our own, which nobody outside hears.

use std::fs::{self, File, Permissions};
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use super::outcome::{Outcome, ensure};
use super::process::Ours;

/// Everybody may own every name and call everybody.
const OPEN: &str = r#"<policy context="default">
    <allow user="*"/><allow own="*"/><allow send_destination="*"/><allow receive_sender="*"/>
  </policy>"#;

/// A bus at one address that can be killed and started again; ended with what is dropped.
#[derive(Debug)]
pub struct PrivateBus {
    folder: tempfile::TempDir,
    daemon: Option<Ours>,
}

impl PrivateBus {
    /// One on which everybody may do everything.
    pub fn start() -> Outcome<Self> {
        Self::with(OPEN)
    }

    /// One with these policies, as dbus-daemon(1) has them.
    pub fn with(policies: &str) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        // Other users are let in: some tests come as one.
        fs::set_permissions(folder.path(), Permissions::from_mode(0o755))?;
        let mut bus = Self { folder, daemon: None };
        let config = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>custom</type>
  <listen>{}</listen>
  <auth>EXTERNAL</auth>
  {policies}
</busconfig>"#,
            bus.address()
        );
        fs::write(bus.folder.path().join("bus.conf"), config)?;
        bus.restart()?;
        Ok(bus)
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.path().display())
    }

    pub fn kill(&mut self) {
        self.daemon = None;
    }

    /// Starts it and waits until it listens: that is when it prints its address.
    pub fn restart(&mut self) -> Outcome {
        self.kill();
        let log = self.folder.path().join("log");
        // It ends with the thread that started it, however that ends.
        let mut command = Command::new("setpriv");
        command.args(["--pdeathsig", "KILL", "dbus-daemon", "--nofork", "--nopidfile", "--print-address"]);
        command.arg("--config-file").arg(self.folder.path().join("bus.conf"));
        let mut daemon = Ours::spawn(command.stdout(Stdio::piped()).stderr(File::create(&log)?))?;
        let mut address = String::new();
        BufReader::new(daemon.0.stdout.take().ok_or("no output")?).read_line(&mut address)?;
        self.daemon = Some(daemon);
        let said = || fs::read_to_string(&log).unwrap_or_default();
        ensure(address.starts_with("unix:path="), format!("dbus-daemon did not start: {}", said()))
    }
}

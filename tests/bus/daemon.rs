//! A private dbus-daemon with the rules of a system bus and the file that we ship; nobody outside hears it.

use std::fs::File;
use std::io::{BufRead as _, BufReader};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};

use tempfile::TempDir;

/// A bus at one address that can be killed and started again.
pub struct Bus {
    folder: TempDir,
    daemon: Option<Child>,
}

impl Bus {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        // Other users are let in: some tests come as one.
        std::fs::set_permissions(folder.path(), std::fs::Permissions::from_mode(0o755)).unwrap();
        let ours =
            Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging/usr/share/dbus-1/system.d/org.clockgate.Agent1.conf");
        let config = format!(
            r#"<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <listen>unix:path={}</listen>
  <auth>EXTERNAL</auth>
  <policy context="default">
    <allow user="*"/>
    <deny own="*"/>
    <deny send_type="method_call"/>
    <allow send_type="signal"/>
    <allow send_requested_reply="true" send_type="method_return"/>
    <allow send_requested_reply="true" send_type="error"/>
    <allow receive_type="method_call"/>
    <allow receive_type="method_return"/>
    <allow receive_type="error"/>
    <allow receive_type="signal"/>
    <allow send_destination="org.freedesktop.DBus"/>
  </policy>
  <policy user="root">
    <allow own="org.freedesktop.login1"/>
    <allow own="org.freedesktop.PolicyKit1"/>
    <allow send_destination="org.freedesktop.login1"/>
    <allow send_destination="org.freedesktop.PolicyKit1"/>
  </policy>
  <include>{}</include>
</busconfig>"#,
            folder.path().join("bus").display(),
            ours.display()
        );
        std::fs::write(folder.path().join("bus.conf"), config).unwrap();
        let mut bus = Self { folder, daemon: None };
        bus.restart();
        bus
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join("bus")
    }

    pub fn address(&self) -> String {
        format!("unix:path={}", self.path().display())
    }

    pub fn kill(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            daemon.kill().unwrap();
            daemon.wait().unwrap();
        }
    }

    /// Starts it and waits until it listens: that is when it prints its address.
    pub fn restart(&mut self) {
        let config = format!("--config-file={}", self.folder.path().join("bus.conf").display());
        let mut daemon = Command::new("dbus-daemon")
            .args([&config, "--nofork", "--nopidfile", "--print-address"])
            .stdout(Stdio::piped())
            .stderr(File::create(self.folder.path().join("log")).unwrap())
            .spawn()
            .unwrap();
        let mut address = String::new();
        BufReader::new(daemon.stdout.take().unwrap()).read_line(&mut address).unwrap();
        self.daemon = Some(daemon);
        let log = || std::fs::read_to_string(self.folder.path().join("log"));
        assert!(address.starts_with("unix:path="), "dbus-daemon did not start: {:?}", log());
    }
}

impl Drop for Bus {
    fn drop(&mut self) {
        if let Some(mut daemon) = self.daemon.take() {
            drop(daemon.kill());
            drop(daemon.wait());
        }
    }
}

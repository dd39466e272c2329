//! Who tells the guest the time: a real chronyd that knows it.

use std::fs::File;
use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Outcome, fail, folder, until};

/// A key that server and guest share (chrony.keys(5)).
pub const KEY: &str = "1 SHA256 HEX:8F2A4C6E0B1D3F5A7C9E1B3D5F7A9C0E2D4F6A8C0E1B3D5F7A9C1E3B5D7F9A0C\n";

/// chronyd serving the host's time (`local stratum 2`); it may not touch the host's clock (`-x`).
#[derive(Debug)]
pub struct Truth {
    chronyd: Child,
    address: Ipv4Addr,
}

impl Truth {
    /// Starts it and waits until it answers.
    pub fn start(address: Ipv4Addr, folder_of_ours: &Path) -> Outcome<Self> {
        Self::start_with(address, folder_of_ours, "")
    }

    /// The same, which knows [`KEY`] as its key 1.
    pub fn keyed(address: Ipv4Addr, folder_of_ours: &Path) -> Outcome<Self> {
        let keys = folder_of_ours.join("keys");
        std::fs::write(&keys, KEY)?;
        Self::start_with(address, folder_of_ours, &format!("keyfile {}\n", keys.display()))
    }

    fn start_with(address: Ipv4Addr, folder_of_ours: &Path, more: &str) -> Outcome<Self> {
        let config = folder_of_ours.join(format!("truth-{address}.conf"));
        let log_path = folder_of_ours.join(format!("truth-{address}.log"));
        let log = File::create(&log_path)?;
        let pid = folder_of_ours.join(format!("truth-{address}.pid"));
        std::fs::write(
            &config,
            format!(
                "local stratum 2\nallow all\nbindaddress {address}\ncmdport 0\nbindcmdaddress /\npidfile {}\n{more}",
                pid.display()
            ),
        )?;
        let chronyd = Command::new(folder().join("chrony/usr/sbin/chronyd"))
            .args(["-x", "-d", "-u", "root", "-f"])
            .arg(&config)
            .stdout(log.try_clone()?)
            .stderr(log)
            .spawn()
            .map_err(|e| format!("cannot start chronyd: {e}"))?;
        let mut truth = Self { chronyd, address };
        until("chronyd answers", Duration::from_secs(5), || match truth.chronyd.try_wait()? {
            Some(status) => fail(format!("chronyd: {status}: {}", std::fs::read_to_string(&log_path)?)),
            None => Ok(answers(address).then_some(())),
        })?;
        Ok(truth)
    }

    /// Where it serves.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }

    /// Lets it say nothing more. What it is asked meanwhile it answers when it may speak again: late.
    pub fn silence(&self) -> Outcome {
        self.signal(Signal::SIGSTOP)
    }

    /// Lets it answer again.
    pub fn speak(&self) -> Outcome {
        self.signal(Signal::SIGCONT)
    }

    fn signal(&self, signal: Signal) -> Outcome {
        Ok(kill(Pid::from_raw(i32::try_from(self.chronyd.id())?), signal)?)
    }
}

impl Drop for Truth {
    fn drop(&mut self) {
        // It may have ended by itself; then there is nothing to kill.
        let _ = self.chronyd.kill();
        let _ = self.chronyd.wait();
    }
}

fn answers(address: Ipv4Addr) -> bool {
    let mut request = [0; 48];
    request[0] = 0o43; // version 4, mode 3: client
    request[40] = 1;
    let ask = || -> std::io::Result<usize> {
        let socket = UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0))?;
        socket.set_read_timeout(Some(Duration::from_millis(100)))?;
        socket.send_to(&request, (address, 123))?;
        socket.recv(&mut [0; 512])
    };
    ask().is_ok_and(|length| length >= 48)
}

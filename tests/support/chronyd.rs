//! A real chronyd on this host, which measures and never touches the clock: `-x`, and without the right to.

use std::net::{Ipv4Addr, UdpSocket};
use std::path::Path;
use std::process::Command;

use super::laboratory;
use super::outcome::Outcome;
use super::process::{Ours, harmless};

/// What it takes to start one that this machine lacks.
pub fn missing() -> Option<String> {
    laboratory::missing(&["chrony"])
}

/// Starts one with this configuration; it ends with what is dropped, or with the thread that started it.
pub fn start(config: &Path, log: &Path) -> Outcome<Ours> {
    let mut command = harmless("setpriv");
    command.args(["--pdeathsig", "KILL"]).arg(laboratory::folder().join("chrony/usr/sbin/chronyd"));
    // It wants to become somebody; it becomes who it is.
    let user = Command::new("id").arg("-un").output()?.stdout;
    command.args(["-x", "-d", "-U", "-u", String::from_utf8(user)?.trim(), "-f"]).arg(config);
    Ours::logged(&mut command, log)
}

/// `chronyc`, of the one that has this socket.
pub fn chronyc(socket: &Path) -> Command {
    let mut command = Command::new(laboratory::folder().join("chrony/usr/bin/chronyc"));
    command.arg("-h").arg(socket);
    command
}

/// A port that was free a moment ago.
pub fn free_port() -> Outcome<u16> {
    Ok(UdpSocket::bind((Ipv4Addr::LOCALHOST, 0))?.local_addr()?.port())
}

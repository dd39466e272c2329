//! Who tells the guest the time: a real chronyd that knows it, and servers that lie.

use std::fs::File;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::path::Path;
use std::process::{Child, Command};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clockgate::decision::{Offset, Realtime};
use clockgate::sys::clock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::{Outcome, fail, folder, until};

/// chronyd serving the host's time (`local stratum 2`); it may not touch the host's clock (`-x`).
#[derive(Debug)]
pub struct Truth {
    chronyd: Child,
    address: Ipv4Addr,
}

impl Truth {
    /// Starts it and waits until it answers.
    pub fn start(address: Ipv4Addr, folder_of_ours: &Path) -> Outcome<Self> {
        let config = folder_of_ours.join(format!("truth-{address}.conf"));
        let log_path = folder_of_ours.join(format!("truth-{address}.log"));
        let log = File::create(&log_path)?;
        let pid = folder_of_ours.join(format!("truth-{address}.pid"));
        std::fs::write(
            &config,
            format!(
                "local stratum 2\nallow all\nbindaddress {address}\ncmdport 0\nbindcmdaddress /\npidfile {}\n",
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

/// A server whose time is wrong by a fixed lie, and which says that it is as good as any.
#[derive(Debug)]
pub struct Liar {
    address: Ipv4Addr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    /// Serves the host's time plus `lie` at stratum 2.
    pub fn start(address: Ipv4Addr, lie: Offset) -> Outcome<Self> {
        let socket = UdpSocket::bind((address, 123))?;
        socket.set_read_timeout(Some(Duration::from_millis(50)))?;
        let over = Arc::new(AtomicBool::new(false));
        let ended = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                lie_once(&socket, lie);
            }
        });
        Ok(Self { address, over, thread: Some(thread) })
    }

    /// Where it serves.
    pub fn address(&self) -> Ipv4Addr {
        self.address
    }
}

impl Drop for Liar {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked or not: it is over.
            let _ = thread.join();
        }
    }
}

fn lie_once(socket: &UdpSocket, lie: Offset) {
    let mut request = [0; 512];
    let Ok((length, client)) = socket.recv_from(&mut request) else { return };
    let received = ntp(clock::realtime() + lie);
    if length >= 48 && request[0] & 7 == 3 {
        answer(socket, client, &request, received, lie);
    }
}

fn answer(socket: &UdpSocket, client: SocketAddr, request: &[u8], received: [u8; 8], lie: Offset) {
    let mut packet = [0; 48];
    packet[..4].copy_from_slice(&[0o44, 2, request[2], 0xEC]); // version 4, mode 4: server; stratum; poll; precision 2^-20
    packet[12..16].copy_from_slice(&[127, 127, 1, 1]);
    packet[16..24].copy_from_slice(&received);
    packet[24..32].copy_from_slice(&request[40..48]);
    packet[32..40].copy_from_slice(&received);
    packet[40..48].copy_from_slice(&ntp(clock::realtime() + lie));
    // A client that is gone asks no more.
    let _ = socket.send_to(&packet, client);
}

/// An NTP timestamp: seconds since 1900 and a fraction of 32 bits (RFC 5905 section 6).
fn ntp(time: Realtime) -> [u8; 8] {
    const FROM_1900_TO_1970: i64 = 2_208_988_800;
    let nanos = i128::from(time.as_nanos()) + i128::from(FROM_1900_TO_1970) * 1_000_000_000;
    let fixed = (nanos << 32) / 1_000_000_000;
    let mut bytes = [0; 8];
    bytes.copy_from_slice(&fixed.to_be_bytes()[8..]);
    bytes
}

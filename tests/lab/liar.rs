//! NTP servers that lie.
#![allow(dead_code, reason = "every test target uses its own part of it")]

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use clockgate::decision::{Offset, Realtime};
use clockgate::sys::clock;

/// A server whose time is wrong by a fixed lie, and which says that it is as good as any.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Liar {
    /// Serves the host's time plus `lie` at stratum 2.
    ///
    /// # Errors
    /// What bind(2) said.
    pub fn start(address: SocketAddr, lie: Offset) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let address = socket.local_addr()?;
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
    pub fn address(&self) -> SocketAddr {
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

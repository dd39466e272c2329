//! An NTP server for tests, whose answers the test chooses.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use crate::decision::{Offset, Realtime};
use crate::sys::clock::realtime;

/// An answer, every field as in the packet.
#[derive(Clone, Copy, Debug)]
pub(crate) struct FakeAnswer {
    pub leap: u8,
    pub version: u8,
    pub mode: u8,
    pub stratum: u8,
    pub precision: i8,
    pub root_delay: u32,
    pub root_dispersion: u32,
    pub reference_id: [u8; 4],
    pub reference: u64,
    pub origin: u64,
    pub receive: u64,
    pub transmit: u64,
}

impl FakeAnswer {
    /// A good answer to this question, at noon of some day.
    pub(crate) fn to(question: &[u8]) -> Self {
        let noon = written(Realtime::from_secs(1_800_014_400));
        Self {
            leap: 0,
            version: 4,
            mode: 4,
            stratum: 1,
            precision: -24,
            root_delay: 0,
            root_dispersion: 0,
            reference_id: *b"GPS\0",
            reference: noon - (16 << 32),
            origin: question.get(40..48).map_or(0, |b| b.iter().fold(0, |n, byte| n << 8 | u64::from(*byte))),
            receive: noon,
            transmit: noon,
        }
    }

    /// The same from a server whose clock is `offset` ahead of the local one.
    pub(crate) fn ahead(question: &[u8], offset: Offset) -> Self {
        let now = written(realtime() + offset);
        Self { receive: now, transmit: now, reference: now - (16 << 32), ..Self::to(question) }
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        let mut packet =
            vec![self.leap << 6 | self.version << 3 | self.mode, self.stratum, 6, self.precision.cast_unsigned()];
        packet.extend(self.root_delay.to_be_bytes());
        packet.extend(self.root_dispersion.to_be_bytes());
        packet.extend(self.reference_id);
        for timestamp in [self.reference, self.origin, self.receive, self.transmit] {
            packet.extend(timestamp.to_be_bytes());
        }
        packet
    }
}

/// A moment as NTP writes it.
pub(crate) fn written(time: Realtime) -> u64 {
    let nanos = i128::from(time.as_nanos()) + 2_208_988_800 * 1_000_000_000;
    u64::try_from(((nanos << 32) / 1_000_000_000).rem_euclid(1 << 64)).unwrap()
}

/// A server on loopback: each packet it receives is answered with the packets that `answers` makes of it.
pub(crate) struct FakeServer {
    pub address: SocketAddr,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<usize>>,
}

impl FakeServer {
    /// Begins to answer on `host`, `127.0.0.1` or `::1`.
    pub(crate) fn start(host: &str, mut answers: impl FnMut(&[u8]) -> Vec<Vec<u8>> + Send + 'static) -> Self {
        let socket = UdpSocket::bind((host, 0)).unwrap();
        socket.set_read_timeout(Some(Duration::from_millis(20))).unwrap();
        let address = socket.local_addr().unwrap();
        let over = Arc::new(AtomicBool::new(false));
        let until = Arc::clone(&over);
        let thread = std::thread::spawn(move || {
            let (mut packet, mut received) = ([0; 2048], 0);
            while !until.load(Ordering::Relaxed) {
                match socket.recv_from(&mut packet) {
                    Ok((length, from)) => {
                        received += 1;
                        for answer in answers(&packet[..length]) {
                            socket.send_to(&answer, from).unwrap();
                        }
                    }
                    Err(error) => {
                        assert!(matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut), "{error}")
                    }
                }
            }
            received
        });
        Self { address, over, thread: Some(thread) }
    }

    /// A server that answers well, its clock `offset` ahead of the local one.
    pub(crate) fn ahead(offset: Offset) -> Self {
        Self::start("127.0.0.1", move |question| vec![FakeAnswer::ahead(question, offset).bytes()])
    }

    /// Ends it and returns how many packets it received.
    pub(crate) fn received(mut self) -> usize {
        self.over.store(true, Ordering::Relaxed);
        self.thread.take().map_or(0, |thread| thread.join().unwrap())
    }
}

impl Drop for FakeServer {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

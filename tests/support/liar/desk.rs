//! Where a server's packets come in and go out: nothing waits for another, however far away the server is.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr, UdpSocket};
use std::os::fd::AsFd;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use clockgate::decision::{Boottime, Realtime};
use clockgate::sys::clock;
use nix::poll::{PollFd, PollFlags, ppoll};
use nix::sys::time::TimeSpec;

use super::{Answer, Manner, Told, lock};

/// How soon it notices that it is over.
const LOOK: Duration = Duration::from_millis(50);

/// One server at its socket.
pub struct Desk {
    socket: UdpSocket,
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
    under_way: Vec<Packet>,
    last: HashMap<IpAddr, Boottime>,
}

/// Something that is on the road, and when it is there.
struct Packet {
    due: Boottime,
    client: SocketAddr,
    manner: Manner,
    what: What,
}

enum What {
    Question([u8; 48]),
    /// What is held, since the server's time.
    Held([u8; 48], Realtime),
    Reply([u8; 48]),
}

impl Desk {
    pub fn new(socket: UdpSocket, address: SocketAddr, told: Arc<Mutex<Told>>) -> Self {
        Self { socket, address, told, under_way: vec![], last: HashMap::new() }
    }

    pub fn serve_until(mut self, over: &AtomicBool) {
        while !over.load(Ordering::Relaxed) {
            self.wait();
            self.take_in();
            self.deliver();
        }
    }

    /// Until a packet comes or is due: by the kernel's precise timers, which a socket's own timeout is not.
    fn wait(&self) {
        let due = self.under_way.iter().map(|packet| packet.due.since(clock::boottime())).min();
        let timeout = TimeSpec::from(due.map_or(LOOK, |due| due.min(LOOK)));
        let mut fds = [PollFd::new(self.socket.as_fd(), PollFlags::POLLIN)];
        // Interrupted or not, whoever is due is looked for.
        let _ = ppoll(&mut fds, Some(timeout), None);
    }

    fn take_in(&mut self) {
        let mut bytes = [0; 512];
        // An ICMP error of an answer to somebody who is gone ends the turn as an empty queue does.
        while let Ok((length, client)) = self.socket.recv_from(&mut bytes) {
            let Some(question) = bytes.first_chunk::<48>().filter(|_| length >= 48) else { continue };
            if question[0] & 7 != 3 {
                continue;
            }
            let at = clock::boottime();
            let (manner, number) = {
                let mut told = lock(&self.told);
                told.asked.push(at);
                let mut manner = told.manner.clone();
                if manner.kisses > 0 {
                    told.manner.kisses -= 1;
                    manner.answer = Answer::Kiss { code: *b"RATE", poll: 0 };
                }
                (manner, told.asked.len())
            };
            let lost = manner.loses_each > 0 && number.is_multiple_of(manner.loses_each as usize);
            let early = self.last.insert(client.ip(), at).is_some_and(|last| at.since(last) < manner.guard);
            if !lost && !early && manner.answer != Answer::Silence {
                let due = at + manner.round_trip / 2;
                self.under_way.push(Packet { due, client, manner, what: What::Question(*question) });
            }
        }
    }

    fn deliver(&mut self) {
        let here = clock::boottime();
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.under_way).into_iter().partition(|packet| packet.due <= here);
        self.under_way = later;
        for packet in due {
            match packet.what {
                What::Reply(reply) => self.send(&packet.manner, packet.client, &reply),
                What::Question(question) => {
                    let received = clock::realtime() + packet.manner.offset;
                    let due = packet.due + packet.manner.holds;
                    self.under_way.push(Packet { due, what: What::Held(question, received), ..packet });
                }
                What::Held(question, received) => {
                    let reply = answer(&packet.manner, self.address, &question, received);
                    if packet.manner.round_trip.is_zero() {
                        self.send(&packet.manner, packet.client, &reply);
                    } else {
                        let due = packet.due + packet.manner.round_trip / 2;
                        self.under_way.push(Packet { due, what: What::Reply(reply), ..packet });
                    }
                }
            }
        }
    }

    fn send(&self, manner: &Manner, client: SocketAddr, reply: &[u8; 48]) {
        let times = if manner.answer == Answer::TimeTwice { 2 } else { 1 };
        for _ in 0..times {
            // A client that is gone asks no more.
            let _ = self.socket.send_to(reply, client);
        }
    }
}

/// RFC 5905 section 7.3.
fn answer(manner: &Manner, address: SocketAddr, question: &[u8; 48], received: Realtime) -> [u8; 48] {
    let time = ntp(received);
    let mut packet = [0; 48];
    let mut first = [0o44, manner.stratum, question[2], 0xEC]; // no leap, version 4, mode 4: server; precision 2^-20
    let mut id = manner.reference_id.unwrap_or_else(|| own_id(address));
    if let Answer::Kiss { code, poll } = manner.answer {
        (first, id) = ([0o344, 0, poll, 0xEC], code);
    }
    packet[..4].copy_from_slice(&first);
    packet[4..8].copy_from_slice(&manner.root_delay.to_be_bytes());
    packet[8..12].copy_from_slice(&manner.root_dispersion.to_be_bytes());
    packet[12..16].copy_from_slice(&id);
    packet[16..24].copy_from_slice(&manner.reference_time.map_or(time, ntp));
    packet[24..32].copy_from_slice(&question[40..48]);
    packet[32..40].copy_from_slice(&time);
    packet[40..48].copy_from_slice(&ntp(clock::realtime() + manner.offset));
    packet
}

/// Not its address: on loopback that is the client's own, and a loop (RFC 5905 section 7.3).
fn own_id(address: SocketAddr) -> [u8; 4] {
    let last = match address.ip() {
        IpAddr::V4(ip) => ip.octets()[3],
        IpAddr::V6(ip) => ip.octets()[15],
    };
    let [high, low] = address.port().to_be_bytes();
    [203, last, high, low]
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

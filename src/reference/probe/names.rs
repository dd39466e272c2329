//! Questions about names, by UDP port 53: most filters let them pass, so what they get beside those to port 123 shows who filters what.

use std::net::SocketAddr;
use std::thread;
use std::time::Duration;

use nix::errno::Errno;

use super::hops::Hops;
use super::portal::UNUSED;
use super::question::{open, refusal, wait};
use crate::sys::clock::boottime;
use crate::sys::random;

const PORT: u16 = 53;
/// The head of a message (RFC 1035 section 4.1.1).
const HEAD_LEN: usize = 12;

/// What UDP port 53 of a host gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamePort {
    /// Whether the host answers there, if only that nothing listens.
    pub answers: bool,
    /// How far such packets get; none where that cannot be asked.
    pub hops: Option<Hops>,
}

impl NamePort {
    /// Asks the host of this address.
    pub fn asked(address: SocketAddr, patience: Duration) -> Self {
        let at = SocketAddr::new(address.ip(), PORT);
        let path = thread::spawn(move || Hops::trace(at, patience, &|| number().map(|number| question(number).into())));
        let answers = lives(at, patience, SignOfLife::Refusals);
        Self { answers, hops: path.join().ok().flatten() }
    }
}

/// Whether a machine on the path answers questions about names that are sent to an address which no host has.
pub fn are_taken(patience: Duration) -> bool {
    lives(SocketAddr::from((UNUSED, PORT)), patience, SignOfLife::Answers)
}

/// What counts for life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum SignOfLife {
    Answers,
    /// That nothing listens there, as well.
    Refusals,
}

fn lives(address: SocketAddr, patience: Duration, sign: SignOfLife) -> bool {
    let (Ok(socket), Some(number)) = (open(address, 0), number()) else { return false };
    if socket.send(&question(number)).is_err() {
        return false;
    }
    let deadline = boottime() + patience;
    loop {
        let left = deadline.since(boottime());
        if left.is_zero() {
            return false;
        }
        wait(&socket, left);
        if let Some(icmp) = refusal(&socket) {
            return sign == SignOfLife::Refusals && icmp.errno == Errno::ECONNREFUSED;
        }
        let mut reply = [0; 512];
        if socket.recv(&mut reply).is_ok_and(|length| answers(reply.get(..length).unwrap_or_default(), number)) {
            return true;
        }
    }
}

fn number() -> Option<u16> {
    random::number().ok().map(|number| number as u16)
}

/// Who serves the root, asked without recursion: each name server answers, if only that it refuses.
fn question(number: u16) -> [u8; HEAD_LEN + 5] {
    let mut message = [0; HEAD_LEN + 5];
    message[..2].copy_from_slice(&number.to_be_bytes());
    // One question: the root, NS, IN.
    (message[5], message[14], message[16]) = (1, 2, 1);
    message
}

/// A reply to that question has its number, and the bit of replies.
fn answers(reply: &[u8], number: u16) -> bool {
    reply.len() >= HEAD_LEN && reply.starts_with(&number.to_be_bytes()) && reply[2] & 0x80 != 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::UdpSocket;

    #[test]
    fn a_name_server_lives_and_so_does_a_host_without_one() {
        let server = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = server.local_addr().unwrap();
        assert!(!lives(address, Duration::from_millis(50), SignOfLife::Refusals), "silent");
        server.recv_from(&mut [0; 512]).unwrap();
        let answering = server.try_clone().unwrap();
        let serve = thread::spawn(move || {
            let mut message = [0; 512];
            let (length, from) = answering.recv_from(&mut message).unwrap();
            // An answer to another question comes first.
            answering.send_to(&[0xff; 12], from).unwrap();
            message[2] |= 0x80;
            answering.send_to(&message[..length], from).unwrap();
        });
        assert!(lives(address, Duration::from_secs(20), SignOfLife::Answers));
        serve.join().unwrap();
        drop(server);
        assert!(lives(address, Duration::from_secs(20), SignOfLife::Refusals), "nothing listens");
        assert!(!lives(address, Duration::from_secs(20), SignOfLife::Answers));
    }
}

//! How far do packets get? Each with a smaller time to live draws an ICMP error from the router where it ends, as traceroute(8) has
//! it; what the kernel reports of them needs no privilege.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use nix::errno::Errno;

use super::question::{open, refusal, wait};
use crate::decision::Boottime;
use crate::reference::ntp::packet::{self, Nonce};
use crate::sys::clock::boottime;
use crate::sys::random;

/// Who filters is near, as a rule.
const MOST_HOPS: u32 = 8;
/// A router answers within this, or is one that never does.
const PATIENCE: Duration = Duration::from_millis(700);

/// The routers that answered, by their distance.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Hops {
    /// Distance and address, nearest first.
    pub answered: Vec<(u32, IpAddr)>,
}

/// A plain question about the time.
pub fn of_ntp() -> Option<Vec<u8>> {
    random::number().ok().map(|number| packet::request(Nonce(number)).to_vec())
}

impl Hops {
    /// Sends one `question` for each distance; IPv4 alone. None where no packet could be sent.
    pub fn trace(address: SocketAddr, patience: Duration, question: &dyn Fn() -> Option<Vec<u8>>) -> Option<Self> {
        if address.is_ipv6() {
            return None;
        }
        let mut sockets = vec![];
        for distance in 1..=MOST_HOPS {
            let socket = open(address, 0).ok()?;
            socket.set_ttl(distance).ok()?;
            socket.send(&question()?).ok()?;
            sockets.push((distance, socket));
        }
        let deadline: Boottime = boottime() + patience.min(PATIENCE);
        let mut answered = vec![];
        for (distance, socket) in sockets {
            wait(&socket, deadline.since(boottime()));
            // EHOSTUNREACH is what the kernel makes of "time exceeded" (icmp_err_convert in net/ipv4/icmp.c).
            let by = refusal(&socket).filter(|icmp| icmp.errno == Errno::EHOSTUNREACH).and_then(|icmp| icmp.from);
            answered.extend(by.map(|by| (distance, by)));
        }
        Some(Self { answered })
    }

    /// The farthest router that answered.
    #[must_use]
    pub fn last(&self) -> Option<(u32, IpAddr)> {
        self.answered.last().copied()
    }
}

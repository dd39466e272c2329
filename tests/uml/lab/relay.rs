//! A road to a server that a process has to carry: whoever freezes it cuts the road.

use std::io;
use std::net::UdpSocket;
use std::time::Duration;

use super::guest::Guest;
use super::work::{self, PART};
use super::{Outcome, until};

/// The first argument that makes this program pass datagrams on: from where, and to whom.
pub const VERB: &str = "relay";

/// Where it listens.
pub const HERE: &str = "127.0.0.9";

/// How long it waits for the server's answer.
const PATIENCE: Duration = Duration::from_millis(500);

/// Passes on what comes to `here`, and what comes back.
pub fn pass_on(here: &str, there: &str) -> io::Result<()> {
    let ours = UdpSocket::bind(here)?;
    let mut packet = [0; 512];
    loop {
        let (length, client) = ours.recv_from(&mut packet)?;
        // A socket for each question: an answer that comes late is nobody else's.
        let theirs = UdpSocket::bind("0.0.0.0:0")?;
        theirs.set_read_timeout(Some(PATIENCE))?;
        let answer = theirs.send_to(&packet[..length], there).and_then(|_| theirs.recv(&mut packet));
        // Nobody there is nothing to pass on.
        if let Ok(length) = answer {
            ours.send_to(&packet[..length], client)?;
        }
    }
}

/// Starts it in the guest as a container that has the host's network and may change it.
pub fn start(guest: &Guest, name: &str, there: &str) -> Outcome {
    work::scope(guest, name, &format!("{PART} {VERB} {HERE}:123 {there}"))?;
    until("the relay listens", Duration::from_secs(10), || {
        Ok((guest.run("ss -Hnlu 'sport = :123' | grep -q 127.0.0.9")?.code == 0).then_some(()))
    })
}

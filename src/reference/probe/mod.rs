//! Why does a server not answer? Asked for a diagnosis alone: names, the question itself with what the kernel says of it, and control
//! questions to the same host. Nothing here measures the clock, and nothing needs a privilege.

mod hops;
mod key_exchange;
mod lookup;
mod names;
mod portal;
mod question;
mod slow;

pub use hops::Hops;
pub use key_exchange::KeyExchange;
pub use lookup::{LookUpFault, look_up};
pub use names::{NamePort, are_taken as names_are_taken};
pub use portal::{PortalReply, parse as portal_reply};
pub use question::{IcmpError, LONG, NtpOutcome};
pub use slow::{FixedPortProbe, Slot, SlowProbe, from_ntp_port, is_answer, long, of_each_family};

use std::net::{SocketAddr, TcpStream};
use std::thread;
use std::time::Duration;

use super::ServerName;
use crate::decision::Boottime;
use crate::sys::clock::boottime;

/// HTTPS, and the key exchange of Network Time Security (RFC 8915): ports on which a time server's host often answers.
const CONTROL_PORTS: [u16; 2] = [443, 4460];
/// The most addresses of one name that are asked.
const MOST_ADDRESSES: usize = 2;

/// What came of one server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServerProbe {
    /// As it was configured.
    pub name: ServerName,
    /// Its addresses, or why there is none.
    pub addresses: Result<Vec<AddressProbe>, LookUpFault>,
}

/// What came of one address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AddressProbe {
    /// The address and UDP port.
    pub address: SocketAddr,
    /// What the question got.
    pub outcome: NtpOutcome,
    /// Whether the host shows any life on TCP; none where that was not asked, since NTP's own outcome says it.
    pub host_answers: Option<bool>,
    /// How far UDP packets to that port get; none where that was not asked.
    pub hops: Option<Hops>,
    /// The same of UDP port 53, which hardly anybody filters; none where that was not asked.
    pub name_port: Option<NamePort>,
}

/// Asks every server at once, and ends at the deadline with the answers so far.
#[must_use]
pub fn servers(names: &[ServerName], patience: Duration) -> Vec<ServerProbe> {
    let deadline = boottime() + patience;
    let workers: Vec<_> = names.iter().cloned().map(|name| thread::spawn(move || server(name, deadline))).collect();
    let ended = workers.into_iter().filter_map(|worker| worker.join().ok());
    ended.collect()
}

fn server(name: ServerName, deadline: Boottime) -> ServerProbe {
    // Half of the time is for the look-up of the name, and half for its addresses.
    let patience = deadline.since(boottime()) / 2;
    let addresses = look_up(&name, patience).map(|found| {
        let workers: Vec<_> = found
            .into_iter()
            .take(MOST_ADDRESSES)
            .map(|address| thread::spawn(move || probe(address, deadline)))
            .collect();
        workers.into_iter().filter_map(|worker| worker.join().ok()).collect()
    });
    ServerProbe { name, addresses }
}

fn probe(address: SocketAddr, deadline: Boottime) -> AddressProbe {
    let patience = deadline.since(boottime());
    let controls: Vec<_> = CONTROL_PORTS.map(|port| thread::spawn(move || lives(address, port, patience))).into();
    let path = thread::spawn(move || Hops::trace(address, patience, &hops::of_ntp));
    let names = thread::spawn(move || NamePort::asked(address, patience));
    let outcome = question::ask(address, question::QuestionForm::Plain, patience);
    let is_silent = matches!(outcome, NtpOutcome::Silent { .. });
    // What answered needs no control question, and those are not waited for.
    let host_answers =
        is_silent.then(|| controls.into_iter().any(|control| control.join().is_ok_and(|answers| answers)));
    let hops = if is_silent { path.join().ok().flatten() } else { None };
    let name_port = if is_silent { names.join().ok() } else { None };
    AddressProbe { address, outcome, host_answers, hops, name_port }
}

/// A refused connection is an answer as good as an open one: the host is there.
fn lives(address: SocketAddr, port: u16, patience: Duration) -> bool {
    let at = SocketAddr::new(address.ip(), port);
    // A timeout of zero is an error of its own.
    match TcpStream::connect_timeout(&at, patience.max(Duration::from_millis(1))) {
        Ok(_connected) => true,
        Err(error) => error.kind() == std::io::ErrorKind::ConnectionRefused,
    }
}

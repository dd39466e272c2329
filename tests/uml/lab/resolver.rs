//! Who in the guest asks for other servers than its own: a resolver that knows one address for every name, and the NTP server there.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use super::guest::Guest;
use super::liar::{Liar, Manner};
use super::world::World;
use super::{Outcome, ensure};

/// The last byte of the world's address where it is.
const LAST: u8 = 9;
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// RFC 1035 section 4.1: the header, and what follows the name of a question.
const HEADER: usize = 12;
const TYPE_AND_CLASS: usize = 4;

/// Answers until it is dropped.
#[derive(Debug)]
pub struct Resolver {
    anybody: Liar,
    names: Arc<Mutex<Vec<String>>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Resolver {
    /// Starts both, and makes it the guest's resolver.
    pub fn start(guest: &Guest, world: &World) -> Outcome<Self> {
        let address = world.address(LAST);
        let anybody = Liar::that(SocketAddr::from((address, 123)), Manner::default())?;
        let socket = UdpSocket::bind((address, 53))?;
        socket.set_read_timeout(Some(LOOK_EVERY))?;
        let (names, over) = (Arc::<Mutex<Vec<String>>>::default(), Arc::<AtomicBool>::default());
        let (heard, ended) = (Arc::clone(&names), Arc::clone(&over));
        let thread = std::thread::spawn(move || {
            while !ended.load(Ordering::Relaxed) {
                // Nobody asked, or nobody waits for the answer.
                let _ = answer(&socket, address, &heard);
            }
        });
        guest.sh("rm -f /etc/resolv.conf")?;
        guest.put("/etc/resolv.conf", &format!("nameserver {address}\n"))?;
        guest.put("/etc/hosts", "127.0.0.1 localhost\n::1 localhost\n")?;
        Ok(Self { anybody, names, over, thread: Some(thread) })
    }

    /// Nobody asked for a server's address, and nobody asked the one there is for all of them.
    pub fn was_never_asked(&self) -> Outcome {
        let names = self.names.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let asked = self.anybody.asked().len();
        ensure(names.is_empty() && asked == 0, format!("{names:?} were looked up, and {asked} questions asked there"))
    }
}

impl Drop for Resolver {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked or not: it is over.
            let _ = thread.join();
        }
    }
}

fn answer(socket: &UdpSocket, address: Ipv4Addr, names: &Mutex<Vec<String>>) -> io::Result<()> {
    let mut packet = [0; 512];
    let (length, client) = socket.recv_from(&mut packet)?;
    let Some(question) = packet[..length].get(HEADER..) else { return Ok(()) };
    let name = name(question);
    let end = HEADER + name.len() + 2 + TYPE_AND_CLASS;
    let is_for_ipv4 = packet[..length].get(end - TYPE_AND_CLASS..end) == Some(&[0, 1, 0, 1]);
    names.lock().unwrap_or_else(PoisonError::into_inner).push(name);
    let mut reply = packet[..end.min(length)].to_vec();
    // A response, recursion available; one question, and nothing else yet.
    reply[2..HEADER].copy_from_slice(&[0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0]);
    if is_for_ipv4 {
        reply[7] = 1;
        // The question's name, A, IN, 60 s, four bytes.
        reply.extend([0xc0, 0x0c, 0, 1, 0, 1, 0, 0, 0, 60, 0, 4]);
        reply.extend(address.octets());
    }
    socket.send_to(&reply, client).map(drop)
}

fn name(mut question: &[u8]) -> String {
    let mut labels = vec![];
    while let Some((&length, rest)) = question.split_first()
        && length > 0
        && rest.len() > usize::from(length)
    {
        let (label, after) = rest.split_at(usize::from(length));
        labels.push(String::from_utf8_lossy(label).into_owned());
        question = after;
    }
    labels.join(".")
}

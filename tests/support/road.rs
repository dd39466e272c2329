//! The road between a client and a server of UDP: what passes is counted, and an attacker does what one can do there.

use std::io::ErrorKind;
use std::net::{SocketAddr, UdpSocket};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::outcome::Outcome;

/// How soon it notices that it is over.
const LOOK: Duration = Duration::from_millis(50);
/// How long the server is waited for.
const ANSWER: Duration = Duration::from_secs(2);

/// A question that is on the road, and its answer, which the attacker lets pass or not.
#[derive(Debug)]
pub struct Meeting<'a> {
    /// Where the client sees the server.
    pub road: &'a UdpSocket,
    pub client: SocketAddr,
    pub question: &'a [u8],
    pub answer: &'a [u8],
    /// The how manyeth it is, from 0.
    pub number: usize,
}

impl Meeting<'_> {
    /// Sends the client something in the server's name.
    pub fn send(&self, packet: &[u8]) -> bool {
        self.road.send_to(packet, self.client).is_ok()
    }

    /// Lets the answer pass.
    pub fn pass(&self) -> bool {
        self.send(self.answer)
    }
}

/// A road that is open until it is dropped.
#[derive(Debug)]
pub struct Road {
    address: SocketAddr,
    questions: Arc<AtomicUsize>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Road {
    /// From `at` to `server`; at each answer there is an `attacker`.
    pub fn open(
        at: SocketAddr,
        server: SocketAddr,
        mut attacker: impl FnMut(&Meeting<'_>) + Send + 'static,
    ) -> Outcome<Self> {
        let road = UdpSocket::bind(at)?;
        road.set_read_timeout(Some(LOOK))?;
        let address = road.local_addr()?;
        let beyond = UdpSocket::bind((server.ip(), 0))?;
        beyond.connect(server)?;
        beyond.set_read_timeout(Some(ANSWER))?;
        let (questions, over) = (Arc::<AtomicUsize>::default(), Arc::<AtomicBool>::default());
        let (count, ended) = (Arc::clone(&questions), Arc::clone(&over));
        let thread = thread::spawn(move || {
            let (mut question, mut answer) = ([0; 2560], [0; 2560]);
            while !ended.load(Ordering::Relaxed) {
                let Ok((length, client)) = road.recv_from(&mut question) else { continue };
                let number = count.fetch_add(1, Ordering::Relaxed);
                let question = &question[..length];
                // A server that has not begun yet loses the question.
                let Ok(length) = beyond.send(question).and_then(|_| beyond.recv(&mut answer)) else { continue };
                attacker(&Meeting { road: &road, client, question, answer: &answer[..length], number });
            }
        });
        Ok(Self { address, questions, over, thread: Some(thread) })
    }

    /// Where the client asks.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// How many questions came.
    pub fn questions(&self) -> usize {
        self.questions.load(Ordering::Relaxed)
    }
}

impl Drop for Road {
    fn drop(&mut self) {
        self.over.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            // It panicked or not: it is over.
            let _ = thread.join();
        }
    }
}

/// Whether nothing came within the time of a look.
pub fn is_silence(kind: ErrorKind) -> bool {
    matches!(kind, ErrorKind::WouldBlock | ErrorKind::TimedOut)
}

//! NTP servers that are what a test tells them to be: far, wrong, vague, silent, strict, two-faced.

use std::io;
use std::net::{Ipv4Addr, SocketAddr, UdpSocket};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use clockgate::decision::{Boottime, Offset, Realtime};

mod desk;

/// How a server behaves; `Default` is an honest one of stratum 2 next door.
#[derive(Clone, Debug, PartialEq)]
pub struct Manner {
    /// Its time minus the host's.
    pub offset: Offset,
    /// How long a packet takes to it and back, half of it each way.
    pub round_trip: Duration,
    /// How long it holds a question, and says so: that is no part of the round trip.
    pub holds: Duration,
    /// It loses each question whose number (from 1) is a multiple of this; 0 loses none.
    pub loses_each: u32,
    /// What it answers with.
    pub answer: Answer,
    /// It answers so many of the next questions with a kiss of death first: RATE, poll exponent 0.
    pub kisses: u32,
    /// It is silent to a question that comes sooner than this after the last one of the same address.
    pub guard: Duration,
    /// RFC 5905 section 7.3: 1 to 15 is synchronised.
    pub stratum: u8,
    /// In units of 2^-16 s, as it stands in the packet.
    pub root_delay: u32,
    /// In units of 2^-16 s, as it stands in the packet.
    pub root_dispersion: u32,
    /// Who it says that it follows; none: somebody that no other server of a test follows, so that no two are twins by chance.
    pub reference_id: Option<[u8; 4]>,
    /// When it says that it was last set; none: at each question.
    pub reference_time: Option<Realtime>,
}

/// What a question gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Answer {
    /// One packet.
    Time,
    /// The same packet twice.
    TimeTwice,
    /// Nothing.
    Silence,
    /// A kiss of death (RFC 5905 section 7.4) with this code and poll exponent.
    Kiss { code: [u8; 4], poll: u8 },
}

impl Default for Manner {
    fn default() -> Self {
        Self {
            offset: Offset::ZERO,
            round_trip: Duration::ZERO,
            holds: Duration::ZERO,
            loses_each: 0,
            answer: Answer::Time,
            kisses: 0,
            guard: Duration::ZERO,
            stratum: 2,
            root_delay: 0,
            root_dispersion: 0,
            reference_id: None,
            reference_time: None,
        }
    }
}

impl Manner {
    /// Honest, and so far away.
    pub fn far(round_trip: Duration) -> Self {
        Self { round_trip, ..Self::default() }
    }

    /// The same, busy for so long with each question.
    pub fn slow(self, holds: Duration) -> Self {
        Self { holds, ..self }
    }

    /// The same, wrong by `offset`.
    pub fn off(self, offset: Offset) -> Self {
        Self { offset, ..self }
    }

    /// The same, which never answers.
    pub fn silent(self) -> Self {
        Self { answer: Answer::Silence, ..self }
    }
}

/// A server that runs until it is dropped.
#[derive(Debug)]
pub struct Liar {
    address: SocketAddr,
    told: Arc<Mutex<Told>>,
    over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What the test and the server's thread share.
#[derive(Debug)]
struct Told {
    manner: Manner,
    asked: Vec<Boottime>,
}

impl Liar {
    /// Serves the host's time plus `lie` on a port of its own of the loopback.
    ///
    /// # Errors
    /// What bind(2) said.
    pub fn here(lie: Offset) -> io::Result<Self> {
        Self::here_as(Manner::default().off(lie))
    }

    /// The same in this manner.
    ///
    /// # Errors
    /// What bind(2) said.
    pub fn here_as(manner: Manner) -> io::Result<Self> {
        Self::that((Ipv4Addr::LOCALHOST, 0).into(), manner)
    }

    /// Serves the host's time plus `lie`, and says that it is as good as any.
    ///
    /// # Errors
    /// What bind(2) said.
    pub fn start(address: SocketAddr, lie: Offset) -> io::Result<Self> {
        Self::that(address, Manner::default().off(lie))
    }

    /// A server of this manner.
    ///
    /// # Errors
    /// What bind(2) said.
    pub fn that(address: SocketAddr, manner: Manner) -> io::Result<Self> {
        let socket = UdpSocket::bind(address)?;
        let address = socket.local_addr()?;
        socket.set_nonblocking(true)?;
        let over = Arc::new(AtomicBool::new(false));
        let told = Arc::new(Mutex::new(Told { manner, asked: vec![] }));
        let (ended, tells) = (Arc::clone(&over), Arc::clone(&told));
        let thread = std::thread::spawn(move || desk::Desk::new(socket, address, tells).serve_until(&ended));
        Ok(Self { address, told, over, thread: Some(thread) })
    }

    /// Where it serves.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// From now on it behaves differently; what is under way keeps the old round trip.
    pub fn change(&self, how: impl FnOnce(&mut Manner)) {
        how(&mut lock(&self.told).manner);
    }

    /// When it was asked, on the host's time since boot; what it lost or did not answer is in it.
    pub fn asked(&self) -> Vec<Boottime> {
        lock(&self.told).asked.clone()
    }

    /// How often it was asked since then.
    pub fn asked_since(&self, from: Boottime) -> usize {
        lock(&self.told).asked.iter().filter(|at| **at >= from).count()
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

fn lock(told: &Mutex<Told>) -> MutexGuard<'_, Told> {
    told.lock().unwrap_or_else(PoisonError::into_inner)
}

//! Questions to one server, and what comes back.

use std::io::{self, ErrorKind};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::Duration;

use nix::errno::Errno;

use crate::decision::{Boottime, Realtime};
use crate::reference::ntp::association::Association;
use crate::reference::ntp::nts::fields::UniqueId;
use crate::reference::ntp::packet::{self, Nonce, PACKET_LEN, Reply};
use crate::reference::ntp::sample::{Sample, Sent, reckon};
use crate::reference::tls::TlsError;
use crate::sys::clock::{boottime, monotonic_raw_nanos, narrowest, realtime, standing};
use crate::sys::random;
use crate::sys::step::NOISE;

/// When a question is asked again, after the one before: UDP loses packets, and the first one after a resume waits for ARP.
const AGAIN_AFTER: [Duration; 3] = [Duration::from_millis(300), Duration::from_millis(700), Duration::from_secs(2)];
/// Longer than any answer with eight cookies that no router cuts; what is cut off is not read.
const BUFFER_LEN: usize = 2560;
/// As many packets are read before deadlines are looked at again: a flood makes no exchange longer.
const MOST_AT_ONCE: usize = 1000;

/// A good answer and what it says of our clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// When the question was asked.
    pub as_of: Boottime,
    /// What our clock said then.
    pub local: Realtime,
    /// How long it took, the server's own share included.
    pub took: Duration,
    /// What the server said.
    pub reply: Reply,
    /// What follows from it.
    pub sample: Sample,
}

/// Why a server gave no valid answer.
#[derive(Debug, thiserror::Error)]
pub enum ExchangeError {
    /// No socket, no randomness, no timer.
    #[error("cannot ask: {what} failed")]
    Local {
        /// The call.
        what: &'static str,
        /// What it said.
        source: io::Error,
    },
    /// The kernel, or a router by ICMP, reports that there is no such host or port.
    #[error("cannot be reached")]
    Unreachable(#[source] io::Error),
    /// It answered, and the answer is none to reckon with.
    #[error(transparent)]
    Refused(packet::PacketError),
    /// Nothing came.
    #[error("no answer within {} ms ({questions} question(s) sent)", waited.as_millis())]
    Silent {
        /// How long we waited.
        waited: Duration,
        /// How often we asked.
        questions: usize,
    },
    /// Only packets that answer nothing came: forged, replayed or garbage.
    #[error("no answer within {} ms; {packets} other packet(s) came, the last of them {last}", waited.as_millis())]
    Noise {
        /// How long we waited.
        waited: Duration,
        /// How many.
        packets: usize,
        /// What was wrong with the last one.
        last: packet::PacketError,
    },
    /// By NTS: whose certificate was shown when keys were exchanged is not the one whom the time makes it.
    #[error("its answer is not believed: {0}")]
    Certificate(TlsError),
    /// The machine slept between question and answer, and the exchange says nothing.
    #[error("the machine slept between question and answer")]
    Slept,
}

/// What passes between us and one server.
#[derive(Debug)]
pub struct Conversation {
    socket: UdpSocket,
    association: Association,
    asked: Vec<AskedQuestion>,
    /// Questions due so far, those that were skipped included.
    turns: usize,
    noise: usize,
    last_noise: Option<packet::PacketError>,
}

/// One question, and what its answer has to repeat.
#[derive(Debug)]
struct AskedQuestion {
    nonce: Nonce,
    unique: Option<UniqueId>,
    sent: SentQuestion,
}

/// The clocks as a question left.
#[derive(Clone, Copy, Debug)]
struct SentQuestion {
    boot: Boottime,
    real: Realtime,
    raw: u64,
    width: Duration,
    asleep: Duration,
}

impl Conversation {
    /// A socket connected to the server receives from no other, and receives ICMP errors; the kernel picks a random port (RFC 9109).
    pub fn open(server: SocketAddr, association: Association) -> Result<Self, ExchangeError> {
        let local = |what| move |source| ExchangeError::Local { what, source };
        let any = match server {
            SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, 0)),
            SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, 0)),
        };
        let socket = UdpSocket::bind(any).map_err(local("bind(2)"))?;
        socket.set_nonblocking(true).map_err(local("fcntl(2)"))?;
        socket.connect(server).map_err(ExchangeError::Unreachable)?;
        Ok(Self { socket, association, asked: vec![], turns: 0, noise: 0, last_noise: None })
    }

    /// Asks, once more or for the first time, under a nonce of its own.
    pub fn ask(&mut self) -> Result<(), ExchangeError> {
        let nonce = Nonce(random::number().map_err(|source| ExchangeError::Local { what: "getrandom(2)", source })?);
        let local = |source| ExchangeError::Local { what: "making a question", source };
        let (packet, unique) = self.association.question(&packet::request(nonce)).map_err(local)?;
        self.turns += 1;
        self.asked.push(AskedQuestion { nonce, unique, sent: SentQuestion::now() });
        match self.socket.send(&packet) {
            Ok(_) => Ok(()),
            // A full queue is a lost packet: it is asked again.
            Err(error) if error.kind() == ErrorKind::WouldBlock => Ok(()),
            Err(error) if error.raw_os_error() == Some(Errno::ENOBUFS as i32) => Ok(()),
            Err(error) => Err(ExchangeError::Unreachable(error)),
        }
    }

    /// Lets the turn of a repetition pass.
    pub const fn pass(&mut self) {
        self.turns += 1;
    }

    /// Whether there is a repetition to come.
    pub const fn may_repeat(&self) -> bool {
        self.turns <= AGAIN_AFTER.len()
    }

    /// When the next repetition is due, counted from the first question; none before the one before it can be taken for lost.
    pub fn repeat_after(&self, lost_after: Duration) -> Duration {
        AGAIN_AFTER.iter().take(self.turns).map(|after| (*after).max(lost_after)).sum()
    }

    /// Reads what has come, until something ends the conversation or nothing is left; of a flood a part, and the rest at the next call.
    pub fn receive(&mut self, pivot: Realtime) -> Option<Result<Answer, ExchangeError>> {
        let mut packet = [0; BUFFER_LEN];
        for _ in 0..MOST_AT_ONCE {
            let length = match self.socket.recv(&mut packet) {
                Ok(length) => length,
                Err(error) if error.kind() == ErrorKind::WouldBlock => return None,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Some(Err(ExchangeError::Unreachable(error))),
            };
            let came = monotonic_raw_nanos();
            match self.read(packet.get(..length).unwrap_or_default()) {
                Ok(reply) => return Some(self.answer(reply, came, pivot)),
                Err(error) if error.is_answer() => return Some(Err(ExchangeError::Refused(error))),
                Err(error) => {
                    self.noise += 1;
                    self.last_noise = Some(error);
                }
            }
        }
        None
    }

    /// Who it is from and what it answers is looked at before anything that it says.
    fn read(&self, packet: &[u8]) -> Result<Reply, packet::PacketError> {
        let nonces: Vec<Nonce> = self.asked.iter().map(|asked| asked.nonce).collect();
        if !self.association.is_authenticated() {
            return packet::parse(packet, &nonces);
        }
        let (Some(nonce), Some(header)) = (packet::origin(packet), packet.get(..PACKET_LEN)) else {
            return Err(packet::PacketError::Short(packet.len()));
        };
        let asked = self.asked.iter().find(|asked| asked.nonce == nonce).ok_or(packet::PacketError::Origin)?;
        self.association.verify(packet, asked.unique.as_ref())?;
        packet::parse(header, &nonces)
    }

    fn answer(&self, reply: Reply, came: u64, pivot: Realtime) -> Result<Answer, ExchangeError> {
        let Some(question) = self.asked.iter().find(|asked| asked.nonce == reply.nonce).map(|asked| asked.sent) else {
            return Err(ExchangeError::Refused(packet::PacketError::Origin));
        };
        if standing().boot_minus_mono.saturating_sub(question.asleep) > NOISE {
            return Err(ExchangeError::Slept);
        }
        let took = Duration::from_nanos(came.saturating_sub(question.raw));
        let sent = Sent { local: question.real, elapsed: took, uncertainty: question.width };
        let sample = reckon(&sent, &reply, pivot);
        if let Association::Nts(session) = &self.association {
            session.verify_at(question.real + sample.offset).map_err(ExchangeError::Certificate)?;
        }
        Ok(Answer { as_of: question.boot, local: question.real, took, reply, sample })
    }

    /// Whether the server says that it can no longer be asked under the keys that we have.
    pub fn is_refused(&self) -> bool {
        self.association.is_refused()
    }

    /// What came beside the answer and answers nothing, if anything did.
    pub fn beside_the_answer(&self) -> Option<String> {
        let last = self.last_noise.as_ref()?;
        Some(format!("{} packet(s) beside its answer, the last of them {last}", self.noise))
    }

    /// What to say when the time has come.
    pub fn in_vain(&self, waited: Duration) -> ExchangeError {
        match self.last_noise {
            Some(last) => ExchangeError::Noise { waited, packets: self.noise, last },
            None => ExchangeError::Silent { waited, questions: self.asked.len() },
        }
    }
}

impl AsFd for Conversation {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }
}

impl SentQuestion {
    /// Reads the clocks as if at once: the narrowest of several attempts.
    fn now() -> Self {
        let asleep = standing().boot_minus_mono;
        narrowest(|| {
            let before = monotonic_raw_nanos();
            let (real, boot) = (realtime(), boottime());
            let after = monotonic_raw_nanos();
            let width = Duration::from_nanos(after.saturating_sub(before));
            // T4 is reckoned from `raw`: taken too early it can only make the round trip longer.
            (Self { boot, real, raw: before, width, asleep }, width)
        })
        .0
    }
}

#[cfg(test)]
mod tests;

//! One question to one address, and who refuses it: the kernel before it leaves, a router on the way, the host, or none of them.

use std::io::{self, ErrorKind, IoSliceMut};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr, UdpSocket};
use std::os::fd::{AsFd, AsRawFd};
use std::time::Duration;

use nix::errno::Errno;
use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{ControlMessageOwned, MsgFlags, SockaddrStorage, recvmsg, setsockopt, sockopt};

use crate::reference::NTP_PORT;
use crate::reference::ntp::packet::{self, Kiss, Nonce};
use crate::sys::clock::boottime;
use crate::sys::random;

/// A lost packet is asked for again after so long.
const AGAIN_AFTER: Duration = Duration::from_millis(400);
/// Longer than any answer to a question without extensions.
const BUFFER_LEN: usize = 512;
/// SO_EE_ORIGIN_ICMP and SO_EE_ORIGIN_ICMP6 of linux/errqueue.h.
const ORIGINS: [u8; 2] = [2, 3];

/// What a question got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NtpOutcome {
    /// An answer with a time in it.
    Answered {
        /// Its stratum.
        stratum: u8,
        /// How long it took.
        took: Duration,
    },
    /// A kiss of death: it is there and refuses.
    Kiss(Kiss),
    /// An answer without a usable time, in words.
    Unusable(String),
    /// This host's kernel did not send it.
    NotSent(Errno),
    /// A router or the host itself refused it.
    Refused(IcmpError),
    /// Nothing came.
    Silent {
        /// How long it was waited for.
        waited: Duration,
    },
    /// No socket, in words.
    NoSocket(String),
}

/// An ICMP message in answer to our packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IcmpError {
    /// What the kernel makes of it.
    pub errno: Errno,
    /// Who sent it.
    pub from: Option<IpAddr>,
}

/// The form of a question: what else differs is what a filter on the way may go by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum QuestionForm {
    /// 48 bytes from any port.
    Plain,
    /// As long as one of NTS, by an extension that servers skip.
    Long,
    /// From port 123.
    FromNtpPort,
}

/// What a question with a cookie of NTS measures (RFC 8915 section 5.7, with AES-SIV-CMAC-256).
pub const LONG: usize = 228;
/// Unique Identifier (RFC 8915 section 5.3): the only extension that obliges the server to nothing.
const UNIQUE_IDENTIFIER: u16 = 0x0104;

impl QuestionForm {
    const fn port(self) -> u16 {
        match self {
            Self::Plain | Self::Long => 0,
            Self::FromNtpPort => NTP_PORT,
        }
    }

    fn packet(self, nonce: Nonce) -> Vec<u8> {
        let mut packet = packet::request(nonce).to_vec();
        match self {
            Self::Plain | Self::FromNtpPort => {}
            Self::Long => {
                let length = u16::try_from(LONG - packet.len()).unwrap_or_default();
                packet.extend(UNIQUE_IDENTIFIER.to_be_bytes());
                packet.extend(length.to_be_bytes());
                packet.resize(LONG, 0);
            }
        }
        packet
    }
}

/// Asks, and once more when nothing comes.
pub fn ask(address: SocketAddr, form: QuestionForm, patience: Duration) -> NtpOutcome {
    let began = boottime();
    let socket = match open(address, form.port()) {
        Ok(socket) => socket,
        Err(OpenError::NotSent(errno)) => return NtpOutcome::NotSent(errno),
        Err(OpenError::Local(why)) => return NtpOutcome::NoSocket(why),
    };
    let mut nonces = vec![];
    loop {
        let waited = boottime().since(began);
        if waited >= patience {
            return NtpOutcome::Silent { waited };
        }
        let due = AGAIN_AFTER * u32::try_from(nonces.len()).unwrap_or(u32::MAX);
        // Two questions at most: more would only measure a rate limit.
        if nonces.len() < 2 && waited >= due {
            let Ok(number) = random::number() else { return NtpOutcome::NoSocket("no random numbers".to_owned()) };
            nonces.push(Nonce(number));
            if let Err(error) = socket.send(&form.packet(Nonce(number))) {
                // A firewall that rejects answers by ICMP, too; that the packet never left is what counts.
                let errno = errno(&error);
                let by_icmp = refusal(&socket).filter(|_| errno != Errno::EPERM);
                return by_icmp.map_or(NtpOutcome::NotSent(errno), NtpOutcome::Refused);
            }
        }
        wait(&socket, AGAIN_AFTER.min(patience.saturating_sub(waited)));
        if let Some(icmp) = refusal(&socket) {
            return NtpOutcome::Refused(icmp);
        }
        if let Some(outcome) = outcome_of(&socket, &nonces, boottime().since(began)) {
            return outcome;
        }
    }
}

/// Why no socket could be opened.
#[derive(Debug)]
pub enum OpenError {
    /// connect(2) says that there is no way.
    NotSent(Errno),
    /// Anything else, in words.
    Local(String),
}

/// A socket connected to that address, which receives ICMP errors, those of routers as well; port 0 is any.
pub fn open(address: SocketAddr, port: u16) -> Result<UdpSocket, OpenError> {
    let local = |error: &dyn std::fmt::Display| OpenError::Local(error.to_string());
    let any = match address {
        SocketAddr::V4(_) => SocketAddr::from((Ipv4Addr::UNSPECIFIED, port)),
        SocketAddr::V6(_) => SocketAddr::from((Ipv6Addr::UNSPECIFIED, port)),
    };
    let socket = UdpSocket::bind(any).map_err(|e| local(&e))?;
    match address {
        SocketAddr::V4(_) => setsockopt(&socket, sockopt::Ipv4RecvErr, &true),
        SocketAddr::V6(_) => setsockopt(&socket, sockopt::Ipv6RecvErr, &true),
    }
    .map_err(|e| local(&e))?;
    socket.set_nonblocking(true).map_err(|e| local(&e))?;
    socket.connect(address).map_err(|error| OpenError::NotSent(errno(&error)))?;
    Ok(socket)
}

fn errno(error: &io::Error) -> Errno {
    error.raw_os_error().map_or(Errno::UnknownErrno, Errno::from_raw)
}

/// Waits for so long.
pub fn pause(length: Duration) {
    let end = boottime() + length;
    loop {
        let left = end.since(boottime());
        if left.is_zero() {
            return;
        }
        // A signal ends it early.
        let _ = poll(&mut [], PollTimeout::try_from(left).unwrap_or(PollTimeout::MAX));
    }
}

/// Until any packet came, or for so long.
pub fn wait(socket: &UdpSocket, at_most: Duration) {
    let timeout = PollTimeout::try_from(at_most).unwrap_or(PollTimeout::MAX);
    // A signal ends it early, and the caller looks at what it has.
    let _ = poll(&mut [PollFd::new(socket.as_fd(), PollFlags::POLLIN)], timeout);
}

/// The first ICMP error in the socket's queue.
pub fn refusal(socket: &UdpSocket) -> Option<IcmpError> {
    let mut packet = [0; BUFFER_LEN];
    let mut control = nix::cmsg_space!([u8; 128]);
    let mut buffers = [IoSliceMut::new(&mut packet)];
    let flags = MsgFlags::MSG_ERRQUEUE | MsgFlags::MSG_DONTWAIT;
    let message = recvmsg::<SockaddrStorage>(socket.as_raw_fd(), &mut buffers, Some(&mut control), flags).ok()?;
    message.cmsgs().ok()?.find_map(|cmsg| {
        let (error, from) = if let ControlMessageOwned::Ipv4RecvErr(error, from) = cmsg {
            (error, from.map(|from| IpAddr::from(from.sin_addr.s_addr.to_ne_bytes())))
        } else if let ControlMessageOwned::Ipv6RecvErr(error, from) = cmsg {
            (error, from.map(|from| IpAddr::from(from.sin6_addr.s6_addr)))
        } else {
            return None;
        };
        let number = i32::try_from(error.ee_errno).unwrap_or_default();
        ORIGINS.contains(&error.ee_origin).then(|| IcmpError { errno: Errno::from_raw(number), from })
    })
}

fn outcome_of(socket: &UdpSocket, nonces: &[Nonce], took: Duration) -> Option<NtpOutcome> {
    let mut packet = [0; BUFFER_LEN];
    loop {
        let length = match socket.recv(&mut packet) {
            Ok(length) => length,
            Err(error) if error.kind() == ErrorKind::Interrupted => continue,
            // A pending error is in the queue, which was looked at; else there is nothing.
            Err(_) => return None,
        };
        match packet::parse(packet.get(..length).unwrap_or_default(), nonces) {
            Ok(reply) => return Some(NtpOutcome::Answered { stratum: reply.stratum, took }),
            Err(packet::PacketError::Kiss(kiss)) => return Some(NtpOutcome::Kiss(kiss)),
            Err(error) if error.is_answer() => return Some(NtpOutcome::Unusable(error.to_string())),
            // It does not answer our question.
            Err(_) => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_long_question_is_a_plain_one_with_an_extension_that_fills_it() {
        let long = QuestionForm::Long.packet(Nonce(7));
        assert_eq!(long[..48], packet::request(Nonce(7)));
        assert_eq!((long.len(), &long[48..52]), (228, &[0x01, 0x04, 0, 180][..]));
    }

    #[test]
    fn a_closed_port_is_refused_by_its_host_and_a_socket_without_an_answer_is_silent() {
        let socket = UdpSocket::bind(("127.0.0.1", 0)).unwrap();
        let address = socket.local_addr().unwrap();
        assert!(matches!(ask(address, QuestionForm::Plain, Duration::from_millis(50)), NtpOutcome::Silent { .. }));
        drop(socket);
        let refused = ask(address, QuestionForm::Plain, Duration::from_secs(5));
        let by_itself = IcmpError { errno: Errno::ECONNREFUSED, from: Some(address.ip()) };
        assert_eq!(refused, NtpOutcome::Refused(by_itself));
    }
}

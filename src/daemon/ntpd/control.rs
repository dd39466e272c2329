//! NTP's control messages, mode 6 (RFC 9327), as ntpq sends them: the two questions that need no key. Blocking, with a deadline.

use std::io;
use std::net::{SocketAddr, UdpSocket};
use std::time::Duration;

use crate::decision::Boottime;
use crate::sys::clock::boottime;
use crate::sys::random;

/// Version 4, mode 6.
const FIRST_BYTE: u8 = 0x26;
/// The length of the header, without data.
const HEADER: usize = 12;
/// The longest datagram: 468 bytes of data, and a MAC that we never ask for.
const LONGEST: usize = 1024;
/// More data than any answer has; the rest is ignored.
const MOST: usize = 64 * 1024;

/// What is asked for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operation {
    /// Every association and its status, two bytes each (op code 1).
    ReadStatus,
    /// The variables of one association, or with number 0 those of the system, as text (op code 2).
    ReadVariables,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum ControlError {
    /// No program listens there, or the kernel said otherwise.
    #[error("cannot ask ntpd on {address}: {source}")]
    Socket {
        /// Where it was asked.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// Nothing came in time: `restrict ... noquery`, or it is busy.
    #[error("ntpd on {address} does not answer control messages (add `restrict 127.0.0.1` to its configuration)")]
    Silent {
        /// Where it was asked.
        address: SocketAddr,
    },
    /// It answered, with an error code of RFC 9327 section 3.
    #[error("ntpd on {address} refuses to answer (error {code})")]
    Refused {
        /// Where it was asked.
        address: SocketAddr,
        /// The code.
        code: u8,
    },
    /// Its answer cannot be parsed.
    #[error("cannot parse the answer of ntpd on {address}: {what}")]
    Malformed {
        /// Where it was asked.
        address: SocketAddr,
        /// What is wrong with it.
        what: &'static str,
    },
}

/// A conversation with one ntpd.
#[derive(Debug)]
pub struct ControlClient {
    socket: UdpSocket,
    address: SocketAddr,
    sequence: u16,
    until: Boottime,
}

impl ControlClient {
    /// Talks to the ntpd at `address`, until `until`.
    ///
    /// # Errors
    /// [`ControlError::Socket`].
    pub fn new(address: SocketAddr, until: Boottime) -> Result<Self, ControlError> {
        let here = SocketAddr::new(address.ip(), 0);
        let socket = UdpSocket::bind(here).and_then(|socket| socket.connect(address).map(|()| socket));
        let socket = socket.map_err(|source| ControlError::Socket { address, source })?;
        // Where none can be drawn it begins with 0: the kernel delivers no other sender's datagrams to a connected socket.
        let sequence = random::number().ok().and_then(|number| u16::try_from(number & 0xffff).ok()).unwrap_or(0);
        Ok(Self { socket, address, sequence, until })
    }

    /// Asks, and puts the fragments of the answer together.
    ///
    /// # Errors
    /// [`ControlError`].
    pub fn ask(&mut self, operation: Operation, association: u16) -> Result<Vec<u8>, ControlError> {
        self.sequence = self.sequence.wrapping_add(1);
        let question = ControlRequest { operation, association, sequence: self.sequence };
        let address = self.address;
        self.socket.send(&question.encode()).map_err(|source| ControlError::Socket { address, source })?;
        let mut answer = ControlResponse::default();
        while !answer.is_whole() {
            let bytes = self.receive()?;
            match answer.take(&bytes, question) {
                Ok(()) => {}
                Err(Rejected::Refused(code)) => return Err(ControlError::Refused { address, code }),
                Err(Rejected::Malformed(what)) => return Err(ControlError::Malformed { address, what }),
                Err(Rejected::NotMeant) => {}
            }
        }
        Ok(answer.whole())
    }

    fn receive(&self) -> Result<Vec<u8>, ControlError> {
        let address = self.address;
        let failed = |source: io::Error| {
            let is_silence = matches!(source.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut);
            if is_silence { ControlError::Silent { address } } else { ControlError::Socket { address, source } }
        };
        let left = self.until.since(boottime());
        if left.is_zero() {
            return Err(ControlError::Silent { address });
        }
        // A timeout of nothing would be none.
        self.socket.set_read_timeout(Some(left.max(Duration::from_millis(1)))).map_err(failed)?;
        let mut bytes = vec![0; LONGEST];
        let length = self.socket.recv(&mut bytes).map_err(failed)?;
        bytes.truncate(length);
        Ok(bytes)
    }
}

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ControlRequest {
    /// What is asked for.
    pub operation: Operation,
    /// Of which association.
    pub association: u16,
    /// Its number, which the answer repeats.
    pub sequence: u16,
}

impl ControlRequest {
    /// As it is sent.
    #[must_use]
    pub fn encode(self) -> [u8; HEADER] {
        let ([s1, s2], [a1, a2]) = (self.sequence.to_be_bytes(), self.association.to_be_bytes());
        // First byte, op code; sequence; status; association; offset; count.
        [FIRST_BYTE, self.operation.code(), s1, s2, 0, 0, a1, a2, 0, 0, 0, 0]
    }
}

impl Operation {
    const fn code(self) -> u8 {
        match self {
            Self::ReadStatus => 1,
            Self::ReadVariables => 2,
        }
    }
}

/// Why a datagram is no part of the answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Rejected {
    /// It answers another question, or none.
    NotMeant,
    /// An error code.
    Refused(u8),
    /// What is wrong with it.
    Malformed(&'static str),
}

/// What has come of an answer: its fragments by their offset, and where it ends once that is known.
#[derive(Debug, Default)]
pub struct ControlResponse {
    fragments: Vec<(usize, Vec<u8>)>,
    end: Option<usize>,
}

impl ControlResponse {
    /// Takes a datagram.
    ///
    /// # Errors
    /// [`Rejected`] where it is no part of the answer to this question.
    pub fn take(&mut self, bytes: &[u8], question: ControlRequest) -> Result<(), Rejected> {
        let word = |at: usize| bytes.get(at..at + 2).map(|pair| u16::from_be_bytes([pair[0], pair[1]]));
        let short = Rejected::Malformed("it is shorter than its header");
        let (Some(&first), Some(&second)) = (bytes.first(), bytes.get(1)) else { return Err(short) };
        let (Some(sequence), Some(status), Some(association), Some(offset), Some(count)) =
            (word(2), word(4), word(6), word(8), word(10))
        else {
            return Err(short);
        };
        // Bits of the second byte: response 0x80, error 0x40, more 0x20, op code.
        let is_answer = first & 0x07 == 6 && second & 0x80 != 0 && second & 0x1f == question.operation.code();
        if !is_answer || sequence != question.sequence || association != question.association {
            return Err(Rejected::NotMeant);
        }
        if second & 0x40 != 0 {
            return Err(Rejected::Refused(status.to_be_bytes()[0]));
        }
        let (offset, count) = (usize::from(offset), usize::from(count));
        let data = bytes.get(HEADER..HEADER + count).ok_or(Rejected::Malformed("its count is beyond its end"))?;
        if offset.max(self.size()) + count > MOST {
            return Err(Rejected::Malformed("it is too long"));
        }
        if second & 0x20 == 0 {
            self.end = Some(offset + count);
        }
        if !self.fragments.iter().any(|(at, _)| *at == offset) {
            self.fragments.push((offset, data.to_vec()));
            self.fragments.sort_by_key(|(at, _)| *at);
        }
        Ok(())
    }

    /// Whether nothing is missing.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        let reached =
            self.fragments.iter().try_fold(0, |reached, (at, data)| (*at == reached).then(|| reached + data.len()));
        reached.is_some() && reached == self.end
    }

    /// How many bytes are kept, those that overlap too.
    #[must_use]
    pub fn size(&self) -> usize {
        self.fragments.iter().map(|(_, data)| data.len()).sum()
    }

    /// All of it, in order.
    #[must_use]
    pub fn whole(self) -> Vec<u8> {
        self.fragments.into_iter().flat_map(|(_, data)| data).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUESTION: ControlRequest =
        ControlRequest { operation: Operation::ReadVariables, association: 7, sequence: 0x0102 };

    fn fragment(second: u8, offset: u16, data: &[u8]) -> Vec<u8> {
        let ([o1, o2], [c1, c2]) = (offset.to_be_bytes(), u16::try_from(data.len()).unwrap().to_be_bytes());
        let mut bytes = vec![0xd6, second, 1, 2, 0x90, 0x14, 0, 7, o1, o2, c1, c2];
        bytes.extend_from_slice(data);
        bytes.resize(bytes.len().next_multiple_of(4), 0);
        bytes
    }

    #[test]
    fn a_question_is_twelve_bytes() {
        assert_eq!(QUESTION.encode(), [0x26, 2, 1, 2, 0, 0, 0, 7, 0, 0, 0, 0]);
    }

    #[test]
    fn fragments_are_put_together_in_any_order() {
        let mut answer = ControlResponse::default();
        answer.take(&fragment(0x82, 5, b"stratum=2"), QUESTION).unwrap();
        assert!(!answer.is_whole(), "its beginning is missing");
        answer.take(&fragment(0xa2, 0, b"leap="), QUESTION).unwrap();
        answer.take(&fragment(0xa2, 0, b"leap="), QUESTION).unwrap();
        assert!(answer.is_whole());
        assert_eq!(answer.whole(), b"leap=stratum=2");
    }

    #[test]
    fn fragments_that_overlap_are_kept_up_to_the_limit_of_an_answer() {
        let mut answer = ControlResponse::default();
        let taken =
            (0..1000).filter(|offset| answer.take(&fragment(0xa2, *offset, &[b' '; 468]), QUESTION).is_ok()).count();
        assert_eq!((taken, answer.size()), (MOST / 468, MOST / 468 * 468));
    }

    #[test]
    fn what_answers_another_question_is_passed_over_and_an_error_is_said() {
        let mut answer = ControlResponse::default();
        let mut other = fragment(0x82, 0, b"x");
        other[3] = 9;
        assert_eq!(answer.take(&other, QUESTION), Err(Rejected::NotMeant));
        assert_eq!(answer.take(&QUESTION.encode(), QUESTION), Err(Rejected::NotMeant), "a question is no answer");
        // Error code 2: bad format.
        let mut refused = fragment(0xc2, 0, b"");
        refused[4] = 2;
        assert_eq!(answer.take(&refused, QUESTION), Err(Rejected::Refused(2)));
        let mut cut = fragment(0x82, 0, b"leap=0");
        cut.truncate(14);
        assert!(matches!(answer.take(&cut, QUESTION), Err(Rejected::Malformed(_))));
    }

    proptest! {
        #[test]
        fn random_bytes_are_never_more_than_an_error(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            let mut answer = ControlResponse::default();
            let _ = answer.take(&bytes, QUESTION);
            let _ = answer.is_whole();
        }
    }
}

//! Unix sockets for zbus to run a connection over that take no more memory than a message to us needs: our own, which has been
//! authenticated already, and that of a bus.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

use super::connection_limits::ConnectionActivity;

/// No message that means anything to us is longer. The header says how long a message is, and memory is taken for it at once.
const MESSAGE_MOST: u64 = 64 * 1024;
/// The part of the header that has the lengths (D-Bus specification, "Message Format").
const HEADER: usize = 16;
/// What is dropped is read in such parts.
const AT_ONCE: usize = 4096;

/// The socket of a bus, on which zbus authenticates itself; anybody may send us messages over it. No descriptors pass over it.
#[derive(Debug)]
pub(super) struct BusSocket(pub(super) UnixStream);

#[derive(Debug)]
pub(super) struct BusReader {
    stream: OwnedReadHalf,
    part: BusPart,
    /// What was read of a header, and then what of it was not handed on yet.
    header: Vec<u8>,
}

/// What comes next on the socket of a bus.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum BusPart {
    /// Lines of text (D-Bus specification, "Authentication Protocol"); whether one begins here.
    Line(bool),
    /// The header of a message, which is collected.
    Header,
    /// That header, which is handed on, and so much behind it.
    Accepted(usize),
    /// So much of a message that is handed on.
    Rest(usize),
    /// So much of a message that is too long: it is dropped, since its sender may not end the connection of others.
    TooLong(u64),
}

/// The socket. No descriptors pass over it.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) stream: UnixStream,
    pub(super) activity: ConnectionActivity,
}

#[derive(Debug)]
pub(super) struct Reader {
    stream: OwnedReadHalf,
    activity: ConnectionActivity,
    /// What was read of the next message's header.
    header: Vec<u8>,
    /// What is left to read of the message behind its header.
    left: usize,
}

#[derive(Debug)]
pub(super) struct MessageWriter(OwnedWriteHalf);

impl Socket for Authenticated {
    type ReadHalf = Reader;
    type WriteHalf = MessageWriter;

    fn split(self) -> Split<Reader, MessageWriter> {
        let (read, write) = self.stream.into_split();
        let reader = Reader { stream: read, activity: self.activity, header: vec![], left: 0 };
        Split::new(reader, MessageWriter(write))
    }
}

impl Reader {
    /// Follows the messages that pass.
    fn pass(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.activity.received();
        if self.left > 0 {
            self.left = self.left.saturating_sub(bytes.len());
            return Ok(());
        }
        self.header.extend_from_slice(bytes);
        if let Ok(header) = <[u8; HEADER]>::try_from(self.header.as_slice()) {
            let too_long = || io::Error::new(io::ErrorKind::InvalidData, "the message is too long");
            self.left = short(rest_of(&header)?).ok_or_else(too_long)?;
            self.header.clear();
        }
        Ok(())
    }
}

/// How many bytes follow the header.
fn rest_of(header: &[u8; HEADER]) -> io::Result<u64> {
    let bad = |why| io::Error::new(io::ErrorKind::InvalidData, why);
    let number = |at: usize| {
        let bytes = [header[at], header[at + 1], header[at + 2], header[at + 3]];
        match header[0] {
            b'l' => Ok(u32::from_le_bytes(bytes)),
            b'B' => Ok(u32::from_be_bytes(bytes)),
            _ => Err(bad("not a D-Bus message")),
        }
    };
    let (body, fields) = (u64::from(number(4)?), u64::from(number(12)?));
    Ok(fields.next_multiple_of(8) + body)
}

/// The same as a length that may be read.
fn short(rest: u64) -> Option<usize> {
    usize::try_from(rest).ok().filter(|_| rest + HEADER as u64 <= MESSAGE_MOST)
}

impl Socket for BusSocket {
    type ReadHalf = BusReader;
    type WriteHalf = MessageWriter;

    fn split(self) -> Split<BusReader, MessageWriter> {
        let (stream, write) = self.0.into_split();
        let reader = BusReader { stream, part: BusPart::Line(true), header: vec![] };
        Split::new(reader, MessageWriter(write))
    }
}

impl BusReader {
    /// Hands on what was read, or keeps it; so many bytes are handed on now.
    fn pass(&mut self, buffer: &mut [u8], read: usize) -> io::Result<usize> {
        match self.part {
            // No line of the protocol begins as a message does.
            BusPart::Line(true) if [b'l', b'B'].contains(&buffer[0]) => {
                self.header.push(buffer[0]);
                self.part = BusPart::Header;
                Ok(0)
            }
            BusPart::Line(_) => {
                self.part = BusPart::Line(buffer[0] == b'\n');
                Ok(read)
            }
            BusPart::Header => {
                self.header.extend_from_slice(&buffer[..read]);
                if let Ok(header) = <[u8; HEADER]>::try_from(self.header.as_slice()) {
                    let rest = rest_of(&header)?;
                    self.part = short(rest).map_or(BusPart::TooLong(rest), BusPart::Accepted);
                    if self.part == BusPart::TooLong(rest) {
                        self.header.clear();
                    }
                }
                Ok(0)
            }
            BusPart::Accepted(_) => Ok(0),
            BusPart::Rest(left) => {
                self.part = if left > read { BusPart::Rest(left - read) } else { BusPart::Header };
                Ok(read)
            }
            BusPart::TooLong(left) => {
                let left = left.saturating_sub(read as u64);
                self.part = if left > 0 { BusPart::TooLong(left) } else { BusPart::Header };
                Ok(0)
            }
        }
    }

    /// How much may be read at once: never beyond what is judged.
    fn most(&self, room: usize) -> usize {
        match self.part {
            BusPart::Line(_) => 1,
            BusPart::Header => HEADER - self.header.len(),
            BusPart::Accepted(_) => 0,
            BusPart::Rest(left) => left.min(room),
            BusPart::TooLong(left) => usize::try_from(left).unwrap_or(usize::MAX).min(AT_ONCE),
        }
    }
}

#[async_trait]
impl ReadHalf for BusReader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut own = [0; AT_ONCE];
        loop {
            if let BusPart::Accepted(rest) = self.part {
                let count = self.header.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.header[..count]);
                self.header.drain(..count);
                if self.header.is_empty() {
                    self.part = if rest > 0 { BusPart::Rest(rest) } else { BusPart::Header };
                }
                return Ok((count, vec![]));
            }
            // What is not handed on now is not read into what the caller has.
            let is_for_the_caller = matches!(self.part, BusPart::Rest(_));
            let most = self.most(buffer.len());
            self.stream.readable().await?;
            let into = if is_for_the_caller { &mut buffer[..most] } else { &mut own[..most] };
            let read = match self.stream.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                Ok(0) => return Ok((0, vec![])),
                done => done?,
            };
            let handed_on = if is_for_the_caller { self.pass(buffer, read)? } else { self.pass(&mut own, read)? };
            if handed_on > 0 {
                if !is_for_the_caller {
                    buffer[..handed_on].copy_from_slice(&own[..handed_on]);
                }
                return Ok((handed_on, vec![]));
            }
        }
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        // A header is read alone, and judged before memory is allocated by it.
        let wanted = if self.left > 0 { self.left } else { HEADER - self.header.len() };
        let most = wanted.min(buffer.len());
        loop {
            self.stream.readable().await?;
            match self.stream.try_read(&mut buffer[..most]) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => {
                    let read = done?;
                    self.pass(&buffer[..read])?;
                    return Ok((read, vec![]));
                }
            }
        }
    }
}

#[async_trait]
impl WriteHalf for MessageWriter {
    async fn sendmsg(&mut self, buffer: &[u8], _: &[BorrowedFd<'_>]) -> io::Result<usize> {
        loop {
            self.0.writable().await?;
            match self.0.try_write(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return done,
            }
        }
    }

    async fn close(&mut self) -> io::Result<()> {
        nix::sys::socket::shutdown(std::os::fd::AsRawFd::as_raw_fd(self.0.as_ref()), nix::sys::socket::Shutdown::Both)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_header_that_announces_more_than_we_take_is_refused_in_both_orders_of_bytes() {
        let header = |order: u8, body: u32, fields: u32| {
            let bytes = |n: u32| if order == b'l' { n.to_le_bytes() } else { n.to_be_bytes() };
            let mut header = [order, 1, 0, 1, 0, 0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0];
            header[4..8].copy_from_slice(&bytes(body));
            header[12..16].copy_from_slice(&bytes(fields));
            rest_of(&header).ok().and_then(short)
        };
        for order in [b'l', b'B'] {
            assert_eq!(header(order, 5, 17), Some(24 + 5));
            assert_eq!(header(order, 65_536 - 32, 16), Some(65_536 - 16));
            assert_eq!(header(order, 65_536 - 31, 16), None);
            assert!(header(order, 1 << 27, 8).is_none() && header(order, 8, u32::MAX).is_none());
        }
        assert!(header(b'x', 5, 17).is_none());
    }

    fn message(body: u32) -> Vec<u8> {
        let mut message = vec![b'l', 1, 0, 1];
        [body, 1, 8].iter().for_each(|number| message.extend(number.to_le_bytes()));
        message.extend(vec![7; 8 + body as usize]);
        message
    }

    async fn all_of(reader: &mut BusReader, room: usize) -> Vec<u8> {
        let (mut seen, mut buffer) = (vec![], vec![0; room]);
        loop {
            match reader.recvmsg(&mut buffer).await.unwrap().0 {
                0 => return seen,
                count => seen.extend(&buffer[..count]),
            }
        }
    }

    #[tokio::test]
    async fn a_message_on_a_bus_that_is_too_long_is_passed_over_and_what_is_around_it_is_not() {
        let most = u32::try_from(MESSAGE_MOST).unwrap() - 24;
        for room in [1, 16, 100_000] {
            let (ours, theirs) = UnixStream::pair().unwrap();
            let (mut reader, _) = BusSocket(ours).split().take();
            let sent =
                [b"OK 1234\r\nAGREE_UNIX_FD\r\n".to_vec(), message(0), message(most + 1), message(most), message(9)];
            let wanted = [&sent[0][..], &sent[1], &sent[3], &sent[4]].concat();
            let (_, mut to) = theirs.into_split();
            let writing = tokio::spawn(async move {
                for part in sent {
                    tokio::io::AsyncWriteExt::write_all(&mut to, &part).await.unwrap();
                }
            });
            assert_eq!(all_of(&mut reader, room).await, wanted, "{room}");
            writing.await.unwrap();
        }
    }
}

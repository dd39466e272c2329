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
const AT_ONCE: usize = 1024;

/// Our own socket for one client. No descriptors pass over it.
#[derive(Debug)]
pub(super) struct Authenticated {
    pub(super) stream: UnixStream,
    pub(super) activity: ConnectionActivity,
}

/// The socket of a bus, on which zbus authenticates itself. No descriptors pass over it.
#[derive(Debug)]
pub(super) struct BusSocket(pub(super) UnixStream);

/// Reads what is judged, and nothing beyond it.
#[derive(Debug)]
pub(super) struct Reader {
    stream: OwnedReadHalf,
    sender: Sender,
    part: Part,
    /// What was read of a header, and then what of it was not handed on yet.
    header: Vec<u8>,
}

/// Who is at the other end.
#[derive(Debug)]
enum Sender {
    /// A client, whose connection a message that is too long ends.
    Client(ConnectionActivity),
    /// A bus, by which every user sends: such a message is dropped, and the connection of the others goes on.
    Bus,
}

/// What comes next.
#[derive(Clone, Copy, Debug)]
enum Part {
    /// Lines of text (D-Bus specification, "Authentication Protocol"); whether one begins here.
    Line(bool),
    /// The header of a message, which is collected.
    Header,
    /// That header, which is handed on, and so much behind it.
    Accepted(usize),
    /// So much of a message that is handed on.
    Rest(usize),
    /// So much of a message that is dropped.
    TooLong(u64),
}

#[derive(Debug)]
pub(super) struct MessageWriter(OwnedWriteHalf);

impl Socket for Authenticated {
    type ReadHalf = Reader;
    type WriteHalf = MessageWriter;

    fn split(self) -> Split<Reader, MessageWriter> {
        split(self.stream, Sender::Client(self.activity), Part::Header)
    }
}

impl Socket for BusSocket {
    type ReadHalf = Reader;
    type WriteHalf = MessageWriter;

    fn split(self) -> Split<Reader, MessageWriter> {
        split(self.0, Sender::Bus, Part::Line(true))
    }
}

fn split(stream: UnixStream, sender: Sender, part: Part) -> Split<Reader, MessageWriter> {
    let (stream, write) = stream.into_split();
    Split::new(Reader { stream, sender, part, header: vec![] }, MessageWriter(write))
}

impl Reader {
    /// Keeps what was read, or hands it on: then it says so.
    fn takes(&mut self, bytes: &[u8]) -> io::Result<bool> {
        if let Sender::Client(activity) = &self.sender {
            activity.received();
        }
        let read = bytes.len();
        let (part, is_handed_on) = match self.part {
            // No line of the protocol begins as a message does.
            Part::Line(true) if bytes.starts_with(b"l") || bytes.starts_with(b"B") => {
                self.header.extend_from_slice(bytes);
                (Part::Header, false)
            }
            Part::Line(_) => (Part::Line(bytes.ends_with(b"\n")), true),
            Part::Header => {
                self.header.extend_from_slice(bytes);
                (self.judged()?, false)
            }
            Part::Accepted(_) => (self.part, false),
            Part::Rest(left) => (if left > read { Part::Rest(left - read) } else { Part::Header }, true),
            Part::TooLong(left) => match left.saturating_sub(read as u64) {
                0 => (Part::Header, false),
                left => (Part::TooLong(left), false),
            },
        };
        self.part = part;
        Ok(is_handed_on)
    }

    /// What follows the header as far as it is there.
    fn judged(&mut self) -> io::Result<Part> {
        let Ok(header) = <[u8; HEADER]>::try_from(self.header.as_slice()) else { return Ok(Part::Header) };
        let rest = rest_of(&header)?;
        match (short(rest), &self.sender) {
            (Some(rest), _) => Ok(Part::Accepted(rest)),
            (None, Sender::Client(_)) => Err(bad("the message is too long")),
            (None, Sender::Bus) => {
                self.header.clear();
                Ok(Part::TooLong(rest))
            }
        }
    }

    /// How much may be read at once.
    fn most(&self, room: usize) -> usize {
        match self.part {
            Part::Line(_) => 1,
            Part::Header => HEADER - self.header.len(),
            Part::Accepted(_) => 0,
            Part::Rest(left) => left.min(room),
            Part::TooLong(left) => usize::try_from(left).unwrap_or(usize::MAX).min(AT_ONCE),
        }
    }
}

fn bad(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}

/// How many bytes follow the header.
fn rest_of(header: &[u8; HEADER]) -> io::Result<u64> {
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

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        let mut own = [0; AT_ONCE];
        loop {
            if let Part::Accepted(rest) = self.part {
                let count = self.header.len().min(buffer.len());
                buffer[..count].copy_from_slice(&self.header[..count]);
                self.header.drain(..count);
                if self.header.is_empty() {
                    self.part = if rest > 0 { Part::Rest(rest) } else { Part::Header };
                }
                return Ok((count, vec![]));
            }
            // What is not handed on does not go into the caller's buffer, which may be smaller than it.
            let is_for_the_caller = matches!(self.part, Part::Line(_) | Part::Rest(_));
            let most = self.most(buffer.len());
            let into = if is_for_the_caller { &mut buffer[..most] } else { &mut own[..most] };
            self.stream.readable().await?;
            let read = match self.stream.try_read(into) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => continue,
                done => done?,
            };
            if read == 0 || self.takes(&into[..read])? {
                return Ok((read, vec![]));
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

    async fn all_of(reader: &mut Reader, room: usize) -> Vec<u8> {
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

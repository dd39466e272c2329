//! A unix socket that has been authenticated already, for zbus to run a connection over.

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
            self.left = rest_of(&header)?;
            self.header.clear();
        }
        Ok(())
    }
}

/// How many bytes follow the header.
fn rest_of(header: &[u8; HEADER]) -> io::Result<usize> {
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
    let rest = fields.next_multiple_of(8) + body;
    if rest + HEADER as u64 > MESSAGE_MOST {
        return Err(bad("the message is too long"));
    }
    usize::try_from(rest).map_err(io::Error::other)
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
            rest_of(&header)
        };
        for order in [b'l', b'B'] {
            assert_eq!(header(order, 5, 17).unwrap(), 24 + 5);
            assert!(header(order, 1 << 27, 8).is_err() && header(order, 8, u32::MAX).is_err());
        }
        assert!(header(b'x', 5, 17).is_err());
    }
}

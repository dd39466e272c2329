//! A unix socket that has been authenticated already, for zbus to run a connection over.

use std::io;
use std::os::fd::{BorrowedFd, OwnedFd};

use async_trait::async_trait;
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use zbus::connection::socket::{ReadHalf, Socket, Split, WriteHalf};

/// The socket. No descriptors pass over it.
#[derive(Debug)]
pub(super) struct Authenticated(pub(super) UnixStream);

#[derive(Debug)]
pub(super) struct Reader(OwnedReadHalf);

#[derive(Debug)]
pub(super) struct Writer(OwnedWriteHalf);

impl Socket for Authenticated {
    type ReadHalf = Reader;
    type WriteHalf = Writer;

    fn split(self) -> Split<Reader, Writer> {
        let (read, write) = self.0.into_split();
        Split::new(Reader(read), Writer(write))
    }
}

#[async_trait]
impl ReadHalf for Reader {
    async fn recvmsg(&mut self, buffer: &mut [u8]) -> io::Result<(usize, Vec<OwnedFd>)> {
        loop {
            self.0.readable().await?;
            match self.0.try_read(buffer) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                done => return Ok((done?, vec![])),
            }
        }
    }
}

#[async_trait]
impl WriteHalf for Writer {
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

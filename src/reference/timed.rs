//! A connection on which nothing waits beyond a deadline.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::time::Duration;

use crate::decision::Boottime;
use crate::sys::clock::boottime;

/// A socket whose every wait ends at a deadline.
#[derive(Debug)]
pub struct Timed {
    /// The socket, connected.
    pub socket: TcpStream,
    /// When every wait ends.
    pub deadline: Boottime,
}

impl Timed {
    fn left(&self) -> io::Result<Duration> {
        let left = self.deadline.since(boottime());
        // The kernel takes zero for ever.
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

impl Read for Timed {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        self.socket.set_read_timeout(Some(self.left()?))?;
        self.socket.read(bytes)
    }
}

impl Write for Timed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.socket.set_write_timeout(Some(self.left()?))?;
        self.socket.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.socket.flush()
    }
}

//! One connection to a server, plain or by TLS, on which nothing waits beyond a deadline.

use std::io::{self, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::sync::mpsc;
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::reply::{self, Head};
use super::span::DatedAnswer;
use super::url::HttpUrl;
use super::{HttpError, within};
use crate::decision::Boottime;
use crate::reference::ntp::resolver;
use crate::reference::timed::Timed;
use crate::reference::tls::{self, TlsClient};
use crate::sys::clock::boottime;

/// How long one address is tried, so that the next one has a chance.
const CONNECT_WITHIN: Duration = Duration::from_secs(3);

/// One connection.
#[derive(Debug)]
pub struct Connection {
    stream: Transport,
    /// Whether another request may follow on it.
    pub is_reusable: bool,
}

#[derive(Debug)]
enum Transport {
    Plain(Timed),
    Tls(Box<StreamOwned<ClientConnection, Timed>>),
}

impl Connection {
    /// Connects to the first address that answers; with a TLS client, the handshake is done when this returns.
    ///
    /// # Errors
    /// [`HttpError`].
    pub fn open(addresses: &[SocketAddr], tls: Option<&TlsClient>, deadline: Boottime) -> Result<Self, HttpError> {
        let mut failed = None;
        for address in addresses {
            let left = within(deadline)?;
            match TcpStream::connect_timeout(address, left.min(CONNECT_WITHIN)) {
                Ok(socket) => {
                    // The request goes at once and whole; without it the kernel works all the same.
                    let _ = socket.set_nodelay(true);
                    return Self::over(Timed { socket, deadline }, tls);
                }
                Err(error) => failed = Some(HttpError::Connect { address: *address, error }),
            }
        }
        Err(failed.unwrap_or(HttpError::Late))
    }

    fn over(socket: Timed, tls: Option<&TlsClient>) -> Result<Self, HttpError> {
        let Some(client) = tls else { return Ok(Self { stream: Transport::Plain(socket), is_reusable: true }) };
        let mut stream = StreamOwned::new(client.connect()?, socket);
        while stream.conn.is_handshaking() {
            stream.conn.complete_io(&mut stream.sock).map_err(|source| match tls::certificate_error(&source) {
                Some(error) => HttpError::Tls(error),
                None => HttpError::io("the TLS handshake failed", source),
            })?;
        }
        Ok(Self { stream: Transport::Tls(Box::new(stream)), is_reusable: true })
    }

    /// Asks for the head of `url` and measures the time that it took.
    ///
    /// # Errors
    /// [`HttpError`]; nothing is to be asked on this connection then.
    pub fn ask(&mut self, url: &HttpUrl, deadline: Boottime) -> Result<(Head, Measured), HttpError> {
        self.is_reusable = false;
        self.socket().deadline = deadline;
        let request = format!(
            "HEAD {} HTTP/1.1\r\nHost: {}\r\nUser-Agent: clockgate/{}\r\nAccept: */*\r\nCache-Control: no-cache, no-store\r\n\r\n",
            url.path,
            url.authority(),
            env!("CARGO_PKG_VERSION"),
        );
        let sent = boottime();
        let stream = &mut self.stream;
        stream
            .write_all(request.as_bytes())
            .and_then(|()| stream.flush())
            .map_err(|source| HttpError::io("cannot send the request", source))?;
        let (mut bytes, mut received) = (vec![], None);
        loop {
            let mut piece = [0; 4096];
            let read = match stream.read(&mut piece) {
                // A connection that ends without TLS' own end has been cut, and says no more than one that is closed.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
                read => read.map_err(|source| HttpError::io("no reply", source))?,
            };
            let now = boottime();
            if read == 0 {
                return Err(if bytes.is_empty() { HttpError::Silent } else { HttpError::Cut });
            }
            received.get_or_insert(now);
            bytes.extend_from_slice(&piece[..read]);
            while let Some((head, length)) = reply::parse(&bytes)? {
                bytes.drain(..length);
                if head.is_interim() {
                    received = (!bytes.is_empty()).then_some(now);
                    continue;
                }
                // A body where none is due would be taken for the next reply.
                self.is_reusable = !head.closes && bytes.is_empty();
                return Ok((head, Measured { sent, received: received.unwrap_or(now) }));
            }
        }
    }

    fn socket(&mut self) -> &mut Timed {
        match &mut self.stream {
            Transport::Plain(socket) => socket,
            Transport::Tls(stream) => &mut stream.sock,
        }
    }
}

impl Read for Transport {
    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.read(bytes),
            Self::Tls(stream) => stream.read(bytes),
        }
    }
}

impl Write for Transport {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Plain(socket) => socket.write(bytes),
            Self::Tls(stream) => stream.write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        match self {
            Self::Plain(socket) => socket.flush(),
            Self::Tls(stream) => stream.flush(),
        }
    }
}

/// Between which two moments an answer was made.
#[derive(Clone, Copy, Debug)]
pub struct Measured {
    sent: Boottime,
    received: Boottime,
}

impl Measured {
    /// With the second that the answer names.
    #[must_use]
    pub const fn with(self, date: i64) -> DatedAnswer {
        DatedAnswer { sent: self.sent, received: self.received, date }
    }
}

/// The addresses of the server; getaddrinfo(3) knows no deadline, so it is left behind at ours.
///
/// # Errors
/// [`HttpError::Resolve`], [`HttpError::Late`].
pub fn addresses(url: &HttpUrl, deadline: Boottime) -> Result<Vec<SocketAddr>, HttpError> {
    let (tell, told) = mpsc::channel();
    resolver::look_up(url.server.clone(), move |found| {
        // The receiver may no longer wait.
        let _ = tell.send(found);
    })
    .map_err(HttpError::Resolve)?;
    told.recv_timeout(within(deadline)?).map_err(|_| HttpError::Unresolved)?.map_err(HttpError::Resolve)
}

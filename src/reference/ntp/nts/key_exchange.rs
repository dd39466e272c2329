//! The key exchange (RFC 8915 section 4): a connection by TLS 1.3, one question and one answer on it, and keys drawn from it.

use std::io::{self, Read as _, Write as _};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use rustls::{ClientConnection, StreamOwned};

use super::cipher::{KEY_LEN, SessionKeys};
use super::records::{self, Agreed, RecordError};
use super::session::Session;
use crate::decision::{Boottime, Realtime};
use crate::reference::ntp::resolver::{self, ResolverError};
use crate::reference::ntp::security::{CertificateTime, Security};
use crate::reference::ntp::server_name::ServerName;
use crate::reference::timed::Timed;
use crate::reference::tls::{
    AuthoritiesError, KEY_EXCHANGE, TlsClient, TlsError, TrustedAuthorities, certificate_error,
};
use crate::sys::clock::{boottime, realtime};

/// How long a key exchange may take, the look-up of the name not counted.
const WITHIN: Duration = Duration::from_secs(5);
/// How long one address is tried, so that the next one has a chance.
const CONNECT_WITHIN: Duration = Duration::from_secs(2);
/// TLS needs more of a stack than a look-up.
const STACK: usize = 1024 * 1024;
/// RFC 8915 section 4.3.
const LABEL: &[u8] = b"EXPORTER-network-time-security";

/// Why there are no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyExchangeError {
    /// A name without an address.
    #[error(transparent)]
    Resolve(#[from] ResolverError),
    /// No authority whose certificates would be believed.
    #[error("cannot verify the certificates of NTS servers")]
    Authorities(#[from] AuthoritiesError),
    /// No server there, or a filter.
    #[error("cannot connect to {address} (TCP) for the keys of NTS: {}", because(error))]
    Connect {
        /// The last address that was tried.
        address: SocketAddr,
        /// What connect(2) said.
        error: io::Error,
    },
    /// Its certificate is not believed.
    #[error("no keys of NTS: {0}")]
    Certificate(TlsError),
    /// By our clock it is not, and the configuration goes by that.
    #[error("no keys of NTS: by this host's clock, {} UTC, which `nts-cert-time: strict` goes by: {error}", clock.minute())]
    ByOurClock {
        /// What our clock said.
        clock: Realtime,
        /// What is wrong with the certificate then.
        error: TlsError,
    },
    /// No TLS, or none that goes with ours.
    #[error("no keys of NTS: {what}: {}", because(error))]
    Io {
        /// What was tried.
        what: &'static str,
        /// What the kernel, or rustls, said.
        error: io::Error,
    },
    /// A web server, most likely.
    #[error("no keys of NTS: the server speaks TLS and not the key exchange of NTS")]
    OtherProtocol,
    /// It closed before the end.
    #[error("no keys of NTS: the server closed the connection after {0} bytes, before the end of its answer")]
    Cut(usize),
    /// Its answer is none.
    #[error("no keys of NTS: {0}")]
    Records(RecordError),
    /// rustls cannot.
    #[error("no keys of NTS: cannot draw them from the TLS connection: {0}")]
    Export(rustls::Error),
}

/// What came of it.
#[derive(Debug)]
pub struct Exchanged {
    /// Where NTP is asked.
    pub sockets: Vec<SocketAddr>,
    /// By which keys and cookies.
    pub session: Session,
}

/// Exchanges keys with a server on a thread of its own, which calls `done` in the end, however late.
///
/// # Errors
/// No thread; then `done` is not called.
pub fn begin(
    name: ServerName,
    security: Security,
    done: impl FnOnce(Result<Exchanged, KeyExchangeError>) + Send + 'static,
) -> Result<(), ResolverError> {
    let host = name.host().to_owned();
    resolver::spawn(host, STACK, move || done(exchange_keys(&name, &security)))
}

/// Exchanges keys with a server. Blocks for seconds, and for as long as the resolver likes.
///
/// # Errors
/// [`KeyExchangeError`].
pub fn exchange_keys(name: &ServerName, security: &Security) -> Result<Exchanged, KeyExchangeError> {
    let addresses = resolver::addresses(name)?;
    let authorities = TrustedAuthorities::load(security.authorities.as_deref())?;
    let tls = TlsClient::for_key_exchange(name.host(), &authorities, security.floor.highest())
        .map_err(KeyExchangeError::Certificate)?;
    let (mut stream, peer) = greet(&tls, &addresses, boottime() + WITHIN)?;
    if let CertificateTime::Strict = security.certificate_time {
        let clock = realtime();
        // A clock below the floor is wrong, and says nothing of the certificate.
        let at = clock.max(security.floor.highest());
        tls.verify_at(at).map_err(|error| KeyExchangeError::ByOurClock { clock, error })?;
    }
    let agreed = ask(&mut stream)?;
    let keys = SessionKeys { ours: export(&stream.conn, 0)?, theirs: export(&stream.conn, 1)? };
    let sockets = match &agreed.server {
        None => vec![SocketAddr::new(peer.ip(), agreed.port)],
        Some(server) => resolver::addresses(&server.clone().with_port(agreed.port))?,
    };
    Ok(Exchanged { sockets, session: Session::new(keys, agreed.cookies, tls) })
}

/// Connects to the first address that answers, and shakes hands with a server that speaks the key exchange.
///
/// # Errors
/// [`KeyExchangeError`].
pub fn greet(
    tls: &TlsClient,
    addresses: &[SocketAddr],
    deadline: Boottime,
) -> Result<(StreamOwned<ClientConnection, Timed>, SocketAddr), KeyExchangeError> {
    let (stream, peer) = connect(addresses, deadline)?;
    let mut stream = StreamOwned::new(tls.connect().map_err(KeyExchangeError::Certificate)?, stream);
    shake_hands(&mut stream)?;
    Ok((stream, peer))
}

fn connect(addresses: &[SocketAddr], deadline: Boottime) -> Result<(Timed, SocketAddr), KeyExchangeError> {
    let mut last = None;
    for &address in addresses {
        let left = deadline.since(boottime()).min(CONNECT_WITHIN);
        if left.is_zero() {
            break;
        }
        match TcpStream::connect_timeout(&address, left) {
            Ok(socket) => {
                // The question goes at once and whole; without it the kernel works all the same.
                let _ = socket.set_nodelay(true);
                return Ok((Timed { socket, deadline }, address));
            }
            Err(error) => last = Some(KeyExchangeError::Connect { address, error }),
        }
    }
    let late = || KeyExchangeError::Io { what: "no address answered", error: io::ErrorKind::TimedOut.into() };
    Err(last.unwrap_or_else(late))
}

fn shake_hands(stream: &mut StreamOwned<ClientConnection, Timed>) -> Result<(), KeyExchangeError> {
    while stream.conn.is_handshaking() {
        stream.conn.complete_io(&mut stream.sock).map_err(|error| match certificate_error(&error) {
            Some(why) => KeyExchangeError::Certificate(why),
            None => KeyExchangeError::Io { what: "the TLS handshake failed", error },
        })?;
    }
    let is_ours = stream.conn.alpn_protocol() == Some(KEY_EXCHANGE);
    if is_ours { Ok(()) } else { Err(KeyExchangeError::OtherProtocol) }
}

fn ask(stream: &mut StreamOwned<ClientConnection, Timed>) -> Result<Agreed, KeyExchangeError> {
    let sent = stream.write_all(&records::request()).and_then(|()| stream.flush());
    sent.map_err(|error| KeyExchangeError::Io { what: "cannot send the question", error })?;
    let mut bytes = vec![];
    loop {
        let mut piece = [0; 4096];
        let read = match stream.read(&mut piece) {
            // Without TLS' own end it was cut, and says no more than one that was closed.
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => 0,
            read => read.map_err(|error| KeyExchangeError::Io { what: "no whole answer", error })?,
        };
        if read == 0 {
            return Err(KeyExchangeError::Cut(bytes.len()));
        }
        bytes.extend(piece.iter().take(read));
        if let Some(agreed) = records::parse(&bytes).map_err(KeyExchangeError::Records)? {
            return Ok(agreed);
        }
    }
}

fn export(connection: &ClientConnection, direction: u8) -> Result<[u8; KEY_LEN], KeyExchangeError> {
    let context = records::key_context(direction);
    connection.export_keying_material([0; KEY_LEN], LABEL, Some(&context)).map_err(KeyExchangeError::Export)
}

/// A timeout set by SO_RCVTIMEO is EAGAIN.
fn because(error: &io::Error) -> String {
    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut) {
        "no answer in time".to_owned()
    } else {
        error.to_string()
    }
}

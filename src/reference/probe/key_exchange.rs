//! Does the key exchange of a server's Network Time Security answer (RFC 8915 section 4), and does its certificate hold?

use std::io::ErrorKind;
use std::net::{SocketAddr, TcpStream};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::{ServerName as CertificateName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{ClientConfig, ClientConnection};

use crate::decision::Realtime;
use crate::reference::ntp::server_name::KEY_EXCHANGE_PORT;
use crate::reference::tls::{KEY_EXCHANGE, TrustedAuthorities, certificate_error};

/// What came of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum KeyExchange {
    /// The server speaks it, and its certificate holds.
    Answered,
    /// Nothing listens there.
    Refused,
    /// Nothing came.
    Silent,
    /// Its certificate does not hold, in words.
    BadCertificate(String),
    /// Anything else, in words.
    Failed(String),
}

impl KeyExchange {
    /// Connects to the address's host and shakes hands; certificates are verified at `time`. Blocks for three times `patience` at most.
    #[must_use]
    pub fn tried(
        host: &str,
        address: SocketAddr,
        time: Realtime,
        authorities: &TrustedAuthorities,
        patience: Duration,
    ) -> Self {
        let at = SocketAddr::new(address.ip(), KEY_EXCHANGE_PORT);
        let mut socket = match TcpStream::connect_timeout(&at, patience) {
            Ok(socket) => socket,
            Err(error) if error.kind() == ErrorKind::ConnectionRefused => return Self::Refused,
            Err(error) if error.kind() == ErrorKind::TimedOut => return Self::Silent,
            Err(error) => return Self::Failed(error.to_string()),
        };
        let timed = socket.set_read_timeout(Some(patience)).and_then(|()| socket.set_write_timeout(Some(patience)));
        if let Err(error) = timed {
            return Self::Failed(error.to_string());
        }
        let mut connection = match client(host, time, authorities) {
            Ok(connection) => connection,
            Err(why) => return Self::Failed(why),
        };
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut socket) {
                return match certificate_error(&error) {
                    Some(why) => Self::BadCertificate(why.to_string()),
                    None if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => Self::Silent,
                    None => Self::Failed(error.to_string()),
                };
            }
        }
        if connection.alpn_protocol() == Some(KEY_EXCHANGE) {
            Self::Answered
        } else {
            Self::Failed("it speaks TLS and not the key exchange of NTS".to_owned())
        }
    }
}

fn client(host: &str, time: Realtime, authorities: &TrustedAuthorities) -> Result<ClientConnection, String> {
    let name = CertificateName::try_from(host.to_owned()).map_err(|error| error.to_string())?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = ClientConfig::builder_with_details(provider, Arc::new(At(time)))
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?
        .with_root_certificates(authorities.store.clone())
        .with_no_client_auth();
    config.alpn_protocols = vec![KEY_EXCHANGE.to_vec()];
    ClientConnection::new(Arc::new(config), name).map_err(|error| error.to_string())
}

/// The time at which certificates have to hold: what was measured, where the clock may be wrong.
#[derive(Debug)]
struct At(Realtime);

impl TimeProvider for At {
    fn current_time(&self) -> Option<UnixTime> {
        Some(UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(self.0.as_secs()).ok()?)))
    }
}

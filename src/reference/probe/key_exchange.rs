//! Does the key exchange of a server's Network Time Security answer (RFC 8915 section 4), and does its certificate hold?

use std::io::ErrorKind;
use std::net::SocketAddr;
use std::time::Duration;

use crate::decision::Realtime;
use crate::reference::ntp::nts::key_exchange::{KeyExchangeError, greet};
use crate::reference::ntp::server_name::KEY_EXCHANGE_PORT;
use crate::reference::tls::{TlsClient, TlsError, TrustedAuthorities};
use crate::sys::clock::boottime;

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
    /// Connects to the address's host and shakes hands, as an exchange of keys begins; certificates are verified at `time`. Blocks for
    /// `patience` at most.
    #[must_use]
    pub fn tried(
        host: &str,
        address: SocketAddr,
        time: Realtime,
        authorities: &TrustedAuthorities,
        patience: Duration,
    ) -> Self {
        let at = SocketAddr::new(address.ip(), KEY_EXCHANGE_PORT);
        let greeted = || {
            let tls = TlsClient::for_key_exchange(host, authorities, time).map_err(KeyExchangeError::Certificate)?;
            greet(&tls, &[at], boottime() + patience)?;
            tls.verify_at(time).map_err(KeyExchangeError::Certificate)
        };
        greeted().map_or_else(|error| Self::failed(&error), |()| Self::Answered)
    }

    fn failed(error: &KeyExchangeError) -> Self {
        if let KeyExchangeError::Certificate(why @ TlsError::Certificate(_)) = error {
            return Self::BadCertificate(why.to_string());
        }
        if let KeyExchangeError::Connect { error, .. } = error
            && error.kind() == ErrorKind::ConnectionRefused
        {
            return Self::Refused;
        }
        if let KeyExchangeError::Connect { error, .. } | KeyExchangeError::Io { error, .. } = error
            && matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut)
        {
            return Self::Silent;
        }
        Self::Failed(error.to_string())
    }
}

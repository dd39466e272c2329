//! TLS with a clock that may be wrong, for the `Date` of web servers and the keys of NTS. A certificate is verified, chain and name, at
//! the time that its server says it is: never by our clock, never with verification off, never at a time that has certainly passed.
//!
//! The handshake comes before the answer, so it is verified at the earliest time from the floor on at which the whole chain holds, and
//! what is asked then is verified once more, at the time received. A machine with an old key and an old certificate of the server could
//! answer with a time within its life; the floor is what bounds that.

mod authorities;

use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::client::{Resumption, WebPkiServerVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::time_provider::TimeProvider;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, DigitallySignedStruct, SignatureScheme, SupportedProtocolVersion,
};

pub use self::authorities::{AuthoritiesError, TrustedAuthorities};
use crate::decision::Realtime;

/// A chain has four certificates or five, and each can begin later than the one before.
const MOST_BEGINNINGS: usize = 10;
/// The protocol in the handshake (RFC 8915 section 4).
pub const KEY_EXCHANGE: &[u8] = b"ntske/1";

/// Why a server's certificate is not believed.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The host is no name that a certificate can have.
    #[error("`{0}` is no name that a certificate can have")]
    Name(String),
    /// rustls refused.
    #[error("the certificate is not valid for this server at the time received: {}", in_words(.0))]
    Certificate(rustls::Error),
    /// rustls cannot be set up.
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
}

/// A client that verifies at the time received.
#[derive(Debug)]
pub struct TlsClient {
    config: Arc<ClientConfig>,
    verifier: Arc<AtTimeReceived>,
    name: ServerName<'static>,
}

impl TlsClient {
    /// A client for one host that accepts no time before `floor`.
    ///
    /// # Errors
    /// [`TlsError::Name`], [`TlsError::Setup`].
    pub fn for_http(host: &str, authorities: &TrustedAuthorities, floor: Realtime) -> Result<Self, TlsError> {
        Self::new(host, authorities, floor, (rustls::DEFAULT_VERSIONS, b"http/1.1"))
    }

    /// The same for the key exchange of NTS, which knows no version of TLS before 1.3 (RFC 8915 section 3).
    ///
    /// # Errors
    /// [`TlsError::Name`], [`TlsError::Setup`].
    pub fn for_key_exchange(host: &str, authorities: &TrustedAuthorities, floor: Realtime) -> Result<Self, TlsError> {
        Self::new(host, authorities, floor, (&[&rustls::version::TLS13], KEY_EXCHANGE))
    }

    fn new(
        host: &str,
        authorities: &TrustedAuthorities,
        floor: Realtime,
        (versions, protocol): (&[&'static SupportedProtocolVersion], &[u8]),
    ) -> Result<Self, TlsError> {
        let name = ServerName::try_from(host.to_owned()).map_err(|_| TlsError::Name(host.to_owned()))?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let inner = WebPkiServerVerifier::builder_with_provider(authorities.store.clone(), provider.clone())
            .build()
            .map_err(|error| TlsError::Setup(rustls::Error::General(error.to_string())))?;
        let floor = unix(floor);
        let verifier = Arc::new(AtTimeReceived { inner, floor, presented: Mutex::default() });
        let mut config = ClientConfig::builder_with_details(provider, Arc::new(NoClock(floor)))
            .with_protocol_versions(versions)
            .map_err(TlsError::Setup)?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone())
            .with_no_client_auth();
        // Who is resumed shows no certificate.
        config.resumption = Resumption::disabled();
        config.alpn_protocols = vec![protocol.to_vec()];
        Ok(Self { config: Arc::new(config), verifier, name })
    }

    /// A connection that has not begun.
    ///
    /// # Errors
    /// [`TlsError::Setup`].
    pub fn connect(&self) -> Result<ClientConnection, TlsError> {
        ClientConnection::new(self.config.clone(), self.name.clone()).map_err(TlsError::Setup)
    }

    /// Verifies the chain that the last handshake showed, and the name, at the time that the server said, and where that is below the floor
    /// at the floor too: by an old key no time is named before the certificate began, and no certificate is believed that has ended.
    ///
    /// # Errors
    /// [`TlsError::Certificate`].
    pub fn verify_at(&self, received: Realtime) -> Result<(), TlsError> {
        let presented = self.verifier.presented.lock().unwrap_or_else(PoisonError::into_inner);
        let chain = presented.as_deref().unwrap_or_default();
        let [leaf, intermediates @ ..] = chain else {
            return Err(TlsError::Certificate(rustls::Error::NoCertificatesPresented));
        };
        let verify = |at| self.verifier.inner.verify_server_cert(leaf, intermediates, &self.name, &[], at).map(drop);
        let received = unix(received);
        verify(received.max(self.verifier.floor)).and_then(|()| verify(received)).map_err(TlsError::Certificate)
    }
}

/// A verifier that keeps the chain it was shown, and whose clock is the certificate's own.
#[derive(Debug)]
struct AtTimeReceived {
    inner: Arc<WebPkiServerVerifier>,
    /// A time that has certainly passed.
    floor: UnixTime,
    /// The chain of the last handshake, the server's own certificate first.
    presented: Mutex<Option<Vec<CertificateDer<'static>>>>,
}

impl ServerCertVerifier for AtTimeReceived {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        let verified = from_the_floor_on(self.floor, |at| {
            self.inner.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, at)
        })?;
        let chain = std::iter::once(end_entity).chain(intermediates).map(|der| der.clone().into_owned()).collect();
        *self.presented.lock().unwrap_or_else(PoisonError::into_inner) = Some(chain);
        Ok(verified)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls12_signature(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        self.inner.verify_tls13_signature(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.inner.supported_verify_schemes()
    }
}

/// Verifies at the floor, and where a certificate of the chain begins later, at that beginning.
fn from_the_floor_on(
    floor: UnixTime,
    verify: impl Fn(UnixTime) -> Result<ServerCertVerified, rustls::Error>,
) -> Result<ServerCertVerified, rustls::Error> {
    let mut at = floor;
    for _ in 0..MOST_BEGINNINGS {
        match verify(at) {
            Err(rustls::Error::InvalidCertificate(CertificateError::NotValidYetContext { not_before, .. }))
                if not_before > at =>
            {
                at = not_before;
            }
            outcome => return outcome,
        }
    }
    verify(at)
}

/// The time of a machine whose clock is in doubt; rustls asks for it, and nothing here goes by it.
#[derive(Debug)]
struct NoClock(UnixTime);

impl TimeProvider for NoClock {
    fn current_time(&self) -> Option<UnixTime> {
        Some(self.0)
    }
}

fn unix(time: Realtime) -> UnixTime {
    UnixTime::since_unix_epoch(Duration::from_secs(u64::try_from(time.as_secs()).unwrap_or_default()))
}

fn at(time: UnixTime) -> String {
    i64::try_from(time.as_secs())
        .map_or_else(|_| "a time far away".to_owned(), |secs| Realtime::from_secs(secs).minute())
}

/// What is wrong with it, and what to do.
#[expect(clippy::wildcard_enum_match_arm, reason = "rustls' errors are many, and have words of their own")]
fn in_words(error: &rustls::Error) -> String {
    let rustls::Error::InvalidCertificate(certificate) = error else { return error.to_string() };
    match certificate {
        CertificateError::ExpiredContext { time, not_after } => {
            format!("it expired at {}, and it cannot be earlier than {}", at(*not_after), at(*time))
        }
        CertificateError::NotValidYetContext { time, not_before } => {
            format!("it begins at {}, and the server says that it is {}", at(*not_before), at(*time))
        }
        // The second: by an authority of the same name.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "no authority that is trusted here has signed it; name yours with `--ca-file FILE`, `ca-file` (for NTS \
             `nts-ca-file`) in the configuration, or SSL_CERT_FILE"
                .to_owned()
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "it is for another name: a proxy or portal on the way, or a wrong URL".to_owned()
        }
        other => other.to_string(),
    }
}

/// Whether a failed handshake failed by the certificate; then in our words.
#[must_use]
pub fn certificate_error(error: &std::io::Error) -> Option<TlsError> {
    let tls = error.get_ref()?.downcast_ref::<rustls::Error>()?;
    matches!(tls, rustls::Error::InvalidCertificate(_)).then(|| TlsError::Certificate(tls.clone()))
}

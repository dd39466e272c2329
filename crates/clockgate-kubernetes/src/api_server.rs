//! One request to the API server, on a connection of its own: certificates and tokens are read for it, and the server's certificate is
//! verified, always, by the measured time.

use std::io;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Bytes;
use hyper::header::{ACCEPT, AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, RETRY_AFTER, USER_AGENT};
use hyper::{Request, Response, StatusCode, Uri};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, RootCertStore};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use clockgate_kubernetes::refusal;

use crate::identity::{Identity, IdentityError, Source};
use crate::measured_clock::MeasuredClock;
use crate::request_body::ApiRequest;
use crate::stream::HyperStream;

/// Why a request was not answered with a success.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    #[error(transparent)]
    Identity(#[from] IdentityError),
    #[error("`{0}` is no address of an API server: it begins with https:// and has a host")]
    Address(String),
    #[error("cannot set up TLS")]
    Setup(#[source] rustls::Error),
    #[error("cannot connect to {0}")]
    Connect(String, #[source] io::Error),
    #[error("no TLS with {0}")]
    Tls(String, #[source] io::Error),
    #[error("no answer of {0}")]
    Http(String, #[source] hyper::Error),
    #[error("the request cannot be written")]
    Request(#[source] hyper::http::Error),
    #[error("the API server answered {status}: {why}")]
    Refused { status: StatusCode, why: String, retry_after: Option<Duration> },
    #[error("no answer within {0:?}")]
    Late(Duration),
}

/// The API server, and who asks it.
#[derive(Clone, Debug)]
pub struct ApiServer {
    pub source: Source,
    pub clock: MeasuredClock,
}

impl ApiServer {
    /// Sends a request; a success has no content for us.
    ///
    /// # Errors
    /// [`RequestError`].
    pub async fn send(&self, request: &ApiRequest) -> Result<(), RequestError> {
        let identity = self.source.load()?;
        let uri: Uri = identity.server.parse().map_err(|_| RequestError::Address(identity.server.clone()))?;
        let host = uri.host().filter(|_| uri.scheme_str() == Some("https"));
        let host = host.ok_or_else(|| RequestError::Address(identity.server.clone()))?;
        let address = format!("{host}:{}", uri.port_u16().unwrap_or(443));
        let name = identity.server_name.as_deref().unwrap_or(host.trim_start_matches('[').trim_end_matches(']'));
        let name = ServerName::try_from(name.to_owned()).map_err(|_| RequestError::Address(identity.server.clone()))?;
        let request = http_request(request, &identity, &uri)?;
        let place = identity.place.clone();

        let connector = TlsConnector::from(Arc::new(self.tls(identity)?));
        let stream =
            TcpStream::connect(&address).await.map_err(|error| RequestError::Connect(address.clone(), error))?;
        let stream =
            connector.connect(name, stream).await.map_err(|error| RequestError::Tls(address.clone(), error))?;
        let unanswered = |error| RequestError::Http(address.clone(), error);
        let (mut sender, connection) =
            hyper::client::conn::http1::handshake(HyperStream(stream)).await.map_err(unanswered)?;
        // It ends with the answer, or with us.
        let carried = async {
            let _ = connection.await;
        };
        let answered = async { answer(sender.send_request(request).await.map_err(unanswered)?, &place).await };
        tokio::pin!(carried, answered);
        tokio::select! {
            biased;
            answer = &mut answered => answer,
            // The last of the answer may still be in memory.
            () = &mut carried => answered.await,
        }
    }

    fn tls(&self, identity: Identity) -> Result<ClientConfig, RequestError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        roots.add_parsable_certificates(identity.authorities);
        let config = ClientConfig::builder_with_details(provider, Arc::new(self.clock.clone()))
            .with_safe_default_protocol_versions()
            .map_err(RequestError::Setup)?
            .with_root_certificates(roots);
        let mut config = match identity.certificate {
            Some((chain, key)) => config.with_client_auth_cert(chain, key).map_err(RequestError::Setup)?,
            None => config.with_no_client_auth(),
        };
        // A server that is resumed shows no certificate.
        config.resumption = Resumption::disabled();
        Ok(config)
    }
}

fn http_request(request: &ApiRequest, identity: &Identity, uri: &Uri) -> Result<Request<Full<Bytes>>, RequestError> {
    let path = format!("{}{}", uri.path().trim_end_matches('/'), request.path);
    let authority = uri.authority().map(ToString::to_string).unwrap_or_default();
    let mut builder = Request::builder()
        .method(request.method)
        .uri(path)
        .header(HOST, authority)
        .header(USER_AGENT, concat!("clockgate-kubernetes/", env!("CARGO_PKG_VERSION")))
        .header(ACCEPT, "application/json")
        .header(CONNECTION, "close")
        .header(CONTENT_TYPE, request.content_type);
    if let Some(token) = &identity.token {
        builder = builder.header(AUTHORIZATION, format!("Bearer {token}"));
    }
    builder.body(Full::new(Bytes::from(request.body.clone()))).map_err(RequestError::Request)
}

async fn answer(response: Response<hyper::body::Incoming>, place: &Path) -> Result<(), RequestError> {
    let status = response.status();
    if status.is_success() {
        return Ok(());
    }
    let after = response.headers().get(RETRY_AFTER).and_then(|value| value.to_str().ok()?.parse().ok());
    let body = Limited::new(response.into_body(), refusal::LIMIT).collect().await;
    let body = body.map(|body| body.to_bytes()).unwrap_or_default();
    let mut why = refusal::message(&body);
    if status == StatusCode::UNAUTHORIZED {
        why += &format!(": the certificate or token of {} has expired, or is of another cluster", place.display());
    }
    Err(RequestError::Refused { status, why, retry_after: after.map(Duration::from_secs) })
}

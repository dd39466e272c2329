//! A web server on loopback whose clock is what the test says, with certificates of an authority of its own.

#![allow(clippy::unwrap_used, dead_code, reason = "two targets have it, and each uses its own part of it")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use clockgate::decision::{Floor, Realtime};
use clockgate::reference::http::{HttpQuestion, TrustedAuthorities};
use clockgate::sys::clock::realtime;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair, date_time_ymd};
use rustls::pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};

/// An authority, and its certificate in a file.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    folder: tempfile::TempDir,
}

/// A certificate's name, and its life in seconds from the clock of this machine.
#[derive(Clone, Copy)]
pub struct Life {
    pub name: &'static str,
    pub begins: i64,
    pub ends: i64,
}

/// How the server answers.
#[derive(Clone)]
pub struct Manner {
    /// How far its clock is ahead of ours, seconds.
    pub ahead: i64,
    pub status: &'static str,
    /// Fields beside the `Date`, each with its line end.
    pub fields: String,
    /// What it does otherwise than others.
    pub vice: Vice,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Vice {
    None,
    /// It takes so many milliseconds for each answer.
    Slow(u64),
    /// It hangs up within the head.
    Cuts,
    /// It hangs up after each answer, without saying so.
    HangsUp,
    /// It never answers.
    Mute,
    /// It answers without a `Date`.
    Dateless,
    /// It sends a body with an answer that has none.
    Talks,
    /// Each answer but the first is a minute old.
    Ages,
}

impl Default for Manner {
    fn default() -> Self {
        Self { ahead: 0, status: "200 OK", fields: String::new(), vice: Vice::None }
    }
}

/// A server that runs until the test ends.
pub struct Site {
    pub port: u16,
    asked: Arc<AtomicUsize>,
    address: SocketAddr,
}

impl Authority {
    pub fn new() -> Self {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        // OpenSSL takes a certificate whose issuer has its own name for one that has signed itself.
        params.distinguished_name.push(DnType::CommonName, "the tests' authority");
        params.not_before = date_time_ymd(2000, 1, 1);
        params.not_after = date_time_ymd(2100, 1, 1);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, folder }
    }

    pub fn file(&self) -> PathBuf {
        self.folder.path().join("ca.pem")
    }

    /// A server's identity that this authority has signed.
    pub fn signs(&self, life: Life) -> Arc<ServerConfig> {
        let key = KeyPair::generate().unwrap();
        let certificate = params(life).signed_by(&key, &self.issuer).unwrap();
        server_config(certificate.der().clone(), &key)
    }
}

/// A server's identity that it has signed itself.
pub fn self_signed(life: Life) -> Arc<ServerConfig> {
    let key = KeyPair::generate().unwrap();
    let certificate = params(life).self_signed(&key).unwrap();
    server_config(certificate.der().clone(), &key)
}

fn params(life: Life) -> CertificateParams {
    let at = |from_now: i64| {
        let secs = realtime().as_secs() + from_now;
        date_time_ymd(1970, 1, 1) + Duration::from_secs(secs.unsigned_abs())
    };
    let mut params = CertificateParams::new(vec![life.name.to_owned()]).unwrap();
    (params.not_before, params.not_after) = (at(life.begins), at(life.ends));
    params
}

fn server_config(der: rustls::pki_types::CertificateDer<'static>, key: &KeyPair) -> Arc<ServerConfig> {
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(vec![der], key)
        .unwrap();
    Arc::new(config)
}

/// How these tests ask: nothing is earlier than ten days ago.
pub fn question(authority: &Authority) -> HttpQuestion {
    HttpQuestion {
        timeout: Duration::from_secs(10),
        authorities: TrustedAuthorities::load(Some(&authority.file())).unwrap(),
        floor: Floor { release: Realtime::from_secs(realtime().as_secs() - 10 * 86_400), file: None },
    }
}

impl Site {
    pub fn start(manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        Self::at(SocketAddr::from(([127, 0, 0, 1], 0)), manner, tls)
    }

    pub fn at(address: SocketAddr, manner: Manner, tls: Option<Arc<ServerConfig>>) -> Self {
        let listener = TcpListener::bind(address).unwrap();
        let address = listener.local_addr().unwrap();
        let port = address.port();
        let asked = Arc::new(AtomicUsize::new(0));
        let count = asked.clone();
        std::thread::spawn(move || {
            for socket in listener.incoming().map_while(Result::ok) {
                let (manner, tls, count) = (manner.clone(), tls.clone(), count.clone());
                std::thread::spawn(move || match tls {
                    None => serve(socket, &manner, &count),
                    Some(config) => {
                        let connection = ServerConnection::new(config).unwrap();
                        serve(StreamOwned::new(connection, socket), &manner, &count);
                    }
                });
            }
        });
        Self { port, asked, address }
    }

    pub fn asked(&self) -> usize {
        self.asked.load(Ordering::SeqCst)
    }
}

/// Answers until the other side has gone; whether it still listens is its own affair.
fn serve(mut stream: impl Read + Write, manner: &Manner, count: &AtomicUsize) {
    let mut request = vec![];
    loop {
        let mut byte = [0; 512];
        match stream.read(&mut byte) {
            Ok(0) | Err(_) => return,
            Ok(read) => request.extend_from_slice(&byte[..read]),
        }
        if !request.ends_with(b"\r\n\r\n") {
            continue;
        }
        request.clear();
        let before = count.fetch_add(1, Ordering::SeqCst);
        if let Vice::Slow(millis) = manner.vice {
            pass(Duration::from_millis(millis));
        }
        if manner.vice == Vice::Mute {
            continue;
        }
        let old = if manner.vice == Vice::Ages && before > 0 { 60 } else { 0 };
        let date = httpdate::fmt_http_date(
            UNIX_EPOCH + Duration::from_secs((realtime().as_secs() + manner.ahead - old).unsigned_abs()),
        );
        let date = if manner.vice == Vice::Dateless { String::new() } else { format!("Date: {date}\r\n") };
        let end = match manner.vice {
            Vice::Cuts => "",
            Vice::Talks => "\r\n<html>",
            Vice::None | Vice::Slow(_) | Vice::HangsUp | Vice::Mute | Vice::Dateless | Vice::Ages => "\r\n",
        };
        let reply = format!("HTTP/1.1 {}\r\n{date}{}{end}", manner.status, manner.fields);
        if stream.write_all(reply.as_bytes()).and_then(|()| stream.flush()).is_err() {
            return;
        }
        if matches!(manner.vice, Vice::Cuts | Vice::HangsUp) {
            return;
        }
    }
}

/// The server's slowness is the condition itself.
#[allow(clippy::disallowed_methods, reason = "a slow server is what is tested")]
fn pass(time: Duration) {
    std::thread::sleep(time);
}

impl Drop for Site {
    fn drop(&mut self) {
        // The thread that listens ends with the process; nothing of it outlives the tests.
        let _ = TcpStream::connect(self.address);
    }
}

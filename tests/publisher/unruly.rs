//! A server on loopback that does what a test wants, and no real one can be made to do: it hangs up, resets, drips, or answers anything.

use std::io::{Read as _, Write as _};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use clockgate::decision::Boottime;
use clockgate::sys::clock::boottime;
use clockgate::sys::nap;
use nix::sys::socket::{setsockopt, sockopt};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::Value;

use crate::support::{Outcome, until};

/// How it treats a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// Each request is a success, and the connection stays open.
    Well,
    ClosesAtOnce,
    ResetsAtOnce,
    /// It accepts, and says nothing.
    Silent,
    /// It speaks no TLS.
    Plain,
    /// It reads the request and says that it will send nothing.
    HalfCloses,
    /// In the middle of the head of its answer.
    Resets,
    /// The head never ends, a byte at a time.
    Drips,
    /// By this, which is no HTTP or any.
    Answers(&'static str),
}

/// The server; it runs until the process ends.
#[derive(Clone)]
pub struct Unruly {
    pub port: u16,
    seen: Arc<Mutex<Seen>>,
}

struct Seen {
    manner: Manner,
    accepted: Vec<Boottime>,
    /// The requests that were a success, and the connections that their clients have closed since.
    taken: Vec<Value>,
    closed: usize,
}

type Tls = StreamOwned<ServerConnection, TcpStream>;

impl Unruly {
    /// With `server.crt` and `server.key` of the folder.
    pub fn start(folder: &Path, manner: Manner) -> Outcome<Self> {
        let chain = CertificateDer::from_pem_file(folder.join("server.crt"))?;
        let key = PrivateKeyDer::from_pem_file(folder.join("server.key"))?;
        let config = ServerConfig::builder_with_provider(Arc::new(rustls::crypto::ring::default_provider()))
            .with_safe_default_protocol_versions()?
            .with_no_client_auth()
            .with_single_cert(vec![chain], key)?;
        let (listener, config) = (TcpListener::bind("127.0.0.1:0")?, Arc::new(config));
        let seen = Seen { manner, accepted: vec![], taken: vec![], closed: 0 };
        let server = Self { port: listener.local_addr()?.port(), seen: Arc::new(Mutex::new(seen)) };
        let accepting = server.clone();
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let manner = {
                    let mut seen = accepting.seen();
                    seen.accepted.push(boottime());
                    seen.manner
                };
                let (serving, config) = (accepting.clone(), config.clone());
                thread::spawn(move || serving.serve(stream, manner, config));
            }
        });
        Ok(server)
    }

    fn seen(&self) -> MutexGuard<'_, Seen> {
        self.seen.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn behaves(&self, manner: Manner) {
        self.seen().manner = manner;
    }

    /// When there was a connection.
    pub fn accepted(&self) -> Vec<Boottime> {
        self.seen().accepted.clone()
    }

    /// What was a success.
    pub fn taken(&self) -> Vec<Value> {
        self.seen().taken.clone()
    }

    /// Waits for so many connections in all.
    pub fn until_asked(&self, times: usize) -> Outcome {
        until(&format!("{times} connections"), Duration::from_secs(300), || self.accepted().len() >= times)
    }

    /// Waits until each connection that carried a success was closed by its client.
    pub fn until_closed(&self) -> Outcome {
        let are_closed = |seen: &Seen| seen.closed == seen.taken.len();
        until("the connections are closed", Duration::from_secs(60), || are_closed(&self.seen()))
    }

    fn serve(&self, stream: TcpStream, manner: Manner, config: Arc<ServerConfig>) -> Outcome {
        match manner {
            Manner::ClosesAtOnce => Ok(()),
            Manner::ResetsAtOnce => reset(&stream),
            Manner::Silent => wait_for_the_end(stream),
            Manner::Plain => {
                (&stream)
                    .write_all(b"HTTP/1.0 400 Bad Request\r\n\r\nClient sent an HTTP request to an HTTPS server.\n")?;
                wait_for_the_end(stream)
            }
            Manner::HalfCloses => {
                let (stream, _) = asked(stream, config)?;
                stream.sock.shutdown(Shutdown::Write)?;
                wait_for_the_end(stream)
            }
            Manner::Resets => {
                let (mut stream, _) = asked(stream, config)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Le")?;
                stream.flush()?;
                reset(&stream.sock)
            }
            Manner::Drips => {
                let (mut stream, _) = asked(stream, config)?;
                stream.write_all(b"HTTP/1.1 200 OK\r\nA: ")?;
                loop {
                    stream.write_all(b"a")?;
                    stream.flush()?;
                    nap(Duration::from_millis(100));
                }
            }
            Manner::Answers(answer) => {
                let (mut stream, _) = asked(stream, config)?;
                stream.write_all(answer.as_bytes())?;
                stream.flush()?;
                wait_for_the_end(stream)
            }
            Manner::Well => {
                let (mut stream, request) = asked(stream, config)?;
                self.seen().taken.push(request);
                stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}")?;
                stream.flush()?;
                let ended = wait_for_the_end(stream);
                self.seen().closed += 1;
                ended
            }
        }
    }
}

/// A connection that ends by a reset.
fn reset(stream: &TcpStream) -> Outcome {
    Ok(setsockopt(stream, sockopt::Linger, &nix::libc::linger { l_onoff: 1, l_linger: 0 })?)
}

fn wait_for_the_end(mut stream: impl std::io::Read) -> Outcome {
    Ok(std::io::copy(&mut stream, &mut std::io::sink()).map(drop)?)
}

/// The body of the one request of a connection.
fn asked(stream: TcpStream, config: Arc<ServerConfig>) -> Outcome<(Tls, Value)> {
    let mut stream = StreamOwned::new(ServerConnection::new(config)?, stream);
    let mut request = vec![];
    loop {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece)?;
        request.extend_from_slice(&piece[..length]);
        let text = String::from_utf8_lossy(&request);
        let body = text.split_once("\r\n\r\n").map(|(_, body)| serde_json::from_str(body));
        match body {
            Some(Ok(body)) => return Ok((stream, body)),
            Some(Err(_)) | None if length == 0 => return Err(format!("half a request: {text}").into()),
            Some(Err(_)) | None => {}
        }
    }
}

//! Metrics by HTTP: `/metrics`, `/readyz` and `/livez`, on a thread with a runtime of its own. The event loop knows nothing of it:
//! scrapers read the gate page and the latest record, and wait for one another alone.

mod answer;

use std::io;
use std::net::{SocketAddr, TcpListener as StdTcpListener};
use std::path::Path;
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpListener, UnixListener};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tracing::{debug, warn};

use super::bus::peer_socket::{Listener, PeerSocketError};
use super::metrics_reader::MetricsReader;

/// Those beyond wait in the kernel's queue.
const CONNECTIONS: usize = 64;
/// From the connection to the last byte of the answer; Prometheus gives up after ten seconds.
const WITHIN: Duration = Duration::from_secs(3);
/// Out of descriptors, most likely: one scraper that leaves is a descriptor again.
const PAUSE: Duration = Duration::from_secs(1);

/// Why metrics cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum ListenError {
    /// The address is not to be had.
    #[error("cannot listen on {address}; set metrics.listen to an address of this host with a free port")]
    Tcp {
        /// Where.
        address: SocketAddr,
        /// What the kernel said.
        source: io::Error,
    },
    /// The socket is not to be had.
    #[error(transparent)]
    Socket(#[from] PeerSocketError),
    /// There is no thread for it.
    #[error("cannot start a thread for metrics")]
    Thread(#[source] io::Error),
}

/// Where scrapers connect.
#[derive(Debug)]
pub enum MetricsListener {
    /// By TCP.
    Tcp(StdTcpListener),
    /// By a unix socket, which everybody may connect to.
    Unix(Listener),
}

impl MetricsListener {
    /// Listens on an address.
    ///
    /// # Errors
    /// [`ListenError::Tcp`]
    pub fn tcp(address: SocketAddr) -> Result<Self, ListenError> {
        let bound = StdTcpListener::bind(address).and_then(|listener| {
            listener.set_nonblocking(true)?;
            Ok(listener)
        });
        bound.map(Self::Tcp).map_err(|source| ListenError::Tcp { address, source })
    }

    /// Listens on a socket.
    ///
    /// # Errors
    /// [`ListenError::Socket`]
    pub fn unix(path: &Path) -> Result<Self, ListenError> {
        Ok(Self::Unix(Listener::bind_public(path)?))
    }

    /// Answers scrapers until the process ends.
    ///
    /// # Errors
    /// [`ListenError::Thread`]
    pub fn serve(self, reader: MetricsReader) -> Result<(), ListenError> {
        let serve = move || {
            let runtime = tokio::runtime::Builder::new_current_thread().enable_io().enable_time().build();
            let served = runtime.and_then(|runtime| runtime.block_on(serve(&self, reader)));
            if let Err(error) = served {
                warn!(%error, "metrics are no longer served");
            }
        };
        let thread = thread::Builder::new().name("metrics".to_owned()).spawn(serve);
        thread.map(drop).map_err(ListenError::Thread)
    }
}

enum Accepting {
    Tcp(TcpListener),
    Unix(UnixListener),
}

async fn serve(listener: &MetricsListener, reader: MetricsReader) -> io::Result<()> {
    let accepting = match listener {
        MetricsListener::Tcp(listener) => Accepting::Tcp(TcpListener::from_std(listener.try_clone()?)?),
        MetricsListener::Unix(listener) => Accepting::Unix(UnixListener::from_std(listener.accepting()?)?),
    };
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let place = places.clone().acquire_owned().await.map_err(io::Error::other)?;
        let reader = reader.clone();
        let accepted = match &accepting {
            Accepting::Tcp(listener) => {
                listener.accept().await.map(|(stream, _)| tokio::spawn(attend(stream, reader, place)))
            }
            Accepting::Unix(listener) => {
                listener.accept().await.map(|(stream, _)| tokio::spawn(attend(stream, reader, place)))
            }
        };
        if let Err(error) = accepted {
            debug!(%error, "cannot accept a scraper");
            sleep(PAUSE).await;
        }
    }
}

async fn attend(mut stream: impl AsyncRead + AsyncWrite + Unpin, reader: MetricsReader, place: OwnedSemaphorePermit) {
    match timeout(WITHIN, answer::answer(&mut stream, &reader)).await {
        Ok(Ok(())) => {}
        Ok(Err(error)) => debug!(%error, "a scraper left"),
        Err(_) => debug!("a scraper was too slow"),
    }
    drop(place);
}

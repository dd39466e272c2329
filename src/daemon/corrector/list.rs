//! The running daemon's sources and what it says of the clock, for whoever asks; nothing is ordered here.

use tokio::task::spawn_blocking;

use super::Corrector;
use crate::daemon::chrony::Chronyd;
use crate::daemon::presence::{self, Untold};
use crate::daemon::sources::DaemonSources;
use crate::daemon::timesyncd;
use crate::decision::Reading;
use crate::reference::Server;
use crate::sys::clock::{boottime, realtime};

impl Corrector {
    /// Whom the running daemon asks; empty where none runs or it has no source. Blocks nobody; asks chronyd two
    /// questions a source, and the bus or `/proc` only where it has no answer.
    pub async fn servers(&self) -> DaemonSources {
        let (told, untold) = match self.with_chronyd(Chronyd::sources).await {
            Ok(Ok(told)) if !told.is_empty() => return told,
            Ok(Ok(told)) => (told, None),
            Ok(Err(error)) => (DaemonSources::default(), Some(error)),
            Err(why) => return DaemonSources { others: 1, remark: Some(why), ..DaemonSources::default() },
        };
        let (root, socket) = (self.root.clone(), self.chronyd.socket.clone());
        let seen = match self.timesyncd.servers().await {
            Ok(Some(servers)) => timesyncds(servers),
            // It starts, or there is no bus that we could ask.
            Ok(None) | Err(_) if self.timesyncd.is_started() => {
                let of_the_files = spawn_blocking(move || presence::timesyncds(&root)).await;
                timesyncds(of_the_files.unwrap_or_default())
            }
            Ok(None) | Err(_) => {
                let look = move || {
                    let untold = untold.as_ref().map(|why| Untold { socket: &socket, why });
                    presence::daemons(&root, untold.as_ref())
                };
                spawn_blocking(look).await.unwrap_or_default()
            }
        };
        if seen.daemon.is_some() { seen } else { told }
    }

    /// What the daemon says of the clock just now, proof or not; needs no privilege.
    pub async fn describe(&self) -> Option<Reading> {
        if let Ok(Some(reading)) = self.with_chronyd(Chronyd::describe).await {
            return Some(reading);
        }
        let message = self.timesyncd.message().await.ok().flatten()?;
        let server = self.timesyncd.server().await.ok().flatten();
        Some(message.reading(server.as_ref(), boottime(), realtime()))
    }
}

fn timesyncds(servers: Vec<Server>) -> DaemonSources {
    DaemonSources { daemon: Some(timesyncd::NAME.to_owned()), servers, ..DaemonSources::default() }
}

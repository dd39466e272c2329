//! D-Bus: `org.clockgate.Agent1` at `/org/clockgate/Agent1`, on the system bus and, without any bus, on a socket of our own.

use std::collections::HashMap;
use std::path::PathBuf;

use tokio::sync::{mpsc, watch};
use zbus::{Connection, Variant};

use crate::decision::Snapshot;
use crate::disruption::notice::Notice;
use crate::disruption::notice_rate::Rate;
use crate::reference::caller::registry::Callers;

mod access;
pub mod client;
mod connection_limits;
mod error;
mod handshake;
mod metrics;
mod object;
pub mod peer_socket;
mod properties;
mod supplied_date;
pub mod system;
mod transport;

pub(in crate::publish) use access::{GROUP, group_id};
pub use metrics::MetricsFace;

/// The name on the system bus.
pub const NAME: &str = "org.clockgate.Agent1";
/// The one object.
pub const PATH: &str = "/org/clockgate/Agent1";

/// The agent as the bus sees it: what is true, and where requests go.
#[derive(Clone, Debug)]
pub struct Face {
    /// What is published.
    pub snapshots: watch::Receiver<Snapshot>,
    /// The same as it is reported, for signals.
    pub news: watch::Receiver<Snapshot>,
    /// Where events go whose sender may wait for the answer.
    pub notices: mpsc::Sender<Notice>,
    /// Who can be asked for the time.
    pub callers: Callers,
    /// How many notices each caller has sent.
    pub rate: Rate,
    /// The metrics.
    pub metrics: MetricsFace,
    /// The root of the host's file system.
    pub root: PathBuf,
}

/// Says what changed since `said`, until the connection closes or the agent ends.
async fn say_changes(bus: &Connection, mut news: watch::Receiver<Snapshot>, mut said: Snapshot) {
    loop {
        let now = news.borrow_and_update().clone();
        let changed = properties::changed(&said, &now);
        if !changed.is_empty() && emit(bus, changed).await.is_err() {
            return;
        }
        said = now;
        tokio::select! {
            () = bus.closed() => return,
            changed = news.changed() => if changed.is_err() { return },
        }
    }
}

async fn emit(bus: &Connection, changed: HashMap<&'static str, Variant<'static>>) -> zbus::Result<()> {
    let invalidated: [&str; 0] = [];
    let body = (NAME, changed, invalidated.as_slice());
    bus.emit_signal(None::<&str>, PATH, "org.freedesktop.DBus.Properties", "PropertiesChanged", &body).await
}

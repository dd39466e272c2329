//! The object on the system bus, which may come and go.

use std::time::Duration;

use tokio::net::UnixStream;
use tokio::time::{sleep, timeout};
use tracing::{info, warn};
use zbus::address::transport::{Transport, UnixSocket};
use zbus::connection::Builder;
use zbus::{Address, Connection};

use super::access::Door;
use super::object::BusObject;
use super::transport::BusSocket;
use super::{Face, NAME, PATH, say_changes};
use crate::disruption::notice_rate::Rate;

const REACHED_WITHIN: Duration = Duration::from_secs(5);
const PAUSE_FIRST: Duration = Duration::from_millis(250);
const PAUSE_LAST: Duration = Duration::from_secs(30);

/// Serves the object until the agent ends. `address` is the bus; the system bus without one.
///
/// A bus that is not there, or refuses the name, is said once and tried for ever.
pub async fn serve(address: Option<String>, face: Face) {
    let mut pause = PAUSE_FIRST;
    let mut said = false;
    let mut ends = face.news.clone();
    let for_ever = async {
        loop {
            let before = face.news.borrow().clone();
            match connect(address.as_deref(), face.clone()).await {
                Ok(bus) => {
                    info!(name = NAME, "on the system bus");
                    (pause, said) = (PAUSE_FIRST, false);
                    say_changes(&bus, face.news.clone(), before).await;
                    bus.closed().await;
                }
                Err(error) if !said => {
                    said = true;
                    warn!(%error, "not on the system bus; trying again");
                }
                Err(_) => {}
            }
            sleep(pause).await;
            pause = pause.saturating_mul(2).min(PAUSE_LAST);
        }
    };
    tokio::select! {
        () = for_ever => {}
        () = async { while ends.changed().await.is_ok() {} } => {}
    }
}

async fn connect(address: Option<&str>, face: Face) -> zbus::Result<Connection> {
    let door = Door::SystemBus(face.root.clone(), Rate::default());
    let address = address.map_or_else(Address::system, str::parse)?;
    let build = async { reach(address).await?.serve_at(PATH, BusObject { door, face }).name(NAME).build().await };
    match timeout(REACHED_WITHIN, build).await {
        Ok(bus) => bus,
        Err(_) => Err(zbus::Error::Failure("the bus does not answer".to_owned())),
    }
}

/// By a socket that takes no long message, since every user may send us some; a bus that is not at a path is not the system's.
async fn reach(address: Address) -> zbus::Result<Builder<'static>> {
    if let Transport::Unix(unix) = address.transport()
        && let UnixSocket::File(path) = unix.path()
    {
        let stream = UnixStream::connect(path).await.map_err(|error| zbus::Error::Failure(error.to_string()))?;
        return Ok(Builder::socket(BusSocket(stream)));
    }
    Ok(Builder::address(address))
}

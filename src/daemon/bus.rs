//! The system bus, for what systemd says and does: connected when first needed, every call with a deadline.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use zbus::connection::{Builder, Connection};
use zbus::message::Message;
use zbus::{DynamicType, Variant};

/// A bus on the same machine answers within milliseconds; what takes longer is not waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Address {
    /// The system bus of this host.
    System,
    /// Another, by its D-Bus address.
    At(String),
    /// None is to be used.
    Nowhere,
}

/// Why the bus gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The configuration says so, or there is none.
    #[error("there is no bus")]
    Nowhere,
    /// It cannot be reached.
    #[error("cannot connect to the system bus: {0}")]
    Connect(#[source] zbus::Error),
    /// Nobody answered in time.
    #[error("no answer to {call} within {} ms", PATIENCE.as_millis())]
    Silent {
        /// What was called.
        call: String,
    },
    /// An answer, and it is no.
    #[error("{call} failed: {source}")]
    Call {
        /// What was called.
        call: String,
        /// What came back.
        source: zbus::Error,
    },
}

/// One object's interface on the bus.
#[derive(Clone, Copy, Debug)]
pub struct Object<'a> {
    /// Its owner's well-known name.
    pub name: &'static str,
    /// Its path.
    pub path: &'a str,
    /// Its interface.
    pub interface: &'static str,
}

const BUS: Object<'static> =
    Object { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// A connection that is made when it is needed, and made again when it broke.
#[derive(Debug)]
pub struct Bus {
    address: Address,
    connection: Mutex<Option<Connection>>,
}

impl Bus {
    pub const fn new(address: Address) -> Self {
        Self { address, connection: Mutex::new(None) }
    }

    /// Whether anybody owns the name. Asked before a call, since a call would start the service.
    pub async fn owned(&self, name: &str) -> Result<bool, Error> {
        let reply = self.call(BUS, "NameHasOwner", &name).await?;
        reply.body().deserialize().map_err(|source| Error::Call { call: "NameHasOwner".to_owned(), source })
    }

    /// A property as it is now.
    pub async fn property<T>(&self, object: Object<'_>, property: &str) -> Result<T, Error>
    where
        T: for<'v> TryFrom<Variant<'v>>,
        for<'v> <T as TryFrom<Variant<'v>>>::Error: Into<zbus::Error>,
    {
        let properties = Object { interface: "org.freedesktop.DBus.Properties", ..object };
        let reply = self.call(properties, "Get", &(object.interface, property)).await?;
        let failed = |source| Error::Call { call: format!("Get({property})"), source };
        let body = reply.body();
        let value: Variant<'_> = body.deserialize().map_err(failed)?;
        T::try_from(value).map_err(|e| failed(e.into()))
    }

    /// Calls a method.
    pub async fn call<B>(&self, object: Object<'_>, method: &str, body: &B) -> Result<Message, Error>
    where
        B: Serialize + DynamicType,
    {
        let called = async {
            let connection = self.connected().await?;
            let outcome = connection.call_method(Some(object.name), object.path, Some(object.interface), method, body);
            outcome.await.map_err(|source| {
                if matches!(source, zbus::Error::InputOutput(_)) {
                    self.forget();
                }
                Error::Call { call: format!("{}.{method}", object.interface), source }
            })
        };
        timeout(PATIENCE, called).await.unwrap_or_else(|_| {
            self.forget();
            Err(Error::Silent { call: format!("{}.{method}", object.interface) })
        })
    }

    async fn connected(&self) -> Result<Connection, Error> {
        if let Some(connection) = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(connection);
        }
        let builder = match &self.address {
            Address::System => Builder::system(),
            Address::At(address) => Builder::address(address.as_str()),
            Address::Nowhere => return Err(Error::Nowhere),
        };
        let connection = builder.build().await.map_err(Error::Connect)?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        Ok(connection)
    }

    fn forget(&self) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

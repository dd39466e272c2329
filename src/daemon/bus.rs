//! The system bus, for what systemd says and does: connected when first needed, every call with a deadline.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use serde::Serialize;
use tokio::time::timeout;
use zbus::connection::{Builder, Connection};
use zbus::message::Message;
use zbus::{DynamicType, Type, Variant};

/// A bus on the same machine answers within milliseconds; what takes longer is not waited for.
const PATIENCE: Duration = Duration::from_millis(500);

/// Where the bus is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum BusAddress {
    /// The system bus of this host.
    System,
    /// Another, by its D-Bus address.
    At(String),
    /// None is to be used.
    Nowhere,
}

/// Why the bus gave no answer.
#[derive(Debug, thiserror::Error)]
pub enum BusError {
    /// The configuration disables it, or there is none.
    #[error("there is no bus")]
    Nowhere,
    /// It cannot be reached.
    #[error("cannot connect to the system bus: {0}")]
    Connect(#[source] zbus::Error),
    /// No answer in time.
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
pub struct ObjectInterface<'a> {
    /// Its owner's well-known name.
    pub name: &'static str,
    /// Its path.
    pub path: &'a str,
    /// Its interface.
    pub interface: &'static str,
}

/// What the reply to a question for a property has.
///
/// # Errors
/// [`BusError::Call`] where it is of another type.
pub fn value<T>(reply: &Message, property: &str) -> Result<T, BusError>
where
    T: Type + for<'v> TryFrom<Variant<'v>>,
    for<'v> <T as TryFrom<Variant<'v>>>::Error: Into<zbus::Error>,
{
    let failed = |source| BusError::Call { call: format!("Get({property})"), source };
    let body = reply.body();
    let value: Variant<'_> = body.deserialize().map_err(failed)?;
    // zbus 6.2 takes the fields of a structure without counting them, and panics where it has too few.
    let signature = value.value_signature();
    if signature != T::SIGNATURE {
        return Err(failed(zbus::Error::SignatureMismatch(signature.clone(), format!("`{}`", T::SIGNATURE))));
    }
    T::try_from(value).map_err(|error| failed(error.into()))
}

const BUS: ObjectInterface<'static> =
    ObjectInterface { name: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus" };

/// A connection that is made when it is needed, and made again when it broke.
#[derive(Debug)]
pub struct BusConnection {
    address: BusAddress,
    connection: Mutex<Option<Connection>>,
}

impl BusConnection {
    /// Not connected yet.
    #[must_use]
    pub const fn new(address: BusAddress) -> Self {
        Self { address, connection: Mutex::new(None) }
    }

    /// Whether any service owns the name. Asked before a call, since a call would start the service.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn owned(&self, name: &str) -> Result<bool, BusError> {
        let reply = self.call(BUS, "NameHasOwner", &name).await?;
        reply.body().deserialize().map_err(|source| BusError::Call { call: "NameHasOwner".to_owned(), source })
    }

    /// A property as it is now.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn property<T>(&self, object: ObjectInterface<'_>, property: &str) -> Result<T, BusError>
    where
        T: Type + for<'v> TryFrom<Variant<'v>>,
        for<'v> <T as TryFrom<Variant<'v>>>::Error: Into<zbus::Error>,
    {
        let properties = ObjectInterface { interface: "org.freedesktop.DBus.Properties", ..object };
        value(&self.call(properties, "Get", &(object.interface, property)).await?, property)
    }

    /// Calls a method.
    ///
    /// # Errors
    /// [`BusError`].
    pub async fn call<B>(&self, object: ObjectInterface<'_>, method: &str, body: &B) -> Result<Message, BusError>
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
                BusError::Call { call: format!("{}.{method}", object.interface), source }
            })
        };
        timeout(PATIENCE, called).await.unwrap_or_else(|_| {
            self.forget();
            Err(BusError::Silent { call: format!("{}.{method}", object.interface) })
        })
    }

    async fn connected(&self) -> Result<Connection, BusError> {
        if let Some(connection) = self.connection.lock().unwrap_or_else(PoisonError::into_inner).clone() {
            return Ok(connection);
        }
        let builder = match &self.address {
            BusAddress::System => Builder::system(),
            BusAddress::At(address) => Builder::address(address.as_str()),
            BusAddress::Nowhere => return Err(BusError::Nowhere),
        };
        let connection = builder.build().await.map_err(BusError::Connect)?;
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = Some(connection.clone());
        Ok(connection)
    }

    fn forget(&self) {
        *self.connection.lock().unwrap_or_else(PoisonError::into_inner) = None;
    }
}

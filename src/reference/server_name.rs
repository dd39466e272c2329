//! A reference by name: a host and its NTP port.

/// A host, by name or address, and its UDP port.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName {
    /// Its name or numeric address.
    pub host: String,
    /// Its UDP port.
    pub port: u16,
}

impl ServerName {
    /// A host and its port.
    #[must_use]
    pub fn new(host: impl Into<String>, port: u16) -> Self {
        Self { host: host.into(), port }
    }
}

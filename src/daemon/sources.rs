//! The servers that the running time daemon asks, so that no other ones are asked beside them.

use crate::reference::{Server, ServerName};

/// Whom a time daemon asks. The public pool is never asked while it has sources.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DaemonSources {
    /// The daemon that runs, several joined by " and "; none where none was seen.
    pub daemon: Option<String>,
    /// The NTP servers that it asks, each by the name it was configured with.
    pub servers: Vec<Server>,
    /// How many other sources it has: reference clocks, and one for a list that we cannot read.
    pub others: usize,
    /// Why its list could not be read from the daemon itself, and what to do about it.
    pub remark: Option<String>,
}

impl DaemonSources {
    /// Whether the daemon has any source at all.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.servers.is_empty() && self.others == 0
    }
}

/// A host that is a name or an address, and a port.
pub fn name(host: &str, port: u16) -> Option<ServerName> {
    let text = if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") };
    text.parse().ok()
}

//! A server to ask: its name, its addresses, and whether the name is that of a pool.

use std::net::SocketAddr;

use super::server_name::{ServerName, ServerProof};
use crate::decision::Voice;

/// A server to ask.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Server {
    /// Its name or address, as it was configured.
    pub name: ServerName,
    /// Addresses that are known without asking DNS: the time daemon reported them.
    pub addresses: Vec<SocketAddr>,
    /// Whether each address of the name is a machine of another operator (chrony.conf(5), `pool`).
    pub is_pool: bool,
}

impl Server {
    /// Whether it can be asked before anything is looked up.
    #[must_use]
    pub fn is_known(&self) -> bool {
        !self.name.wants_look_up() || (!self.addresses.is_empty() && self.name.proof() != ServerProof::Nts)
    }

    /// Whom an answer of `address` counts for.
    #[must_use]
    pub fn voice(&self, address: SocketAddr) -> Voice {
        if self.is_pool {
            Voice::of_pool(address.ip().to_string(), self.name.to_string())
        } else {
            Voice::server(self.name.to_string())
        }
    }
}

impl From<ServerName> for Server {
    fn from(name: ServerName) -> Self {
        let is_pool = name.is_pool();
        Self { name, addresses: vec![], is_pool }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_one_voice_and_each_address_of_a_pool_another_of_the_same_operator() {
        let (one, two) = ("192.0.2.1:123".parse().unwrap(), "192.0.2.2:123".parse().unwrap());
        let server = Server::from("ntp.example".parse::<ServerName>().unwrap());
        assert_eq!(server.voice(one), server.voice(two));
        let pool = Server::from("2.debian.pool.ntp.org".parse::<ServerName>().unwrap());
        assert_ne!(pool.voice(one).name, pool.voice(two).name);
        assert_eq!(pool.voice(one).operator, pool.voice(two).operator);
    }
}

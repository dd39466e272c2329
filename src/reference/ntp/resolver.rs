//! Names to addresses, on threads of their own: getaddrinfo(3) knows no deadline.

use std::io;
use std::net::{IpAddr, SocketAddr, ToSocketAddrs};
use std::sync::Once;

use super::server_name::ServerName;
use crate::sys::nss;

/// A look-up needs little stack; glibc's answers are kept below 64 KiB.
const STACK: usize = 256 * 1024;

/// Why a name has no address.
#[derive(Debug, thiserror::Error)]
pub enum ResolverError {
    /// The look-up failed, or the name has no address.
    #[error("cannot resolve `{host}` by /etc/hosts and the name servers of /etc/resolv.conf")]
    Unresolved {
        /// The name.
        host: String,
        /// What getaddrinfo(3) said.
        source: io::Error,
    },
    /// No thread for the look-up.
    #[error("cannot start a thread to resolve `{host}`")]
    NoThread {
        /// The name.
        host: String,
        /// What clone(2) said.
        source: io::Error,
    },
}

/// Looks a name up on a thread of its own, which calls `done` in the end, however late.
///
/// # Errors
/// No thread; then `done` is not called.
pub fn look_up(
    name: ServerName,
    done: impl FnOnce(Result<Vec<SocketAddr>, ResolverError>) + Send + 'static,
) -> Result<(), ResolverError> {
    let host = name.host().to_owned();
    spawn(host, STACK, move || done(addresses(&name)))
}

/// Does what a name needs on a thread of its own, with a stack of this size.
///
/// # Errors
/// No thread; then it is not done.
pub fn spawn(host: String, stack: usize, work: impl FnOnce() + Send + 'static) -> Result<(), ResolverError> {
    static BUILT_IN: Once = Once::new();
    BUILT_IN.call_once(nss::without_modules);
    match std::thread::Builder::new().name("resolver".to_owned()).stack_size(stack).spawn(work) {
        Ok(_detached) => Ok(()),
        Err(source) => Err(ResolverError::NoThread { host, source }),
    }
}

/// The addresses of a name, for as long as that takes.
///
/// # Errors
/// [`ResolverError::Unresolved`].
pub fn addresses(name: &ServerName) -> Result<Vec<SocketAddr>, ResolverError> {
    let unresolved = |source| ResolverError::Unresolved { host: name.host().to_owned(), source };
    let found: Vec<SocketAddr> = (name.host(), name.port()).to_socket_addrs().map_err(unresolved)?.collect();
    if found.is_empty() {
        return Err(unresolved(io::Error::new(io::ErrorKind::NotFound, "it has no address")));
    }
    Ok(in_turns(found))
}

/// The families in turns, each in the resolver's order (RFC 6724), so that a broken IPv6 leaves half of a name's servers.
fn in_turns(addresses: Vec<SocketAddr>) -> Vec<SocketAddr> {
    let six_first = addresses.first().is_some_and(SocketAddr::is_ipv6);
    let (first, second): (Vec<_>, Vec<_>) = addresses.into_iter().partition(|a| a.is_ipv6() == six_first);
    let mut second = second.into_iter();
    let mut turns = Vec::new();
    for address in first {
        turns.push(address);
        turns.extend(second.next());
    }
    turns.extend(second);
    turns
}

/// An address in the way that a reading names its source: `192.0.2.1:123 (ntp.example)`.
pub fn label(name: &ServerName, address: SocketAddr) -> String {
    match name.host().parse::<IpAddr>() {
        // Beside the same server without a proof it is another source.
        _ if name.is_authenticated() => format!("{address} ({name})"),
        Ok(_) => address.to_string(),
        Err(_) => format!("{address} ({})", name.host()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;
    use std::time::Duration;

    fn found(text: &str) -> Result<Vec<SocketAddr>, ResolverError> {
        let (sender, receiver) = mpsc::channel();
        look_up(text.parse().unwrap(), move |outcome| sender.send(outcome).unwrap())?;
        receiver.recv_timeout(Duration::from_secs(60)).unwrap()
    }

    #[test]
    fn an_address_needs_no_name_server() {
        assert_eq!(found("192.0.2.7:99").unwrap(), ["192.0.2.7:99".parse().unwrap()]);
        assert_eq!(found("[::1]").unwrap(), ["[::1]:123".parse().unwrap()]);
    }

    #[test]
    fn families_take_turns() {
        let parsed = |texts: &[&str]| texts.iter().map(|t| t.parse().unwrap()).collect::<Vec<SocketAddr>>();
        let mixed = parsed(&["[::1]:1", "[::2]:1", "[::3]:1", "127.0.0.1:1"]);
        assert_eq!(in_turns(mixed), parsed(&["[::1]:1", "127.0.0.1:1", "[::2]:1", "[::3]:1"]));
        let more = parsed(&["127.0.0.1:1", "[::1]:1", "[::2]:1"]);
        assert_eq!(in_turns(more.clone()), more);
    }

    #[test]
    fn a_reading_names_the_address_and_the_name() {
        let address = "[2001:db8::1]:123".parse().unwrap();
        assert_eq!(label(&"ntp.example".parse().unwrap(), address), "[2001:db8::1]:123 (ntp.example)");
        assert_eq!(label(&"2001:db8::1".parse().unwrap(), address), "[2001:db8::1]:123");
    }
}

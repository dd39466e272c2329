//! A name's addresses, and which kind of failure there is.

use std::net::SocketAddr;
use std::sync::mpsc;
use std::time::Duration;

use crate::reference::ServerName;
use crate::reference::ntp::resolver;

/// Why a name has no address.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum LookUpFault {
    /// The name server says that there is no such name (EAI_NONAME).
    NoSuchName,
    /// The name is there and has no address of a kind that this host can use (EAI_NODATA).
    NoAddress,
    /// No name server answered, or none is reachable, or it failed itself, as one does whose DNSSEC has a wrong clock (EAI_AGAIN).
    NoNameServer,
    /// The name server refused, or failed for good (EAI_FAIL).
    Refused,
    /// Nothing came in time; the C library waits for longer.
    Silent,
    /// Something else, in the system's words.
    Other(String),
}

/// What gai_strerror(3) says of each, in glibc and in musl.
const SAID: [(&str, LookUpFault); 8] = [
    ("Name or service not known", LookUpFault::NoSuchName),
    ("Name does not resolve", LookUpFault::NoSuchName),
    ("No address associated with hostname", LookUpFault::NoAddress),
    ("Name has no usable address", LookUpFault::NoAddress),
    ("Temporary failure in name resolution", LookUpFault::NoNameServer),
    ("Try again", LookUpFault::NoNameServer),
    ("Non-recoverable failure in name resolution", LookUpFault::Refused),
    ("Unrecoverable error", LookUpFault::Refused),
];

/// Looks a name up, and waits for so long.
///
/// # Errors
/// [`LookUpFault`]
pub fn look_up(name: &ServerName, patience: Duration) -> Result<Vec<SocketAddr>, LookUpFault> {
    if let Some(ip) = name.address() {
        return Ok(vec![SocketAddr::new(ip, name.port())]);
    }
    let (sender, receiver) = mpsc::channel();
    let done = move |outcome| {
        // Who waited has gone on.
        let _ = sender.send(outcome);
    };
    let started = resolver::look_up(name.clone(), done);
    started.map_err(|error| LookUpFault::Other(error.to_string()))?;
    match receiver.recv_timeout(patience) {
        Ok(Ok(addresses)) => Ok(addresses),
        Ok(Err(error)) => Err(fault(&error)),
        Err(_) => Err(LookUpFault::Silent),
    }
}

fn fault(error: &resolver::ResolverError) -> LookUpFault {
    let said = match error {
        resolver::ResolverError::Unresolved { source, .. } | resolver::ResolverError::NoThread { source, .. } => {
            source.to_string()
        }
    };
    let known = SAID.into_iter().find(|(words, _)| said.contains(words));
    known.map_or(LookUpFault::Other(said), |(_, fault)| fault)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_not_looked_up_and_a_fault_is_recognised_by_its_text() {
        let found = look_up(&"192.0.2.1:99".parse().unwrap(), Duration::ZERO);
        assert_eq!(found, Ok(vec!["192.0.2.1:99".parse().unwrap()]));
        let unresolved = |words: &str| resolver::ResolverError::Unresolved {
            host: "ntp.example".to_owned(),
            source: std::io::Error::other(format!("failed to lookup address information: {words}")),
        };
        assert_eq!(fault(&unresolved("Name or service not known")), LookUpFault::NoSuchName);
        assert_eq!(fault(&unresolved("Temporary failure in name resolution")), LookUpFault::NoNameServer);
        assert!(matches!(fault(&unresolved("something new")), LookUpFault::Other(_)));
    }
}

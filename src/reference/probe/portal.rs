//! Does a machine on the path answer for other hosts, as the portal of a hotel does before a login? An unused address
//! is asked: a machine that answers there is on the path.

use std::io::{self, Read as _, Write as _};
use std::net::{Ipv4Addr, SocketAddr, TcpStream};
use std::time::Duration;

use crate::sys::clock::boottime;

/// TEST-NET-1 of RFC 5737, for documentation: no host has it.
pub(super) const UNUSED: Ipv4Addr = Ipv4Addr::new(192, 0, 2, 113);
const PORT: u16 = 80;
/// The head of a reply; more is not read.
const MOST: usize = 4096;
const MOST_FIELDS: usize = 64;

/// What was answered for an address that is not in use.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortalReply {
    /// The status of HTTP.
    pub status: u16,
    /// Where it sends people; none where it does not.
    pub location: Option<String>,
}

impl PortalReply {
    /// Asks, for so long; none where there is no answer, as it should be.
    #[must_use]
    pub fn found(patience: Duration) -> Option<Self> {
        Self::ask(SocketAddr::from((UNUSED, PORT)), patience).ok().flatten()
    }

    /// Whether it requires a login: a proxy that only fails to reach the address answers with an error of its own.
    #[must_use]
    pub const fn is_portal(&self) -> bool {
        // RFC 6585 section 6 has 511, Network Authentication Required.
        matches!(self.status, 200..=399 | 511)
    }

    fn ask(address: SocketAddr, patience: Duration) -> io::Result<Option<Self>> {
        let deadline = boottime() + patience;
        let left = || deadline.since(boottime()).max(Duration::from_millis(1));
        let mut stream = TcpStream::connect_timeout(&address, left())?;
        stream.set_write_timeout(Some(left()))?;
        stream
            .write_all(format!("GET / HTTP/1.1\r\nHost: {}\r\nConnection: close\r\n\r\n", address.ip()).as_bytes())?;
        let mut bytes = vec![];
        let mut part = [0; 1024];
        loop {
            stream.set_read_timeout(Some(left()))?;
            let length = stream.read(&mut part)?;
            bytes.extend_from_slice(part.get(..length).unwrap_or_default());
            let found = parse(&bytes);
            if found.is_some() || length == 0 || bytes.len() >= MOST || boottime() >= deadline {
                return Ok(found);
            }
        }
    }
}

/// What a reply says, once its head is whole.
#[must_use]
pub fn parse(bytes: &[u8]) -> Option<PortalReply> {
    let mut fields = [httparse::EMPTY_HEADER; MOST_FIELDS];
    let mut reply = httparse::Response::new(&mut fields);
    if !reply.parse(bytes).ok()?.is_complete() {
        return None;
    }
    let location = reply.headers.iter().find(|field| field.name.eq_ignore_ascii_case("location"));
    let location = location.map(|field| crate::sys::foreign::shown(&String::from_utf8_lossy(field.value)));
    // Three digits of which the first is none is no status (RFC 9110 section 15).
    let status = reply.code.filter(|code| *code >= 100)?;
    Some(PortalReply { status, location })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_portal_is_distinguished_from_a_proxy_that_reaches_no_server() {
        let portal = parse(b"HTTP/1.1 302 Found\r\nLocation: http://login.hotel.example/?a=1\r\n\r\n").unwrap();
        assert_eq!(portal.location.as_deref(), Some("http://login.hotel.example/?a=1"));
        assert!(portal.is_portal());
        assert!(!parse(b"HTTP/1.1 504 Gateway Timeout\r\n\r\n").unwrap().is_portal());
        assert_eq!(parse(b"HTTP/1.1 302 Found\r\nLocation: http://login"), None);
        assert_eq!(parse(b"SSH-2.0-x\r\n"), None);
    }
}

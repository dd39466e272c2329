//! Who is to be asked: a name or an address, and a port.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// NTP's port (RFC 5905 section 16).
const NTP_PORT: u16 = 123;

/// An NTP server as a person writes it: `ntp.example`, `ntp.example:1123`, `192.0.2.1`, `[2001:db8::1]:123`, `2001:db8::1`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ServerName {
    /// A host name, or an address without brackets.
    pub host: String,
    /// The UDP port.
    pub port: u16,
}

impl FromStr for ServerName {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        if text.parse::<Ipv6Addr>().is_ok() {
            return Ok(Self { host: text.to_owned(), port: NTP_PORT });
        }
        let (host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
            Some((host, _)) if host.parse::<Ipv6Addr>().is_err() => {
                return Err(format!("`{text}`: `{host}` is no IPv6 address"));
            }
            Some((host, "")) => (host, None),
            Some((host, rest)) => match rest.strip_prefix(':') {
                Some(port) => (host, Some(port)),
                None => return Err(format!("`{text}`: after `]` comes `:` and a port, or nothing")),
            },
            None => text.split_once(':').map_or((text, None), |(host, port)| (host, Some(port))),
        };
        if host.parse::<IpAddr>().is_err() && !is_host_name(host) {
            return Err(format!(
                "`{text}` names no server: a host name or an address is wanted, as in ntp.example:123"
            ));
        }
        let port = match port.map(str::parse) {
            None => NTP_PORT,
            Some(Ok(port)) if port != 0 => port,
            Some(_) => return Err(format!("`{text}`: the port is a number from 1 to 65535")),
        };
        Ok(Self { host: host.to_owned(), port })
    }
}

/// RFC 1123 section 2.1, with the underscore that some name servers serve.
fn is_host_name(name: &str) -> bool {
    let label = |label: &str| {
        (1..=63).contains(&label.len())
            && label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_')
            && !label.starts_with('-')
            && !label.ends_with('-')
    };
    let name = name.strip_suffix('.').unwrap_or(name);
    name.len() <= 253 && name.split('.').all(label)
}

impl fmt::Display for ServerName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.port, self.host.contains(':')) {
            (NTP_PORT, _) => f.write_str(&self.host),
            (port, true) => write!(f, "[{}]:{port}", self.host),
            (port, false) => write!(f, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_an_address_and_a_port_are_told_apart() {
        for (text, host, port) in [
            ("ntp.example", "ntp.example", 123),
            ("ntp.example:1123", "ntp.example", 1123),
            ("192.0.2.1", "192.0.2.1", 123),
            ("2001:db8::1", "2001:db8::1", 123),
            ("[2001:db8::1]", "2001:db8::1", 123),
            ("[2001:db8::1]:1123", "2001:db8::1", 1123),
        ] {
            assert_eq!(text.parse(), Ok(ServerName { host: host.to_owned(), port }), "{text}");
            let again = text.parse::<ServerName>().map(|name| name.to_string().parse());
            assert_eq!(again, Ok(Ok(ServerName { host: host.to_owned(), port })), "{text}");
        }
    }

    #[test]
    fn what_is_no_server_is_said_in_a_sentence() {
        for text in
            ["", ":123", "a b", "host:0", "host:65536", "host:x", "[::1", "[x]:1", "[::1]1", "-a", "http://x", "é"]
        {
            assert!(text.parse::<ServerName>().is_err(), "{text}");
        }
    }
}

//! A server as people write it: `ntp.example`, `ntp.example:1123`, `192.0.2.1`, `[2001:db8::1]:123`, `2001:db8::1`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// NTP's port (RFC 5905 section 7.2).
pub const NTP_PORT: u16 = 123;
/// The longest name that DNS carries, in characters (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;

/// The host and the port of an NTP server; its host is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName {
    host: String,
    port: u16,
}

impl ServerName {
    /// A server by its address.
    #[must_use]
    pub fn numeric(address: IpAddr, port: u16) -> Self {
        Self { host: address.to_string(), port }
    }

    /// The same host at another port.
    pub(in crate::reference) fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Whether it has other machines at each look-up, as every name below pool.ntp.org does.
    #[must_use]
    pub fn is_pool(&self) -> bool {
        self.host().ends_with(".pool.ntp.org") || self.host() == "pool.ntp.org"
    }

    /// The name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port.
    #[must_use]
    pub const fn port(&self) -> u16 {
        self.port
    }

    /// The address, where the host is one; no look-up is needed for it.
    #[must_use]
    pub fn address(&self) -> Option<IpAddr> {
        self.host.parse().ok()
    }
}

/// Why a text names no server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ServerNameError {
    /// There is no host in it.
    #[error("no host in `{0}`")]
    NoHost(String),
    /// What follows the colon is no port.
    #[error("invalid port in `{text}`: expected a number from 1 to 65535, found `{port}`")]
    Port {
        /// The whole text.
        text: String,
        /// The text after the colon.
        port: String,
    },
    /// A bracket is not closed, or something follows it that is no port.
    #[error("unbalanced bracket in `{0}`: an IPv6 address with a port is written [2001:db8::1]:123")]
    Bracket(String),
    /// Several colons, and no IPv6 address.
    #[error("invalid IPv6 address `{0}`")]
    NoAddress(String),
    /// A character that no name of a host has.
    #[error("invalid host name `{text}`: `{character}` is not allowed")]
    Character {
        /// The whole text.
        text: String,
        /// The first such character.
        character: char,
    },
    /// Longer than DNS allows.
    #[error("the host name has {0} characters, and DNS allows {LONGEST_NAME}")]
    Long(usize),
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let text = text.trim();
        let (host, port) = split(text)?;
        let port = match port {
            None => NTP_PORT,
            Some(digits) => {
                port_of(digits).ok_or(ServerNameError::Port { text: text.to_owned(), port: digits.to_owned() })?
            }
        };
        check(text, host)?;
        Ok(Self { host: host.to_owned(), port })
    }
}

/// Splits the port off, if there is one.
fn split(text: &str) -> Result<(&str, Option<&str>), ServerNameError> {
    if let Some(rest) = text.strip_prefix('[') {
        let (host, after) = rest.split_once(']').ok_or_else(|| ServerNameError::Bracket(text.to_owned()))?;
        if !host.contains(':') {
            return Err(ServerNameError::NoAddress(host.to_owned()));
        }
        return match after.strip_prefix(':') {
            Some(port) => Ok((host, Some(port))),
            None if after.is_empty() => Ok((host, None)),
            None => Err(ServerNameError::Bracket(text.to_owned())),
        };
    }
    match text.split_once(':') {
        Some((_, after)) if after.contains(':') => Ok((text, None)),
        Some((host, port)) => Ok((host, Some(port))),
        None => Ok((text, None)),
    }
}

fn port_of(digits: &str) -> Option<u16> {
    // Not `parse` alone, which takes `+123`.
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|port| plain && *port != 0)
}

fn check(text: &str, host: &str) -> Result<(), ServerNameError> {
    if host.is_empty() {
        return Err(ServerNameError::NoHost(text.to_owned()));
    }
    if host.contains(':') {
        // A link-local address can name its interface: fe80::1%eth0 (RFC 4007 section 11).
        let (address, _interface) = host.split_once('%').unwrap_or((host, ""));
        return address.parse::<Ipv6Addr>().map(drop).map_err(|_| ServerNameError::NoAddress(host.to_owned()));
    }
    let bad = |c: &char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match host.chars().find(bad) {
        Some(character) => Err(ServerNameError::Character { text: text.to_owned(), character }),
        None if host.chars().count() > LONGEST_NAME => Err(ServerNameError::Long(host.chars().count())),
        None => Ok(()),
    }
}

impl fmt::Display for ServerName {
    /// As it can be parsed again; the port only where it is not NTP's own.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.host.contains(':'), self.port) {
            (_, NTP_PORT) => f.write_str(&self.host),
            (true, port) => write!(f, "[{}]:{port}", self.host),
            (false, port) => write!(f, "{}:{port}", self.host),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parsed(text: &str) -> Result<(String, u16), ServerNameError> {
        text.parse::<ServerName>().map(|name| (name.host, name.port))
    }

    #[test]
    fn hosts_and_addresses_with_and_without_a_port_are_understood() {
        for (text, host, port) in [
            ("ntp.example", "ntp.example", 123),
            ("ntp.example:1123", "ntp.example", 1123),
            (" 192.0.2.1 ", "192.0.2.1", 123),
            ("192.0.2.1:5", "192.0.2.1", 5),
            ("2001:db8::1", "2001:db8::1", 123),
            ("[2001:db8::1]", "2001:db8::1", 123),
            ("[2001:db8::1]:65535", "2001:db8::1", 65535),
            ("fe80::1%eth0", "fe80::1%eth0", 123),
        ] {
            assert_eq!(parsed(text), Ok((host.to_owned(), port)), "{text}");
        }
    }

    #[test]
    fn what_names_no_server_is_refused_in_words() {
        for (text, words) in [
            ("", "no host in"),
            (":123", "no host in"),
            ("ntp.example:", "invalid port"),
            ("ntp.example:0", "invalid port"),
            ("ntp.example:+1", "invalid port"),
            ("ntp.example:65536", "65535"),
            ("[2001:db8::1", "bracket"),
            ("[2001:db8::1]123", "bracket"),
            ("[ntp.example]:123", "invalid IPv6 address"),
            ("1:2:3", "invalid IPv6 address"),
            ("ntp example", "` ` is not allowed"),
            ("ntp://example", "invalid port"),
            ("ntp/example", "`/` is not allowed"),
        ] {
            let said = text.parse::<ServerName>().map_err(|e| e.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{text}: {said:?}");
        }
        assert_eq!("a".repeat(254).parse::<ServerName>(), Err(ServerNameError::Long(254)));
    }

    #[test]
    fn only_an_address_is_known_without_asking() {
        let address = |text: &str| text.parse::<ServerName>().ok().and_then(|name| name.address());
        assert_eq!(address("[::1]:99"), Some(IpAddr::from(Ipv6Addr::LOCALHOST)));
        assert_eq!(address("localhost"), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_parsed(text in "\\PC{0,40}|[a-z.]{1,20}(:[0-9]{1,6})?|\\[?[0-9a-f:]{2,30}\\]?(:[0-9]{1,5})?") {
            if let Ok(name) = text.parse::<ServerName>() {
                prop_assert_eq!(name.to_string().parse::<ServerName>(), Ok(name));
            }
        }
    }
}

//! A server as people write it: `ntp.example`, `ntp.example:1123`, `192.0.2.1`, `[2001:db8::1]:123`, `2001:db8::1`; by NTS
//! `nts://ntp.example`, by a symmetric key `ntp.example?key=7`.

use std::fmt;
use std::net::{IpAddr, Ipv6Addr};
use std::str::FromStr;

/// NTP's port (RFC 5905 section 7.2).
pub const NTP_PORT: u16 = 123;
/// The port of NTS' key exchange (RFC 8915 section 7.1).
pub const KEY_EXCHANGE_PORT: u16 = 4460;
/// The longest name that DNS carries, in characters (RFC 1035 section 2.3.4).
const LONGEST_NAME: usize = 253;
/// The longest name of an interface (IFNAMSIZ in linux/if.h, without the zero).
const LONGEST_INTERFACE: usize = 15;

/// The prefix of a server that is asked by NTS.
const NTS: &str = "nts://";
/// The text between a server and the number of its key.
const KEY: &str = "?key=";

/// The host and the port of an NTP server, and how it proves who it is; its host is a name or an address.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ServerName {
    host: String,
    port: u16,
    proof: ServerProof,
}

/// How a server proves that an answer is its own.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ServerProof {
    /// Not at all.
    #[default]
    None,
    /// By keys that are exchanged with it; the port is that of the exchange.
    Nts,
    /// By the symmetric key of this number.
    Key(u32),
}

impl ServerName {
    /// A server by its address.
    #[must_use]
    pub fn numeric(address: IpAddr, port: u16) -> Self {
        Self { host: address.to_string(), port, proof: ServerProof::None }
    }

    /// The same host by NTS, where its keys are exchanged at this port.
    #[must_use]
    pub fn by_nts(self, port: u16) -> Self {
        Self { port, proof: ServerProof::Nts, ..self }
    }

    /// The same host asked for NTP without any proof, for questions about the way to it.
    #[must_use]
    pub fn plain(&self) -> Self {
        let port = if self.proof == ServerProof::Nts { NTP_PORT } else { self.port };
        Self { host: self.host.clone(), port, proof: ServerProof::None }
    }

    /// How it proves who it is.
    #[must_use]
    pub const fn proof(&self) -> ServerProof {
        self.proof
    }

    /// Whether its answers are authenticated.
    #[must_use]
    pub fn is_authenticated(&self) -> bool {
        self.proof != ServerProof::None
    }

    /// Whether something has to be found out before it can be asked: its address, or its keys.
    #[must_use]
    pub fn wants_look_up(&self) -> bool {
        self.proof == ServerProof::Nts || self.address().is_none()
    }

    /// The same host at another port.
    pub(in crate::reference) fn with_port(self, port: u16) -> Self {
        Self { port, ..self }
    }

    /// Whether it has other machines at each look-up, as every name below pool.ntp.org does.
    #[must_use]
    pub fn is_pool(&self) -> bool {
        let is_named_so = self.host().ends_with(".pool.ntp.org") || self.host() == "pool.ntp.org";
        is_named_so && self.proof != ServerProof::Nts
    }

    /// The name or address, without brackets.
    #[must_use]
    pub fn host(&self) -> &str {
        &self.host
    }

    /// The UDP port; by NTS the TCP port where keys are exchanged.
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
    /// What follows `?key=` is not the number of a key.
    #[error("invalid key in `{text}`: expected the number of a key in `keys-file`, found `{key}`")]
    Key {
        /// The whole text.
        text: String,
        /// The text after it.
        key: String,
    },
    /// Two proofs.
    #[error("`{0}` asks for NTS and for a key: one of them is enough")]
    TwoProofs(String),
    /// Longer than DNS allows.
    #[error("the host name has {0} characters, and DNS allows {LONGEST_NAME}")]
    Long(usize),
}

impl FromStr for ServerName {
    type Err = ServerNameError;

    fn from_str(text: &str) -> Result<Self, ServerNameError> {
        let text = text.trim();
        let (bare, proof) = proof_of(text)?;
        let (host, port) = split(bare)?;
        let port = match port {
            None if proof == ServerProof::Nts => KEY_EXCHANGE_PORT,
            None => NTP_PORT,
            Some(digits) => {
                port_of(digits).ok_or(ServerNameError::Port { text: text.to_owned(), port: digits.to_owned() })?
            }
        };
        check(text, host)?;
        Ok(Self { host: host.to_owned(), port, proof })
    }
}

/// Takes off how the server proves who it is.
fn proof_of(text: &str) -> Result<(&str, ServerProof), ServerNameError> {
    let by_nts = text.strip_prefix(NTS);
    match (by_nts, text.split_once(KEY)) {
        (Some(_), Some(_)) => Err(ServerNameError::TwoProofs(text.to_owned())),
        (Some(bare), None) => Ok((bare, ServerProof::Nts)),
        (None, Some((bare, digits))) => {
            let plain = digits.bytes().all(|b| b.is_ascii_digit());
            let id = digits.parse().ok().filter(|id| plain && *id != 0);
            let id = id.ok_or_else(|| ServerNameError::Key { text: text.to_owned(), key: digits.to_owned() })?;
            Ok((bare, ServerProof::Key(id)))
        }
        (None, None) => Ok((text, ServerProof::None)),
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
        let (address, interface) = host.split_once('%').unwrap_or((host, "lo"));
        let is_one = address.parse::<Ipv6Addr>().is_ok() && is_interface(interface);
        return if is_one { Ok(()) } else { Err(ServerNameError::NoAddress(host.to_owned())) };
    }
    let bad = |c: &char| !(c.is_alphanumeric() || matches!(c, '.' | '-' | '_'));
    match host.chars().find(bad) {
        Some(character) => Err(ServerNameError::Character { text: text.to_owned(), character }),
        None if host.chars().count() > LONGEST_NAME => Err(ServerNameError::Long(host.chars().count())),
        None => Ok(()),
    }
}

/// As the kernel takes names (`dev_valid_name` in net/core/dev.c), without what is a separator in a server's name.
fn is_interface(name: &str) -> bool {
    let is_bad = |c: char| c.is_control() || c.is_whitespace() || matches!(c, '/' | ':' | '%' | '[' | ']' | '?');
    (1..=LONGEST_INTERFACE).contains(&name.len()) && !name.contains(is_bad)
}

impl fmt::Display for ServerName {
    /// As it can be parsed again; the port only where it is not the usual one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let usual = if self.proof == ServerProof::Nts { KEY_EXCHANGE_PORT } else { NTP_PORT };
        if self.proof == ServerProof::Nts {
            f.write_str(NTS)?;
        }
        match (self.host.contains(':'), self.port) {
            (_, port) if port == usual => f.write_str(&self.host)?,
            (true, port) => write!(f, "[{}]:{port}", self.host)?,
            (false, port) => write!(f, "{}:{port}", self.host)?,
        }
        if let ServerProof::Key(id) = self.proof { write!(f, "{KEY}{id}") } else { Ok(()) }
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
            ("fe80::1%", "invalid IPv6 address"),
            ("fe80::1%eth0 \u{1b}[2J", "invalid IPv6 address"),
            ("fe80::1%an-interface-too-long", "invalid IPv6 address"),
            ("ntp example", "` ` is not allowed"),
            ("ntp://example", "invalid port"),
            ("ntp/example", "`/` is not allowed"),
            ("nts://", "no host in"),
            ("nts://ntp.example/", "`/` is not allowed"),
            ("nts://ntp.example?key=7", "one of them is enough"),
            ("ntp.example?key=", "found ``"),
            ("ntp.example?key=0", "found `0`"),
            ("ntp.example?key=+7", "found `+7`"),
            ("ntp.example?key=4294967296", "found `4294967296`"),
        ] {
            let said = text.parse::<ServerName>().map_err(|e| e.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{text}: {said:?}");
        }
        assert_eq!("a".repeat(254).parse::<ServerName>(), Err(ServerNameError::Long(254)));
    }

    #[test]
    fn nts_and_keys_are_written_beside_the_host() {
        for (text, host, port, proof) in [
            ("nts://ntp.example", "ntp.example", 4460, ServerProof::Nts),
            ("nts://ntp.example:123", "ntp.example", 123, ServerProof::Nts),
            ("nts://[2001:db8::1]:99", "2001:db8::1", 99, ServerProof::Nts),
            ("ntp.example?key=7", "ntp.example", 123, ServerProof::Key(7)),
            ("[2001:db8::1]:99?key=4294967295", "2001:db8::1", 99, ServerProof::Key(u32::MAX)),
        ] {
            let name: ServerName = text.parse().unwrap();
            assert_eq!((name.host(), name.port(), name.proof()), (host, port, proof), "{text}");
            assert!(name.to_string() == text && name.is_authenticated() && !name.is_pool());
        }
        let wants = |text: &str| text.parse::<ServerName>().is_ok_and(|name| name.wants_look_up());
        assert!(wants("nts://192.0.2.1") && wants("a.example?key=1") && !wants("192.0.2.1?key=1"));
    }

    #[test]
    fn only_an_address_is_known_without_asking() {
        let address = |text: &str| text.parse::<ServerName>().ok().and_then(|name| name.address());
        assert_eq!(address("[::1]:99"), Some(IpAddr::from(Ipv6Addr::LOCALHOST)));
        assert_eq!(address("localhost"), None);
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_parsed(text in "\\PC{0,40}|(nts://)?[a-z.]{1,20}(:[0-9]{1,6})?([?]key=[0-9]{1,11})?|\\[?[0-9a-f:]{2,30}\\]?(:[0-9]{1,5})?") {
            if let Ok(name) = text.parse::<ServerName>() {
                prop_assert_eq!(name.to_string().parse::<ServerName>(), Ok(name));
            }
        }
    }
}

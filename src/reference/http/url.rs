//! The URL of an HTTP reference: `https://sts.eu-west-1.amazonaws.com`, `http://192.0.2.1:8080/generate_204`.

use std::fmt;
use std::str::FromStr;

use crate::reference::ntp::server_name::{self, ServerName};

/// The longest path that is sent; what is asked for matters little, and it has to fit into one packet.
const LONGEST_PATH: usize = 512;

/// How the server is spoken to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Scheme {
    /// Plain HTTP: the identity of the server is not known.
    Http,
    /// HTTP over TLS, whose certificate is verified.
    Https,
}

/// Whom to ask for a `Date`, and what for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct HttpUrl {
    pub(super) scheme: Scheme,
    pub(super) server: ServerName,
    /// Path and query; begins with a slash.
    pub(super) path: String,
}

/// Why a text is no URL that can be asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HttpUrlError {
    /// It does not begin with a scheme that we speak.
    #[error("expected a URL that begins with https:// or http://, found `{0}`")]
    Scheme(String),
    /// It has a user or a password in it, which are not repeated here.
    #[error("a URL with a user or a password is not asked: nothing is to be logged in to")]
    UserInfo,
    /// Its host is none.
    #[error("invalid host in the URL")]
    Host(#[from] server_name::ServerNameError),
    /// Its path cannot be sent.
    #[error("invalid path in the URL: printable ASCII without blanks, at most {LONGEST_PATH} characters")]
    Path,
}

impl Scheme {
    const fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Https => "https",
        }
    }

    /// The port where none is named (RFC 9110 section 4.2).
    pub(super) const fn port(self) -> u16 {
        match self {
            Self::Http => 80,
            Self::Https => 443,
        }
    }
}

impl HttpUrl {
    /// The host with its port where that is not the scheme's own, as the Host field has it (RFC 9110 section 7.2).
    pub(super) fn authority(&self) -> String {
        let host = self.server.host();
        let host = if host.contains(':') { format!("[{host}]") } else { host.to_owned() };
        if self.server.port() == self.scheme.port() { host } else { format!("{host}:{}", self.server.port()) }
    }

    /// Whether it is one of those addresses that answer nothing but 204, so that a portal betrays itself by another status.
    pub(super) fn expects_no_content(&self) -> bool {
        self.path.contains("204")
    }
}

impl FromStr for HttpUrl {
    type Err = HttpUrlError;

    fn from_str(text: &str) -> Result<Self, HttpUrlError> {
        let text = text.trim();
        let (scheme, rest) = match text.split_once("://") {
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("https") => (Scheme::Https, rest),
            Some((scheme, rest)) if scheme.eq_ignore_ascii_case("http") => (Scheme::Http, rest),
            // What follows another scheme may have a password in it.
            Some((scheme, _)) => return Err(HttpUrlError::Scheme(format!("{}://", scheme.escape_debug()))),
            None => return Err(HttpUrlError::Scheme(text.chars().take(40).flat_map(char::escape_debug).collect())),
        };
        let rest = rest.split_once('#').map_or(rest, |(before, _)| before);
        let begin = rest.find(['/', '?']).unwrap_or(rest.len());
        let (authority, path) = rest.split_at(begin);
        if authority.contains('@') {
            return Err(HttpUrlError::UserInfo);
        }
        let path = if path.starts_with('/') { path.to_owned() } else { format!("/{path}") };
        if path.len() > LONGEST_PATH || !path.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(HttpUrlError::Path);
        }
        let named: ServerName = authority.parse()?;
        // Several colons without a bracket are an IPv6 address.
        let names_a_port = authority.contains("]:") || authority.matches(':').count() == 1;
        let server = if names_a_port { named } else { named.with_port(scheme.port()) };
        Ok(Self { scheme, server, path })
    }
}

impl fmt::Display for HttpUrl {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.path == "/" { "" } else { &self.path };
        write!(f, "{}://{}{path}", self.scheme.name(), self.authority())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn urls_are_understood_and_printed_as_they_were_written() {
        for (text, host, port, path) in [
            ("https://sts.amazonaws.com", "sts.amazonaws.com", 443, "/"),
            ("HTTPS://sts.amazonaws.com/", "sts.amazonaws.com", 443, "/"),
            ("http://connectivity.example/generate_204", "connectivity.example", 80, "/generate_204"),
            ("https://192.0.2.1:8443/a?b=c#d", "192.0.2.1", 8443, "/a?b=c"),
            ("https://ntp.example:123", "ntp.example", 123, "/"),
            ("http://[2001:db8::1]", "2001:db8::1", 80, "/"),
            ("http://[2001:db8::1]:81/x", "2001:db8::1", 81, "/x"),
            ("http://a.example?x", "a.example", 80, "/?x"),
        ] {
            let url: HttpUrl = text.parse().unwrap();
            assert_eq!((url.server.host(), url.server.port(), url.path.as_str()), (host, port, path), "{text}");
        }
    }

    #[test]
    fn what_is_no_url_is_refused_in_words_without_its_secrets() {
        for (text, words) in [
            ("sts.amazonaws.com", "https://"),
            ("ftp://a.example", "https://"),
            ("https://", "invalid host"),
            ("https://user:secret@a.example", "not asked"),
            ("https://a.example/b c", "invalid path"),
            ("https://a.example/\u{1b}[2J", "invalid path"),
        ] {
            let said = text.parse::<HttpUrl>().unwrap_err().to_string();
            assert!(said.contains(words) && !said.contains("secret"), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn what_is_printed_can_be_parsed(text in "https?://[a-z0-9.\\[\\]:]{0,20}(/[!-~]{0,10})?|\\PC{0,40}") {
            if let Ok(url) = text.parse::<HttpUrl>() {
                prop_assert_eq!(url.to_string().parse::<HttpUrl>(), Ok(url));
            }
        }
    }
}

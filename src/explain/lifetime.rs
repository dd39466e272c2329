//! Times that tokens and signed URLs carry: when they begin and when they end, and nothing else of them.

use regex_lite::Regex;

use super::time::Format;
use crate::decision::{Offset, Realtime};

/// What carries the times.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TokenKind {
    /// A JSON web token.
    Jwt,
    /// A URL that was signed beforehand.
    SignedUrl,
    /// A shared access signature of Azure Storage.
    SharedAccess,
    /// Temporary credentials.
    Credentials,
    /// A session of single sign-on.
    Session,
    /// A certificate.
    Certificate,
}

/// From when until when something is valid, as far as it says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lifetime {
    /// What it is.
    pub kind: TokenKind,
    /// Line in the text, from 1; none where it is not from the text.
    pub line: Option<u64>,
    /// Since when.
    pub from: Option<Realtime>,
    /// Until when.
    pub until: Option<Realtime>,
}

/// What such a text has in it.
pub(super) const MARKS: [&str; 4] = ["eyJ", "X-Amz-Date=", "X-Goog-Date=", "se=20"];

impl TokenKind {
    /// As `--json` has it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jwt => "jwt",
            Self::SignedUrl => "signed-url",
            Self::SharedAccess => "shared-access-signature",
            Self::Credentials => "credentials",
            Self::Session => "session",
            Self::Certificate => "certificate",
        }
    }

    /// For people.
    pub(super) const fn words(self) -> &'static str {
        match self {
            Self::Jwt => "JSON web token",
            Self::SignedUrl => "Signed URL",
            Self::SharedAccess => "Shared access signature",
            Self::Credentials => "Temporary credentials of this user",
            Self::Session => "Session of this user",
            Self::Certificate => "Client certificate of this user",
        }
    }
}

impl Lifetime {
    /// How long it is valid after this moment; negative where it is over.
    #[must_use]
    pub fn left(&self, at: Realtime) -> Option<Offset> {
        self.until.map(|until| until - at)
    }
}

/// Reads the text at `place`, where a mark was found.
pub(super) fn read(window: &str, place: usize, line: u64) -> Option<Lifetime> {
    let (before, after) = window.split_at_checked(place)?;
    if after.starts_with("eyJ") {
        return jwt(after, line);
    }
    let is_url = |c: char| c.is_ascii_alphanumeric() || "-._~:/?#[]@!$&()*+,;=%".contains(c);
    let begin = before.trim_end_matches(is_url).len();
    let end = place + after.find(|c| !is_url(c)).unwrap_or(after.len());
    let parameter = |names: &[&str]| {
        let mut all = window.get(begin..end)?.split(['?', '&']).filter_map(|part| part.split_once('='));
        all.find(|(name, _)| names.contains(name)).map(|(_, value)| value.replace("%3A", ":").replace("%3a", ":"))
    };
    let basic = |text: String| Format::Strptime("%Y%m%dT%H%M%SZ".to_owned()).parse(&text);
    if let Some(from) = parameter(&["X-Amz-Date", "X-Goog-Date"]).and_then(basic) {
        let seconds = parameter(&["X-Amz-Expires", "X-Goog-Expires"]).and_then(|text| text.parse::<u32>().ok());
        let until = seconds.map(|seconds| from + Offset::from_secs(seconds.into()));
        return Some(Lifetime { kind: TokenKind::SignedUrl, line: Some(line), from: Some(from), until });
    }
    // Whatever has an `se` is a SAS only with its signature.
    parameter(&["sig"])?;
    let time = |name| parameter(&[name]).and_then(|text| Format::Rfc3339.parse(&text));
    let until = Some(time("se")?);
    Some(Lifetime { kind: TokenKind::SharedAccess, line: Some(line), from: time("st"), until })
}

/// The claims of the second part; its end may be cut off.
fn jwt(token: &str, line: u64) -> Option<Lifetime> {
    let is_base64 = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    let mut parts = token.split('.');
    if !parts.next()?.chars().all(is_base64) {
        return None;
    }
    let payload = parts.next()?;
    let payload = payload.split(|c| !is_base64(c)).next()?;
    let claims = String::from_utf8_lossy(&base64(payload)).into_owned();
    let claim = |name: &str| {
        let found = Regex::new(&format!(r#""{name}" ?: ?(\d{{9,11}})\b"#)).ok()?.captures(&claims)?;
        Format::Unix.parse(found.get(1)?.as_str())
    };
    let (from, until) = (claim("nbf").or_else(|| claim("iat")), claim("exp"));
    (from.is_some() || until.is_some()).then_some(Lifetime { kind: TokenKind::Jwt, line: Some(line), from, until })
}

/// Base64 of either alphabet (RFC 4648, sections 4 and 5), as far as it goes; line breaks are passed.
#[must_use]
pub fn base64(text: &str) -> Vec<u8> {
    let (mut bits, mut count, mut bytes) = (0_u32, 0, vec![]);
    for c in text.bytes() {
        let value = match c {
            b'A'..=b'Z' => c - b'A',
            b'a'..=b'z' => c - b'a' + 26,
            b'0'..=b'9' => c - b'0' + 52,
            b'+' | b'-' => 62,
            b'/' | b'_' => 63,
            b'\n' | b'\r' | b' ' => continue,
            _ => break,
        };
        bits = (bits << 6 | u32::from(value)) & 0xff_ffff;
        count += 6;
        if count >= 8 {
            count -= 8;
            bytes.push(u8::try_from(bits >> count & 0xff).unwrap_or_default());
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(secs: i64) -> Option<Realtime> {
        Some(Realtime::from_secs(secs))
    }

    #[test]
    fn times_of_tokens_and_signed_urls_are_read_and_others_are_not() {
        // {"alg":"HS256"}.{"sub":"secret","iat":1782568800,"exp":1782572400}
        let token = "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiJzZWNyZXQiLCJpYXQiOjE3ODI1Njg4MDAsImV4cCI6MTc4MjU3MjQwMH0.c2ln";
        let url = "https://b.example/k?X-Amz-Credential=AKIA%2F20260627&X-Amz-Date=20260627T140000Z&X-Amz-Expires=3600&X-Amz-Signature=ab";
        let sas = "https://a.example/c?sv=2022&st=2026-06-27T14%3A00%3A00Z&se=2026-06-27T15:00:00Z&sig=abc%3D";
        for (text, mark, carrier) in [
            (token, "eyJ", TokenKind::Jwt),
            (url, "X-Amz-Date=", TokenKind::SignedUrl),
            (sas, "se=20", TokenKind::SharedAccess),
        ] {
            let text = format!("see <{text}> here");
            let found = read(&text, text.find(mark).unwrap(), 7).unwrap();
            assert_eq!((found.kind, found.line), (carrier, Some(7)), "{text}");
            assert_eq!((found.from, found.until), (at(1_782_568_800), at(1_782_572_400)), "{text}");
        }
        for (text, mark) in
            [("eyJ.eyJ", "eyJ"), ("base=2026&x=1", "se=20"), ("eyJhbGci", "eyJ"), ("X-Amz-Date=now", "X-")]
        {
            assert_eq!(read(text, text.find(mark).unwrap(), 1), None, "{text}");
        }
        assert_eq!(base64("aGVs\nbG8="), b"hello");
    }
}

//! The two dates of a certificate, and nothing else of it (RFC 5280, sections 4.1 and 4.1.2.5).

use super::lifetime::{Lifetime, TokenKind, base64};
use super::time::Format;
use crate::decision::Realtime;

const SEQUENCE: u8 = 0x30;
const VERSION: u8 = 0xa0;
const UTC_TIME: u8 = 0x17;
const GENERALIZED_TIME: u8 = 0x18;

/// Reads the first certificate of a PEM file.
#[must_use]
pub fn pem(text: &str) -> Option<Lifetime> {
    let begins = text.split("-----BEGIN CERTIFICATE-----").nth(1)?;
    der(&base64(begins.split("-----END").next()?))
}

fn der(certificate: &[u8]) -> Option<Lifetime> {
    let (SEQUENCE, whole, _) = element(certificate)? else { return None };
    let (SEQUENCE, mut fields, _) = element(whole)? else { return None };
    if let (VERSION, _, rest) = element(fields)? {
        fields = rest;
    }
    // Serial number, signature algorithm and issuer stand before the validity.
    for _ in 0..3 {
        fields = element(fields)?.2;
    }
    let (SEQUENCE, validity, _) = element(fields)? else { return None };
    let (kind, from, rest) = element(validity)?;
    let from = time(kind, from)?;
    let (kind, until, _) = element(rest)?;
    Some(Lifetime { kind: TokenKind::Certificate, line: None, from: Some(from), until: Some(time(kind, until)?) })
}

/// Tag, content, and what follows it.
fn element(bytes: &[u8]) -> Option<(u8, &[u8], &[u8])> {
    let (&[tag, first], rest) = bytes.split_first_chunk()?;
    let (length, rest) = match first {
        0..=0x7f => (usize::from(first), rest),
        0x81..=0x84 => {
            let (size, rest) = rest.split_at_checked(usize::from(first & 0x7f))?;
            (size.iter().fold(0_usize, |length, byte| length << 8 | usize::from(*byte)), rest)
        }
        _ => return None,
    };
    let (content, rest) = rest.split_at_checked(length)?;
    Some((tag, content, rest))
}

fn time(kind: u8, content: &[u8]) -> Option<Realtime> {
    let text = std::str::from_utf8(content).ok()?;
    let text = match kind {
        GENERALIZED_TIME => text.to_owned(),
        UTC_TIME if text.get(..2)? >= "50" => format!("19{text}"),
        UTC_TIME => format!("20{text}"),
        _ => return None,
    };
    Format::Strptime("%Y%m%d%H%M%SZ".to_owned()).parse(&text)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// By `openssl req -x509 -newkey ec`; `openssl x509 -dates` says 28 and 30 November 2026, 22:47:10.
    const PEM: &str = "-----BEGIN CERTIFICATE-----
MIIBbTCCAROgAwIBAgIUF6rFknM4PW5qsplAtQbJovX04uMwCgYIKoZIzj0EAwIw
DDEKMAgGA1UEAwwBdTAeFw0yNjExMjgyMjQ3MTBaFw0yNjExMzAyMjQ3MTBaMAwx
CjAIBgNVBAMMAXUwWTATBgcqhkjOPQIBBggqhkjOPQMBBwNCAARJlAmMzCjfgTuv
xQIvuROdPvv9gwlN0l47pB5Jh4qttDqm7+cJj/nk9rriLVEUmfmgyBAJMd0XEe46
1YrRvI7oo1MwUTAdBgNVHQ4EFgQUBOyK35xq5vcP847mwx2UcpgWB38wHwYDVR0j
BBgwFoAUBOyK35xq5vcP847mwx2UcpgWB38wDwYDVR0TAQH/BAUwAwEB/zAKBggq
hkjOPQQDAgNIADBFAiEAyeQqbXMUWcs8CJlSrN/uWCLrnJ2QHF0gqQ5pTux7Xn4C
IGbi4oT6NjYBKgz939zsuipYbHioXyKlrYpTemuxiUsk
-----END CERTIFICATE-----
";

    #[test]
    fn the_dates_of_a_certificate_are_read_and_a_broken_one_is_refused() {
        let found = pem(PEM).unwrap();
        let at = |secs| Some(Realtime::from_secs(secs));
        assert_eq!((found.from, found.until), (at(1_795_906_030), at(1_796_078_830)));
        assert_eq!(time(UTC_TIME, b"500101000000Z"), at(-631_152_000), "RFC 5280: 50 is 1950");
        assert_eq!(time(GENERALIZED_TIME, b"20500101000000Z"), at(2_524_608_000));
        let whole = base64(PEM.split('\n').skip(1).take(8).collect::<String>().as_str());
        for end in 0..120 {
            assert_eq!(der(&whole[..end]), None, "cut at {end}");
        }
        assert_eq!(pem("-----BEGIN CERTIFICATE-----\nnonsense"), None);
    }
}

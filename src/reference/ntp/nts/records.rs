//! The records of the key exchange (RFC 8915 section 4): our question written, the server's answer read. No I/O.

use crate::reference::ntp::server_name::{NTP_PORT, ServerName};

/// The longest answer that is read; chronyd's limit (nts_ke.h, `NKE_MAX_MESSAGE_LENGTH`).
pub const LONGEST_ANSWER: usize = 16_384;
/// As many cookies are kept, and asked for: one is spent with each question (RFC 8915 section 5.7).
pub const MOST_COOKIES: usize = 8;
/// The longest cookie that is taken: eight of them have to fit into an answer that no router cuts. chronyd's are 100 bytes long.
pub const LONGEST_COOKIE: usize = 256;

const CRITICAL: u16 = 0x8000;
const HEADER: usize = 4;

const END: u16 = 0;
const NEXT_PROTOCOL: u16 = 1;
const ERROR: u16 = 2;
const WARNING: u16 = 3;
const AEAD: u16 = 4;
const COOKIE: u16 = 5;
const SERVER: u16 = 6;
const PORT: u16 = 7;

/// NTPv4 (RFC 8915 section 7.7).
pub const NTP: u16 = 0;
/// AEAD_AES_SIV_CMAC_256 (RFC 5297, registered with RFC 5116).
pub const AES_SIV_CMAC_256: u16 = 15;

/// What server and client have agreed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Agreed {
    /// What the server wants to see again, one with each question.
    pub cookies: Vec<Vec<u8>>,
    /// Who answers NTP; none where it is the server of the key exchange.
    pub server: Option<ServerName>,
    /// At which UDP port.
    pub port: u16,
}

/// Why an answer agrees on nothing.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RecordError {
    /// The server's own word.
    #[error("the server refuses the key exchange: {}", refusal(*.0))]
    Refused(u16),
    /// A warning, of which RFC 8915 knows none.
    #[error("the server warns with code {0}, which is not known")]
    Warned(u16),
    /// It speaks NTS, and not for NTP.
    #[error("the server has no keys for NTP version 4")]
    NoNtp,
    /// It wants another cipher.
    #[error("the server does not offer AEAD_AES_SIV_CMAC_256, the one cipher that every server must have")]
    NoCipher,
    /// No cookie came.
    #[error("the server sent no cookie, without which it cannot be asked")]
    NoCookie,
    /// A record of a length that its kind cannot have.
    #[error("the server's answer is garbled: a record of kind {kind} has {length} bytes")]
    Length {
        /// Its kind.
        kind: u16,
        /// Of its body.
        length: usize,
    },
    /// The same twice.
    #[error("the server's answer is garbled: two records of kind {0}")]
    Twice(u16),
    /// A kind that we would have to understand.
    #[error("the server's answer has a critical record of kind {0}, which is not known")]
    Unknown(u16),
    /// The name of no server.
    #[error("the server names `{0}` as NTP server, which is no name of one")]
    Server(String),
    /// Something follows the end.
    #[error("the server's answer is garbled: {0} bytes follow its end")]
    Trailing(usize),
    /// No end.
    #[error("the server's answer has no end within {LONGEST_ANSWER} bytes")]
    Endless,
}

/// RFC 8915 section 4.1.3.
fn refusal(code: u16) -> String {
    match code {
        0 => "it does not understand a critical record of the question".to_owned(),
        1 => "it calls the question a bad one".to_owned(),
        2 => "internal server error".to_owned(),
        other => format!("error {other}"),
    }
}

/// The question: keys for NTPv4, by the one cipher that we have.
#[must_use]
pub fn request() -> Vec<u8> {
    let mut bytes = vec![];
    let mut record = |kind: u16, body: &[u8]| {
        bytes.extend((CRITICAL | kind).to_be_bytes());
        // Two bytes at most.
        bytes.extend(u16::try_from(body.len()).unwrap_or_default().to_be_bytes());
        bytes.extend_from_slice(body);
    };
    record(NEXT_PROTOCOL, &NTP.to_be_bytes());
    record(AEAD, &AES_SIV_CMAC_256.to_be_bytes());
    record(END, &[]);
    bytes
}

/// What the exporter of TLS makes a key of (RFC 8915 section 5.1): protocol, cipher, and which of the two keys.
#[must_use]
pub const fn key_context(direction: u8) -> [u8; 5] {
    [
        NTP.to_be_bytes()[0],
        NTP.to_be_bytes()[1],
        AES_SIV_CMAC_256.to_be_bytes()[0],
        AES_SIV_CMAC_256.to_be_bytes()[1],
        direction,
    ]
}

/// Reads the answer; none as long as its end has not come.
///
/// # Errors
/// [`RecordError`].
pub fn parse(bytes: &[u8]) -> Result<Option<Agreed>, RecordError> {
    let mut reader = RecordReader::default();
    let mut rest = bytes;
    while let Some((header, after)) = rest.split_first_chunk::<HEADER>() {
        let [k0, k1, l0, l1] = *header;
        let (kind, length) = (u16::from_be_bytes([k0, k1]), usize::from(u16::from_be_bytes([l0, l1])));
        let Some((body, after)) = after.split_at_checked(length) else { break };
        rest = after;
        if kind & !CRITICAL == END {
            return reader.end(body, rest).map(Some);
        }
        reader.take(kind, body)?;
    }
    if bytes.len() >= LONGEST_ANSWER { Err(RecordError::Endless) } else { Ok(None) }
}

/// What was read so far.
#[derive(Debug, Default)]
struct RecordReader {
    protocols: Option<Vec<u16>>,
    ciphers: Option<Vec<u16>>,
    cookies: Vec<Vec<u8>>,
    server: Option<ServerName>,
    port: Option<u16>,
}

impl RecordReader {
    fn take(&mut self, kind: u16, body: &[u8]) -> Result<(), RecordError> {
        let garbled = || RecordError::Length { kind: kind & !CRITICAL, length: body.len() };
        match kind & !CRITICAL {
            NEXT_PROTOCOL => once(&mut self.protocols, NEXT_PROTOCOL, numbers(body).ok_or_else(garbled)?),
            AEAD => once(&mut self.ciphers, AEAD, numbers(body).ok_or_else(garbled)?),
            ERROR => Err(RecordError::Refused(number(body).ok_or_else(garbled)?)),
            WARNING => Err(RecordError::Warned(number(body).ok_or_else(garbled)?)),
            COOKIE if body.is_empty() || body.len() > LONGEST_COOKIE => Err(garbled()),
            COOKIE => {
                if self.cookies.len() < MOST_COOKIES {
                    self.cookies.push(body.to_vec());
                }
                Ok(())
            }
            SERVER => {
                let text = String::from_utf8_lossy(body).into_owned();
                let name = plain_name(&text).ok_or(RecordError::Server(text))?;
                once(&mut self.server, SERVER, name)
            }
            PORT => once(&mut self.port, PORT, number(body).filter(|port| *port != 0).ok_or_else(garbled)?),
            other if kind & CRITICAL != 0 => Err(RecordError::Unknown(other)),
            // RFC 8915 section 4: what is not critical and not known is ignored.
            _ => Ok(()),
        }
    }

    fn end(self, body: &[u8], rest: &[u8]) -> Result<Agreed, RecordError> {
        if !body.is_empty() {
            return Err(RecordError::Length { kind: END, length: body.len() });
        }
        if !rest.is_empty() {
            return Err(RecordError::Trailing(rest.len()));
        }
        if self.protocols.as_deref() != Some(&[NTP]) {
            return Err(RecordError::NoNtp);
        }
        if self.ciphers.as_deref() != Some(&[AES_SIV_CMAC_256]) {
            return Err(RecordError::NoCipher);
        }
        if self.cookies.is_empty() {
            return Err(RecordError::NoCookie);
        }
        Ok(Agreed { cookies: self.cookies, server: self.server, port: self.port.unwrap_or(NTP_PORT) })
    }
}

/// A host, without a port and without more.
fn plain_name(text: &str) -> Option<ServerName> {
    let bare = if text.contains(':') { format!("[{text}]") } else { text.to_owned() };
    let name: ServerName = bare.parse().ok()?;
    (text.is_ascii() && name.host() == text).then_some(name)
}

fn once<T>(field: &mut Option<T>, kind: u16, value: T) -> Result<(), RecordError> {
    match field.replace(value) {
        None => Ok(()),
        Some(_) => Err(RecordError::Twice(kind)),
    }
}

fn number(body: &[u8]) -> Option<u16> {
    body.try_into().ok().map(u16::from_be_bytes)
}

fn numbers(body: &[u8]) -> Option<Vec<u16>> {
    body.len().is_multiple_of(2).then(|| body.chunks(2).filter_map(number).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn record(kind: u16, body: &[u8]) -> Vec<u8> {
        let length = u16::try_from(body.len()).unwrap();
        [&kind.to_be_bytes(), &length.to_be_bytes(), body].concat()
    }

    fn protocol() -> Vec<u8> {
        record(CRITICAL | NEXT_PROTOCOL, &[0, 0])
    }

    fn cipher() -> Vec<u8> {
        record(AEAD, &[0, 15])
    }

    fn end() -> Vec<u8> {
        record(CRITICAL | END, &[])
    }

    /// What a server would answer, with these records between its agreement and its end.
    fn answer(records: &[Vec<u8>]) -> Vec<u8> {
        [protocol(), cipher(), records.concat(), end()].concat()
    }

    #[test]
    fn the_question_is_the_one_of_the_rfc() {
        let bytes = [0x80, 1, 0, 2, 0, 0, 0x80, 4, 0, 2, 0, 15, 0x80, 0, 0, 0];
        assert_eq!(request(), bytes);
        assert_eq!(key_context(1), [0, 0, 0, 15, 1]);
    }

    #[test]
    fn cookies_server_and_port_are_read_and_the_server_is_itself_where_it_names_none() {
        let cookies = [record(COOKIE, &[7; 100]), record(COOKIE, &[8; 100])];
        let agreed = parse(&answer(&cookies)).unwrap().unwrap();
        assert_eq!((agreed.cookies.len(), agreed.server, agreed.port), (2, None, 123));
        let named =
            [record(CRITICAL | SERVER, b"ntp.example"), record(CRITICAL | PORT, &[4, 1]), record(COOKIE, &[7; 4])];
        let agreed = parse(&answer(&named)).unwrap().unwrap();
        assert_eq!((agreed.server.unwrap().to_string(), agreed.port), ("ntp.example".to_owned(), 1025));
        let six = [record(SERVER, b"2001:db8::1"), record(COOKIE, &[7; 4])];
        assert_eq!(parse(&answer(&six)).unwrap().unwrap().server.unwrap().host(), "2001:db8::1");
        let many = vec![record(COOKIE, &[7; 4]); 20];
        assert_eq!(parse(&answer(&many)).unwrap().unwrap().cookies.len(), MOST_COOKIES);
    }

    #[test]
    fn an_answer_that_agrees_on_nothing_says_what_is_wrong() {
        let cookie = || record(COOKIE, &[7; 4]);
        let cases = [
            (answer(&[]), "no cookie"),
            ([cipher(), cookie(), end()].concat(), "NTP version 4"),
            ([record(NEXT_PROTOCOL, &[]), cipher(), cookie(), end()].concat(), "NTP version 4"),
            ([protocol(), record(AEAD, &[0, 30]), cookie(), end()].concat(), "AEAD_AES_SIV_CMAC_256"),
            ([protocol(), cookie(), end()].concat(), "AEAD_AES_SIV_CMAC_256"),
            (answer(&[record(ERROR, &[0, 1])]), "bad one"),
            (answer(&[record(ERROR, &[0, 2])]), "internal server error"),
            (answer(&[record(ERROR, &[9])]), "kind 2 has 1 bytes"),
            (answer(&[record(WARNING, &[0, 9])]), "code 9"),
            (answer(&[record(CRITICAL | 99, &[])]), "critical record of kind 99"),
            (answer(&[record(COOKIE, &[])]), "kind 5 has 0 bytes"),
            (answer(&[record(COOKIE, &[7; LONGEST_COOKIE + 1])]), "kind 5 has 257 bytes"),
            (answer(&[record(SERVER, b"a b")]), "no name of one"),
            (answer(&[record(SERVER, b"ntp.example:99")]), "no name of one"),
            (answer(&[record(SERVER, &[0xff, 0xfe])]), "no name of one"),
            (answer(&[record(PORT, &[0, 0]), cookie()]), "kind 7 has 2 bytes"),
            (answer(&[protocol(), cookie()]), "two records of kind 1"),
            ([answer(&[cookie()]), vec![1, 2]].concat(), "2 bytes follow"),
            ([protocol(), cipher(), cookie(), record(END, &[1])].concat(), "kind 0 has 1 bytes"),
            (record(99, &[0; 400]).repeat(50), "no end"),
            (b"HTTP/1.1 400 Bad Request\r\n".repeat(700), "no end"),
        ];
        for (bytes, words) in cases {
            let said = parse(&bytes).map_err(|error| error.to_string());
            assert!(said.as_ref().is_err_and(|said| said.contains(words)), "{words}: {said:?}");
        }
        // What is not critical and not known changes nothing.
        assert!(parse(&answer(&[record(99, b"later"), cookie()])).unwrap().is_some());
    }

    proptest! {
        #[test]
        fn no_answer_breaks_it_and_none_ends_before_its_end(
            records in proptest::collection::vec(
                (0..10_u16, any::<bool>(), proptest::collection::vec(any::<u8>(), 0..20)), 0..12),
            cut: prop::sample::Index,
        ) {
            let records: Vec<Vec<u8>> =
                records.iter().map(|(kind, critical, body)| record(if *critical { CRITICAL | kind } else { *kind }, body)).collect();
            let _ = parse(&records.concat());
            let whole = answer(&[record(COOKIE, &[7; 8])]);
            prop_assert_eq!(parse(&whole[..cut.index(whole.len())]), Ok(None));
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..600)) {
            if let Ok(Some(agreed)) = parse(&bytes) {
                prop_assert!((1..=MOST_COOKIES).contains(&agreed.cookies.len()) && agreed.port != 0);
            }
        }
    }
}

//! The extension fields of an NTP packet under NTS (RFC 8915 section 5, RFC 7822): a question protected, an answer opened. No I/O.

use super::cipher::{self, SessionKeys, TAG_LEN};
use super::records::{LONGEST_COOKIE, MOST_COOKIES};
use crate::reference::ntp::packet::{PACKET_LEN, ProtectionError};

const UNIQUE_IDENTIFIER: u16 = 0x0104;
const COOKIE: u16 = 0x0204;
const PLACEHOLDER: u16 = 0x0304;
const AUTHENTICATOR: u16 = 0x0404;

const HEADER: usize = 4;
/// RFC 7822 section 3: shorter ones are none.
const SHORTEST: usize = 16;
const NONCE_LEN: usize = 16;
/// A kiss of death that says that the server cannot read our cookie (RFC 8915 section 5.7).
const NAK: &[u8; 4] = b"NTSN";

/// What an answer has to repeat, so that it is one to this very question.
pub type UniqueId = [u8; 32];

/// What is added to a question.
#[derive(Clone, Copy, Debug)]
pub struct Protection<'a> {
    /// The keys.
    pub keys: &'a SessionKeys,
    /// Random.
    pub unique: &'a UniqueId,
    /// Random too, and never used before with these keys.
    pub nonce: &'a [u8; NONCE_LEN],
    /// One of the server's, never used before.
    pub cookie: &'a [u8],
    /// How many more cookies are asked for than the one that is spent.
    pub more_cookies: usize,
}

/// The question with all its fields; none where there is no such cookie.
#[must_use]
pub fn protect(question: &[u8; PACKET_LEN], with: &Protection<'_>) -> Option<Vec<u8>> {
    let mut packet = question.to_vec();
    put(&mut packet, UNIQUE_IDENTIFIER, with.unique)?;
    put(&mut packet, COOKIE, with.cookie)?;
    for _ in 0..with.more_cookies.min(MOST_COOKIES - 1) {
        put(&mut packet, PLACEHOLDER, &vec![0; with.cookie.len()])?;
    }
    let sealed = cipher::seal(&with.keys.ours, &[&packet, with.nonce], &[])?;
    let length = |bytes: &[u8]| u16::try_from(bytes.len()).ok().map(u16::to_be_bytes);
    let body = [&length(with.nonce)?[..], &length(&sealed)?, with.nonce, &sealed].concat();
    put(&mut packet, AUTHENTICATOR, &body)?;
    Some(packet)
}

/// Opens an answer: that it is the server's, and to this question. Returns the cookies in it.
///
/// # Errors
/// [`ProtectionError`]: then the packet says nothing, not even why.
pub fn open(packet: &[u8], keys: &SessionKeys, unique: &UniqueId) -> Result<Vec<Vec<u8>>, ProtectionError> {
    let mut is_ours = false;
    let mut at = PACKET_LEN;
    while at < packet.len() {
        let (kind, body, next) = field(packet, at).ok_or(ProtectionError::Garbled)?;
        match kind {
            UNIQUE_IDENTIFIER if body != unique => return Err(ProtectionError::ForeignQuestion),
            UNIQUE_IDENTIFIER => is_ours = true,
            AUTHENTICATOR if is_ours => {
                let text = opened(packet.get(..at).unwrap_or_default(), body, keys)?;
                return cookies(&text).ok_or(ProtectionError::Garbled);
            }
            AUTHENTICATOR => return Err(ProtectionError::ForeignQuestion),
            _ => {}
        }
        at = next;
    }
    Err(match is_ours && is_nak(packet) {
        true => ProtectionError::Nak,
        false => ProtectionError::Missing,
    })
}

fn is_nak(packet: &[u8]) -> bool {
    packet.get(1) == Some(&0) && packet.get(12..16) == Some(NAK)
}

/// The text that only the server can have encrypted, together with all that precedes it.
fn opened(before: &[u8], body: &[u8], keys: &SessionKeys) -> Result<Vec<u8>, ProtectionError> {
    let parts = || {
        let (lengths, rest) = body.split_first_chunk::<HEADER>()?;
        let [n0, n1, s0, s1] = *lengths;
        let (nonce_len, sealed_len) =
            (usize::from(u16::from_be_bytes([n0, n1])), usize::from(u16::from_be_bytes([s0, s1])));
        let sealed_at = nonce_len.next_multiple_of(4);
        let nonce = rest.get(..nonce_len)?;
        let sealed = rest.get(sealed_at..sealed_at + sealed_len)?;
        (sealed_len >= TAG_LEN && nonce_len > 0).then_some((nonce, sealed))
    };
    let (nonce, sealed) = parts().ok_or(ProtectionError::Garbled)?;
    cipher::open(&keys.theirs, &[before, nonce], sealed).ok_or(ProtectionError::Forged)
}

/// The cookies among the fields that were encrypted; none where these are no fields.
fn cookies(text: &[u8]) -> Option<Vec<Vec<u8>>> {
    let (mut found, mut at) = (vec![], 0);
    while at < text.len() {
        let (kind, body, next) = field(text, at)?;
        if kind == COOKIE && body.len() <= LONGEST_COOKIE && found.len() < MOST_COOKIES {
            found.push(body.to_vec());
        }
        at = next;
    }
    Some(found)
}

/// The field at this place: its kind, its body, and where the next one begins.
fn field(bytes: &[u8], at: usize) -> Option<(u16, &[u8], usize)> {
    let [k0, k1, l0, l1] = *bytes.get(at..)?.first_chunk::<HEADER>()?;
    let length = usize::from(u16::from_be_bytes([l0, l1]));
    let is_sound = length >= SHORTEST && length.is_multiple_of(4);
    let body = bytes.get(at + HEADER..at + length).filter(|_| is_sound)?;
    Some((u16::from_be_bytes([k0, k1]), body, at + length))
}

/// Appends a field, filled up to a multiple of four bytes.
fn put(packet: &mut Vec<u8>, kind: u16, body: &[u8]) -> Option<()> {
    let length = (HEADER + body.len()).next_multiple_of(4).max(SHORTEST);
    packet.extend(kind.to_be_bytes());
    packet.extend(u16::try_from(length).ok()?.to_be_bytes());
    packet.extend_from_slice(body);
    packet.resize(packet.len() + length - HEADER - body.len(), 0);
    Some(())
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    const UNIQUE: UniqueId = [3; 32];

    fn keys() -> SessionKeys {
        SessionKeys { ours: [1; 32], theirs: [2; 32] }
    }

    fn question(cookie: &[u8], more_cookies: usize) -> Vec<u8> {
        let with = Protection { keys: &keys(), unique: &UNIQUE, nonce: &[9; 16], cookie, more_cookies };
        protect(&[0x23; PACKET_LEN], &with).unwrap()
    }

    /// As a server answers: the unique identifier, and cookies under its own key.
    pub(crate) fn answer(header: &[u8], keys: &SessionKeys, unique: &UniqueId, cookies: &[Vec<u8>]) -> Vec<u8> {
        let mut packet = header.to_vec();
        put(&mut packet, UNIQUE_IDENTIFIER, unique).unwrap();
        let mut text = vec![];
        cookies.iter().for_each(|cookie| put(&mut text, COOKIE, cookie).unwrap());
        let sealed = cipher::seal(&keys.theirs, &[&packet, &[5; 16]], &text).unwrap();
        let length = u16::try_from(sealed.len()).unwrap().to_be_bytes();
        put(&mut packet, AUTHENTICATOR, &[&[0, 16], &length[..], &[5; 16], &sealed].concat()).unwrap();
        packet
    }

    #[test]
    fn a_question_has_its_fields_in_order_and_asks_for_no_more_than_it_says() {
        let packet = question(&[7; 100], 2);
        let mut kinds = vec![];
        let mut at = PACKET_LEN;
        while at < packet.len() {
            let (kind, body, next) = field(&packet, at).unwrap();
            kinds.push((kind, body.len()));
            at = next;
        }
        assert_eq!(kinds, [(0x0104, 32), (0x0204, 100), (0x0304, 100), (0x0304, 100), (0x0404, 36)]);
        // An answer may not be longer than its question: then nothing is gained by asking in another's name.
        let cookies = vec![vec![8; 100]; 3];
        assert!(answer(&[0x24; PACKET_LEN], &keys(), &UNIQUE, &cookies).len() <= packet.len());
        assert_eq!(field(&question(&[7; 5], 0), PACKET_LEN + 36).unwrap().1.len(), 12, "filled up");
    }

    #[test]
    fn a_question_can_be_read_by_whom_it_was_written_for() {
        let packet = question(&[7; 100], 0);
        let at = packet.len() - 40;
        let (kind, body, _) = field(&packet, at).unwrap();
        let theirs = SessionKeys { ours: keys().theirs, theirs: keys().ours };
        assert_eq!((kind, opened(&packet[..at], body, &theirs)), (AUTHENTICATOR, Ok(vec![])));
    }

    #[test]
    fn an_answer_to_this_question_brings_its_cookies() {
        let cookies = vec![vec![8; 100], vec![9; 100]];
        let packet = answer(&[0x24; PACKET_LEN], &keys(), &UNIQUE, &cookies);
        assert_eq!(open(&packet, &keys(), &UNIQUE), Ok(cookies));
        // What follows the authenticator is not authenticated.
        let mut longer = packet;
        put(&mut longer, COOKIE, &[1; 100]).unwrap();
        assert_eq!(open(&longer, &keys(), &UNIQUE).map(|cookies| cookies.len()), Ok(2));
    }

    #[test]
    fn no_other_packet_says_anything() {
        let header = [0x24; PACKET_LEN];
        let good = answer(&header, &keys(), &UNIQUE, &[vec![8; 100]]);
        let other_keys = SessionKeys { theirs: [4; 32], ..keys() };
        let mut nak = header;
        nak[1] = 0;
        nak[12..16].copy_from_slice(NAK);
        let mut ours = nak.to_vec();
        put(&mut ours, UNIQUE_IDENTIFIER, &UNIQUE).unwrap();
        let mut foreign = nak.to_vec();
        put(&mut foreign, UNIQUE_IDENTIFIER, &[4; 32]).unwrap();
        let mut anonymous = header.to_vec();
        anonymous.extend(&good[PACKET_LEN + 36..]);
        for (packet, error) in [
            (header.to_vec(), ProtectionError::Missing),
            (nak.to_vec(), ProtectionError::Missing),
            (ours, ProtectionError::Nak),
            (foreign, ProtectionError::ForeignQuestion),
            (answer(&header, &keys(), &[4; 32], &[]), ProtectionError::ForeignQuestion),
            (anonymous, ProtectionError::ForeignQuestion),
            (answer(&header, &other_keys, &UNIQUE, &[]), ProtectionError::Forged),
            (good[..good.len() - 4].to_vec(), ProtectionError::Garbled),
            ([&header[..], &[1, 4, 0, 3]].concat(), ProtectionError::Garbled),
        ] {
            assert_eq!(open(&packet, &keys(), &UNIQUE), Err(error));
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bit_of_an_answer_passes(at: prop::sample::Index, bit in 0..8) {
            let good = answer(&[0x24; PACKET_LEN], &keys(), &UNIQUE, &[vec![8; 64]]);
            let mut flipped = good.clone();
            flipped[at.index(good.len())] ^= 1_u8 << bit;
            prop_assert!(open(&flipped, &keys(), &UNIQUE).is_err());
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..300), sound in 0..20_usize) {
            let mut packet = answer(&[0x24; PACKET_LEN], &keys(), &UNIQUE, &[vec![8; 64]]);
            packet.truncate(PACKET_LEN + 4 * sound);
            packet.extend(bytes);
            let _ = open(&packet, &keys(), &UNIQUE);
            let _ = cookies(&packet);
        }

        #[test]
        fn every_cookie_fits(cookie in proptest::collection::vec(any::<u8>(), 1..=LONGEST_COOKIE), more in 0..9_usize) {
            let packet = question(&cookie, more);
            prop_assert!(packet.len() <= PACKET_LEN + 36 + 40 + MOST_COOKIES * (LONGEST_COOKIE + 4));
        }
    }
}

//! Extension fields: those that no server encrypted open nothing, and those that one did give cookies within the limits.

use clockgate::reference::ntp::nts::cipher::{SessionKeys, open as decrypted, seal};
use clockgate::reference::ntp::nts::fields::{Protection, open, protect};
use clockgate::reference::ntp::nts::records::{LONGEST_COOKIE, MOST_COOKIES};
use clockgate::reference::ntp::packet::{PACKET_LEN, ProtectionError};

const KEYS: SessionKeys = SessionKeys { ours: [1; 32], theirs: [2; 32] };
const UNIQUE: [u8; 32] = [3; 32];
const NONCE: [u8; 16] = [4; 16];

pub fn check(data: &[u8]) {
    let raw = open(data, &KEYS, &UNIQUE);
    assert!(raw.is_err(), "opened by someone without the key");
    let Some((&split, data)) = data.split_first() else { return };
    answered(data.split_at(data.len().min(usize::from(split) * 4)));
    asked(data, usize::from(split));
}

/// A server's answer: first fields that are not encrypted, then those that are.
fn answered((plain, text): (&[u8], &[u8])) {
    let mut packet = vec![0x24; PACKET_LEN];
    packet.extend([1, 4, 0, 36]);
    packet.extend(UNIQUE);
    packet.extend_from_slice(plain);
    let sealed = seal(&KEYS.theirs, &[&packet, &NONCE], text).unwrap();
    let Ok(length) = u16::try_from(sealed.len()) else { return };
    let Ok(field) = u16::try_from((8 + NONCE.len() + sealed.len()).next_multiple_of(4)) else { return };
    packet.extend([4, 4]);
    packet.extend(field.to_be_bytes());
    packet.extend([0, 16]);
    packet.extend(length.to_be_bytes());
    packet.extend(NONCE);
    packet.extend(&sealed);
    packet.resize(packet.len().next_multiple_of(4), 0);
    match open(&packet, &KEYS, &UNIQUE) {
        Ok(cookies) => {
            assert!(cookies.len() <= MOST_COOKIES && cookies.iter().all(|cookie| cookie.len() <= LONGEST_COOKIE));
            let at = usize::from(text.first().copied().unwrap_or(0)) % packet.len();
            packet[at] ^= 1;
            let is_read = plain.is_empty() && at < PACKET_LEN + 36 + 8 + NONCE.len() + sealed.len();
            assert!(!is_read || open(&packet, &KEYS, &UNIQUE).is_err(), "byte {at} was changed");
        }
        Err(error) => {
            let is_possible = match error {
                ProtectionError::Garbled | ProtectionError::ForeignQuestion => true,
                // Only where a plain field is an authenticator of its own, or has the server's inside of it.
                ProtectionError::Forged | ProtectionError::Missing => !plain.is_empty(),
                ProtectionError::Nak | ProtectionError::UnknownKey => false,
            };
            assert!(is_possible, "{error:?}");
        }
    }
}

/// A question: the server finds the cookie, and that nothing was changed.
fn asked(cookie: &[u8], more_cookies: usize) {
    let with = Protection { keys: &KEYS, unique: &UNIQUE, nonce: &NONCE, cookie, more_cookies };
    let Some(packet) = protect(&[0x23; PACKET_LEN], &with) else {
        assert!(cookie.len() > usize::from(u16::MAX) - 8);
        return;
    };
    assert!(packet.len().is_multiple_of(4) && packet.len() <= 1200 + MOST_COOKIES * (cookie.len() + 8));
    let (mut at, mut cookies) = (PACKET_LEN, 0);
    while at < packet.len() {
        let word = |at: usize| u16::from_be_bytes([packet[at], packet[at + 1]]);
        let (kind, length) = (word(at), usize::from(word(at + 2)));
        match kind {
            0x0104 => assert_eq!(packet[at + 4..at + length], UNIQUE),
            0x0204 => assert_eq!(&packet[at + 4..at + 4 + cookie.len()], cookie),
            0x0304 => cookies += 1,
            0x0404 => {
                let sealed = &packet[at + 8 + NONCE.len()..at + 8 + NONCE.len() + usize::from(word(at + 6))];
                assert_eq!(decrypted(&KEYS.ours, &[&packet[..at], &NONCE], sealed).as_deref(), Some(&[][..]));
                assert_eq!(at + length, packet.len(), "something follows the authenticator");
            }
            other => panic!("a field of kind {other:04x}"),
        }
        at += length;
    }
    assert_eq!(cookies, more_cookies.min(MOST_COOKIES - 1));
}

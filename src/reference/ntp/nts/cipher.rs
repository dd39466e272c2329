//! AEAD_AES_SIV_CMAC_256 (RFC 5297), which every server of NTS has (RFC 8915 section 5.1), and the two keys of an association.

use std::fmt;

use aes_siv::KeyInit as _;
use aes_siv::aead::generic_array::GenericArray;
use aes_siv::siv::{Aes128Siv, IV_SIZE};

/// Two AES keys of 128 bits, one for the CMAC and one for the cipher.
pub const KEY_LEN: usize = 32;
/// What a ciphertext is longer by than its text: the synthetic initialisation vector, which is the authenticator too.
pub const TAG_LEN: usize = IV_SIZE;

/// The keys of one association, which both sides have drawn from their TLS connection. Never written anywhere.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionKeys {
    /// From us to the server (C2S).
    pub ours: [u8; KEY_LEN],
    /// From the server to us (S2C).
    pub theirs: [u8; KEY_LEN],
}

impl fmt::Debug for SessionKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SessionKeys(..)")
    }
}

/// Encrypts `text`, and authenticates it together with `headers`, of which the last is the nonce.
#[must_use]
pub fn seal(key: &[u8; KEY_LEN], headers: &[&[u8]], text: &[u8]) -> Option<Vec<u8>> {
    let mut sealed = vec![0; TAG_LEN];
    sealed.extend_from_slice(text);
    let (tag, body) = sealed.split_at_mut_checked(TAG_LEN)?;
    let made = Aes128Siv::new(GenericArray::from_slice(key)).encrypt_in_place_detached(headers, body).ok()?;
    tag.copy_from_slice(&made);
    Some(sealed)
}

/// Decrypts what [`seal`] made; none where key, headers or a bit of it are others.
#[must_use]
pub fn open(key: &[u8; KEY_LEN], headers: &[&[u8]], sealed: &[u8]) -> Option<Vec<u8>> {
    let (tag, body) = sealed.split_at_checked(TAG_LEN)?;
    let mut text = body.to_vec();
    let tag = GenericArray::from_slice(tag);
    Aes128Siv::new(GenericArray::from_slice(key)).decrypt_in_place_detached(headers, &mut text, tag).ok()?;
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn hex(text: &str) -> Vec<u8> {
        let digits: Vec<u8> = text.chars().filter_map(|c| c.to_digit(16)).map(|d| u8::try_from(d).unwrap()).collect();
        digits.chunks(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    fn key(text: &str) -> [u8; KEY_LEN] {
        hex(text).try_into().unwrap()
    }

    /// RFC 5297, appendix A.1 and A.2.
    #[test]
    fn the_vectors_of_the_rfc_come_out() {
        let deterministic = key("fffefdfcfbfaf9f8f7f6f5f4f3f2f1f0 f0f1f2f3f4f5f6f7f8f9fafbfcfdfeff");
        let header = hex("101112131415161718191a1b1c1d1e1f2021222324252627");
        let text = hex("112233445566778899aabbccddee");
        let sealed = hex("85632d07c6e8f37f950acd320a2ecc93 40c02b9690c4dc04daef7f6afe5c");
        assert_eq!(seal(&deterministic, &[&header], &text), Some(sealed.clone()));
        assert_eq!(open(&deterministic, &[&header], &sealed), Some(text));

        let with_nonce = key("7f7e7d7c7b7a79787776757473727170 404142434445464748494a4b4c4d4e4f");
        let headers = [
            hex("00112233445566778899aabbccddeeffdeaddadadeaddadaffeeddccbbaa99887766554433221100"),
            hex("102030405060708090a0"),
            hex("09f911029d74e35bd84156c5635688c0"),
        ];
        let headers: Vec<&[u8]> = headers.iter().map(Vec::as_slice).collect();
        let text =
            hex("7468697320697320736f6d6520706c61696e7465787420746f20656e6372797074207573696e67205349562d414553");
        let sealed =
            hex("7bdb6e3b432667eb06f4d14bff2fbd0f cb900f2fddbe404326601965c889bf17 dba77ceb094fa663b7a3f748ba8af829 \
             ea64ad544a272e9c485b62a3fd5c0d");
        assert_eq!(seal(&with_nonce, &headers, &text), Some(sealed.clone()));
        assert_eq!(open(&with_nonce, &headers, &sealed), Some(text));
    }

    proptest! {
        #[test]
        fn what_was_sealed_opens_and_no_flipped_bit_passes(
            key: [u8; KEY_LEN],
            header in proptest::collection::vec(any::<u8>(), 0..80),
            nonce: [u8; 16],
            text in proptest::collection::vec(any::<u8>(), 0..80),
            at: prop::sample::Index,
            bit in 0..8,
        ) {
            let sealed = seal(&key, &[&header, &nonce], &text).unwrap();
            prop_assert_eq!(open(&key, &[&header, &nonce], &sealed), Some(text));
            let mut flipped = sealed.clone();
            flipped[at.index(sealed.len())] ^= 1_u8 << bit;
            prop_assert_eq!(open(&key, &[&header, &nonce], &flipped), None);
            let mut other = key;
            // The half that authenticates; an empty text needs no other.
            other[at.index(KEY_LEN / 2)] ^= 1_u8 << bit;
            prop_assert_eq!(open(&other, &[&header, &nonce], &sealed), None);
        }
    }
}

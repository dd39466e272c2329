//! Symmetric keys (RFC 5905 section 7.3, RFC 8573): server and client share a secret, and each packet ends in a code made of both. For
//! sites without a way to the certificates of NTS.

mod key_file;

pub use key_file::{KeyFileError, KeyFileFault, parse, read};

use std::fmt;

use aes::Aes128;
use cmac::{Cmac, Mac as _};
use ring::digest;
use subtle::ConstantTimeEq as _;

use super::packet::{PACKET_LEN, ProtectionError};

/// The longest code in a packet of NTPv4 (RFC 7822 section 7.5); longer ones are cut off there, as chronyd does (keys.c).
const LONGEST_CODE: usize = 20;
/// The number of the key precedes the code.
const ID_LEN: usize = 4;

/// How a key makes a code.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Algorithm {
    /// AES-CMAC with a key of 128 bits (RFC 8573).
    Aes128,
    /// SHA-1 of key and packet.
    Sha1,
    /// SHA-256 of key and packet.
    Sha256,
}

/// A secret, and the number that both sides know it by. Never printed.
#[derive(Clone, PartialEq, Eq)]
pub struct SymmetricKey {
    id: u32,
    algorithm: Algorithm,
    secret: Vec<u8>,
}

impl fmt::Debug for SymmetricKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SymmetricKey({}, {:?}, ..)", self.id, self.algorithm)
    }
}

impl SymmetricKey {
    /// Its number.
    #[must_use]
    pub const fn id(&self) -> u32 {
        self.id
    }

    /// The question with its code.
    #[must_use]
    pub fn sign(&self, question: &[u8]) -> Vec<u8> {
        [question, &self.id.to_be_bytes(), &self.code(question)].concat()
    }

    /// Whether the answer ends in a code of this key.
    ///
    /// # Errors
    /// [`ProtectionError`]: then the packet says nothing.
    pub fn verify(&self, packet: &[u8]) -> Result<(), ProtectionError> {
        let code_len = self.code(&[]).len();
        // A packet that ends in nothing but a zero says that the server does not know the key (RFC 5905 section 9.2, crypto-NAK).
        if packet.len() == PACKET_LEN + ID_LEN && packet.ends_with(&[0; ID_LEN]) {
            return Err(ProtectionError::UnknownKey);
        }
        let at = packet.len().checked_sub(ID_LEN + code_len).filter(|at| *at >= PACKET_LEN);
        let (text, end) = packet.split_at_checked(at.unwrap_or(packet.len())).ok_or(ProtectionError::Missing)?;
        let (id, code) = end.split_first_chunk::<ID_LEN>().ok_or(ProtectionError::Missing)?;
        if u32::from_be_bytes(*id) != self.id {
            return Err(ProtectionError::Missing);
        }
        let expected = self.code(text);
        // In a time that says nothing of where they differ.
        let is_same = bool::from(expected.ct_eq(code));
        if is_same && !expected.is_empty() { Ok(()) } else { Err(ProtectionError::Forged) }
    }

    fn code(&self, text: &[u8]) -> Vec<u8> {
        let hashed = |algorithm| {
            let mut context = digest::Context::new(algorithm);
            context.update(&self.secret);
            context.update(text);
            context.finish().as_ref().iter().take(LONGEST_CODE).copied().collect()
        };
        match self.algorithm {
            Algorithm::Aes128 => {
                // The file is read so that a key of AES has the 16 bytes of one.
                let Ok(mut mac) = Cmac::<Aes128>::new_from_slice(&self.secret) else { return vec![] };
                mac.update(text);
                mac.finalize().into_bytes().to_vec()
            }
            Algorithm::Sha1 => hashed(&digest::SHA1_FOR_LEGACY_USE_ONLY),
            Algorithm::Sha256 => hashed(&digest::SHA256),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const QUESTION: [u8; PACKET_LEN] = [0x24; PACKET_LEN];

    fn key(algorithm: Algorithm, secret: &[u8]) -> SymmetricKey {
        SymmetricKey { id: 7, algorithm, secret: secret.to_vec() }
    }

    /// RFC 4493 section 4, examples 1 and 2.
    #[test]
    fn cmac_is_that_of_the_rfc() {
        let secret = 0x2b7e_1516_28ae_d2a6_abf7_1588_09cf_4f3c_u128.to_be_bytes();
        let text = 0x6bc1_bee2_2e40_9f96_e93d_7e11_7393_172a_u128.to_be_bytes();
        let aes = key(Algorithm::Aes128, &secret);
        assert_eq!(aes.code(&[]), 0xbb1d_6929_e959_3728_7fa3_7d12_9b75_6746_u128.to_be_bytes());
        assert_eq!(aes.code(&text), 0x070a_16b4_6b4d_4144_f79b_dd9d_d04a_287c_u128.to_be_bytes());
    }

    /// FIPS 180-2, appendices A.1 and B.1: `abc`, here as key and text.
    #[test]
    fn hashes_are_of_key_and_packet_and_are_cut_off_at_twenty_bytes() {
        let sha1 = key(Algorithm::Sha1, b"a").code(b"bc");
        assert_eq!(sha1[..4], 0xa999_3e36_u32.to_be_bytes());
        let sha256 = key(Algorithm::Sha256, b"ab").code(b"c");
        assert_eq!(sha256[..4], 0xba78_16bf_u32.to_be_bytes());
        assert_eq!((sha1.len(), sha256.len()), (20, 20));
    }

    #[test]
    fn an_answer_counts_by_its_code_alone() {
        for algorithm in [Algorithm::Aes128, Algorithm::Sha1, Algorithm::Sha256] {
            let ours = key(algorithm, &[5; 16]);
            let good = ours.sign(&QUESTION);
            assert_eq!(ours.verify(&good), Ok(()));
            let other = SymmetricKey { id: 8, ..ours.clone() };
            let foreign = key(algorithm, &[6; 16]);
            assert_eq!(ours.verify(&other.sign(&QUESTION)), Err(ProtectionError::Missing));
            assert_eq!(ours.verify(&foreign.sign(&QUESTION)), Err(ProtectionError::Forged));
            assert_eq!(ours.verify(&QUESTION), Err(ProtectionError::Missing));
            assert_eq!(ours.verify(&[&QUESTION[..], &[0; 4]].concat()), Err(ProtectionError::UnknownKey));
            assert_eq!(ours.verify(&[]), Err(ProtectionError::Missing));
        }
    }

    proptest! {
        #[test]
        fn no_flipped_bit_passes(at: prop::sample::Index, bit in 0..8, secret: [u8; 16]) {
            for algorithm in [Algorithm::Aes128, Algorithm::Sha1, Algorithm::Sha256] {
                let ours = key(algorithm, &secret);
                let mut packet = ours.sign(&QUESTION);
                packet[at.index(PACKET_LEN)] ^= 1_u8 << bit;
                prop_assert_eq!(ours.verify(&packet), Err(ProtectionError::Forged));
            }
        }

        #[test]
        fn no_bytes_break_it(bytes in proptest::collection::vec(any::<u8>(), 0..100)) {
            prop_assert!(key(Algorithm::Sha1, b"secret").verify(&bytes).is_err());
        }
    }
}

//! What is left of a key exchange: keys, cookies, and the certificate that was shown. In memory alone: on disk or in a snapshot, cookies
//! could be used twice, and keys be stolen.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::cipher::SessionKeys;
use super::fields::{self, Protection, UniqueId};
use super::records::MOST_COOKIES;
use crate::decision::Realtime;
use crate::reference::ntp::packet::{PACKET_LEN, ProtectionError};
use crate::reference::tls::{TlsClient, TlsError};
use crate::sys::random;

/// With fewer cookies than this, keys are exchanged ahead of need: each exchange takes two, and a lost packet one more.
const FEW: usize = 3;

/// One association with a server.
#[derive(Debug)]
pub struct Session {
    keys: SessionKeys,
    /// Each is sent once: who saw one twice would know that it was the same machine (RFC 8915 section 5.7).
    cookies: Mutex<Vec<Vec<u8>>>,
    /// Whether the server can no longer read its cookies.
    is_refused: AtomicBool,
    tls: TlsClient,
}

impl Session {
    /// With these keys and cookies, by a handshake of this client.
    pub fn new(keys: SessionKeys, cookies: Vec<Vec<u8>>, tls: TlsClient) -> Self {
        Self { keys, cookies: Mutex::new(cookies), is_refused: AtomicBool::new(false), tls }
    }

    /// Whether a question can be asked.
    pub fn is_usable(&self) -> bool {
        !self.is_refused() && !self.cookies().is_empty()
    }

    /// Whether the server says that it can no longer read its cookies.
    pub fn is_refused(&self) -> bool {
        self.is_refused.load(Ordering::Relaxed)
    }

    /// Whether there will soon be no cookie left.
    pub fn is_running_out(&self) -> bool {
        !self.is_usable() || self.cookies().len() < FEW
    }

    /// The question under this association, which spends a cookie, and what its answer will repeat.
    ///
    /// # Errors
    /// No cookie is left, or the kernel has no randomness.
    pub fn question(&self, header: &[u8; PACKET_LEN]) -> io::Result<(Vec<u8>, UniqueId)> {
        let (unique, nonce) = (random::bytes()?, random::bytes()?);
        let (cookie, left) = {
            let mut cookies = self.cookies();
            (cookies.pop(), cookies.len())
        };
        let cookie = cookie.ok_or_else(|| io::Error::other("no cookie of the server is left"))?;
        let more_cookies = MOST_COOKIES.saturating_sub(left + 1);
        let with = Protection { keys: &self.keys, unique: &unique, nonce: &nonce, cookie: &cookie, more_cookies };
        let packet =
            fields::protect(header, &with).ok_or_else(|| io::Error::other("the server's cookie is too long"))?;
        Ok((packet, unique))
    }

    /// Takes an answer: it is the server's, and its cookies are kept.
    ///
    /// # Errors
    /// [`ProtectionError`].
    pub fn answer(&self, packet: &[u8], unique: &UniqueId) -> Result<(), ProtectionError> {
        match fields::open(packet, &self.keys, unique) {
            Ok(fresh) => {
                let mut cookies = self.cookies();
                cookies.extend(fresh);
                let too_many = cookies.len().saturating_sub(MOST_COOKIES);
                // The oldest first.
                cookies.drain(..too_many);
                Ok(())
            }
            Err(error) => {
                if error == ProtectionError::Nak {
                    self.is_refused.store(true, Ordering::Relaxed);
                }
                Err(error)
            }
        }
    }

    /// Verifies the certificate of the key exchange at the time that the server says it is.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn verify_at(&self, time: Realtime) -> Result<(), TlsError> {
        self.tls.verify_at(time)
    }

    fn cookies(&self) -> MutexGuard<'_, Vec<Vec<u8>>> {
        self.cookies.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

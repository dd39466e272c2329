//! What a question is protected with, and its answer authenticated by.

use std::io;
use std::sync::Arc;

use super::nts::fields::UniqueId;
use super::nts::session::Session;
use super::packet::{PACKET_LEN, ProtectionError};
use super::security::Security;
use super::symmetric::{self, SymmetricKey};
use crate::error_chain::in_full;

/// The symmetric keys of the file, or why there are none.
#[derive(Clone, Debug)]
pub struct KeyRing(Result<Vec<Arc<SymmetricKey>>, String>);

impl Default for KeyRing {
    fn default() -> Self {
        Self(Err("`keys-file` is not configured".to_owned()))
    }
}

impl KeyRing {
    /// Those of the file; what is wrong with it is said of each server that needs a key of it.
    pub fn of(security: &Security) -> Self {
        match &security.keys {
            None => Self::default(),
            Some(file) => {
                let keys = symmetric::read(file).map_err(|error| in_full(&error));
                Self(keys.map(|keys| keys.into_iter().map(Arc::new).collect()))
            }
        }
    }

    /// The key of this number.
    ///
    /// # Errors
    /// Why there is none, in words.
    pub fn key(&self, id: u32) -> Result<Arc<SymmetricKey>, String> {
        let keys = self.0.as_ref().map_err(|why| format!("cannot use key {id}: {why}"))?;
        let found = keys.iter().find(|key| key.id() == id).cloned();
        found.ok_or_else(|| format!("cannot use key {id}: `keys-file` has none of that number"))
    }
}

/// What a server is asked under.
#[derive(Clone, Debug, Default)]
pub enum Association {
    /// Nothing: anyone who has seen the question can answer it.
    #[default]
    Plain,
    /// Keys that were exchanged.
    Nts(Arc<Session>),
    /// A key that both sides have.
    Keyed(Arc<SymmetricKey>),
}

impl Association {
    /// The question as it is sent, and what its answer has to repeat.
    ///
    /// # Errors
    /// No randomness, or no cookie.
    pub fn question(&self, header: &[u8; PACKET_LEN]) -> io::Result<(Vec<u8>, Option<UniqueId>)> {
        match self {
            Self::Plain => Ok((header.to_vec(), None)),
            Self::Nts(session) => session.question(header).map(|(packet, unique)| (packet, Some(unique))),
            Self::Keyed(key) => Ok((key.sign(header), None)),
        }
    }

    /// Whether an answer is the server's, and to the question that had this to repeat.
    ///
    /// # Errors
    /// [`ProtectionError`]: then it says nothing.
    pub fn verify(&self, packet: &[u8], unique: Option<&UniqueId>) -> Result<(), ProtectionError> {
        match (self, unique) {
            (Self::Plain, _) => Ok(()),
            (Self::Nts(session), Some(unique)) => session.answer(packet, unique),
            (Self::Nts(_), None) => Err(ProtectionError::ForeignQuestion),
            (Self::Keyed(key), _) => key.verify(packet),
        }
    }

    /// Whether what comes back is authenticated.
    #[must_use]
    pub const fn is_authenticated(&self) -> bool {
        match self {
            Self::Plain => false,
            Self::Nts(_) | Self::Keyed(_) => true,
        }
    }

    /// Whether the server says that its keys have to be exchanged anew.
    #[must_use]
    pub fn is_refused(&self) -> bool {
        match self {
            Self::Plain | Self::Keyed(_) => false,
            Self::Nts(session) => session.is_refused(),
        }
    }
}

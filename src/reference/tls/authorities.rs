//! Whose certificates are believed: those of a file that was named, those that the environment names, the system's, or, in a root that
//! has none (an image `FROM scratch`), those of Mozilla that are built in. What was named and cannot be used is never replaced.

use std::env;
use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls_native_certs::{CertificateResult, ErrorKind, load_certs_from_paths, load_native_certs};

/// As OpenSSL has them (openssl-env(7)).
const FILE_VARIABLE: &str = "SSL_CERT_FILE";
const FOLDER_VARIABLE: &str = "SSL_CERT_DIR";

/// Why no certificate could be verified.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("cannot read certificate authorities from {place}: {why}")]
pub struct AuthoritiesError {
    /// Where they were to be.
    pub place: String,
    /// What is wrong with it.
    pub why: String,
}

/// Whose certificates are believed.
#[derive(Clone, Debug)]
pub struct TrustedAuthorities {
    pub(in crate::reference) store: Arc<RootCertStore>,
    /// How many certificates of the place could not be read.
    unreadable: usize,
}

impl TrustedAuthorities {
    /// Those of `ca_file` alone; else those that SSL_CERT_FILE and SSL_CERT_DIR name, else the system's, else the built-in ones.
    ///
    /// # Errors
    /// [`AuthoritiesError`] for a place that was named, or that the system has, and that holds none.
    pub fn load(ca_file: Option<&Path>) -> Result<Self, AuthoritiesError> {
        if let Some(file) = ca_file {
            return Self::of(load_certs_from_paths(Some(file), None), || file.display().to_string());
        }
        if let Some(place) = of_the_environment(env::var_os(FILE_VARIABLE), env::var_os(FOLDER_VARIABLE)) {
            return Self::of(load_native_certs(), || place);
        }
        let found = load_native_certs();
        // A place that is not there makes no error; one that is there and cannot be read is an operator's, and is not replaced.
        if found.certs.is_empty() && found.errors.is_empty() {
            return Ok(Self::built_in());
        }
        Self::of(found, || "the system's bundle".to_owned())
    }

    /// Those of Mozilla, as they were when this program was built.
    fn built_in() -> Self {
        let store = RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() };
        Self { store: Arc::new(store), unreadable: 0 }
    }

    fn of(found: CertificateResult, place: impl FnOnce() -> String) -> Result<Self, AuthoritiesError> {
        let mut store = RootCertStore::empty();
        let (added, ignored) = store.add_parsable_certificates(found.certs);
        let unreadable = ignored + found.errors.len();
        if added > 0 {
            return Ok(Self { store: Arc::new(store), unreadable });
        }
        let why = found.errors.first().map_or_else(
            || match ignored {
                0 => "there is no certificate in it, which would begin with -----BEGIN CERTIFICATE-----".to_owned(),
                _ => "what is in it is no certificate of an authority".to_owned(),
            },
            in_words,
        );
        Err(AuthoritiesError { place: place(), why })
    }

    /// What is wrong with a file that can be used all the same; none where all of it can be read.
    #[must_use]
    pub fn remark(&self) -> Option<String> {
        let (read, unreadable) = (self.store.len(), self.unreadable);
        (unreadable > 0).then(|| format!("{unreadable} of its {} certificates cannot be read", read + unreadable))
    }
}

/// The places that the environment names; none where it names none. An empty folder is no place, as rustls-native-certs has it.
fn of_the_environment(file: Option<OsString>, folder: Option<OsString>) -> Option<String> {
    let file = file.map(|file| format!("{FILE_VARIABLE}={}", PathBuf::from(file).display()));
    let folder = folder.filter(|folder| env::split_paths(folder).any(|one| !one.as_os_str().is_empty()));
    let folder = folder.map(|folder| format!("{FOLDER_VARIABLE}={}", PathBuf::from(folder).display()));
    let named: Vec<String> = file.into_iter().chain(folder).collect();
    (!named.is_empty()).then(|| named.join(" and "))
}

fn in_words(error: &rustls_native_certs::Error) -> String {
    // The place is said already.
    if let ErrorKind::Io { inner, .. } = &error.kind { inner.to_string() } else { error.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_environment_that_names_nothing_leaves_the_systems_place() {
        let named = |file: Option<&str>, folder: Option<&str>| {
            of_the_environment(file.map(OsString::from), folder.map(OsString::from))
        };
        assert_eq!(named(None, None), None);
        assert_eq!(named(None, Some(":")), None);
        assert_eq!(named(Some("/a.pem"), None).as_deref(), Some("SSL_CERT_FILE=/a.pem"));
        // An empty name is a name, and no file.
        assert_eq!(named(Some(""), None).as_deref(), Some("SSL_CERT_FILE="));
        assert_eq!(named(Some("/a"), Some("/b:/c")).as_deref(), Some("SSL_CERT_FILE=/a and SSL_CERT_DIR=/b:/c"));
    }

    #[test]
    fn the_built_in_authorities_are_those_of_mozilla() {
        assert!(TrustedAuthorities::built_in().store.len() > 50);
    }
}

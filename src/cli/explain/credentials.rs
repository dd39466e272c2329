//! When this user's credentials end, for `--credentials`: the expiry is read, and nothing secret beside it.

use std::ffi::OsString;
use std::io::{ErrorKind, Read as _};
use std::path::{Path, PathBuf};

use serde::Deserialize;
use serde::de::IgnoredAny;

use crate::config::client_certificates::{self, ClientCertificate};
use crate::explain::{Format, Lifetime, TokenKind, base64, pem};

/// No cached token is larger.
const SIZE_MAX: u64 = 256 * 1024;

/// A file of `~/.aws/cli/cache`.
#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct CachedRole {
    credentials: Option<RoleExpiration>,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct RoleExpiration {
    expiration: String,
}

/// A file of `~/.aws/sso/cache`; registrations of clients lie there too, and have no token.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct CachedSession {
    access_token: Option<IgnoredAny>,
    expires_at: Option<String>,
}

/// What was found, and what could not be read.
#[derive(Debug, Default)]
pub struct UserCredentials {
    /// From when until when each is valid.
    pub lifetimes: Vec<Lifetime>,
    /// Files that could not be read, and why.
    pub unread: Vec<String>,
}

impl UserCredentials {
    /// Those of the user whose home this is.
    pub fn read() -> Self {
        let home = std::env::var_os("HOME").map(PathBuf::from).unwrap_or_default();
        let mut all = Self::default();
        all.newest(&home.join(".aws/cli/cache"), role);
        all.newest(&home.join(".aws/sso/cache"), session);
        let expiration = std::env::var("AWS_CREDENTIAL_EXPIRATION").ok();
        all.lifetimes.extend(expiration.and_then(|text| ending(TokenKind::Credentials, &text)));
        let files = std::env::var_os("KUBECONFIG").unwrap_or_else(|| OsString::from(home.join(".kube/config")));
        for file in std::env::split_paths(&files).filter(|file| file.exists()) {
            all.certificates(&file);
        }
        all
    }

    /// The one of a folder that ends last: the others were replaced by it.
    fn newest(&mut self, folder: &Path, cached: impl Fn(&str) -> Option<Option<Lifetime>>) {
        let Ok(entries) = std::fs::read_dir(folder) else { return };
        let mut newest: Option<Lifetime> = None;
        for file in
            entries.flatten().map(|entry| entry.path()).filter(|file| file.extension().is_some_and(|e| e == "json"))
        {
            match text(&file).and_then(|text| cached(&text).ok_or_else(|| "not the JSON of a cached token".to_owned()))
            {
                Ok(one) => newest = newest.into_iter().chain(one).max_by_key(|one| one.until),
                Err(why) => self.unread.push(format!("cannot read {}: {why}", file.display())),
            }
        }
        self.lifetimes.extend(newest);
    }

    fn certificates(&mut self, file: &Path) {
        let certificates = match client_certificates::read(file) {
            Ok(certificates) => certificates,
            Err(why) => return self.unread.push(format!("cannot read {}: {why}", file.display())),
        };
        for certificate in certificates {
            let read = match certificate {
                ClientCertificate::Inline(data) => Ok(String::from_utf8_lossy(&base64(&data)).into_owned()),
                ClientCertificate::File(path) => text(&file.parent().unwrap_or(Path::new("/")).join(path)),
            };
            match read.and_then(|text| pem(&text).ok_or_else(|| "not a certificate".to_owned())) {
                Ok(lifetime) => self.lifetimes.push(lifetime),
                Err(why) => self.unread.push(format!("cannot read a client certificate of {}: {why}", file.display())),
            }
        }
    }
}

/// When the credentials in a file of `~/.aws/cli/cache` end; none where it is no such file, or says nothing of it.
#[must_use]
pub fn role(text: &str) -> Option<Option<Lifetime>> {
    let credentials = serde_json::from_str::<CachedRole>(text).ok()?.credentials;
    Some(credentials.and_then(|one| ending(TokenKind::Credentials, &one.expiration)))
}

/// The same of a session, in a file of `~/.aws/sso/cache`.
#[must_use]
pub fn session(text: &str) -> Option<Option<Lifetime>> {
    let one = serde_json::from_str::<CachedSession>(text).ok()?;
    Some(one.access_token.and(one.expires_at).and_then(|text| ending(TokenKind::Session, &text)))
}

fn ending(kind: TokenKind, text: &str) -> Option<Lifetime> {
    let until = Format::Rfc3339.parse(text.strip_suffix("UTC").unwrap_or(text))?;
    Some(Lifetime { kind, line: None, from: None, until: Some(until) })
}

fn text(file: &Path) -> Result<String, String> {
    // Looked at before it is opened: opening a fifo would wait for a writer.
    let is_file = file.metadata().map_err(|error| error.to_string())?.is_file();
    if !is_file {
        return Err("not a regular file".to_owned());
    }
    let mut text = String::new();
    let read = std::fs::File::open(file).and_then(|open| open.take(SIZE_MAX).read_to_string(&mut text));
    read.map(|_| text).map_err(|error| match error.kind() == ErrorKind::InvalidData {
        true => "not UTF-8 text".to_owned(),
        false => error.to_string(),
    })
}

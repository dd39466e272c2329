//! Who writes: the kubelet of this node, or a ServiceAccount. All files are read anew for each connection, since certificates and tokens
//! are replaced while we run.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use nix::unistd::gethostname;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};

use crate::kubeconfig::{Access, Content, Credentials, KubeconfigError};

/// Where kubelets have theirs: kubeadm and most others, k3s, RKE2, k0s, MicroK8s.
const KUBECONFIGS: [&str; 6] = [
    "/etc/kubernetes/kubelet.conf",
    "/var/lib/kubelet/kubeconfig",
    "/var/lib/rancher/k3s/agent/kubelet.kubeconfig",
    "/var/lib/rancher/rke2/agent/kubelet.kubeconfig",
    "/var/lib/k0s/kubelet.conf",
    "/var/snap/microk8s/current/credentials/kubelet.config",
];
/// What a pod has of its ServiceAccount.
const ACCOUNT: &str = "/var/run/secrets/kubernetes.io/serviceaccount";
/// The common name of a kubelet's certificate begins so.
const NODE_PREFIX: &[u8] = b"system:node:";

/// Why there is no identity.
#[derive(Debug, thiserror::Error)]
pub enum IdentityError {
    #[error("there is no kubeconfig of a kubelet in {}: name one by --kubeconfig", KUBECONFIGS.join(", "))]
    NoKubeconfig,
    #[error("cannot read {path}")]
    Read {
        path: PathBuf,
        #[source]
        source: io::Error,
    },
    #[error("cannot use {path}")]
    Kubeconfig {
        path: PathBuf,
        #[source]
        source: KubeconfigError,
    },
    #[error("there is no {0} in {1}")]
    Pem(&'static str, String),
    #[error("the name of this node is not known: give it by --node or NODE_NAME")]
    NoName,
}

/// Where the identity comes from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A kubeconfig; none: the kubelet's, wherever it is.
    Kubeconfig(Option<PathBuf>),
    /// A server and a ServiceAccount's token.
    Account { server: String, authority: PathBuf, token: PathBuf },
}

/// What a connection needs.
#[derive(Debug)]
pub struct Identity {
    /// The file that has it.
    pub place: PathBuf,
    pub server: String,
    pub server_name: Option<String>,
    pub authorities: Vec<CertificateDer<'static>>,
    pub certificate: Option<(Vec<CertificateDer<'static>>, PrivateKeyDer<'static>)>,
    pub token: Option<String>,
}

impl Source {
    /// That of a pod, where this is one; else the kubelet's.
    pub fn of_this_place() -> Self {
        match (std::env::var("KUBERNETES_SERVICE_HOST"), std::env::var("KUBERNETES_SERVICE_PORT")) {
            (Ok(host), Ok(port)) => {
                let host = if host.contains(':') { format!("[{host}]") } else { host };
                let folder = Path::new(ACCOUNT);
                Self::Account {
                    server: format!("https://{host}:{port}"),
                    authority: folder.join("ca.crt"),
                    token: folder.join("token"),
                }
            }
            _ => Self::Kubeconfig(None),
        }
    }

    /// Reads all of it.
    ///
    /// # Errors
    /// [`IdentityError`].
    pub fn load(&self) -> Result<Identity, IdentityError> {
        let (place, access) = match self {
            Self::Kubeconfig(path) => {
                let found = || KUBECONFIGS.iter().map(PathBuf::from).find(|path| path.exists());
                let path = path.clone().or_else(found).ok_or(IdentityError::NoKubeconfig)?;
                let text = String::from_utf8_lossy(&read(&path)?).into_owned();
                let folder = path.parent().unwrap_or(Path::new("/"));
                let access = Access::parse(&text, folder)
                    .map_err(|source| IdentityError::Kubeconfig { path: path.clone(), source })?;
                (path, access)
            }
            Self::Account { server, authority, token } => {
                let access = Access {
                    server: server.clone(),
                    server_name: None,
                    authority: Content::File(authority.clone()),
                    credentials: Credentials::Token(Content::File(token.clone())),
                };
                (token.clone(), access)
            }
        };
        let (certificate, token) = match &access.credentials {
            Credentials::Certificate { chain, key } => {
                let none = || IdentityError::Pem("private key", key.place());
                let private = PrivateKeyDer::from_pem_slice(&key.bytes()?).map_err(|_| none())?;
                (Some((certificates(chain)?, private)), None)
            }
            Credentials::Token(token) => (None, Some(String::from_utf8_lossy(&token.bytes()?).trim().to_owned())),
        };
        Ok(Identity {
            place,
            server: access.server,
            server_name: access.server_name,
            authorities: certificates(&access.authority)?,
            certificate,
            token,
        })
    }
}

impl Identity {
    /// The node that it is the identity of: by its certificate; else this host's name, as kubelets have it.
    ///
    /// # Errors
    /// [`IdentityError::NoName`].
    pub fn node(&self) -> Result<String, IdentityError> {
        let certified = self.certificate.iter().flat_map(|(chain, _)| chain.first()).find_map(|leaf| node_of(leaf));
        let host = || Some(gethostname().ok()?.into_string().ok()?.trim().to_lowercase());
        certified.or_else(host).filter(|name| is_name(name)).ok_or(IdentityError::NoName)
    }
}

/// Whether a node may have this name, which becomes part of a path (RFC 1123).
pub fn is_name(name: &str) -> bool {
    let is_of_names = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
    !name.is_empty() && name.len() <= 253 && name.chars().all(is_of_names)
}

impl Content {
    fn bytes(&self) -> Result<Vec<u8>, IdentityError> {
        match self {
            Self::File(path) => read(path),
            Self::Bytes(bytes) => Ok(bytes.clone()),
        }
    }

    fn place(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Bytes(_) => "the kubeconfig".to_owned(),
        }
    }
}

fn certificates(content: &Content) -> Result<Vec<CertificateDer<'static>>, IdentityError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&content.bytes()?).collect();
    found.ok().filter(|found| !found.is_empty()).ok_or_else(|| IdentityError::Pem("certificate", content.place()))
}

fn read(path: &Path) -> Result<Vec<u8>, IdentityError> {
    fs::read(path).map_err(|source| IdentityError::Read { path: path.to_owned(), source })
}

/// The common name of a kubelet's certificate, by the string that begins as all of them do; before it stand its type and length (X.690).
#[must_use]
pub fn node_of(der: &[u8]) -> Option<String> {
    const PRINTABLE: u8 = 0x13;
    const UTF8: u8 = 0x0c;
    let at = der.windows(NODE_PREFIX.len()).position(|window| window == NODE_PREFIX)?;
    let (kind, length) = (*der.get(at.checked_sub(2)?)?, usize::from(*der.get(at - 1)?));
    let text = der.get(at..at + length).filter(|_| matches!(kind, PRINTABLE | UTF8) && length < 0x80)?;
    std::str::from_utf8(text.get(NODE_PREFIX.len()..)?).ok().map(str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nodes_name_is_that_of_the_certificate() {
        let subject = |kind: u8, name: &str| {
            [&[0x06, 3, 0x55, 4, 3, kind, u8::try_from(name.len()).unwrap()], name.as_bytes()].concat()
        };
        assert_eq!(node_of(&subject(0x13, "system:node:web-1")).as_deref(), Some("web-1"));
        assert_eq!(node_of(&subject(0x0c, "system:node:a.b")).as_deref(), Some("a.b"));
        assert_eq!(node_of(&subject(0x04, "system:node:a.b")), None);
        assert_eq!(node_of(b"system:node:web-1"), None);
        assert_eq!(node_of(&subject(0x13, "kubelet")), None);
    }

    #[test]
    fn a_name_that_would_be_another_path_is_none() {
        assert!(is_name("ip-10-0-0-1.eu-west-1.compute.internal"));
        for name in ["", "../x", "a/b", "A", "a b", &"a".repeat(254)] {
            assert!(!is_name(name), "{name}");
        }
    }

    #[test]
    fn a_token_is_read_anew_each_time() {
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name);
        fs::write(at("token"), "one\n").unwrap();
        fs::write(at("ca"), "-----BEGIN CERTIFICATE-----\nQ0E=\n-----END CERTIFICATE-----\n").unwrap();
        let source = Source::Account { server: "https://api".to_owned(), authority: at("ca"), token: at("token") };
        assert_eq!(source.load().unwrap().token.as_deref(), Some("one"));
        fs::write(at("token"), "two").unwrap();
        assert_eq!(source.load().unwrap().token.as_deref(), Some("two"));
        fs::write(at("ca"), "").unwrap();
        assert!(source.load().unwrap_err().to_string().starts_with("there is no certificate in /"));
    }
}

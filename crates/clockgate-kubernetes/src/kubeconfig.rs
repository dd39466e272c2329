//! The file by which the kubelet finds its API server, as data.

use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde::Deserialize;

use crate::yaml;

/// Why a kubeconfig cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KubeconfigError {
    #[error("it is no kubeconfig: {0}")]
    Syntax(String),
    #[error("it has no {kind} `{name}`")]
    Missing { kind: &'static str, name: String },
    #[error("it has {0} contexts and no current-context")]
    NoCurrent(usize),
    #[error("its cluster has insecure-skip-tls-verify: clockgate-kubernetes does not connect without verification")]
    Insecure,
    #[error("its cluster has no certificate-authority")]
    NoAuthority,
    #[error("its user has {0}, which clockgate-kubernetes cannot use: name a ServiceAccount's token by --token-file")]
    Unsupported(&'static str),
    #[error("its {0} is not base64")]
    Base64(&'static str),
}

/// A file, or what would be in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Content {
    File(PathBuf),
    Bytes(Vec<u8>),
}

/// Who the client is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credentials {
    Certificate { chain: Content, key: Content },
    Token(Content),
}

/// The server, and who is asking.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Access {
    /// `https://HOST[:PORT][/PATH]`.
    pub server: String,
    /// The name in its certificate, where that is another.
    pub server_name: Option<String>,
    pub authority: Content,
    pub credentials: Credentials,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Kubeconfig {
    #[serde(default)]
    clusters: Vec<NamedCluster>,
    #[serde(default)]
    contexts: Vec<NamedContext>,
    #[serde(default)]
    users: Vec<NamedUser>,
    #[serde(default)]
    current_context: Option<String>,
}

#[derive(Deserialize)]
struct NamedCluster {
    name: String,
    cluster: Cluster,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct Cluster {
    server: String,
    #[serde(default)]
    certificate_authority: Option<PathBuf>,
    #[serde(default)]
    certificate_authority_data: Option<String>,
    #[serde(default)]
    insecure_skip_tls_verify: Option<String>,
    #[serde(default)]
    tls_server_name: Option<String>,
}

#[derive(Deserialize)]
struct NamedContext {
    name: String,
    context: Context,
}

#[derive(Deserialize)]
struct Context {
    cluster: String,
    user: String,
}

#[derive(Deserialize)]
struct NamedUser {
    name: String,
    user: User,
}

#[derive(Deserialize)]
#[serde(rename_all = "kebab-case")]
struct User {
    #[serde(default)]
    client_certificate: Option<PathBuf>,
    #[serde(default)]
    client_certificate_data: Option<String>,
    #[serde(default)]
    client_key: Option<PathBuf>,
    #[serde(default)]
    client_key_data: Option<String>,
    #[serde(default)]
    token: Option<String>,
    #[serde(default, rename = "tokenFile")]
    token_file: Option<PathBuf>,
    #[serde(default)]
    exec: Option<serde_json::Value>,
}

impl Access {
    /// By the text of a kubeconfig; files that it names are relative to its folder.
    ///
    /// # Errors
    /// [`KubeconfigError`].
    pub fn parse(text: &str, folder: &Path) -> Result<Self, KubeconfigError> {
        let file: Kubeconfig = yaml::parse(text)
            .and_then(|tree| serde_json::from_value(tree).map_err(|error| error.to_string()))
            .map_err(KubeconfigError::Syntax)?;
        let missing = |kind, name: &str| KubeconfigError::Missing { kind, name: name.to_owned() };
        let context = match (file.current_context.as_deref().filter(|name| !name.is_empty()), &file.contexts[..]) {
            (Some(name), all) => all.iter().find(|one| one.name == name).ok_or_else(|| missing("context", name))?,
            (None, [only]) => only,
            (None, all) => return Err(KubeconfigError::NoCurrent(all.len())),
        };
        let Context { cluster, user } = &context.context;
        let cluster =
            &file.clusters.iter().find(|one| one.name == *cluster).ok_or_else(|| missing("cluster", cluster))?.cluster;
        let user = &file.users.iter().find(|one| one.name == *user).ok_or_else(|| missing("user", user))?.user;
        if cluster.insecure_skip_tls_verify.as_ref().is_some_and(|text| !text.eq_ignore_ascii_case("false")) {
            return Err(KubeconfigError::Insecure);
        }
        let content = |data: &Option<String>, path: &Option<PathBuf>, what| match (data, path) {
            (Some(data), _) => STANDARD
                .decode(data.trim())
                .map(|bytes| Some(Content::Bytes(bytes)))
                .map_err(|_| KubeconfigError::Base64(what)),
            (None, path) => Ok(path.as_ref().map(|path| Content::File(folder.join(path)))),
        };
        let authority =
            content(&cluster.certificate_authority_data, &cluster.certificate_authority, "certificate-authority-data")?
                .ok_or(KubeconfigError::NoAuthority)?;
        let chain = content(&user.client_certificate_data, &user.client_certificate, "client-certificate-data")?;
        let key = content(&user.client_key_data, &user.client_key, "client-key-data")?;
        let credentials = match (chain, key, &user.token_file, &user.token) {
            (Some(chain), Some(key), ..) => Credentials::Certificate { chain, key },
            (.., Some(file), _) => Credentials::Token(Content::File(folder.join(file))),
            (.., Some(token)) => Credentials::Token(Content::Bytes(token.clone().into_bytes())),
            _ if user.exec.is_some() => return Err(KubeconfigError::Unsupported("exec")),
            _ => return Err(KubeconfigError::Unsupported("no certificate and no token")),
        };
        Ok(Self {
            server: cluster.server.clone(),
            server_name: cluster.tls_server_name.clone(),
            authority,
            credentials,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// As kubeadm writes it.
    const KUBELET: &str = "apiVersion: v1
clusters:
- cluster:
    certificate-authority-data: Q0E=
    server: https://10.0.0.1:6443
  name: kubernetes
contexts:
- context:
    cluster: kubernetes
    user: system:node:web-1
  name: system:node:web-1@kubernetes
current-context: system:node:web-1@kubernetes
kind: Config
preferences: {}
users:
- name: system:node:web-1
  user:
    client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem
    client-key: /var/lib/kubelet/pki/kubelet-client-current.pem
";

    fn parse(text: &str) -> Result<Access, String> {
        Access::parse(text, Path::new("/etc/kubernetes")).map_err(|error| error.to_string())
    }

    #[test]
    fn the_kubelets_own_file_is_read() {
        let current = || Content::File("/var/lib/kubelet/pki/kubelet-client-current.pem".into());
        let expected = Access {
            server: "https://10.0.0.1:6443".to_owned(),
            server_name: None,
            authority: Content::Bytes(b"CA".to_vec()),
            credentials: Credentials::Certificate { chain: current(), key: current() },
        };
        assert_eq!(parse(KUBELET), Ok(expected));
    }

    #[test]
    fn a_token_a_name_of_the_server_and_files_beside_the_kubeconfig() {
        let text = KUBELET
            .replace("certificate-authority-data: Q0E=", "certificate-authority: ca.crt\n    tls-server-name: api")
            .replace(
                "client-certificate: /var/lib/kubelet/pki/kubelet-client-current.pem\n    client-key",
                "tokenFile",
            );
        let access = parse(&text).unwrap();
        assert_eq!(access.server_name.as_deref(), Some("api"));
        assert_eq!(access.authority, Content::File("/etc/kubernetes/ca.crt".into()));
        let token = Content::File("/var/lib/kubelet/pki/kubelet-client-current.pem".into());
        assert_eq!(access.credentials, Credentials::Token(token));
    }

    #[test]
    fn what_cannot_be_used_is_named() {
        let insecure = KUBELET.replace("certificate-authority-data: Q0E=", "insecure-skip-tls-verify: true");
        assert!(parse(&insecure).unwrap_err().contains("insecure-skip-tls-verify"));
        let verified = KUBELET.replace("server:", "insecure-skip-tls-verify: false\n    server:");
        assert!(parse(&verified).is_ok(), "{verified}");
        let exec = KUBELET.split("    client-certificate").next().unwrap().to_owned() + "    exec: {command: aws}\n";
        assert!(parse(&exec).unwrap_err().contains("exec"), "{exec}");
        assert!(parse(&KUBELET.replace("Q0E=", "Q!")).unwrap_err().contains("certificate-authority-data"));
        assert_eq!(
            parse(&KUBELET.replace("    cluster: kubernetes", "    cluster: x")).unwrap_err(),
            "it has no cluster `x`"
        );
        assert_eq!(parse("a: b").unwrap_err(), "it has 0 contexts and no current-context");
        assert!(parse("- a").unwrap_err().starts_with("it is no kubeconfig: "));
    }
}

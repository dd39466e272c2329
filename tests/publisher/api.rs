//! What a test asks the API server itself, as somebody.

use std::fs;
use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use serde_json::Value;

use crate::support::{Outcome, ensure, fail};

/// How long an answer may take.
const PATIENCE: Duration = Duration::from_secs(60);

/// Who asks.
#[derive(Clone)]
pub enum Who {
    /// By `NAME.crt` and `NAME.key`.
    Certificate(&'static str),
    Token(String),
}

/// An API server, with the folder of the cluster's certificates.
#[derive(Clone)]
pub struct Api {
    pub address: Ipv4Addr,
    pub port: u16,
    pub folder: PathBuf,
}

impl Api {
    /// Asks as the administrator, and wants a success.
    pub fn admin(&self, method: &str, path: &str, body: &Value) -> Outcome<Value> {
        let (status, answer) = self.ask(&Who::Certificate("admin"), method, path, body)?;
        ensure((200..300).contains(&status), format!("{method} {path}: {status}: {answer}"))?;
        Ok(answer)
    }

    /// The status of the answer, and what it says.
    pub fn ask(&self, who: &Who, method: &str, path: &str, body: &Value) -> Outcome<(u16, Value)> {
        let mut stream = self.connect(who)?;
        let kind = if method == "PATCH" { "application/strategic-merge-patch+json" } else { "application/json" };
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let token = match who {
            Who::Token(token) => format!("Authorization: Bearer {token}\r\n"),
            Who::Certificate(_) => String::new(),
        };
        // Whoever asks by HTTP/1.0 gets no pieces.
        write!(
            stream,
            "{method} {path} HTTP/1.0\r\nHost: localhost\r\nAccept: application/json\r\nContent-Type: {kind}\r\n{token}Content-Length: {}\r\n\r\n{body}",
            body.len()
        )?;
        let mut answer = vec![];
        // It may hang up without a notice of TLS.
        let _ = stream.read_to_end(&mut answer);
        let answer = String::from_utf8_lossy(&answer);
        let Some((head, body)) = answer.split_once("\r\n\r\n") else { return fail(format!("no answer: {answer:?}")) };
        let status = head.split(' ').nth(1).and_then(|status| status.parse().ok()).ok_or("no status")?;
        Ok((status, serde_json::from_str(body).unwrap_or_else(|_| Value::from(body))))
    }

    fn connect(&self, who: &Who) -> Outcome<StreamOwned<ClientConnection, TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(self.folder.join("ca.crt"))?)?;
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()?
            .with_root_certificates(roots);
        let config = match who {
            Who::Certificate(name) => {
                let (chain, key) = identity(&self.folder, name)?;
                config.with_client_auth_cert(chain, key)?
            }
            Who::Token(_) => config.with_no_client_auth(),
        };
        let connection = ClientConnection::new(Arc::new(config), ServerName::try_from("localhost")?)?;
        let socket = TcpStream::connect((self.address, self.port))?;
        socket.set_read_timeout(Some(PATIENCE))?;
        Ok(StreamOwned::new(connection, socket))
    }

    /// A node, as its kubelet would make it, with a condition of the kubelet's.
    pub fn make_node(&self, name: &str) -> Outcome {
        let node = serde_json::json!({ "apiVersion": "v1", "kind": "Node", "metadata": { "name": name } });
        self.admin("POST", "/api/v1/nodes", &node)?;
        let ready = serde_json::json!({ "status": { "conditions": [
            { "type": "Ready", "status": "True", "reason": "KubeletReady", "message": "it is the test's" }] } });
        self.admin("PATCH", &format!("/api/v1/nodes/{name}/status"), &ready).map(drop)
    }

    /// A condition of a node, by its type.
    pub fn condition(&self, node: &str, kind: &str) -> Outcome<Option<Value>> {
        let node = self.admin("GET", &format!("/api/v1/nodes/{node}"), &Value::Null)?;
        let conditions = node["status"]["conditions"].as_array().cloned().unwrap_or_default();
        Ok(conditions.into_iter().find(|one| one["type"] == kind))
    }

    /// Ours: its status and reason.
    pub fn ours(&self, node: &str) -> Outcome<Option<(String, String)>> {
        let found = self.condition(node, "clockgate.org/ClockTrusted")?;
        let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
        Ok(found.map(|found| (text(&found["status"]), text(&found["reason"]))))
    }

    /// The notes of the events of a node, as `kubectl describe node` looks for them.
    pub fn events(&self, node: &str) -> Outcome<Vec<String>> {
        let path = format!("/api/v1/namespaces/default/events?fieldSelector=involvedObject.uid%3D{node}");
        let events = self.admin("GET", &path, &Value::Null)?;
        let all = events["items"].as_array().cloned().unwrap_or_default();
        Ok(all
            .iter()
            .map(|event| format!("{}: {}", event["reason"].as_str().unwrap_or_default(), event["message"]))
            .collect())
    }
}

type Keys = (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>);

fn identity(folder: &Path, name: &str) -> Outcome<Keys> {
    let at = |ending| folder.join(name).with_extension(ending);
    let chain = CertificateDer::from_pem_slice(&fs::read(at("crt"))?)?;
    Ok((vec![chain], PrivateKeyDer::from_pem_slice(&fs::read(at("key"))?)?))
}

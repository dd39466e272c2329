//! A real API server with its etcd, at an address of the test's own or on loopback: as strict as a cluster's, without anything that runs pods.

use std::fs;
use std::net::{Ipv4Addr, TcpListener};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use nix::sys::signal::{Signal, kill};
use serde_json::{Value, json};

use crate::api::Api;
use crate::authority::Authority;
use crate::support::{Ours, Outcome, fail, laboratory, process, until_answered};

/// A busy machine takes a minute for what takes an idle one five seconds.
const STARTED_WITHIN: Duration = Duration::from_secs(300);
/// By how much the certificate for [`LATER`] is ahead of this machine's clock, seconds.
pub const AHEAD: i64 = 3600;
/// The name by which the server shows that certificate.
pub const LATER: &str = "later.example";

/// What a test needs of the laboratory.
pub fn lacks() -> Option<String> {
    laboratory::missing(&["kubernetes/bin/kube-apiserver", "kubernetes/bin/etcd"])
}

/// The cluster; its processes end with it.
pub struct Cluster {
    pub api: Api,
    authority: Authority,
    folder: tempfile::TempDir,
    etcd: Ours,
    servers: Vec<(u16, Ours)>,
    etcd_port: u16,
}

impl Cluster {
    /// Starts it with these nodes, none of which has a kubelet; its server is at this address of ours.
    pub fn start(address: Ipv4Addr, nodes: &[&str]) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path())?;
        authority.signs_server("server", &["localhost", &address.to_string()], 0)?;
        authority.signs_server("later", &[LATER], AHEAD)?;
        authority.signs_client("admin", "admin", "system:masters")?;
        fs::write(
            folder.path().join("audit.yaml"),
            "apiVersion: audit.k8s.io/v1\nkind: Policy\nrules:\n- level: Metadata\n  omitStages: [RequestReceived]\n",
        )?;
        let [etcd_port, peers, port] = free_ports()?;
        let mut etcd = etcd(folder.path(), etcd_port, peers)?;
        let api = Api { address, port, folder: folder.path().to_owned() };
        let mut server = server(&api, etcd_port)?;
        until_ready(&api, &mut [("etcd.log", &mut etcd), (&log_name(port), &mut server)])?;
        let cluster = Self { api, authority, folder, etcd, servers: vec![(port, server)], etcd_port };
        for node in nodes {
            cluster.join(node)?;
        }
        Ok(cluster)
    }

    /// One more node, with the certificate of its kubelet.
    pub fn join(&self, node: &str) -> Outcome {
        self.authority.signs_client(node, &format!("system:node:{node}"), "system:nodes")?;
        self.api.make_node(node)
    }

    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// A second server of the same cluster, for a test that kills it.
    pub fn start_another(&mut self) -> Outcome<Api> {
        let [port] = free_ports()?;
        let another = Api { port, ..self.api.clone() };
        self.restart(&another)?;
        Ok(another)
    }

    /// Kills a server.
    pub fn kill(&mut self, api: &Api) {
        self.servers.retain(|(port, _)| *port != api.port);
    }

    /// What the servers ask of their store has no answer from now on, or has one again.
    pub fn signal_store(&self, signal: Signal) -> Outcome {
        Ok(kill(self.etcd.pid(), signal)?)
    }

    /// Starts it again, at the same port.
    pub fn restart(&mut self, api: &Api) -> Outcome {
        let mut server = server(api, self.etcd_port)?;
        until_ready(api, &mut [(&log_name(api.port), &mut server)])?;
        self.servers.push((api.port, server));
        Ok(())
    }

    /// A kubeconfig as a kubelet's, with files beside it.
    pub fn kubeconfig(&self, node: &str, port: u16) -> Outcome<PathBuf> {
        let server = json!({ "server": format!("https://{}:{port}", self.api.address) });
        kubeconfig(self.folder(), node, &format!("{node}-{port}.conf"), server)
    }

    /// The same by the name whose certificate is ahead of our clock.
    pub fn kubeconfig_of_later(&self, node: &str) -> Outcome<PathBuf> {
        let server = format!("https://{}:{}", self.api.address, self.api.port);
        let cluster = json!({ "server": server, "tls-server-name": LATER });
        kubeconfig(self.folder(), node, &format!("{node}-later.conf"), cluster)
    }

    /// How many requests of a user the servers have answered, by verb and what they were about.
    pub fn requests(&self, user: &str, verb: &str, subject: &str) -> Outcome<usize> {
        let is_it = |line: &Value| {
            line["user"]["username"] == user
                && line["verb"] == verb
                && line["requestURI"].as_str().is_some_and(|uri| uri.contains(subject))
        };
        Ok(self.audit()?.iter().filter(|line| is_it(line)).count())
    }

    /// What the servers have written of the requests that they answered.
    pub fn audit(&self) -> Outcome<Vec<Value>> {
        let mut all = vec![];
        for (port, _) in &self.servers {
            let log = fs::read_to_string(self.folder.path().join(audit_name(*port)))?;
            all.extend(log.lines().filter_map(|line| serde_json::from_str(line).ok()));
        }
        Ok(all)
    }
}

/// The kubeconfig of this name in a folder, by the certificates beside it.
pub fn kubeconfig(folder: &Path, user: &str, name: &str, mut cluster: Value) -> Outcome<PathBuf> {
    cluster["certificate-authority"] = json!("ca.crt");
    let identity = json!({ "client-certificate": format!("{user}.crt"), "client-key": format!("{user}.key") });
    // JSON is YAML.
    let config = json!({
        "apiVersion": "v1", "kind": "Config", "current-context": "c",
        "clusters": [{ "name": "k", "cluster": cluster }],
        "users": [{ "name": "u", "user": identity }],
        "contexts": [{ "name": "c", "context": { "cluster": "k", "user": "u" } }],
    });
    let path = folder.join(name);
    fs::write(&path, config.to_string())?;
    Ok(path)
}

fn program(name: &str) -> Command {
    let mut command = process::harmless("setpriv");
    command.args(["--pdeathsig", "KILL", "--"]).arg(laboratory::folder().join("kubernetes/bin").join(name));
    command
}

fn etcd(folder: &Path, port: u16, peers: u16) -> Outcome<Ours> {
    let (clients, peers) = (format!("http://127.0.0.1:{port}"), format!("http://127.0.0.1:{peers}"));
    let mut command = program("etcd");
    command.args(["--name", "default", "--unsafe-no-fsync", "--data-dir"]).arg(folder.join("etcd"));
    command.args(["--listen-client-urls", &clients, "--advertise-client-urls", &clients]);
    command.args(["--listen-peer-urls", &peers, "--initial-advertise-peer-urls", &peers]);
    command.args(["--initial-cluster", &format!("default={peers}")]);
    Ours::logged(&mut command, &folder.join("etcd.log"))
}

fn server(api: &Api, etcd: u16) -> Outcome<Ours> {
    let Api { address, port, folder } = api;
    let at = |name: &str| folder.join(name).display().to_string();
    let mut command = program("kube-apiserver");
    command.args([
        format!("--etcd-servers=http://127.0.0.1:{etcd}"),
        format!("--secure-port={port}"),
        format!("--bind-address={address}"),
        format!("--advertise-address={address}"),
        "--endpoint-reconciler-type=none".to_owned(),
        format!("--tls-cert-file={}", at("server.crt")),
        format!("--tls-private-key-file={}", at("server.key")),
        format!("--tls-sni-cert-key={},{}", at("later.crt"), at("later.key")),
        format!("--client-ca-file={}", at("ca.crt")),
        // A key as PKCS #8 has it is one to sign by, and none to verify by.
        format!("--service-account-key-file={}", at("admin.crt")),
        format!("--service-account-signing-key-file={}", at("admin.key")),
        "--service-account-issuer=https://kubernetes.default.svc".to_owned(),
        "--authorization-mode=Node,RBAC".to_owned(),
        "--enable-admission-plugins=NodeRestriction".to_owned(),
        // Without its controller no account has a secret that a pod could mount.
        "--disable-admission-plugins=ServiceAccount".to_owned(),
        "--service-cluster-ip-range=10.77.0.0/24".to_owned(),
        format!("--audit-policy-file={}", at("audit.yaml")),
        format!("--audit-log-path={}", at(&audit_name(*port))),
        "--audit-log-mode=blocking".to_owned(),
    ]);
    Ours::logged(&mut command, &folder.join(log_name(*port)))
}

fn log_name(port: u16) -> String {
    format!("server-{port}.log")
}

/// What a server writes of its requests, in the folder of the cluster.
pub fn audit_name(port: u16) -> String {
    format!("audit-{port}.log")
}

/// Until it has made the roles that every cluster has. What ends meanwhile, of those with these logs, will never make them.
fn until_ready(api: &Api, running: &mut [(&str, &mut Ours)]) -> Outcome {
    let mut ready = || {
        for (log, Ours(child)) in &mut *running {
            if let Some(status) = child.try_wait()? {
                return fail(format!("it ended with {status}: {:#?}", last_lines(&api.folder.join(log))));
            }
        }
        Ok(is_ready(api))
    };
    until_answered("the API server", STARTED_WITHIN, &mut ready)
        .map_err(|failed| format!("{failed:?}: {:#?}", last_lines(&api.folder.join(log_name(api.port)))).into())
}

fn is_ready(api: &Api) -> Option<()> {
    let roles = api.admin("GET", "/apis/rbac.authorization.k8s.io/v1/clusterroles/system:node", &Value::Null).ok()?;
    let is_healthy = api.admin("GET", "/readyz", &Value::Null).is_ok();
    (roles["metadata"]["name"] == "system:node" && is_healthy).then_some(())
}

fn last_lines(log: &Path) -> Vec<String> {
    let text = fs::read_to_string(log).unwrap_or_default();
    let from = text.lines().count().saturating_sub(20);
    text.lines().skip(from).map(str::to_owned).collect()
}

/// Ports that are free now.
fn free_ports<const N: usize>() -> Outcome<[u16; N]> {
    let held = (0..N).map(|_| TcpListener::bind("127.0.0.1:0")).collect::<Result<Vec<_>, _>>()?;
    let ports = held.iter().map(|one| Ok(one.local_addr()?.port())).collect::<Outcome<Vec<u16>>>()?;
    ports.try_into().map_err(|_| "as many as were asked for".into())
}

/// Waits until a node's condition of ours is this.
pub fn until_condition(api: &Api, node: &str, expected: (&str, &str)) -> Outcome {
    let mut last = None;
    let is_so = || {
        last = api.ours(node)?;
        let is_so = last.as_ref().is_some_and(|(status, reason)| (status.as_str(), reason.as_str()) == expected);
        Ok(is_so.then_some(()))
    };
    until_answered(&format!("{node} is {expected:?}"), Duration::from_secs(120), is_so)
        .map_err(|failed| format!("{failed:?}; it is {last:?}").into())
}

//! What somebody tries who does not know the publisher: wrong files, no page, no right, no node, and an end in the middle of it all.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::time::Duration;

use serde_json::{Value, json};

use crate::authority::Authority;
use crate::cluster::{Cluster, kubeconfig, until_condition};
use crate::publisher::Publisher;
use crate::support::gate_page::proven;
use crate::support::{Outcome, ensure, expect, texts, until, until_answered};
use crate::unruly::{Manner, Unruly};
use crate::{FALSE, TRUE, at_once, patches, proven_in, restored, token_of};

const SOON: Duration = Duration::from_secs(120);

/// A server that behaves, and a kubeconfig for it.
struct Place {
    folder: tempfile::TempDir,
    server: Unruly,
    kubeconfig: PathBuf,
}

impl Place {
    fn new(manner: Manner) -> Outcome<Self> {
        let folder = tempfile::tempdir()?;
        let authority = Authority::new(folder.path())?;
        authority.signs_server("server", &["localhost", "127.0.0.1"], 0)?;
        authority.signs_client("node", "system:node:node", "system:nodes")?;
        authority.signs_client("other", "system:node:other", "system:nodes")?;
        let server = Unruly::start(folder.path(), manner)?;
        let cluster = json!({ "server": format!("https://localhost:{}", server.port) });
        let kubeconfig = kubeconfig(folder.path(), "node", "node.conf", cluster)?;
        Ok(Self { folder, server, kubeconfig })
    }

    /// Waits for a write of this status and reason after the ones that were there.
    fn until_written(&self, before: usize, status: &str, reason: &str) -> Outcome {
        let is_so = |body: &Value| {
            let condition = &body["status"]["conditions"][0];
            condition["status"] == status && condition["reason"] == reason
        };
        until(&format!("{status} {reason}"), SOON, || self.server.taken()[before..].iter().any(is_so))
            .map_err(|failed| format!("{failed:?}: {:?}", self.server.taken()).into())
    }
}

fn called(program: &Path, words: &[&str]) -> Outcome<Output> {
    let mut command = Command::new(program);
    Ok(command.args(words).env_remove("NODE_NAME").env_remove("KUBERNETES_SERVICE_HOST").output()?)
}

/// What is wrong, what a kubeconfig has in the place of what, and what is said of that.
const MENDED: [(&str, &str, &str, &str); 9] = [
    ("no text", "{", "\u{0}{", "it is no kubeconfig"),
    ("no cluster", "\"name\":\"k\"", "\"name\":\"other\"", "it has no cluster `k`"),
    ("no context", "\"current-context\":\"c\"", "\"current-context\":\"other\"", "it has no context `other`"),
    ("no authority", "\"ca.crt\"", "\"none.crt\"", "cannot read "),
    ("an authority without a certificate", "\"ca.crt\"", "\"node.key\"", "there is no certificate in "),
    ("no certificate", "\"node.crt\"", "\"none.crt\"", "cannot read "),
    ("another certificate's key", "\"node.key\"", "\"other.key\"", "cannot set up TLS"),
    ("no verification", "\"server\":", "\"insecure-skip-tls-verify\":true,\"server\":", "insecure-skip-tls-verify"),
    ("no TLS", "https://", "http://", "is no address of an API server"),
];

/// Each is named, and used once it is mended.
pub fn kubeconfigs(program: &Path) -> Outcome {
    at_once(&MENDED, |(_, from, to, words)| {
        let place = Place::new(Manner::Well)?;
        let right = fs::read_to_string(&place.kubeconfig)?;
        ensure(right.contains(from), format!("{from} is not in {right}"))?;
        fs::write(&place.kubeconfig, right.replacen(from, to, 1))?;
        let publisher = Publisher::start(program, &place.kubeconfig, &proven())?;
        publisher.says(words)?;
        let path = place.kubeconfig.display().to_string();
        let removed = called(program, &["remove", "--kubeconfig", &path])?;
        expect(texts(&removed).1.contains(words) && matches!(removed.status.code(), Some(69 | 78)), &removed)?;
        fs::write(&place.kubeconfig, &right)?;
        place.until_written(0, "True", "Proven")
    })
}

pub fn command_line(program: &Path) -> Outcome {
    let version = format!("clockgate-kubernetes {}\n", env!("CARGO_PKG_VERSION"));
    for (words, begins) in
        [(["--help"], "Publishes "), (["-h"], "Publishes "), (["--version"], &version), (["-V"], &version)]
    {
        let output = called(program, &words)?;
        let (printed, said) = texts(&output);
        expect(output.status.success() && printed.starts_with(begins) && said.is_empty(), &output)?;
    }
    let wrong: [(&[&str], &str); 6] = [
        (&["publish"], "publish"),
        (&["--kubeconfig"], "kubeconfig"),
        (&["--node", "NODE_1"], "`NODE_1` is no name of a node"),
        (&["--server", "https://a"], "--ca-file"),
        (&["remove", "remove"], "remove"),
        (&["--no-such-option"], "no-such-option"),
    ];
    for (words, why) in wrong {
        let output = called(program, words)?;
        expect(output.status.code() == Some(2) && texts(&output).1.contains(why), &output)?;
    }
    Ok(())
}

/// No page, one that comes, one in its place, and one that no agent writes any more.
pub fn pages(program: &Path) -> Outcome {
    let place = Place::new(Manner::Well)?;
    let mut publisher = Publisher::start(program, &place.kubeconfig, &proven())?;
    place.until_written(0, "True", "Proven")?;
    let before = place.server.taken().len();
    publisher.loses_page()?;
    place.until_written(before, "Unknown", "AgentGone")?;
    let before = place.server.taken().len();
    publisher.gets_page(&restored(2))?;
    place.until_written(before, "False", "Restored")?;
    // As an agent of a later version may write it, under the same name.
    let before = place.server.taken().len();
    publisher.gets_file(b"no page at all")?;
    place.until_written(before, "Unknown", "AgentGone")?;
    let before = place.server.taken().len();
    publisher.gets_page(&proven_in(3))?;
    place.until_written(before, "True", "Proven")
}

/// At a server that never answers, and at a name server that never does.
pub fn stopped(program: &Path) -> Outcome {
    let place = Place::new(Manner::Silent)?;
    let mut publisher = Publisher::start(program, &place.kubeconfig, &proven())?;
    place.server.until_asked(1)?;
    publisher.stop()?;
    publisher.says("the condition stays as it was: no answer within 2s")?;
    // Where this is no node yet.
    let mut waiting = Publisher::start_with(program, &["--kubeconfig", "/nonexistent"], &proven())?;
    waiting.says("waiting until this is a node: cannot read /nonexistent")?;
    waiting.stop()
}

pub fn in_a_pod(program: &Path) -> Outcome {
    let place = Place::new(Manner::Well)?;
    fs::write(place.folder.path().join("token"), "of the account\n")?;
    let publisher = Publisher::start_in_a_pod(program, (place.folder.path(), place.server.port), &proven())?;
    publisher.says("publishing clockgate.org/ClockTrusted of node web-1")?;
    place.until_written(0, "True", "Proven")
}

pub fn stopped_without_names(program: &Path) -> Outcome {
    let place = Place::new(Manner::Well)?;
    let cluster = json!({ "server": "https://api.example:6443" });
    let path = kubeconfig(place.folder.path(), "node", "named.conf", cluster)?.display().to_string();
    let mut publisher = Publisher::start_without_names(program, &["--kubeconfig", &path], &proven())?;
    publisher.says("the condition is not published: no answer within 5s")?;
    publisher.stop()
}

/// A role for conditions alone, as somebody may grant it.
pub fn mute(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("mute-1", cluster.api.clone());
    let name = json!({ "name": "mute" });
    let role = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRole", "metadata": name,
        "rules": [{ "apiGroups": [""], "resources": ["nodes/status"], "verbs": ["patch"] }] });
    let binding = json!({ "apiVersion": "rbac.authorization.k8s.io/v1", "kind": "ClusterRoleBinding", "metadata": name,
        "roleRef": { "apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "mute" },
        "subjects": [{ "kind": "ServiceAccount", "name": "mute", "namespace": "default" }] });
    let account = json!({ "apiVersion": "v1", "kind": "ServiceAccount", "metadata": name });
    api.admin("POST", "/api/v1/namespaces/default/serviceaccounts", &account)?;
    api.admin("POST", "/apis/rbac.authorization.k8s.io/v1/clusterroles", &role)?;
    api.admin("POST", "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings", &binding)?;
    let token = cluster.folder().join("mute.token");
    fs::write(&token, token_of(&api, "default", "mute")?)?;
    let server = format!("https://localhost:{}", api.port);
    let authority = cluster.folder().join("ca.crt").display().to_string();
    let token = token.display().to_string();
    let arguments = ["--server", &server, "--ca-file", &authority, "--token-file", &token, "--node", node];
    let mut publisher = Publisher::start_with(program, &arguments, &proven_in(1))?;
    until_condition(&api, node, TRUE)?;
    publisher.page_says(&proven_in(2))?;
    publisher.says("the event is not published: the API server answered 403 Forbidden: events is forbidden")?;
    publisher.page_says(&restored(3))?;
    until_condition(&api, node, FALSE)?;
    ensure(!publisher.log().contains("takes the condition again"), publisher.log())
}

pub fn absent(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("absent-1", cluster.api.clone());
    let path = format!("/api/v1/nodes/{node}");
    api.admin("DELETE", &path, &Value::Null)?;
    let mut publisher = Publisher::start(program, &cluster.kubeconfig(node, api.port)?, &proven_in(1))?;
    publisher.says("answered 404 Not Found: nodes \"absent-1\" not found")?;
    api.make_node(node)?;
    until_condition(&api, node, TRUE)?;
    api.admin("DELETE", &path, &Value::Null)?;
    // Each server has a log of its own.
    let refused = || -> Outcome<usize> {
        let is_refused = |line: &&Value| line["responseStatus"]["code"] == 404 && line["verb"] == "patch";
        Ok(cluster.audit()?.iter().filter(is_refused).count())
    };
    let before = refused()?;
    publisher.page_says(&restored(2))?;
    until_answered("another 404", SOON, || Ok((refused()? > before).then_some(())))?;
    // As it was published of the node that is gone; the new one has no time of it.
    publisher.page_says(&proven_in(2))?;
    api.make_node(node)?;
    until_condition(&api, node, TRUE)?;
    let whole = api.condition(node, "clockgate.org/ClockTrusted")?.unwrap_or_default();
    ensure(whole["lastTransitionTime"].as_str().is_some_and(|time| !time.is_empty()), whole.to_string())
}

pub fn twins(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("twins-1", cluster.api.clone());
    let kubeconfig = cluster.kubeconfig(node, api.port)?;
    let mut one = Publisher::start(program, &kubeconfig, &proven_in(1))?;
    let other = Publisher::start_beside(program, &kubeconfig, &one)?;
    for publisher in [&one, &other] {
        publisher.says("published True: Proven")?;
    }
    one.page_says(&restored(2))?;
    for publisher in [&one, &other] {
        publisher.says("published False: Restored")?;
    }
    until_condition(&api, node, FALSE)?;
    one.page_says(&proven_in(2))?;
    let event = || Ok(Some(api.events(node)?).filter(|all| !all.is_empty()));
    until_answered("an event", SOON, event)?;
    let user = format!("system:node:{node}");
    let both = || Ok((cluster.requests(&user, "create", "/events")? == 2).then_some(()));
    until_answered("both have written it", SOON, both)?;
    // Each says it at the start, at the disruption and at its end.
    until_answered("all of both is published", SOON, || Ok((patches(cluster, node)? >= 6).then_some(())))?;
    until_condition(&api, node, TRUE)?;
    let (events, patches, logs) = (api.events(node)?.len(), patches(cluster, node)?, one.log() + &other.log());
    ensure(
        events == 1 && patches == 6 && !logs.contains("not published"),
        format!("{events} events, {patches} patches: {logs}"),
    )
}

//! What a cluster sees of a node whose clock is wrong: agent and publisher in the guest, and across the network a real API server whose
//! clock is right.

use std::path::Path;
use std::process::Command;
use std::time::Duration;

use serde_json::Value;

use super::{Listed, gate, night};
use crate::api::{Api, Who};
use crate::cluster::{Cluster, lacks, until_condition};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, fail, folder, laboratory, until};
use crate::support::{expect, packages, small, texts};

pub const SCENARIOS: &[Listed] =
    &[("fleet::a_cluster_sees_true_false_and_true_of_a_node_that_is_an_hour_behind_its_api_server", seen)];

const NODE: &str = "web-1";
const CONDITION: &str = "clockgate.org/ClockTrusted";
const UNIT: &str = "clockgate-kubernetes.service";
const HOUR: i64 = 3600;
const LONG: Duration = Duration::from_secs(120);

fn seen(guest: &Guest, world: &World) -> Outcome {
    if let Some(missing) = lacks().or_else(|| laboratory::missing(&["kubernetes/bin/kubectl"])) {
        return fail(missing);
    }
    let cluster = Cluster::start(world.address(2), &[NODE])?;
    let api = &cluster.api;
    install(guest, world, &cluster)?;
    // It measures, and leaves the clock as it is.
    let servers = format!("servers: [{}]\ndeadline: 1h\n", world.truth.address());
    gate::start_with(guest, &format!("{servers}correction: none\n"))?;
    gate::proven(guest)?;
    guest.sh(&format!("systemctl start {UNIT}"))?;
    until_condition(api, NODE, ("True", "Proven"))?;
    let shown = described(&cluster)?;
    ensure(shown.contains(" True ") && shown.contains("Proven"), shown)?;

    guest.sh("date -u -s '1 hour ago'")?;
    until_condition(api, NODE, ("False", "ForeignStep"))?;
    let shut = until("the condition says how wrong the clock is", LONG, || {
        let found = api.condition(NODE, CONDITION)?.unwrap_or_default();
        Ok(found["message"]
            .as_str()
            .is_some_and(|text| text.contains("; clock was 1 h 0 min 0 s behind"))
            .then_some(found))
    })?;
    let shown = described(&cluster)?;
    println!("fleet: {shown}");
    ensure(shown.contains(" False ") && shown.contains("ForeignStep"), shown)?;
    let times = ["lastHeartbeatTime", "lastTransitionTime"].map(|name| is_of_the_server(api, &shut[name]));
    ensure(times == [Ok(true), Ok(true)], format!("times of a wrong clock: {shut}"))?;

    // By the kernel's clock alone, the certificate is of the future, and it is not believed.
    let alone = guest.run_within("clockgate-kubernetes remove --page /nonexistent", LONG)?;
    ensure(alone.code == 69 && alone.err.contains("not valid yet"), format!("{}: {}", alone.code, alone.err))?;
    // Another process has its time from the page alone: it says that the first one leaves, and what the gate is.
    guest.sh_within(&format!("systemctl restart {UNIT}"), LONG)?;
    until_condition(api, NODE, ("False", "ForeignStep"))?;
    let off = guest.offset()?;
    ensure((off.abs().as_secs_f64() - 3600.0).abs() < 60.0, format!("off by {off} while all of that was written"))?;
    refused(&cluster)?;

    guest.put("/etc/clockgate/config.yaml", &servers)?;
    guest.sh("systemctl reload clockgate")?;
    gate::proven(guest)?;
    until_condition(api, NODE, ("True", "Proven"))?;
    // True, False, the end of the first process, False, True; and perhaps a later reason of the same status.
    let writes = cluster.requests(&format!("system:node:{NODE}"), "patch", "/status")?;
    ensure((5..=6).contains(&writes), format!("{writes} writes"))?;
    guest.sh(&format!("systemctl stop {UNIT}; rm -r /etc/kubernetes"))?;
    night::over(guest)
}

/// The unit as it is shipped, and what a kubelet has.
fn install(guest: &Guest, world: &World, cluster: &Cluster) -> Outcome {
    let folder = std::fs::canonicalize(world.run())?.join("publisher");
    packages::strip(&small::build_of("clockgate-kubernetes", &["--bins"])?, &folder)?;
    guest.sh(&format!("mkdir -p /run/publisher; mount -t hostfs -o {} none /run/publisher", folder.display()))?;
    guest.sh("cp /run/publisher/clockgate-kubernetes /usr/bin/")?;
    let project = Path::new(env!("CARGO_MANIFEST_DIR"));
    let unit = std::fs::read_to_string(project.join("packaging/kubernetes").join(UNIT))?;
    guest.put(&format!("/etc/systemd/system/{UNIT}"), &unit)?;
    let kubeconfig = cluster.kubeconfig(NODE, cluster.api.port)?;
    guest.put("/etc/kubernetes/kubelet.conf", &std::fs::read_to_string(kubeconfig)?)?;
    for name in ["ca.crt", "web-1.crt", "web-1.key"] {
        guest.put(&format!("/etc/kubernetes/{name}"), &std::fs::read_to_string(cluster.folder().join(name))?)?;
    }
    guest.sh("systemctl daemon-reload").map(drop)
}

/// The line of the condition, as `kubectl describe node` has it.
fn described(cluster: &Cluster) -> Outcome<String> {
    let mut kubectl = Command::new(folder().join("kubernetes/bin/kubectl"));
    kubectl.arg("--kubeconfig").arg(cluster.kubeconfig("admin", cluster.api.port)?).args(["describe", "node", NODE]);
    let output = kubectl.env("HOME", cluster.folder()).output()?;
    expect(output.status.success(), &output)?;
    let shown = texts(&output).0;
    Ok(shown.lines().find(|line| line.contains(CONDITION)).map_or_else(|| shown.clone(), str::to_owned))
}

/// Whether a time is within ten minutes of now, as the API server's own clock has it.
fn is_of_the_server(api: &Api, time: &Value) -> Result<bool, String> {
    let body = serde_json::json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": "now" } });
    let dry = api.admin("POST", "/api/v1/namespaces?dryRun=All", &body).map_err(|failed| format!("{failed:?}"))?;
    let now = &dry["metadata"]["creationTimestamp"];
    let seconds = |time: &Value| -> Result<i64, String> {
        let text = time.as_str().ok_or_else(|| format!("no time: {time}"))?;
        let time: jiff::Timestamp = text.parse().map_err(|error| format!("{text}: {error}"))?;
        Ok(time.as_second())
    };
    Ok((seconds(now)? - seconds(time)?).abs() < HOUR / 6)
}

/// With the same certificate nothing else can be written, whatever the node's clock is.
fn refused(cluster: &Cluster) -> Outcome {
    let body = serde_json::json!({ "spec": { "taints": [{ "key": "a/b", "effect": "NoSchedule" }] } });
    let path = format!("/api/v1/nodes/{NODE}");
    let (status, said) = cluster.api.ask(&Who::Certificate(NODE), "PATCH", &path, &body)?;
    let says_so = said["message"].as_str().is_some_and(|text| text.contains("not allowed to modify taints"));
    ensure(status == 403 && says_so, format!("{status}: {said}"))
}

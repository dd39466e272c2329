//! What a user of the cluster sees.

use std::fs;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate::sys::clock::boottime;
use clockgate::sys::nap;
use serde_json::{Value, json};

use crate::node::{CRUN, GVISOR, NAME, Node, SOON, UNIFIED};
use crate::support::{Outcome, ensure, until, until_some};

const PODS: &str = "/api/v1/namespaces/default/pods";

/// A pod as anybody writes one.
fn pod(name: &str) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Pod", "metadata": { "name": name, "namespace": "default" },
        "spec": {
            "hostNetwork": true, "terminationGracePeriodSeconds": 0,
            "containers": [{ "name": "c", "image": "docker.io/library/node:latest", "imagePullPolicy": "Never" }],
        },
    })
}

fn make(node: &Node, pod: &Value) -> Outcome {
    node.api.admin("POST", PODS, pod).map(drop)
}

fn remove(node: &Node, name: &str) -> Outcome {
    node.api.admin("DELETE", &format!("{PODS}/{name}"), &Value::Null)?;
    until("the pod is gone", SOON, || get(node, name).is_null())
}

/// Null if there is none, or no server that answers.
fn get(node: &Node, name: &str) -> Value {
    node.api.admin("GET", &format!("{PODS}/{name}"), &Value::Null).unwrap_or_default()
}

fn is_running(node: &Node, name: &str) -> bool {
    let status = &get(node, name)["status"]["containerStatuses"][0];
    status["ready"] == true && !status["state"]["running"].is_null()
}

fn until_running(node: &Node, name: &str) -> Outcome {
    until(&format!("{name} runs"), SOON, || is_running(node, name)).map_err(|failed| {
        format!("{failed:?}: {}", node.kubectl(&["describe", "pod", name]).unwrap_or_default()).into()
    })
}

/// Until `kubectl describe pod` has our words.
fn until_refused(node: &Node, name: &str) -> Outcome {
    let words = format!("clockgate: refusing to create container c of pod default/{name}: the gate is shut: ");
    let describe = || node.kubectl(&["describe", "pod", name]).unwrap_or_default();
    until(&format!("{name} is refused"), SOON, || describe().contains(&words))
        .map_err(|failed| format!("{failed:?}: {}", describe()))?;
    ensure(!is_running(node, name), "it runs")
}

/// A new pod is refused at the shut gate; afterwards it runs. How long after the gate was opened, seconds.
fn refused_then_runs(node: &Node, pod: &Value) -> Outcome<Duration> {
    let name = pod["metadata"]["name"].as_str().unwrap_or_default();
    make(node, pod)?;
    until_refused(node, name)?;
    node.opens()?;
    let opened = boottime();
    until_running(node, name)?;
    let took = boottime().since(opened);
    println!("{name} runs {:.1} s after the open gate (goal: 16 s)", took.as_secs_f64());
    remove(node, name)?;
    Ok(took)
}

pub fn refused(node: &mut Node) -> Outcome {
    node.shuts()?;
    refused_then_runs(node, &pod("web")).map(drop)
}

/// By other programs than runc, and without a wrapper: the runtime asks before it chooses.
pub fn handlers(node: &mut Node) -> Outcome {
    node.shuts()?;
    let seen = node.at("seen");
    fs::create_dir_all(&seen)?;
    for handler in [CRUN, GVISOR] {
        let class = json!({ "apiVersion": "node.k8s.io/v1", "kind": "RuntimeClass", "metadata": { "name": handler }, "handler": handler });
        node.api.admin("POST", "/apis/node.k8s.io/v1/runtimeclasses", &class)?;
        let mut pod = pod(handler);
        pod["spec"]["runtimeClassName"] = json!(handler);
        pod["spec"]["volumes"] = json!([{ "name": "seen", "hostPath": { "path": seen, "type": "Directory" } }]);
        pod["spec"]["containers"][0]["volumeMounts"] = json!([{ "name": "seen", "mountPath": "/seen" }]);
        let command = format!("cat /proc/version >/seen/{handler}; exec sleep 100000");
        pod["spec"]["containers"][0]["command"] = json!(["/bin/sh", "-c", command]);
        make(node, &pod)?;
    }
    for handler in [CRUN, GVISOR] {
        until_refused(node, handler)?;
    }
    node.opens()?;
    for handler in [CRUN, GVISOR] {
        until_running(node, handler)?;
    }
    // Each leaves something behind that no other does: the file by which crun knows its container, and a kernel of its own.
    let kept = |id: &str| Path::new("/run/containerd/runc/k8s.io").join(id).join("status");
    ensure(kept(&container(node, CRUN)).exists(), "crun does not know its container")?;
    let kernel = fs::read_to_string("/proc/version")?;
    let of_pod = |name: &str| {
        let what = format!("the version of the kernel of {name}");
        let whole = |text: &String| text.starts_with("Linux version") && text.ends_with('\n');
        until_some(&what, SOON, || fs::read_to_string(seen.join(name)).ok().filter(whole))
    };
    ensure(of_pod(CRUN)?.contains(kernel.trim()), of_pod(CRUN)?)?;
    ensure(!of_pod(GVISOR)?.contains(kernel.trim()), of_pod(GVISOR)?)?;
    for handler in [CRUN, GVISOR] {
        remove(node, handler)?;
    }
    Ok(())
}

/// The id of the container of a pod.
fn container(node: &Node, name: &str) -> String {
    let id = get(node, name)["status"]["containerStatuses"][0]["containerID"].as_str().unwrap_or_default().to_owned();
    id.trim_start_matches("containerd://").to_owned()
}

pub fn exempt(node: &mut Node) -> Outcome {
    node.shuts()?;
    let mut exempt = pod("exempt");
    exempt["metadata"]["annotations"] = json!({ "clockgate.exempt": "true" });
    make(node, &exempt)?;
    fs::write(node.at("static/keeper.yaml"), pod("keeper").to_string())?;
    // The kubelet shows a static pod under the node's name.
    for name in ["exempt", &format!("keeper-{NAME}")] {
        until_running(node, name)?;
    }
    ensure(node.gate() == Some(clockgate::decision::Gate::Shut), "the gate is open")?;
    remove(node, "exempt")?;
    node.opens()
}

/// The cgroup of a pod, by its uid or by the mark of a static one.
fn cgroup(uid: &str) -> Option<PathBuf> {
    let folder = Path::new(UNIFIED).join("kubepods/besteffort").join(format!("pod{uid}"));
    folder.is_dir().then_some(folder)
}

fn is_frozen(pod: &Path) -> bool {
    fs::read_dir(pod).into_iter().flatten().flatten().any(|entry| {
        fs::read_to_string(entry.path().join("cgroup.events")).is_ok_and(|events| events.contains("frozen 1"))
    })
}

pub fn frozen(node: &mut Node) -> Outcome {
    let mut probed = pod("probed");
    let container = &mut probed["spec"]["containers"][0];
    container["command"] = json!(["/bin/httpd", "-f", "-p", "8080", "-h", "/"]);
    // A look begins within each freeze, and is answered after it.
    container["livenessProbe"] = json!({ "httpGet": { "path": "/index.html", "port": 8080 }, "periodSeconds": 1,
        "timeoutSeconds": 10, "failureThreshold": 1 });
    make(node, &probed)?;
    until_running(node, "probed")?;
    let uid = get(node, "probed")["metadata"]["uid"].as_str().unwrap_or_default().to_owned();
    let ours = cgroup(&uid).ok_or("the pod has no cgroup")?;
    let keeper = get(node, &format!("keeper-{NAME}"));
    let keeper = keeper["metadata"]["annotations"]["kubernetes.io/config.hash"].as_str().and_then(cgroup);
    for _ in 0..3 {
        node.notify(&["suspend", "--wait"])?;
        until("the pod is frozen", SOON, || is_frozen(&ours))?;
        ensure(keeper.as_deref().is_some_and(|keeper| !is_frozen(keeper)), format!("{keeper:?} is frozen"))?;
        nap(Duration::from_secs(3));
        ensure(is_frozen(&ours), "it was thawed too soon")?;
        node.notify(&["resume", "--wait"])?;
        until("the pod is thawed", SOON, || !is_frozen(&ours))?;
        until("the gate is proven", SOON, || node.gate() == Some(clockgate::decision::Gate::Proven))?;
        nap(Duration::from_secs(2));
    }
    let status = get(node, "probed")["status"]["containerStatuses"][0].clone();
    let described = node.kubectl(&["describe", "pod", "probed"])?;
    ensure(status["restartCount"] == 0 && is_running(node, "probed") && !described.contains("Unhealthy"), described)?;
    remove(node, "probed")
}

pub fn killed(node: &mut Node) -> Outcome {
    node.shuts()?;
    let connected = fs::read_to_string(node.at("gate.log"))?.matches("connected to containerd").count();
    node.start_containerd()?;
    node.says("gate.log", connected + 1, "connected to containerd")?;
    make(node, &pod("after-containerd"))?;
    until_refused(node, "after-containerd")?;
    node.start_server()?;
    make(node, &pod("after-server"))?;
    until_refused(node, "after-server")?;
    node.start_agent()?;
    node.start_gate()?;
    make(node, &pod("after-agent"))?;
    until_refused(node, "after-agent")?;
    let all = ["after-containerd", "after-server", "after-agent"];
    ensure(!all.iter().any(|name| is_running(node, name)), "one runs at a shut gate")?;
    node.opens()?;
    for name in all {
        until_running(node, name)?;
        remove(node, name)?;
    }
    Ok(())
}

pub fn condition(node: &mut Node) -> Outcome {
    node.start_publisher()?;
    let line = |words: &[&str]| {
        let described = node.kubectl(&["describe", "node", NAME]).unwrap_or_default();
        described.lines().any(|line| words.iter().all(|word| line.contains(word)))
    };
    let ours = "clockgate.org/ClockTrusted";
    until("it is True", SOON, || line(&[ours, " True ", "Proven"]))?;
    node.shuts()?;
    until("it is False", SOON, || line(&[ours, " False "]))?;
    // The kubelet writes its own meanwhile.
    let heartbeat = || {
        let ready = node.api.condition(NAME, "Ready").ok().flatten().unwrap_or_default();
        ready["lastHeartbeatTime"].as_str().map(str::to_owned)
    };
    let before = until_some("a heartbeat", SOON, heartbeat)?;
    until("a newer heartbeat", SOON, || heartbeat().is_some_and(|newer| newer > before))?;
    ensure(node.api.ours(NAME)?.is_some_and(|(status, _)| status == "False"), "the kubelet took it away")?;
    node.opens()?;
    until("it is True again", SOON, || line(&[ours, " True ", "Proven"]))?;
    let ready = node.api.condition(NAME, "Ready")?.unwrap_or_default();
    ensure(ready["status"] == "True" && ready["reason"] == "KubeletReady", ready.to_string())
}

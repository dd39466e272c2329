//! `clockgate-kubernetes` against a real API server: what a cluster sees of the gate, what that server refuses, and what happens where it
//! cannot be reached or its certificate is of another time.
#![allow(clippy::unwrap_used, reason = "tests")]

mod api;
mod audit;
mod authority;
mod cluster;
mod fleet;
mod misbehaved;
mod publisher;
mod strangers;
#[path = "../support/mod.rs"]
mod support;
mod unruly;

use std::fs;
use std::net::Ipv4Addr;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::Duration;

use api::{Api, Who};
use clockgate::decision::{Cause, ClockMeasurement, Epoch, Offset, RestoreSign, Snapshot};
use clockgate::sys::clock::{boottime, realtime, standing};
use clockgate::sys::nap;
use cluster::{AHEAD, Cluster, until_condition};
use libtest_mimic::Arguments;
use nix::sys::signal::Signal;
use publisher::Publisher;
use serde_json::{Value, json};
use support::gate_page::{proven, shut};
use support::{Outcome, ensure, expect, fail, lacks_program, lacks_root, needing, until, until_answered};

const TRUE: (&str, &str) = ("True", "Proven");
const FALSE: (&str, &str) = ("False", "Restored");

/// The nodes that there are; a test has one of its own.
const NODES: [&str; 13] = [
    "gate-1",
    "storm-1",
    "rights-1",
    "rights-2",
    "killed-1",
    "later-1",
    "leaves-1",
    "rotates-1",
    "account-1",
    "within-1",
    "mute-1",
    "absent-1",
    "twins-1",
];

/// The cluster, once it was needed; a test that failed leaves it to the others.
type Shared = Arc<Mutex<Option<Cluster>>>;

/// A test with the cluster and the built program.
type Test = fn(&mut Cluster, &Path) -> Outcome;

/// A test with the built program alone: its name, what is missing for it here, and itself.
type Alone = (&'static str, Option<String>, fn(&Path) -> Outcome);

fn main() -> ExitCode {
    let shared = Shared::default();
    let tests: [(&str, Test); 13] = [
        ("the_condition_is_true_false_and_true_as_the_gate_is_and_other_conditions_stay", follows),
        ("a_storm_is_two_writes_and_an_open_gate_is_no_write_at_all", storm),
        ("a_node_writes_its_own_condition_alone_and_no_taint", rights),
        ("an_account_has_what_the_example_grants_and_its_token_is_read_anew", account),
        ("an_api_server_that_was_killed_has_the_latest_state_when_it_is_back", killed),
        ("a_certificate_an_hour_ahead_is_believed_by_the_measured_time_and_not_by_the_clock", later),
        ("remove_takes_the_condition_away_and_a_stop_makes_it_unknown", leaves),
        ("a_kubelets_certificate_that_is_replaced_is_read_anew", rotates),
        ("a_fleet_in_a_storm_writes_twice_a_node_and_is_idle_soon_after", fleet::storm),
        ("an_api_server_that_is_killed_while_it_is_asked_has_the_latest_state_when_it_is_back", killed_within),
        ("an_account_without_the_right_to_write_events_writes_the_condition", strangers::mute),
        ("a_node_that_is_deleted_and_made_anew_gets_the_whole_condition", strangers::absent),
        ("two_publishers_of_one_node_agree_and_write_one_event", strangers::twins),
    ];
    let trials = tests.into_iter().map(|(name, test)| {
        let shared = shared.clone();
        needing(cluster::lacks(), name, move || with_cluster(&shared, test))
    });
    let lacks_namespaces = || lacks_root().or_else(|| lacks_program("unshare"));
    let alone: [Alone; 7] = [
        ("in_a_pod_it_has_the_name_of_the_node_and_the_account_of_the_pod", lacks_namespaces(), strangers::in_a_pod),
        (
            "a_server_that_fails_is_asked_ever_more_rarely_and_has_the_latest_state_once_it_is_well",
            None,
            misbehaved::all,
        ),
        ("a_kubeconfig_that_is_wrong_is_named_and_used_once_it_is_mended", None, strangers::kubeconfigs),
        ("help_version_and_wrong_options_are_as_of_any_program", None, strangers::command_line),
        ("a_page_that_goes_comes_or_is_none_is_in_the_condition", None, strangers::pages),
        ("a_stop_ends_it_at_a_server_that_is_silent_and_where_this_is_no_node", None, strangers::stopped),
        ("a_stop_ends_it_while_a_name_server_is_silent", lacks_namespaces(), strangers::stopped_without_names),
    ];
    let alone = alone.map(|(name, lacks, test)| needing(lacks, name, move || test(&publisher::program()?)));
    let trials = alone.into_iter().chain(trials).collect();
    // On this thread, one after the other: a server ends with the thread that started it (`setpriv --pdeathsig`), and they share one.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    let conclusion = libtest_mimic::run(&arguments, trials);
    // Its processes end here, and not with a process that ends without dropping anything.
    drop(shared.lock().unwrap_or_else(PoisonError::into_inner).take());
    conclusion.exit_code()
}

/// Each case by itself and all at once: they wait more than they work.
fn at_once<T: std::fmt::Debug + Sync>(cases: &[T], one: impl Fn(&T) -> Outcome + Sync) -> Outcome {
    let failed: Vec<String> = thread::scope(|scope| {
        let one = &one;
        let running: Vec<_> = cases.iter().map(|case| (case, scope.spawn(move || one(case)))).collect();
        let ended = running.into_iter().map(|(case, running)| (case, running.join()));
        let failed = ended.filter_map(|(case, ended)| match ended {
            Ok(Ok(())) => None,
            Ok(Err(failed)) => Some(format!("{case:?}: {}", failed.message().unwrap_or_default())),
            Err(_) => Some(format!("{case:?}: panicked")),
        });
        failed.collect()
    });
    if failed.is_empty() { Ok(()) } else { fail(failed.join("\n")) }
}

/// One after the other: the servers are as busy as the machine lets them be.
fn with_cluster(shared: &Shared, test: Test) -> Outcome {
    let mut guard = shared.lock().unwrap_or_else(PoisonError::into_inner);
    let cluster = match &mut *guard {
        Some(cluster) => cluster,
        none @ None => none.insert(Cluster::start(Ipv4Addr::LOCALHOST, &NODES)?),
    };
    test(cluster, &publisher::program()?)
}

/// The gate of a restored machine, before anything was measured.
fn restored(epoch: u64) -> Snapshot {
    Snapshot {
        cause: Cause::Restore(RestoreSign::Notice),
        epoch: Epoch::new(epoch),
        why: "restore: measuring".into(),
        ..shut()
    }
}

fn proven_in(epoch: u64) -> Snapshot {
    Snapshot { cause: Cause::Restore(RestoreSign::Notice), epoch: Epoch::new(epoch), ..proven() }
}

fn patches(cluster: &Cluster, node: &str) -> Outcome<usize> {
    cluster.requests(&format!("system:node:{node}"), "patch", "/status")
}

fn follows(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("gate-1", cluster.api.clone());
    let mut publisher = Publisher::start(program, &cluster.kubeconfig(node, api.port)?, &proven_in(1))?;
    until_condition(&api, node, TRUE)?;
    let began = api.condition(node, "clockgate.org/ClockTrusted")?.unwrap_or_default();
    ensure(began["message"].as_str().is_some_and(|text| text.starts_with("right within ")), began.to_string())?;
    for time in ["lastHeartbeatTime", "lastTransitionTime"] {
        ensure(began[time].as_str().is_some_and(|text| text.ends_with('Z')), began.to_string())?;
    }

    let (offset, bound) = (Some(Offset::from_secs(12)), Some(Duration::from_secs(12)));
    // Measured after the epoch began.
    let began = restored(2);
    let measured = Snapshot { offset, bound, as_of: boottime(), ..began };
    publisher.page_says(&measured)?;
    until_condition(&api, node, FALSE)?;
    let shut = api.condition(node, "clockgate.org/ClockTrusted")?.unwrap_or_default();
    ensure(shut["message"] == "restore: measuring; clock was 12.0 s behind", shut.to_string())?;

    publisher.page_says(&proven_in(2))?;
    until_condition(&api, node, TRUE)?;
    let ready = api.condition(node, "Ready")?.unwrap_or_default();
    ensure(ready["reason"] == "KubeletReady", ready.to_string())?;
    let events = until_answered("an event", Duration::from_secs(120), || {
        Ok(Some(api.events(node)?).filter(|all| !all.is_empty()))
    })?;
    ensure(
        events.len() == 1 && events[0].starts_with("ClockDisrupted: \"restore: clock 12.0 s behind, gate shut for "),
        format!("{events:?}"),
    )?;
    ensure(patches(cluster, node)? == 3, publisher.log())
}

fn storm(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("storm-1", cluster.api.clone());
    let mut publisher = Publisher::start(program, &cluster.kubeconfig(node, api.port)?, &proven_in(1))?;
    until_condition(&api, node, TRUE)?;
    // Shut for less than is published, again and again.
    for epoch in 2..12 {
        publisher.page_says(&restored(epoch))?;
        nap(Duration::from_millis(20));
        publisher.page_says(&proven_in(epoch))?;
        nap(Duration::from_millis(20));
    }
    ensure(patches(cluster, node)? == 1, publisher.log())?;
    for epoch in 12..15 {
        publisher.page_says(&restored(epoch))?;
        if epoch == 12 {
            until_condition(&api, node, FALSE)?;
        }
        publisher.page_says(&Snapshot { cause: Cause::Drifted, ..restored(epoch + 20) })?;
    }
    publisher.page_says(&proven_in(50))?;
    until_condition(&api, node, TRUE)?;
    ensure(patches(cluster, node)? == 3, format!("{} writes: {}", patches(cluster, node)?, publisher.log()))
}

fn rights(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, other, api) = ("rights-1", "rights-2", cluster.api.clone());
    let kubeconfig = cluster.kubeconfig(node, api.port)?.display().to_string();
    let publisher = Publisher::start_with(program, &["--kubeconfig", &kubeconfig, "--node", other], &proven())?;
    publisher.says(
        "403 Forbidden: nodes \"rights-2\" is forbidden: node \"rights-1\" is not allowed to modify node \"rights-2\"",
    )?;
    ensure(api.ours(other)?.is_none(), "another node's condition was written")?;
    let taint =
        json!({ "spec": { "taints": [{ "key": "readiness.k8s.io/clock-untrusted", "effect": "NoSchedule" }] } });
    for path in [format!("/api/v1/nodes/{node}"), format!("/api/v1/nodes/{node}/status")] {
        let (status, said) = api.ask(&Who::Certificate("rights-1"), "PATCH", &path, &taint)?;
        let says_so = said["message"].as_str().is_some_and(|text| text.contains("not allowed to modify taints"));
        ensure(status == 403 && says_so, format!("{status}: {said}"))?;
    }
    Ok(())
}

fn account(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("account-1", cluster.api.clone());
    apply_example(&api)?;
    let token = token_of(&api, "clockgate", "clockgate-kubernetes")?;
    let file = cluster.folder().join("token");
    fs::write(&file, "of yesterday")?;
    let (server, ca) =
        (format!("https://localhost:{}", api.port), cluster.folder().join("ca.crt").display().to_string());
    let file_name = file.display().to_string();
    let arguments = ["--server", &server, "--ca-file", &ca, "--token-file", &file_name, "--node", node];
    let mut publisher = Publisher::start_with(program, &arguments, &proven_in(1))?;
    publisher.says("401 Unauthorized")?;
    fs::write(&file, &token)?;
    until_condition(&api, node, TRUE)?;
    publisher.page_says(&proven_in(2))?;
    until_answered("an event", Duration::from_secs(120), || Ok(Some(api.events(node)?).filter(|all| !all.is_empty())))?;

    let who = Who::Token(token);
    let taint = json!({ "spec": { "unschedulable": true } });
    for (method, path, body) in [
        ("GET", format!("/api/v1/nodes/{node}"), &Value::Null),
        ("GET", "/api/v1/pods".to_owned(), &Value::Null),
        ("PATCH", format!("/api/v1/nodes/{node}"), &taint),
    ] {
        let (status, said) = api.ask(&who, method, &path, body)?;
        ensure(status == 403, format!("{method} {path}: {status}: {said}"))?;
    }
    Ok(())
}

/// A token of an account.
fn token_of(api: &Api, namespace: &str, account: &str) -> Outcome<String> {
    let path = format!("/api/v1/namespaces/{namespace}/serviceaccounts/{account}/token");
    let asked = json!({ "apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {} });
    Ok(api.admin("POST", &path, &asked)?["status"]["token"].as_str().ok_or("no token")?.to_owned())
}

/// examples/kubernetes/rbac.yaml, as `kubectl apply` would.
fn apply_example(api: &Api) -> Outcome {
    let text = fs::read_to_string(root().join("examples/kubernetes/rbac.yaml"))?;
    for document in text.split("\n---\n") {
        let object: Value = serde_yaml::from_str(document)?;
        let path = match object["kind"].as_str() {
            Some("Namespace") => "/api/v1/namespaces",
            Some("ServiceAccount") => "/api/v1/namespaces/clockgate/serviceaccounts",
            Some("ClusterRole") => "/apis/rbac.authorization.k8s.io/v1/clusterroles",
            Some("ClusterRoleBinding") => "/apis/rbac.authorization.k8s.io/v1/clusterrolebindings",
            other => return fail(format!("a {other:?} in the example")),
        };
        api.admin("POST", path, &object)?;
    }
    Ok(())
}

fn killed(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, other) = ("killed-1", cluster.start_another()?);
    let mut publisher = Publisher::start(program, &cluster.kubeconfig(node, other.port)?, &proven_in(1))?;
    until_condition(&other, node, TRUE)?;
    cluster.kill(&other);
    publisher.page_says(&restored(2))?;
    publisher.says("the condition is not published: cannot connect to 127.0.0.1:")?;
    publisher.page_says(&Snapshot { cause: Cause::Pause { lost: Duration::ZERO }, ..restored(3) })?;
    cluster.restart(&other)?;
    until_condition(&other, node, ("False", "Paused"))?;
    publisher.says("the API server takes the condition again")?;
    // The first True, and the state that was the last one.
    ensure(patches(cluster, node)? == 2, publisher.log())
}

/// The store stops, so that a request is under way for as long as its client waits.
fn killed_within(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, other) = ("within-1", cluster.start_another()?);
    let mut publisher = Publisher::start(program, &cluster.kubeconfig(node, other.port)?, &proven_in(1))?;
    until_condition(&other, node, TRUE)?;
    cluster.signal_store(Signal::SIGSTOP)?;
    publisher.page_says(&restored(2))?;
    let under_way = until("a request is under way", Duration::from_secs(120), || publisher.is_connected_to(other.port));
    cluster.kill(&other);
    cluster.signal_store(Signal::SIGCONT)?;
    under_way?;
    publisher.says("the condition is not published: no ")?;
    // What the server that was killed had asked of the store may still have been done.
    publisher.page_says(&proven_in(2))?;
    cluster.restart(&other)?;
    publisher.says("the API server takes the condition again")?;
    ensure(other.ours(node)? == Some(TRUE).map(|(status, reason)| (status.into(), reason.into())), publisher.log())?;
    ensure(patches(cluster, node)? <= 3, publisher.log())
}

fn later(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("later-1", cluster.api.clone());
    let mut publisher = Publisher::start(program, &cluster.kubeconfig_of_later(node)?, &restored(1))?;
    publisher.says("not valid yet")?;
    ensure(api.ours(node)?.is_none(), "a certificate of the future was believed")?;
    // Two exchanges have measured by how much the clock is behind, and no step was made.
    let offset = Offset::from_secs(AHEAD);
    let measured = ClockMeasurement {
        offset,
        bound: offset.abs(),
        as_of: boottime(),
        valid_until: boottime() + Duration::from_secs(3600),
        max_drift_ppm: 0,
        differences: Some(standing()),
        leap_second: None,
    };
    publisher.page_says(&Snapshot { measured: Some(measured), ..restored(1) })?;
    until_condition(&api, node, FALSE)?;
    let written = api.condition(node, "clockgate.org/ClockTrusted")?.unwrap_or_default();
    let hour = |ahead: i64| (realtime() + Offset::from_secs(ahead)).minute().replace(' ', "T");
    let at = written["lastHeartbeatTime"].as_str().unwrap_or_default().to_owned();
    // To the minute, or that minute has just ended.
    let is_measured = [AHEAD, AHEAD - 60, AHEAD - 120].iter().any(|ahead| at.starts_with(&hour(*ahead)[..16]));
    ensure(is_measured, format!("{at}, and it is {}", hour(AHEAD)))
}

fn leaves(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("leaves-1", cluster.api.clone());
    let mut publisher = Publisher::start(program, &cluster.kubeconfig(node, api.port)?, &proven())?;
    until_condition(&api, node, TRUE)?;
    publisher.stop()?;
    until_condition(&api, node, ("Unknown", "AgentGone"))?;
    for _ in 0..2 {
        let removed = publisher.remove(program)?;
        expect(removed.status.success(), &removed)?;
        ensure(api.ours(node)?.is_none(), "the condition is still there")?;
    }
    let ready = api.condition(node, "Ready")?.unwrap_or_default();
    ensure(ready["status"] == "True", ready.to_string())
}

fn rotates(cluster: &mut Cluster, program: &Path) -> Outcome {
    let (node, api) = ("rotates-1", cluster.api.clone());
    let at = |name: &str| cluster.folder().join(name);
    let kubeconfig = cluster.kubeconfig(node, api.port)?;
    // Another authority's, as after the cluster's own was replaced.
    let strange = tempfile::tempdir()?;
    authority::Authority::new(strange.path())?.signs_client(node, &format!("system:node:{node}"), "system:nodes")?;
    for ending in ["crt", "key"] {
        let name = format!("{node}.{ending}");
        fs::rename(at(&name), at(&format!("new-{name}")))?;
        replace_link(&strange.path().join(&name), &at(&name))?;
    }
    let publisher = Publisher::start(program, &kubeconfig, &proven())?;
    publisher.says("401 Unauthorized")?;
    for ending in ["key", "crt"] {
        let name = format!("{node}.{ending}");
        replace_link(&at(&format!("new-{name}")), &at(&name))?;
    }
    until_condition(&api, node, TRUE)
}

/// As the kubelet replaces `kubelet-client-current.pem`.
fn replace_link(to: &Path, link: &Path) -> Outcome {
    let new = link.with_extension("new");
    symlink(to, &new)?;
    Ok(fs::rename(new, link)?)
}

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

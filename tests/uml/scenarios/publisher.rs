//! The package of `clockgate-kubernetes` where nothing else of ours is installed, on a host that is no node of any cluster.

use super::Listed;
use super::packed::{LONG, debs, files, nothing_left};
use crate::lab::guest::Guest;
use crate::lab::world::World;
use crate::lab::{Outcome, ensure, until};

pub const SCENARIOS: &[Listed] = &[
    ("publisher::its_package_waits_in_plain_words_until_this_is_a_node_and_a_purge_leaves_nothing", waits_to_be_a_node),
    ("publisher::a_removal_that_reaches_no_server_says_that_the_condition_stays", without_a_server),
];

const KUBECONFIG: &str = "apiVersion: v1
kind: Config
current-context: node
contexts: [{name: node, context: {cluster: here, user: node}}]
clusters: [{name: here, cluster: {server: 'https://127.0.0.1:1', certificate-authority-data: Q0E=}}]
users: [{name: node, user: {token: secret}}]
";

const UNIT: &str = "clockgate-kubernetes.service";

fn waits_to_be_a_node(guest: &Guest, world: &World) -> Outcome {
    let packages = debs(guest, world, "clockgate-kubernetes")?;
    let before = files(guest)?;
    for deb in &packages {
        guest.sh_within(&format!("dpkg -i {deb}"), LONG)?;
        guest.sh(&format!("systemctl is-enabled --quiet {UNIT} && systemctl is-active --quiet {UNIT}"))?;
        let log =
            || guest.sh(&format!("journalctl -o cat _SYSTEMD_INVOCATION_ID=$(systemctl show -P InvocationID {UNIT})"));
        let said = until("it says what it waits for", LONG, || {
            let log = log()?;
            Ok(log.contains("waiting until this is a node").then_some(log))
        })?;
        println!("publisher: {said}");
        ensure(said.contains("/etc/kubernetes/kubelet.conf"), said.clone())?;
        // It neither ends nor is started again and again.
        let restarts = guest.sh(&format!("systemctl show -P NRestarts {UNIT}"))?;
        ensure(restarts == "0", format!("started again {restarts} times: {said}"))?;
    }
    let purged = guest.run_within("dpkg --purge clockgate-kubernetes", LONG)?;
    println!("publisher: {}", purged.err);
    let is_honest = purged.err.contains("if this host was a node") && !purged.err.contains("stays");
    ensure(purged.code == 0 && is_honest, purged.err)?;
    nothing_left(guest, &before)
}

/// Nobody listens there; a request fails as it does where the server is down.
fn without_a_server(guest: &Guest, world: &World) -> Outcome {
    let [deb, _] = debs(guest, world, "clockgate-kubernetes")?;
    let before = files(guest)?;
    guest.put("/etc/kubernetes/kubelet.conf", KUBECONFIG)?;
    guest.put("/etc/default/clockgate-kubernetes", "OPTIONS='--node web-1'\n")?;
    guest.sh_within(&format!("dpkg -i {deb}"), LONG)?;
    let purged = guest.run_within("dpkg --purge clockgate-kubernetes", LONG)?;
    println!("publisher: {}", purged.err);
    let says_so = purged.err.contains("the condition clockgate.org/ClockTrusted of this node stays")
        && purged.err.contains("`kubectl edit node --subresource=status` removes it");
    ensure(purged.code == 0 && says_so, purged.err)?;
    guest.sh("rm -r /etc/kubernetes")?;
    nothing_left(guest, &before)
}

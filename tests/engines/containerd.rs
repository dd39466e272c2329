//! containerd without Docker: the way of nerdctl and, by the namespace, of a kubelet.

use crate::support::gate_page::{proven, shut};
use crate::support::{Outcome, expect, texts};
use crate::waiting::Waiting;
use crate::world::{Trial, World};
use crate::wrapper::{Wrapper, refusal};

/// Each trial, its wrapper's settings, and what is tried.
pub const TRIALS: &[Trial] = &[
    ("a_pods_container_is_held_and_let_go_when_the_gate_opens", "", hold),
    ("containerd_hands_on_the_reason_of_a_refusal", "max-wait = 1s", refuse),
    ("a_network_plugins_pod_is_exempt", "exempt = namespace:kube-system", exempt),
];

/// A container as a kubelet's is, by containerd's own client.
fn run(world: &World, wrapper: &Wrapper, id: &str, flags: &[&str]) -> std::process::Command {
    let program = wrapper.program.display().to_string();
    let (rootfs, cgroup) = (world.path("image").display().to_string(), format!("{}/{id}", world.cgroup));
    let all = [
        &["--namespace", "k8s.io", "run", "--rm", "--rootfs", "--runc-binary", &program, "--cgroup", &cgroup],
        flags,
        &[&rootfs, id, "/bin/echo", "hello"],
    ];
    world.ctr(&all.concat())
}

fn hold(world: &World, wrapper: &Wrapper, id: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let run = Waiting::spawn(&mut run(world, wrapper, id, &[]))?;
    wrapper.wait_until_said(1, "kubernetes: container ")?;
    wrapper.wait_until_said(1, "held: the gate is shut: resume: measuring")?;
    wrapper.release(run)
}

fn refuse(world: &World, wrapper: &Wrapper, id: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let output = run(world, wrapper, id, &[]).output()?;
    let said = format!(
        "ctr: failed to create shim task: OCI runtime create failed: clockgate: refusing to create container {id} (echo): \
         after N s the gate is shut: resume: measuring; `clockgate status` says more: unknown\n"
    );
    expect(!output.status.success() && refusal(&texts(&output).1).contains(&said), &output)?;
    // A kubelet comes again, under another name or the same.
    wrapper.publish(&proven())?;
    let output = run(world, wrapper, id, &[]).output()?;
    expect(output.status.success(), &output)
}

fn exempt(world: &World, wrapper: &Wrapper, id: &str) -> Outcome {
    wrapper.publish(&shut())?;
    for (annotation, said) in [
        ("io.kubernetes.cri.sandbox-name=calico-node-x7k2p", "exempt by pod:calico-node-*"),
        ("io.kubernetes.cri.sandbox-namespace=kube-system", "exempt by namespace:kube-system"),
    ] {
        let output = run(world, wrapper, id, &["--annotation", annotation]).output()?;
        expect(output.status.success(), &output)?;
        wrapper.wait_until_said(1, said)?;
    }
    Ok(())
}

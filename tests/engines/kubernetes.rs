//! Pods, frozen where that is asked for: what a kubelet sees meanwhile, and what is left of it afterwards.

use std::time::Duration;

use clockgate::decision::Awake;
use clockgate::workload::Engine;
use libtest_mimic::Failed;

use crate::frozen::workloads;
use crate::support::{Outcome, expect, texts, until};
use crate::waiting::Waiting;
use crate::world::{NODE, SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[("what_a_kubelet_sees_of_a_freeze", "", freeze)];

const LIMIT: Duration = Duration::from_secs(30);

fn freeze(world: &World, _: &Wrapper, name: &str) -> Outcome {
    let (config, state) = (world.path("node.toml"), world.path("node"));
    std::fs::write(&config, NODE)?;
    world.start_kubernetes_containerd(&config, &state)?;
    let cgroup = format!("{}/{name}/kubepods/besteffort/pod1", world.cgroup);
    let cri = |call: &[&str]| world.cri(&state, &cgroup, "pod", call);
    let said = |call: &[&str]| -> Result<String, Failed> {
        let output = cri(call).output()?;
        expect(output.status.success(), &output)?;
        Ok(texts(&output).0.trim().to_owned())
    };
    let sandbox = said(&["sandbox"])?;
    let container = said(&["container", &sandbox])?;
    assert_eq!(said(&["exec", &container])?, "in");
    let pod = world.hierarchy()?.join(name).join("kubepods/besteffort/pod1");
    let processes = || std::fs::read_to_string(pod.join(&container).join("cgroup.procs")).unwrap_or_default();

    let workloads = workloads(world, Engine::Kubernetes, name)?;
    let frozen = workloads.freeze(LIMIT, Awake::NEVER)?;
    assert_eq!((frozen.frozen.count(), frozen.of), (2, 2), "{frozen:?}");
    assert_eq!(said(&["state", &container])?, "running 0");
    // A probe is an exec. Its time, a second, does not begin before its process does.
    let mut probe = Waiting::spawn(&mut cri(&["exec", &container]))?;
    until("its process is there", SOON, || processes().lines().count() == 2)?;
    std::thread::sleep(Duration::from_millis(1500));
    probe.is_held()?;
    workloads.thaw()?;
    let output = probe.end()?;
    expect(output.status.success() && texts(&output).0 == "in\n", &output)?;

    // To the containers of a pod that share its processes' numbers TERM is deadly, frozen or not, but for who has a handler.
    workloads.freeze(LIMIT, Awake::NEVER)?;
    done(&mut cri(&["stop", &container]))?;
    assert_eq!(said(&["state", &container])?, "exited 143");
    assert!(std::fs::read_to_string(pod.join("cgroup.events"))?.contains("frozen 1"));
    workloads.thaw()?;
    assert_eq!(workloads.freeze(LIMIT, Awake::NEVER)?.of, 1, "the pause container is left");
    workloads.thaw()?;
    Ok(())
}

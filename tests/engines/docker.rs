//! dockerd with the wrapper as its runtime.

use std::time::Instant;

use crate::support::gate_page::{proven, shut};
use crate::support::{Outcome, expect, texts, until};
use crate::waiting::Waiting;
use crate::world::{SOON, Trial, World, no_starts};
use crate::wrapper::{Wrapper, refusal};

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[
    ("a_docker_run_is_held_and_let_go_when_the_gate_opens", "", run),
    ("a_docker_start_is_held_and_let_go_when_the_gate_opens", "", start),
    ("a_restart_policy_outlives_a_shut_gate", "", restart),
    ("docker_shows_the_reason_of_a_refusal", "max-wait.docker = 1s", refuse),
    ("what_runs_in_docker_is_no_concern_of_the_gate", "", pass),
    ("dockers_label_and_a_rule_exempt", "", exempt),
    ("without_an_agent_docker_goes_on_after_the_wait", "no-agent-wait = 1s", alone),
    ("an_agent_of_another_version_is_none_to_docker", "no-agent = open", other_version),
];

/// `docker run` and the like, by the trial's own runtime.
fn with<'a>(verb: &[&'a str], runtime: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [verb, &["--runtime", runtime, "--network", "none"], rest].concat()
}

fn run(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let run = Waiting::spawn(&mut world.docker(&with(
        &["run", "--rm", "--name", "held"],
        runtime,
        &["bb", "echo", "hello"],
    )))?;
    wrapper.wait_until_said(1, "held: the gate is shut: resume: measuring")?;
    assert!(
        wrapper.said().contains("docker: container ") && wrapper.said().contains(" (held): "),
        "{}",
        wrapper.said()
    );
    // Others go on meanwhile.
    let other = world.docker(&["run", "--rm", "--runtime", "runc", "--network", "none", "bb", "true"]).output()?;
    expect(other.status.success(), &other)?;
    wrapper.release(run)?;
    wrapper.wait_until_said(1, "released: the clock is proven right to ±2.000 ms")
}

fn start(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    // To create one is no start.
    let create = world.docker(&with(&["create", "--name", runtime], runtime, &["bb", "echo", "hello"])).output()?;
    expect(create.status.success(), &create)?;
    let start = Waiting::spawn(&mut world.docker(&["start", "--attach", runtime]))?;
    wrapper.wait_until_said(1, "held")?;
    wrapper.release(start)
}

fn restart(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    let args = ["--restart", "always", "--name", runtime, "bb", "sh", "-c", "echo hello; cat /go"];
    let run = world.docker(&with(&["run", "--detach"], runtime, &args)).output()?;
    expect(run.status.success(), &run)?;
    let count = || world.docker(&["logs", runtime]).output().map_or(0, |output| texts(&output).0.lines().count());
    until("it was started again", SOON, || count() >= 2)?;
    wrapper.publish(&shut())?;
    wrapper.wait_until_said(1, "held")?;
    // dockerd has the container locked: whatever asks for it waits with it, its log too.
    wrapper.publish(&proven())?;
    let opened = count();
    until("it goes on after the gate", SOON, || count() > opened + 1)?;
    let remove = world.docker(&["rm", "--force", runtime]).output()?;
    expect(remove.status.success(), &remove)
}

fn refuse(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let output = world.docker(&with(&["run", "--name", runtime], runtime, &["bb", "true"])).output()?;
    let id = texts(&world.docker(&["inspect", "--format", "{{.Id}}", runtime]).output()?).0;
    let said = format!(
        "docker: Error response from daemon: failed to create shim task: OCI runtime create failed: \
         clockgate: refusing to create container {} ({runtime}): after N s the gate is shut: resume: measuring; \
         `clockgate status` says more: unknown",
        id.get(..12).ok_or("no id")?
    );
    expect(output.status.code() == Some(125), &output)?;
    // Before it the client may say that nobody waits any longer for what was not created.
    assert!(refusal(&texts(&output).1).contains(&said), "{}\n{said}", texts(&output).1);
    wrapper.wait_until_said(1, "refusing to create container")?;
    // Nothing is left behind that keeps it from starting later.
    wrapper.publish(&proven())?;
    let output = world.docker(&["start", "--attach", runtime]).output()?;
    expect(output.status.success(), &output)
}

fn pass(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    let run =
        world.docker(&with(&["run", "--detach", "--name", runtime], runtime, &["bb", "sleep", "1000"])).output()?;
    expect(run.status.success(), &run)?;
    wrapper.publish(&shut())?;
    for verb in [vec!["top", runtime]].into_iter().chain(no_starts(runtime)) {
        let begun = Instant::now();
        let output = world.docker(&verb).output()?;
        expect(output.status.success(), &output)?;
        assert!(begun.elapsed() < SOON / 2, "{verb:?}");
    }
    assert!(!wrapper.said().contains("held"), "{}", wrapper.said());
    Ok(())
}

fn exempt(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let label = ["--label", "clockgate.exempt=true", "bb", "echo", "label"];
    let rule = ["bb", "/bin/chronyd", "rule"];
    for (args, said) in [(&label[..], "exempt by clockgate.exempt=true"), (&rule[..], "exempt by command:chronyd")] {
        let output = world.docker(&with(&["run", "--rm"], runtime, args)).output()?;
        expect(output.status.success(), &output)?;
        wrapper.wait_until_said(1, said)?;
    }
    Ok(())
}

fn alone(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let output = world.docker(&with(&["run", "--rm"], runtime, &["bb", "echo", "hello"])).output()?;
    wrapper.released_without_agent(&output)
}

fn other_version(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let page = wrapper.public.join("gate");
    let mut bytes = std::fs::read(&page)?;
    bytes[8] += 1;
    std::fs::write(&page, bytes)?;
    let output = world.docker(&with(&["run", "--rm"], runtime, &["bb", "echo", "hello"])).output()?;
    expect(output.status.success(), &output)?;
    wrapper.wait_until_said(1, "released: no agent; the clock was not checked")
}

//! podman with the wrapper as its runtime, or with the hook.

use std::path::PathBuf;
use std::process::Command;

use libtest_mimic::Failed;

use crate::support::gate_page::{proven, shut};
use crate::support::{CLOCKGATE, Outcome, expect, texts};
use crate::waiting::Waiting;
use crate::world::{Trial, World, hello, no_starts};
use crate::wrapper::{Wrapper, refusal};

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[
    ("a_podman_run_and_a_podman_start_are_held", "", run_and_start),
    ("podman_shows_the_reason_of_a_refusal", "max-wait = 1s", refuse),
    ("what_runs_in_podman_is_no_concern_of_the_gate", "", pass),
    ("podmans_annotation_and_a_rule_exempt", "exempt = annotation:team=time*", exempt),
    ("without_an_agent_podman_goes_on_after_the_wait", "no-agent-wait = 1s", alone),
    ("a_hook_holds_whatever_the_runtime_is_called", "", hook),
    ("a_hook_refuses_in_its_own_words", "max-wait = 1s", hook_refuses),
    ("a_hook_passes_who_is_exempt", "", hook_exempts),
];

/// `podman --runtime NAME run ...`
fn podman(world: &World, runtime: &str, rest: &[&str]) -> std::process::Command {
    world.podman(&[&["--runtime", runtime], rest].concat())
}

/// What a `run` or a `create` of ours needs.
fn flags<'a>(world: &'a World, verb: &'a str, rest: &[&'a str]) -> Vec<&'a str> {
    [&[verb, "--network", "none", "--cgroup-parent", &world.cgroup], rest].concat()
}

fn run_and_start(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let args = flags(world, "run", &["--name", runtime, "bb", "echo", "hello"]);
    let run = Waiting::spawn(&mut podman(world, runtime, &args))?;
    wrapper.wait_until_said(1, "held: the gate is shut: resume: measuring")?;
    assert!(wrapper.said().contains("podman: container "), "{}", wrapper.said());
    wrapper.release(run)?;
    wrapper.wait_until_said(1, "released: the clock is proven right")?;
    wrapper.publish(&shut())?;
    let start = Waiting::spawn(&mut podman(world, runtime, &["start", "--attach", runtime]))?;
    wrapper.wait_until_said(2, "held: ")?;
    wrapper.release(start)
}

/// By a name of ours podman hands the runtime no log, and shows what conmon heard on standard error; under the name of a runtime that
/// it knows it reads the log. The user sees the same.
fn refuse(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    let known = wrapper.program.parent().ok_or("folder")?.join("crun");
    std::os::unix::fs::symlink(&wrapper.program, &known)?;
    std::fs::copy(format!("{}.conf", wrapper.program.display()), known.with_extension("conf"))?;
    for (runtime, shown) in [(runtime, runtime), (known.to_str().ok_or("path")?, "crun")] {
        let run =
            podman(world, runtime, &flags(world, "run", &["--name", shown, "bb", "sh", "-c", "true"])).output()?;
        let id = texts(&podman(world, runtime, &["inspect", "--format", "{{.Id}}", shown]).output()?).0;
        let said = format!(
            "Error: OCI runtime error: {runtime}: clockgate: refusing to create container {} ({shown}): after N s the gate is \
             shut: resume: measuring; `clockgate status` says more\n",
            id.get(..12).ok_or("no id")?
        );
        expect(run.status.code() == Some(126) && refusal(&texts(&run).1) == said, &run)?;
    }
    // Nothing is left behind that keeps it from starting later.
    wrapper.publish(&proven())?;
    let output = podman(world, runtime, &["start", "--attach", runtime]).output()?;
    expect(output.status.success(), &output)
}

fn pass(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    let args = flags(world, "run", &["--detach", "--name", runtime, "bb", "sleep", "1000"]);
    let run = podman(world, runtime, &args).output()?;
    expect(run.status.success(), &run)?;
    wrapper.publish(&shut())?;
    for verb in no_starts(runtime) {
        let output = podman(world, runtime, &verb).output()?;
        expect(output.status.success(), &output)?;
    }
    assert!(!wrapper.said().contains("held"), "{}", wrapper.said());
    Ok(())
}

fn exempt(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&shut())?;
    for (args, said) in [
        (&["--annotation", "clockgate.exempt=true", "bb", "true"][..], "exempt by clockgate.exempt=true"),
        (&["--annotation", "team=timekeepers", "bb", "true"], "exempt by annotation:team=time*"),
        (&["bb", "/bin/chronyd"], "exempt by command:chronyd"),
    ] {
        let args = flags(world, "run", &[&["--rm"], args].concat());
        let output = podman(world, runtime, &args).output()?;
        expect(output.status.success(), &output)?;
        wrapper.wait_until_said(1, said)?;
    }
    Ok(())
}

fn alone(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let args = flags(world, "run", &["--rm", "bb", "echo", "hello"]);
    let output = podman(world, runtime, &args).output()?;
    wrapper.released_without_agent(&output)
}

/// The folder with the hook's file, as `clockgate hooks install podman-hook` writes it.
fn hooks(world: &World, wrapper: &Wrapper, runtime: &str) -> Result<PathBuf, Failed> {
    let folder = world.path(&format!("hooks-{runtime}"));
    std::fs::create_dir_all(&folder)?;
    let hook = clockgate::installer::podman_hook(&wrapper.program);
    std::fs::write(folder.join("clockgate.json"), hook)?;
    Ok(folder)
}

fn with_hook(world: &World, hooks: &std::path::Path, rest: &[&str]) -> std::process::Command {
    let folder = hooks.display().to_string();
    world.podman(&[&["--hooks-dir", folder.as_str(), "--runtime", "plain"], rest].concat())
}

fn hook(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let hooks = hooks(world, wrapper, runtime)?;
    wrapper.publish(&shut())?;
    let args = flags(world, "run", &["--name", runtime, "bb", "echo", "hello"]);
    let run = Waiting::spawn(&mut with_hook(world, &hooks, &args))?;
    wrapper.wait_until_said(1, "held: the gate is shut: resume: measuring")?;
    let said = wrapper.said();
    let short =
        said.split_once("podman: container ").and_then(|(_, rest)| rest.split(' ').next()).ok_or(said.clone())?;
    let status = Command::new(CLOCKGATE).args(["status", "--page"]).arg(&wrapper.public).output()?;
    let named = |line: &str| line.contains(&format!("Held: podman: container {short}")) && line.contains(" (echo) ");
    expect(texts(&status).0.lines().any(named), &status)?;
    wrapper.release(run)
}

fn hook_refuses(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let hooks = hooks(world, wrapper, runtime)?;
    wrapper.publish(&shut())?;
    let output =
        with_hook(world, &hooks, &flags(world, "run", &["--rm", "--name", runtime, "bb", "echo", "hello"])).output()?;
    let stderr = refusal(&texts(&output).1);
    let said = "clockgate: refusing to start container ";
    let why = format!("({runtime}): after N s the gate is shut: resume: measuring; `clockgate status` says more");
    let whole = stderr.contains("exit status 75") && stderr.contains(said) && stderr.contains(&why);
    expect(output.status.code() == Some(126) && whole, &output)
}

fn hook_exempts(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let hooks = hooks(world, wrapper, runtime)?;
    wrapper.publish(&shut())?;
    let args = flags(world, "run", &["--rm", "--annotation", "clockgate.exempt=true", "bb", "echo", "hello"]);
    let output = with_hook(world, &hooks, &args).output()?;
    hello(&output)?;
    wrapper.wait_until_said(1, "exempt by clockgate.exempt=true")
}

//! Restart policies as they work at boot, and when a container ends by itself.

use std::process::Command;
use std::time::Duration;

use clockgate::decision::Awake;
use clockgate::workload::Engine;

use crate::frozen::workloads;

use crate::dockerd::Dockerd;
use crate::support::gate_page::{proven, shut};
use crate::support::{Outcome, expect, laboratory, texts, until};
use crate::waiting::Waiting;
use crate::world::{SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[
    ("whom_docker_restarts_at_boot_waits_at_the_gate", "", docker),
    ("with_live_restore_a_dockerd_that_restarts_leaves_alone_what_is_frozen", "", live_restore),
    ("whom_podman_restarts_waits_at_the_gate", "", podman),
    ("podman_tries_again_to_restart_whom_the_gate_refused", "max-wait = 1s", refused),
];

/// Says that it runs, and ends when it is told to.
const TICKS: &str = "trap 'exit 0' TERM; while :; do echo tick; sleep 0.1; done";

fn docker(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let config = world.path(&format!("{runtime}.json"));
    let program = wrapper.program.display().to_string();
    let of_ours = serde_json::json!({ "runtimes": { runtime: { "path": program } }, "default-runtime": runtime,
        "cgroup-parent": world.cgroup });
    std::fs::write(&config, of_ours.to_string())?;
    let mut dockerd = Dockerd::new(world, "boot", &["--config-file", &config.display().to_string()])?;
    wrapper.publish(&proven())?;
    dockerd.start()?;
    done(dockerd.docker(&["import", "-", "bb"]).stdin(std::fs::File::open(world.path("image.tar"))?))?;
    let policies = ["always", "unless-stopped", "on-failure", "no"];
    for policy in policies {
        let run =
            ["run", "--detach", "--network", "none", "--name", policy, "--restart", policy, "bb", "sh", "-c", TICKS];
        done(&mut dockerd.docker(&run))?;
    }
    dockerd.stop()?;

    wrapper.publish(&shut())?;
    dockerd.spawn()?;
    // Both at once, and nobody else; and until then dockerd answers nobody.
    wrapper.wait_until_said(2, "held: the gate is shut: resume: measuring")?;
    for name in ["(always)", "(unless-stopped)"] {
        assert!(wrapper.said().contains(name), "{name}: {}", wrapper.said());
    }
    let state = ["inspect", "--format", "{{.State.Status}}"];
    let mut asked = Waiting::spawn(&mut dockerd.docker(&[&state[..], &policies].concat()))?;
    std::thread::sleep(Duration::from_secs(1));
    asked.is_held()?;
    wrapper.publish(&proven())?;
    let output = asked.end()?;
    assert_eq!(texts(&output).0, "running\nrunning\nexited\nexited\n");
    for policy in ["always", "unless-stopped"] {
        let ticks = || dockerd.docker(&["logs", policy]).output().map_or(0, |output| texts(&output).0.lines().count());
        let before = ticks();
        until("it runs", SOON, || ticks() > before)?;
    }
    dockerd.stop()
}

fn live_restore(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    let mut dockerd = Dockerd::new(world, "live", &["--live-restore"])?;
    dockerd.start()?;
    done(dockerd.docker(&["import", "-", "bb"]).stdin(std::fs::File::open(world.path("image.tar"))?))?;
    let parent = format!("{}/{runtime}/docker", world.cgroup);
    let run =
        ["run", "--detach", "--network", "none", "--name", "left", "--cgroup-parent", &parent, "bb", "sh", "-c", TICKS];
    done(&mut dockerd.docker(&run))?;
    let asked = |dockerd: &Dockerd<'_>| {
        dockerd
            .docker(&["inspect", "--format", "{{.State.Status}} {{.State.Pid}}", "left"])
            .output()
            .map(|o| texts(&o).0)
    };
    let before = asked(&dockerd)?;
    assert!(before.starts_with("running "), "{before}");
    let workloads = workloads(world, Engine::Docker, runtime)?;
    let frozen = workloads.freeze(SOON, Awake::NEVER)?;
    assert_eq!((frozen.frozen.count(), frozen.of), (1, 1), "{frozen:?}");
    dockerd.stop()?;
    dockerd.start()?;
    assert_eq!(asked(&dockerd)?, before, "the same process, of which dockerd knows");
    let ticks = || dockerd.docker(&["logs", "left"]).output().map_or(0, |output| texts(&output).0.lines().count());
    let stopped_at = ticks();
    workloads.thaw()?;
    until("it goes on", SOON, || ticks() > stopped_at)?;
    done(&mut dockerd.docker(&["rm", "--force", "left"]))?;
    dockerd.stop()
}

fn by(world: &World, runtime: &str, args: &[&str]) -> Command {
    world.podman(&[&["--runtime", runtime], args].concat())
}

/// `podman run --restart POLICY`
fn run(world: &World, runtime: &str, policy: &str, name: &str, script: &str) -> Outcome {
    let flags = ["run", "--detach", "--network", "none", "--cgroup-parent", &world.cgroup, "--log-driver", "k8s-file"];
    let what = ["--restart", policy, "--name", name, "bb", "sh", "-c", script];
    done(&mut by(world, runtime, &[&flags[..], &what].concat()))
}

/// One that ends by itself and was started again, by conmon's last command; then the gate is shut.
fn run_ending(world: &World, wrapper: &Wrapper, runtime: &str, policy: &str) -> Outcome {
    wrapper.publish(&proven())?;
    run(world, runtime, policy, runtime, "echo tick; sleep 1; exit 1")?;
    until("it was started again", SOON, || ticks(world, runtime, runtime) >= 2)?;
    wrapper.publish(&shut())?;
    wrapper.wait_until_said(1, "held: ")
}

fn ticks(world: &World, runtime: &str, name: &str) -> usize {
    by(world, runtime, &["logs", name]).output().map_or(0, |output| texts(&output).0.lines().count())
}

fn refused(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    // Not `always`, since another trial starts all of those.
    run_ending(world, wrapper, runtime, "on-failure")?;
    wrapper.wait_until_said(2, "refusing to create container")?;
    wrapper.publish(&proven())?;
    let opened = ticks(world, runtime, runtime);
    until("it goes on after the gate", SOON, || ticks(world, runtime, runtime) > opened)?;
    done(&mut by(world, runtime, &["rm", "--force", "--time", "0", runtime]))
}

fn podman(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    let podman = |args: &[&str]| by(world, runtime, args);
    let ticks = |name: &str| ticks(world, runtime, name);
    run_ending(world, wrapper, runtime, "always")?;
    wrapper.publish(&proven())?;
    let opened = ticks(runtime);
    until("it goes on after the gate", SOON, || ticks(runtime) > opened + 1)?;
    done(&mut podman(&["rm", "--force", "--time", "0", runtime]))?;

    // At boot that is the command of a unit of podman's own.
    let unit = ["lib", "usr/lib"]
        .map(|library| laboratory::folder().join(format!("engines/{library}/systemd/system/podman-restart.service")));
    let unit = unit.iter().find_map(|path| std::fs::read_to_string(path).ok()).ok_or("podman's unit")?;
    let command =
        unit.lines().find_map(|line| line.strip_prefix("ExecStart=/usr/bin/podman $LOGGING ")).ok_or("unit")?;
    let name = format!("{runtime}-boot");
    run(world, runtime, "always", &name, TICKS)?;
    done(&mut podman(&["stop", "--time", "5", &name]))?;
    wrapper.publish(&shut())?;
    let mut start = Waiting::spawn(&mut podman(&command.split(' ').collect::<Vec<_>>()))?;
    wrapper.wait_until_said(2, "held: ")?;
    start.is_held()?;
    wrapper.publish(&proven())?;
    let output = start.end()?;
    expect(output.status.success(), &output)?;
    let before = ticks(&name);
    until("it runs", SOON, || ticks(&name) > before)?;
    done(&mut podman(&["rm", "--force", "--time", "0", &name]))
}

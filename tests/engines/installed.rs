//! `clockgate hooks` and the engines themselves: they take up what it installs, and are as before when it is removed.

use std::path::PathBuf;

use libtest_mimic::Failed;

use crate::dockerd::Dockerd;
use crate::support::gate_page::{proven, shut};
use crate::support::{CLOCKGATE, Outcome, expect, laboratory, texts, until};
use crate::waiting::Waiting;
use crate::world::{NODE, SOON, Trial, World, done};
use crate::wrapper::{Wrapper, refusal};

/// One trial: it changes the host that all the others are on, for those who name no runtime.
pub const TRIALS: &[Trial] = &[("engines_take_up_what_is_installed_and_are_as_before_when_it_is_removed", "", all)];

fn all(world: &World, _: &Wrapper, name: &str) -> Outcome {
    let gate = Wrapper::of_the_host(world)?;
    docker(world, &gate, name)?;
    docker_as_people_have_it(world)?;
    podman(world, &gate, name)?;
    podman_as_people_have_it(world, &gate)?;
    podman_hook(world, &gate)?;
    containerd(world, &gate)
}

fn hooks(world: &World, args: &[&str]) -> Outcome {
    done(world.command(CLOCKGATE).arg("hooks").args(args))
}

/// Whether `hooks list` says that nothing was started since.
fn is_unused(world: &World, target: &str) -> Result<bool, Failed> {
    let output = world.command(CLOCKGATE).args(["hooks", "list"]).output()?;
    expect(output.status.success(), &output)?;
    Ok(texts(&output).0.contains(&format!("\n{target}: note: has started no container since the install\n")))
}

/// A start without any flag of ours: held at the host's gate, and let go.
fn held_and_let_go(gate: &Wrapper, run: &mut std::process::Command) -> Outcome {
    let said = held(gate, run)?;
    if said == "hello\n" { Ok(()) } else { Err(format!("said {said}").into()) }
}

/// What it says in the end.
fn held(gate: &Wrapper, run: &mut std::process::Command) -> Result<String, Failed> {
    let times = gate.said().matches("held: ").count() + 1;
    gate.publish(&shut())?;
    let mut run = Waiting::spawn(run)?;
    gate.wait_until_said(times, "held: ")?;
    run.is_held()?;
    gate.publish(&proven())?;
    let output = run.end()?;
    expect(output.status.success(), &output)?;
    Ok(texts(&output).0)
}

fn docker(world: &World, gate: &Wrapper, name: &str) -> Outcome {
    let file = world.inside("/etc/docker/daemon.json");
    let before = std::fs::read(&file)?;
    let info = || world.docker(&["info", "--format", "{{.DefaultRuntime}}"]).output().map(|output| texts(&output).0);
    let is_default = |runtime: &str| info().is_ok_and(|default| default.trim() == runtime);
    assert!(is_default("runc"));
    done(&mut world.docker(&["create", "--network", "none", "--name", name, "bb", "true"]))?;

    hooks(world, &["install", "docker"])?;
    world.reload_docker()?;
    until("the default is ours", SOON, || is_default("clockgate-runc"))?;
    assert!(is_unused(world, "docker")?);
    held_and_let_go(gate, &mut world.docker(&["run", "--rm", "--network", "none", "bb", "echo", "hello"]))?;
    assert!(!is_unused(world, "docker")?);
    // A container that was made before keeps its runtime, and is not held.
    gate.publish(&shut())?;
    done(&mut world.docker(&["start", "--attach", name]))?;
    gate.publish(&proven())?;
    let since = format!("{name}-since");
    done(&mut world.docker(&["run", "--detach", "--network", "none", "--name", &since, "bb", "sleep", "1000"]))?;

    // Whoever would not start any more is named, and one that runs can still be stopped.
    let refused = world.command(CLOCKGATE).args(["hooks", "remove", "docker"]).output()?;
    let named = texts(&refused).1.starts_with(&format!("clockgate: 1 ({since}) is made with a runtime"));
    expect(refused.status.code() == Some(1) && named, &refused)?;
    hooks(world, &["remove", "docker", "--force"])?;
    assert_eq!(std::fs::read(&file)?, before);
    assert_eq!(world.default_of_a_fresh_docker()?, "runc");
    done(&mut world.docker(&["stop", "--time", "0", &since]))?;
    done(&mut world.docker(&["rm", &since]))
}

/// What dockerd accepts and merges, `hooks install` takes: a second dockerd, started as its unit says, has our runtime for its default.
fn docker_as_people_have_it(world: &World) -> Outcome {
    let before = std::fs::read(world.inside("/etc/docker/daemon.json"))?;
    std::fs::create_dir_all(world.inside("/etc/systemd/system"))?;
    let other = world.path("node.json").display().to_string();
    let by_all = [
        ("nothing", "", &[][..], "clockgate-runc"),
        ("empty", r#"{"default-runtime": "", "runtimes": null}"#, &[], "clockgate-runc"),
        ("shim", r#"{"default-runtime": "io.containerd.runc.v2"}"#, &[], "clockgate-runc"),
        ("added", r#"{"default-runtime": "own"}"#, &["--add-runtime", "own=/usr/bin/runc"], "clockgate-own"),
        (
            "beside",
            r#"{"runtimes": {"a": {"path": "/usr/bin/crun"}}}"#,
            &["--add-runtime=b=/usr/bin/crun"],
            "clockgate-runc",
        ),
        ("elsewhere", r#"{"debug": true}"#, &["--config-file", &other], "clockgate-runc"),
    ];
    // Docker 20.10 knows neither.
    let by_later = [
        ("mark", "\u{feff}{\r\n  \"debug\": true\r\n}\r\n", &[][..], "clockgate-runc"),
        (
            "options",
            r#"{"default-runtime": "own", "runtimes": {"own": {"runtimeType": "io.containerd.runc.v2", "options": {"BinaryName": "/usr/bin/crun"}}}}"#,
            &[],
            "clockgate-own",
        ),
    ];
    for layout in by_all {
        is_taken_up(world, "dockerd", layout)?;
    }
    for suite in ["trixie", "forky"] {
        let program = laboratory::folder().join("dockerds").join(suite).join("dockerd").canonicalize()?;
        for layout in by_all.into_iter().chain(by_later) {
            is_taken_up(world, &program.display().to_string(), layout)?;
        }
    }
    strands_nobody(world)?;
    std::fs::remove_file(world.inside("/etc/systemd/system/docker.service"))?;
    Ok(std::fs::write(world.inside("/etc/docker/daemon.json"), before)?)
}

/// A dockerd with another folder and another user keeps its containers in DATA-ROOT/UID.GID, and `remove` finds them there.
fn strands_nobody(world: &World) -> Outcome {
    for file in ["/etc/subuid", "/etc/subgid"] {
        std::fs::write(world.inside(file), "nobody:100000:65536\nnogroup:100000:65536\n")?;
    }
    let remap = ["--userns-remap", "nobody:nogroup"];
    let unit = format!("--data-root {} {}", world.path("moved/data").display(), remap.join(" "));
    let unit = format!("[Service]\nExecStart=/usr/sbin/dockerd {unit}\n");
    std::fs::write(world.inside("/etc/systemd/system/docker.service"), unit)?;
    std::fs::write(world.inside("/etc/docker/daemon.json"), "{}\n")?;
    hooks(world, &["install", "docker"])?;
    let mut dockerd = Dockerd::new(world, "moved", &remap)?;
    dockerd.start()?;
    done(dockerd.docker(&["import", "-", "bb"]).stdin(std::fs::File::open(world.path("image.tar"))?))?;
    done(&mut dockerd.docker(&["create", "--network", "none", "--name", "kept", "bb", "true"]))?;
    let refused = world.command(CLOCKGATE).args(["hooks", "remove", "docker"]).output()?;
    let named = texts(&refused).1.starts_with("clockgate: 1 (kept) is made with a runtime");
    expect(refused.status.code() == Some(1) && named, &refused)?;
    done(&mut dockerd.docker(&["rm", "kept"]))?;
    hooks(world, &["remove", "docker"])?;
    dockerd.stop()
}

/// A name, the text of the file, flags, and the default runtime that is expected.
type Layout<'a> = (&'a str, &'a str, &'a [&'a str], &'a str);

fn is_taken_up(world: &World, program: &str, (name, text, flags, default): Layout) -> Outcome {
    let file = match flags {
        ["--config-file", file] => PathBuf::from(file),
        _ => world.inside("/etc/docker/daemon.json"),
    };
    std::fs::write(&file, text)?;
    let unit = format!("[Service]\nExecStart=/usr/sbin/dockerd {}\n", flags.join(" "));
    std::fs::write(world.inside("/etc/systemd/system/docker.service"), unit)?;
    hooks(world, &["install", "docker"])?;
    let mut dockerd = Dockerd::new(world, name, flags)?.by(program);
    dockerd.start()?;
    let output = dockerd.docker(&["info", "--format", "{{.DefaultRuntime}}"]).output()?;
    dockerd.stop()?;
    expect(texts(&output).0.trim() == default, &output)?;
    hooks(world, &["remove", "docker"])?;
    assert_eq!(std::fs::read_to_string(file)?, text);
    Ok(())
}

/// A vendor's file that is read late, behind a link; and a folder for hooks that is not the usual one.
fn podman_as_people_have_it(world: &World, gate: &Wrapper) -> Outcome {
    let folder = world.inside("/etc/containers/containers.conf.d");
    std::fs::create_dir_all(&folder)?;
    std::fs::write(world.inside("/etc/vendor.conf"), "[engine.runtimes]\nrunc = [\"/usr/bin/runc\"]\n")?;
    std::os::unix::fs::symlink("/etc/vendor.conf", folder.join("99-vendor.conf"))?;
    hooks(world, &["install", "podman"])?;
    let info = world.podman(&["info", "--format", "{{.Host.OCIRuntime.Path}}"]).output()?;
    expect(texts(&info).0.trim() == "/usr/lib/clockgate/clockgate-runc", &info)?;
    hooks(world, &["remove", "podman"])?;
    std::fs::remove_file(folder.join("99-vendor.conf"))?;

    let elsewhere = folder.join("10-hooks.conf");
    std::fs::write(&elsewhere, "[engine]\nhooks_dir = [\"/etc/containers/oci/hooks.d\"]\n")?;
    hooks(world, &["install", "podman-hook"])?;
    let run = ["run", "--rm", "--network", "none", "--cgroup-parent", &world.cgroup, "bb", "echo", "hello"];
    held_and_let_go(gate, &mut world.podman(&run))?;
    hooks(world, &["remove", "podman-hook"])?;
    Ok(std::fs::remove_file(elsewhere)?)
}

fn podman(world: &World, gate: &Wrapper, name: &str) -> Outcome {
    let file = world.inside("/etc/containers/containers.conf.d/99-clockgate.conf");
    let flags = ["--network", "none", "--cgroup-parent", &world.cgroup];
    let run = [&["run", "--rm"], &flags[..], &["bb", "echo", "hello"]].concat();
    done(&mut world.podman(&[&["create", "--name", name], &flags[..], &["bb", "echo", "hello"]].concat()))?;
    hooks(world, &["install", "podman"])?;
    assert!(is_unused(world, "podman")?);
    held_and_let_go(gate, &mut world.podman(&run))?;
    assert!(!is_unused(world, "podman")?);
    // A container that was made before is held too, and one made since starts afterwards.
    held_and_let_go(gate, &mut world.podman(&["start", "--attach", name]))?;
    let since = format!("{name}-since");
    done(&mut world.podman(&[&["create", "--name", &since], &flags[..], &["bb", "true"]].concat()))?;

    gate.publish(&shut())?;
    hooks(world, &["remove", "podman"])?;
    assert!(!file.exists());
    done(&mut world.podman(&run))?;
    done(&mut world.podman(&["start", "--attach", &since]))?;
    // Where the wrapper's package is gone and its file is not, podman goes on without it.
    hooks(world, &["install", "podman"])?;
    let program: PathBuf = world.inside("/usr/lib/clockgate/clockgate-oci");
    std::fs::remove_file(&program)?;
    let output = world.podman(&run).output();
    std::os::unix::fs::symlink(crate::world::OCI, program)?;
    hooks(world, &["remove", "podman"])?;
    let output = output?;
    expect(output.status.success(), &output)
}

fn podman_hook(world: &World, gate: &Wrapper) -> Outcome {
    let run = ["run", "--rm", "--network", "none", "--cgroup-parent", &world.cgroup, "bb", "echo", "hello"];
    hooks(world, &["install", "podman-hook"])?;
    assert!(is_unused(world, "podman-hook")?);
    held_and_let_go(gate, &mut world.podman(&run))?;
    assert!(!is_unused(world, "podman-hook")?);
    gate.publish(&shut())?;
    hooks(world, &["remove", "podman-hook"])?;
    done(&mut world.podman(&run))
}

/// containerd with its half for Kubernetes, by the file that a node would have and a kubelet of a few calls.
fn containerd(world: &World, gate: &Wrapper) -> Outcome {
    let file = world.inside("/etc/containerd/config.toml");
    std::fs::create_dir_all(world.inside("/etc/containerd"))?;
    std::fs::write(&file, NODE)?;
    hooks(world, &["install", "containerd"])?;
    let state = std::path::Path::new("/run/containerd");
    world.start_kubernetes_containerd("/etc/containerd/config.toml".as_ref(), state)?;
    let cri = |name, more: &[&str]| world.cri(state, &world.cgroup, name, more);
    // The pause container of a pod is one as any other.
    assert!(is_unused(world, "containerd")?);
    let sandbox = held(gate, &mut cri("pod", &["sandbox"]))?;
    assert!(!is_unused(world, "containerd")?);
    let sandbox = sandbox.trim();
    held(gate, &mut cri("pod", &["container", sandbox]))?;

    // Refused, the words reach the kubelet, and it may come again by the same name.
    std::fs::write(world.inside("/etc/clockgate/oci.conf"), "syslog = /run/log\nmax-wait = 1s\n")?;
    gate.publish(&shut())?;
    let refused = cri("late", &["sandbox"]).output()?;
    let said = "OCI runtime create failed: clockgate: refusing to create container ";
    let why = "after N s the gate is shut: resume: measuring; `clockgate status` says more: unknown\n";
    let stderr = refusal(&texts(&refused).1);
    expect(refused.status.code() == Some(1) && stderr.contains(said) && stderr.ends_with(why), &refused)?;
    gate.publish(&proven())?;
    done(&mut cri("late", &["sandbox"]))?;

    hooks(world, &["remove", "containerd"])?;
    assert_eq!(std::fs::read_to_string(&file)?, NODE);
    Ok(())
}

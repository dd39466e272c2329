//! What a container sees of the gate, and what it can do to it: a real agent, whose page's folder is mounted read-only into an
//! image made from nothing, by users without any privilege.

use std::collections::BTreeMap;
use std::fs;
use std::net::Ipv4Addr;
use std::path::PathBuf;
use std::process::Command;

use clockgate::decision::Gate;
use clockgate::page::Page;
use libtest_mimic::Failed;

use crate::dockerd::Dockerd;
use crate::support::liar::{Liar, Manner};
use crate::support::{CLOCKGATE, Ours, Outcome, expect, texts, until};
use crate::world::{SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[("a_container_reads_the_page_waits_at_it_and_can_do_nothing_to_it", "", all)];

const RUN: &[&str] =
    &["/clockgate", "run", "--max-wait", "infinity", "--", "/clockgate", "wait", "--require-proof", "--max-wait", "0s"];
const READ: &[&str] = &["/usr/bin/python3", "/gate.py", "--wait", "100"];
const NOBODY: &[&str] =
    &["--user", "65534:65534", "--cap-drop", "ALL", "--read-only", "--security-opt", "no-new-privileges"];
/// In a user namespace: root in there is nobody out here.
const MAPPED: &[&str] = &["--uidmap", "0:100000:65536", "--gidmap", "0:100000:65536"];

/// An engine's command line without a word yet, and what its `run` needs.
type Engine<'a> = (&'a dyn Fn() -> Command, &'a [&'a str]);

fn all(world: &World, _: &Wrapper, name: &str) -> Outcome {
    let agent = Agent::start(world, name)?;
    let remapped = remapped_docker(world)?;
    let image = world.make_empty_image()?;
    let (docker, podman) = (|| world.docker(&[]), || world.podman(&["--runtime", "plain"]));
    let docker: Engine<'_> = (&docker, &["--runtime", "runc"]);
    let remapped: Engine<'_> = (&|| remapped.docker(&[]), &[]);
    let podman: Engine<'_> = (&podman, &["--log-driver", "k8s-file", "--cgroup-parent", &world.cgroup]);
    for (engine, _) in [docker, remapped, podman] {
        done(engine().args(["import", "-", "alone"]).stdin(fs::File::open(&image)?))?;
    }
    let mapped_nobody = [NOBODY, MAPPED].concat();
    let run = |(engine, own): Engine<'_>, user: &[&str], how: &[&str]| {
        let mut run = engine();
        run.arg("run").args(own).args(["--network", "none"]).args(user).args(agent.mounts()).args(how);
        run
    };

    // Each with the static program, and with a Python that reads by itself.
    let mut held = vec![];
    for (number, (engine, user)) in
        [(docker, NOBODY), (remapped, NOBODY), (podman, &mapped_nobody)].into_iter().enumerate()
    {
        for (what, command) in [("run", RUN), ("gate.py", READ)] {
            let name = format!("{name}-{number}-{what}");
            done(run(engine, user, &["--detach", "--name", &name, "alone"]).args(command))?;
            held.push((engine.0, name));
        }
    }
    for (engine, name) in &held {
        let state = || engine().args(["inspect", "--format", "{{.State.Pid}}", name]).output();
        let pid = texts(&state()?).0.trim().to_owned();
        let sleeps_on = || fs::read_to_string(world.inside(&format!("/proc/{pid}/wchan"))).unwrap_or_default();
        until("it sleeps at the page", SOON, || sleeps_on().contains("futex"))?;
    }
    agent.open()?;
    for (engine, name) in &held {
        let code = engine().args(["wait", name]).output()?;
        let said = engine().args(["logs", name]).output()?;
        expect(texts(&code).0 == "0\n", &said)?;
    }

    let nobody_of_the_host = [NOBODY, &["--pid", "host"]].concat();
    let mapped_admin = [MAPPED, &["--cap-add", "SYS_ADMIN", "--pid", "host"]].concat();
    for (engine, user, mount, signal) in [
        (docker, NOBODY, "EPERM", "ESRCH"),
        (docker, &["--user", "0:0"][..], "EPERM", "ESRCH"),
        (docker, &nobody_of_the_host, "EPERM", "EPERM"),
        (remapped, &["--user", "0:0"], "EPERM", "ESRCH"),
        // It may mount as it likes, and still has no right to the file.
        (podman, &mapped_admin, "done", "EPERM"),
    ] {
        let output = run(engine, user, &["--rm", "alone", "/usr/bin/python3", "/tries.py", &agent.pid]).output()?;
        expect(output.status.success(), &output)?;
        let mut came: BTreeMap<String, serde_json::Value> = serde_json::from_slice(&output.stdout)?;
        assert_eq!(came.remove("there"), Some(serde_json::json!([["public"], ["gate"]])));
        let of_its_own = ["mount", "signal", "connect"].map(|what| came.remove(what).unwrap_or_default());
        assert_eq!(of_its_own, [mount, signal, "ENOENT"], "{user:?}");
        let is_denied = |outcome: &serde_json::Value| ["EACCES", "EPERM", "EROFS"].map(Into::into).contains(outcome);
        assert!(came.len() == 7 && came.values().all(is_denied), "{user:?}: {came:?}");
    }
    agent.is_as_it_was()?;
    Ok(())
}

/// A dockerd whose containers' root is nobody outside.
fn remapped_docker(world: &World) -> Result<Dockerd<'_>, Failed> {
    for file in ["/etc/subuid", "/etc/subgid"] {
        fs::write(world.inside(file), "nobody:100000:65536\nnogroup:100000:65536\n")?;
    }
    let config = world.path("remapped.json");
    fs::write(&config, serde_json::json!({ "cgroup-parent": world.cgroup }).to_string())?;
    let mut dockerd = Dockerd::new(
        world,
        "remapped",
        &["--userns-remap", "nobody:nogroup", "--config-file", &config.display().to_string()],
    )?;
    dockerd.start()?;
    Ok(dockerd)
}

/// An agent in the world, whose gate is shut until there is somebody to ask.
struct Agent<'a> {
    world: &'a World,
    folder: PathBuf,
    /// As the engines' host counts.
    pid: String,
    /// Silent until the gate may open.
    server: Liar,
    _process: Ours,
}

impl<'a> Agent<'a> {
    fn start(world: &'a World, name: &str) -> Result<Self, Failed> {
        let folder = world.path(&format!("{name}-agent"));
        // It keeps its port from the beginning: one that is given back may be another's by the time it is wanted again.
        let server = Liar::that((Ipv4Addr::LOCALHOST, 0).into(), Manner::default().silent())?;
        let address = server.address();
        fs::create_dir_all(folder.join("etc/clockgate"))?;
        let at = folder.display();
        let config = format!(
            "servers: ['{address}']\ncorrection: none\nat-deadline: {{unreachable: hold}}\nfreeze: {{engines: []}}\npage: {at}/public\n\
             bus: {{system: false, peer: {at}/bus}}\nchrony: {{socket: {at}/no, udp: none}}\n"
        );
        fs::write(folder.join("etc/clockgate/config.yaml"), config)?;
        let log = fs::File::create(folder.join("log"))?;
        let mut agent = world.daemon("sh");
        agent.args(["-c", "echo $$ >\"$1/pid\"; exec \"$2\" agent --root \"$1\"", "sh"]).arg(&folder).arg(CLOCKGATE);
        let process = Ours(agent.stderr(log).spawn()?);
        until("the page", SOON, || folder.join("public/gate").exists() && folder.join("bus").exists())?;
        let pid = fs::read_to_string(folder.join("pid"))?.trim().to_owned();
        Ok(Self { world, folder, pid, server, _process: process })
    }

    /// The page's folder as everybody mounts it, and what the programs of this test need.
    fn mounts(&self) -> Vec<String> {
        let of_the_tree = concat!(env!("CARGO_MANIFEST_DIR"), "/");
        let page = format!("{}:/run/clockgate/public:ro", self.folder.join("public").display());
        let programs = [("examples/gate.py", "/gate.py"), ("tests/engines/tries.py", "/tries.py")];
        let programs = programs.map(|(from, to)| format!("{of_the_tree}{from}:{to}:ro"));
        let volumes = [page, "/usr:/usr:ro".to_owned()].into_iter().chain(programs);
        volumes.flat_map(|volume| ["--volume".to_owned(), volume]).collect()
    }

    /// Proven in the same epoch, and alive.
    fn is_as_it_was(&self) -> Outcome {
        let view = Page::open(&self.folder.join("public"))?.read();
        let lives = self.world.inside(&format!("/proc/{}", self.pid)).exists();
        if lives && view.gate == Gate::Proven && view.epoch == 2 {
            Ok(())
        } else {
            Err(format!("{lives} {view:?}").into())
        }
    }

    /// From now on somebody answers. What `sync` begins has begun before: a gate that opens by itself would be shut by it again, under
    /// those who were just released.
    fn open(&self) -> Outcome {
        let mut sync = self.world.command(CLOCKGATE);
        let _sync = Ours::logged(sync.arg("sync").arg("--root").arg(&self.folder), &self.folder.join("sync.log"))?;
        let page = Page::open(&self.folder.join("public"))?;
        until("what sync asks for has begun", SOON, || page.read().epoch == 2)?;
        self.server.change(|manner| *manner = Manner::default());
        until("the gate is open", SOON, || page.read().gate == Gate::Proven)
    }
}

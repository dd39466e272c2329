//! Containers that run, frozen by clockgate: what users of their engine see meanwhile, and what is left of it afterwards.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::fs;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use clockgate::decision::{Awake, FreezeOutcome};
use clockgate::workload::{Engine, FreezeSettings, Workloads};
use libtest_mimic::Failed;

use crate::support::gate_page::proven;
use crate::support::{CLOCKGATE, Outcome, expect, fail, texts, until};
use crate::waiting::Waiting;
use crate::world::{SOON, Trial, World, done};
use crate::wrapper::Wrapper;

/// Each trial, its runtime's settings, and what is tried.
pub const TRIALS: &[Trial] = &[
    ("what_users_of_docker_see_of_a_freeze", "", docker),
    ("what_users_of_podman_see_of_a_freeze", "", podman),
    ("a_vpn_in_docker_is_thawed_beside_the_frozen_others", "", docker_s_vpn),
    ("a_vpn_in_podman_is_thawed_beside_the_frozen_others", "", podman_s_vpn),
];

/// The same where there is cgroup2 alone, and engines pause by the same freezer as we.
pub const UNIFIED: &[Trial] = &[
    ("what_users_of_docker_see_of_a_freeze_by_cgroup2_alone", "", docker),
    ("what_users_of_podman_see_of_a_freeze_by_cgroup2_alone", "", podman),
    ("a_vpn_in_docker_is_thawed_by_cgroup2_alone", "", docker_s_vpn),
    ("a_vpn_in_podman_is_thawed_by_cgroup2_alone", "", podman_s_vpn),
];

/// Far more than any freeze here takes.
const LIMIT: Duration = Duration::from_secs(30);
/// After so long a command that ends at once without a freeze is said to hang; on a slow machine it may be slow.
const HANGS: Duration = Duration::from_secs(1);
/// Says that it runs, and that it was told to end.
const TICKS: &str = "trap 'echo term; exit 5' TERM; while :; do echo tick; sleep 0.1; done";

fn docker(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    let host = Host::new(world, Engine::Docker, runtime)?;
    as_a_folder(&host)?;
    one_by_one(&host)
}

fn podman(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    let host = Host::new(world, Engine::Podman, runtime)?;
    as_a_folder(&host)?;
    one_by_one(&host)
}

fn docker_s_vpn(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    vpn(&Host::new(world, Engine::Docker, runtime)?)
}

fn podman_s_vpn(world: &World, wrapper: &Wrapper, runtime: &str) -> Outcome {
    wrapper.publish(&proven())?;
    vpn(&Host::new(world, Engine::Podman, runtime)?)
}

/// The host's network and the right to change it take both options; everybody here is root with the engine's usual capabilities.
fn vpn(host: &Host<'_>) -> Outcome {
    host.run("vpn", &["--network", "host", "--cap-add", "NET_ADMIN"])?;
    host.run("host", &["--network", "host"])?;
    host.run("admin", &["--cap-add", "NET_ADMIN"])?;
    host.run("paused", &["--network", "host", "--cap-add", "NET_ADMIN"])?;
    host.pause("paused")?;
    assert_eq!(host.freeze()?, 4);
    let names = host.workloads.thaw_carriers()?;
    let routes = fs::read_to_string("/proc/self/net/route")?;
    if !routes.lines().any(|line| line.split('\t').nth(1) == Some("00000000")) {
        assert!(names.is_empty(), "this machine has no way out: {names:?}");
        host.workloads.thaw()?;
        return Ok(());
    }
    let full = host.name("vpn");
    assert!(names.count() == 1 && names.to_string().starts_with(&format!("{full} (")), "{names:?}");
    host.runs("vpn")?;
    done(&mut host.exec("vpn"))?;
    assert!(["host", "admin"].iter().all(|name| host.is_frozen(name)) && !host.is_frozen("vpn"));
    assert_eq!(host.workloads.thaw()?.thawed.len(), if host.pauses_by_our_freezer() { 2 } else { 3 });
    for name in ["vpn", "host", "admin"] {
        host.runs(name)?;
    }
    assert_eq!(host.state("paused"), "paused 0");
    done(&mut host.on(&["unpause"], "paused"))?;
    host.runs("paused")
}

/// The engine's folder is frozen, as everywhere but with systemd's driver; who starts in it waits.
fn as_a_folder(host: &Host<'_>) -> Outcome {
    let names = ["exec", "stop", "kill", "term", "pause", "paused", "unpause"];
    for name in names {
        host.run(name, &[])?;
    }
    // Process 1 of a container ignores TERM until its shell has set the trap.
    for name in names {
        host.runs(name)?;
    }
    for name in ["paused", "unpause"] {
        host.pause(name)?;
    }
    host.make(&["create"], "start", &[])?;
    assert_eq!(host.freeze()?, 7);

    // The engine knows nothing of it, and its other verbs work.
    assert_eq!((host.state("exec"), host.state("paused")), ("running 0".into(), "paused 0".into()));
    for verb in ["logs", "top"] {
        done(&mut host.on(&[verb], "exec"))?;
    }
    // To stop is to kill after the grace, since nobody hears TERM; to kill is to kill at once.
    done(&mut host.on(&["stop", "--time", "1"], "stop"))?;
    done(&mut host.on(&["kill"], "kill"))?;
    for name in ["stop", "kill"] {
        until("it is dead", SOON, || host.state(name).ends_with(" 137"))?;
        assert!(!host.logs(name).contains("term"), "{name}");
    }
    // Another signal is heard after the thaw.
    done(&mut host.on(&["kill", "--signal", "TERM"], "term"))?;
    assert_eq!(host.state("term"), "running 0");
    // A user may pause and unpause meanwhile: it counts from the thaw on.
    host.pause("pause")?;
    done(&mut host.on(&["unpause"], "unpause"))?;
    assert_eq!((host.state("pause"), host.state("unpause")), ("paused 0".into(), "running 0".into()));
    let ticks = host.ticks("unpause");

    // Each may be frozen with a sleep beside its shell, or without.
    let there = host.processes("exec");
    let mut exec = Waiting::spawn(&mut host.exec("exec"))?;
    until("its process is there", SOON, || host.processes("exec") > there)?;
    // Who asks for this container waits with it; podman shows no list without it.
    let mut asked = if host.is_podman() {
        Waiting::spawn(&mut host.command(&["ps"]))?
    } else {
        Waiting::spawn(&mut host.on(&["inspect"], "exec"))?
    };
    let mut start = Waiting::spawn(&mut host.on(&["start"], "start"))?;
    if !host.is_podman() {
        done(&mut host.command(&["ps"]))?;
        until("a process of the one that starts", SOON, || host.processes("start") > 0)?;
    }
    std::thread::sleep(HANGS);
    for waiting in [&mut exec, &mut asked, &mut start] {
        waiting.is_held()?;
    }
    assert_eq!(host.ticks_of_docker("unpause").unwrap_or(ticks), ticks);

    assert_eq!(host.workloads.thaw()?.thawed.len(), 1);
    let output = exec.end()?;
    expect(output.status.success() && texts(&output).0 == "in\n", &output)?;
    for waiting in [asked, start] {
        let output = waiting.end()?;
        expect(output.status.success(), &output)?;
    }
    for name in ["exec", "unpause", "start"] {
        host.runs(name)?;
    }
    until("it heard TERM", SOON, || host.state("term") == "exited 5")?;
    // What users paused is as they left it, whenever they did.
    for name in ["pause", "paused"] {
        assert_eq!(host.state(name), "paused 0");
        let ticks = host.ticks(name);
        done(&mut host.on(&["unpause"], name))?;
        until("it goes on", SOON, || host.ticks(name) > ticks)?;
    }
    Ok(())
}

/// With somebody in the folder who has to run on, the others are frozen one by one.
fn one_by_one(host: &Host<'_>) -> Outcome {
    // Podman keeps labels to itself.
    let kind = if host.is_podman() { "--annotation" } else { "--label" };
    host.run("exempt", &[kind, "clockgate.exempt=true"])?;
    host.run("excluded", &[])?;
    host.pause("paused")?;
    assert_eq!(host.freeze()?, 5);
    for name in ["exempt", "excluded"] {
        host.runs(name)?;
        done(&mut host.exec(name))?;
    }
    if host.pauses_by_our_freezer() {
        // The engine takes a frozen one for paused, though nobody paused it.
        let output = host.exec("exec").output()?;
        let said = texts(&output).0 + &texts(&output).1;
        expect(!output.status.success() && said.contains("cannot exec in a paused container"), &output)?;
        let output = host.on(&["pause"], "pause").output()?;
        expect(!output.status.success() && texts(&output).1.contains("container not running"), &output)?;
        host.workloads.thaw()?;
    } else {
        let there = host.processes("exec");
        let mut exec = Waiting::spawn(&mut host.exec("exec"))?;
        until("its process is there", SOON, || host.processes("exec") > there)?;
        host.pause("pause")?;
        exec.is_held()?;
        host.workloads.thaw()?;
        let output = exec.end()?;
        expect(output.status.success() && texts(&output).0 == "in\n", &output)?;
        assert_eq!(host.state("pause"), "paused 0");
        done(&mut host.on(&["unpause"], "pause"))?;
    }
    assert_eq!(host.state("paused"), "paused 0");
    done(&mut host.on(&["unpause"], "paused"))?;
    for name in ["exec", "pause", "paused", "unpause", "start"] {
        host.runs(name)?;
    }
    Ok(())
}

/// A part of the hierarchy that a trial's clockgate takes for the whole, with the folder of an engine in it: nothing else can be
/// frozen by it.
struct Host<'a> {
    world: &'a World,
    engine: Engine,
    runtime: &'a str,
    workloads: Workloads,
    /// The engine's.
    folder: PathBuf,
    /// By name.
    ids: RefCell<BTreeMap<String, String>>,
}

impl<'a> Host<'a> {
    fn new(world: &'a World, engine: Engine, runtime: &'a str) -> Result<Self, Failed> {
        let part = world.hierarchy()?.join(runtime);
        let folder = part.join(if engine == Engine::Docker { "docker" } else { "libpod_parent" });
        let workloads = workloads(world, engine, runtime)?;
        Ok(Self { world, engine, runtime, workloads, folder, ids: RefCell::default() })
    }

    fn is_podman(&self) -> bool {
        self.engine == Engine::Podman
    }

    /// How many are frozen, which are all.
    fn freeze(&self) -> Result<usize, Failed> {
        let FreezeOutcome { frozen, of, stuck, tolerances: _ } = self.workloads.freeze(LIMIT, Awake::NEVER)?;
        let is_whole = (frozen.count(), stuck.len()) == (of, 0);
        if is_whole { Ok(of) } else { Err(format!("{frozen} of {of}: {stuck:?}").into()) }
    }

    fn name(&self, name: &str) -> String {
        format!("{}-{name}", self.runtime)
    }

    /// Has the engine pause it: a runtime gives up where a process of the container gets no processor for a while, and users try again.
    fn pause(&self, name: &str) -> Outcome {
        let mut paused = fail("it was not tried");
        let tried = until("the engine pauses it", SOON, || {
            paused = done(&mut self.on(&["pause"], name));
            paused.is_ok()
        });
        tried.or(paused)
    }

    /// The engine's command line; the last argument is a container's name.
    fn on(&self, args: &[&str], name: &str) -> Command {
        self.command(&[args, &[&self.name(name)]].concat())
    }

    fn command(&self, args: &[&str]) -> Command {
        if self.is_podman() {
            self.world.podman(&[&["--runtime", self.runtime], args].concat())
        } else {
            self.world.docker(args)
        }
    }

    fn exec(&self, name: &str) -> Command {
        self.command(&["exec", &self.name(name), "echo", "in"])
    }

    fn make(&self, verb: &[&str], name: &str, flags: &[&str]) -> Outcome {
        let folder = self.folder.file_name().unwrap_or_default().display();
        let (full, parent) = (self.name(name), format!("{}/{}/{folder}", self.world.cgroup, self.runtime));
        // Podman's own limit of processes takes a controller that cgroup2 lacks on a host with the others of version 1.
        let own: &[&str] = if self.is_podman() {
            &["--log-driver", "k8s-file", "--pids-limit", "-1"]
        } else {
            &["--runtime", self.runtime]
        };
        let ours = ["--name", &full, "--cgroup-parent", &parent];
        let network: &[&str] = if flags.contains(&"--network") { &[] } else { &["--network", "none"] };
        let output = self.command(&[verb, own, &ours, network, flags, &["bb", "sh", "-c", TICKS]].concat()).output()?;
        expect(output.status.success(), &output)?;
        self.ids.borrow_mut().insert(name.to_owned(), texts(&output).0.trim().to_owned());
        Ok(())
    }

    fn run(&self, name: &str, flags: &[&str]) -> Outcome {
        self.make(&["run", "--detach"], name, flags)
    }

    fn logs(&self, name: &str) -> String {
        self.on(&["logs"], name).output().map_or_else(|_| String::new(), |output| texts(&output).0)
    }

    fn ticks(&self, name: &str) -> usize {
        self.logs(name).lines().count()
    }

    /// Podman reads no log of anybody while a container's lock is held.
    fn ticks_of_docker(&self, name: &str) -> Option<usize> {
        (!self.is_podman()).then(|| self.ticks(name))
    }

    fn runs(&self, name: &str) -> Outcome {
        let before = self.ticks(name);
        until("it runs", SOON, || self.ticks(name) > before)
    }

    /// `running 0`
    fn state(&self, name: &str) -> String {
        let format = ["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}"];
        self.on(&format, name).output().map_or_else(|_| String::new(), |output| texts(&output).0.trim().to_owned())
    }

    /// How many processes the container has, as its cgroup says: the engine may be waiting for it.
    fn processes(&self, name: &str) -> usize {
        self.cgroup_file(name, "cgroup.procs").lines().count()
    }

    fn is_frozen(&self, name: &str) -> bool {
        self.cgroup_file(name, "cgroup.events").contains("frozen 1")
    }

    fn cgroup_file(&self, name: &str, file: &str) -> String {
        let prefix = if self.is_podman() { "libpod-" } else { "" };
        let id = self.ids.borrow().get(name).cloned().unwrap_or_default();
        fs::read_to_string(self.folder.join(format!("{prefix}{id}")).join(file)).unwrap_or_default()
    }

    /// Whether the engine's own pause is a mark of cgroup2, too.
    fn pauses_by_our_freezer(&self) -> bool {
        !self.world.inside("/sys/fs/cgroup/freezer").is_dir()
    }
}

impl Drop for Host<'_> {
    fn drop(&mut self) {
        // A trial that failed may have left everything frozen; nobody has to look on while others are tried.
        let _ = self.workloads.thaw();
        let _ = fs::write(self.folder.join("cgroup.kill"), "1");
    }
}

/// A clockgate that sees the part of the hierarchy that has this name, and freezes containers of this engine.
pub fn workloads(world: &World, engine: Engine, name: &str) -> Result<Workloads, Failed> {
    Ok(Workloads::new(FreezeSettings {
        engines: vec![engine],
        exclude: vec!["*-excluded".parse()?],
        ledger: world.path(&format!("ledger-{name}")),
        guard: CLOCKGATE.into(),
        cgroup: Some(world.hierarchy()?.join(name)),
        root: world.inside("/"),
        ..FreezeSettings::default()
    }))
}

//! Starts of containers at the shut gate of a real agent: those that are refused are counted, and who imitates one changes words alone.

use std::fs;
use std::os::unix::fs::{PermissionsExt as _, symlink};
use std::path::PathBuf;
use std::process::{Command, Output, Stdio};

use clockgate::decision::{Gate, Offset};
use clockgate::page::Page;

use crate::nri::FakeRuntime;
use crate::status::{SOON, number};
use crate::support::agent::Agent;
use crate::support::liar::Liar;
use crate::support::{Ours, clockgate, until};

/// A uid and gid that nobody has.
const STRANGER: [&str; 4] = ["--reuid=65534", "--regid=65534", "--clear-groups", "--"];

/// An agent whose clock is 20 s off, so that its gate is shut, and a wrapper at it.
struct Held {
    agent: Agent,
    _server: Liar,
}

impl Held {
    fn new() -> Self {
        let server = Liar::here(Offset::from_secs(20)).unwrap();
        let config = format!("servers: ['{}']\ncorrection: none\ndeadline: 10min\n", server.address());
        let held = Self { agent: Agent::start(&config).unwrap(), _server: server };
        let at = |path: &str| held.agent.host.at(path);
        // A stranger may come here.
        fs::set_permissions(held.agent.host.path(), fs::Permissions::from_mode(0o755)).unwrap();
        symlink(env!("CARGO_BIN_EXE_clockgate-oci"), at("clockgate-fake")).unwrap();
        held.agent.host.put_program("fake", "#!/bin/sh\n").unwrap();
        held
    }

    fn page(&self) -> PathBuf {
        self.agent.host.at("run/clockgate/public")
    }

    /// The wrapper, called to create that container, which it holds for so long.
    fn create(&self, prefix: &[&str], id: &str, wait: &str) -> Command {
        let log = self.agent.host.at("log");
        let settings = format!("page = {}\nsyslog = {}\nmax-wait = {wait}\n", self.page().display(), log.display());
        self.agent.host.put("clockgate-fake.conf", &settings).unwrap();
        let wrapper = self.agent.host.at("clockgate-fake");
        let mut command = Command::new(prefix.first().map_or(wrapper.as_os_str(), |program| program.as_ref()));
        if let Some((_, rest)) = prefix.split_first() {
            command.args(rest).arg(wrapper);
        }
        command.args(["create", "--bundle", "/nowhere", id]);
        command
    }

    fn metrics(&self) -> String {
        let output =
            clockgate().args(["status", "--format", "openmetrics", "--page"]).arg(self.page()).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    }

    fn refused(&self) -> [Option<f64>; 3] {
        let metrics = self.metrics();
        ["oci", "hook", "nri"].map(|by| number(&metrics, &format!("clockgate_starts_refused_total{{by=\"{by}\"}}")))
    }
}

fn is_refused(output: &Output) {
    assert_eq!(output.status.code(), Some(75), "{output:?}");
}

fn stranger() -> Vec<&'static str> {
    [&["setpriv"][..], &STRANGER].concat()
}

pub fn refused() {
    let held = Held::new();
    assert_eq!(held.refused(), [Some(0.0); 3]);
    for count in [1.0, 2.0] {
        is_refused(&held.create(&[], "ab", "100ms").output().unwrap());
        assert_eq!(held.refused(), [Some(count), Some(0.0), Some(0.0)]);
    }
    let mut hook = Command::new(held.agent.host.at("clockgate-fake"));
    is_refused(&hook.arg("hook").stdin(Stdio::null()).output().unwrap());
    assert_eq!(held.refused(), [Some(2.0), Some(1.0), Some(0.0)]);
    // Another user's is refused as well, and cannot be counted.
    is_refused(&held.create(&stranger(), "cd", "100ms").output().unwrap());
    assert_eq!(held.refused(), [Some(2.0), Some(1.0), Some(0.0)]);
}

/// A kubelet asks again and again; each time is one more.
pub fn refused_of_pods() {
    let held = Held::new();
    let page = format!("page = {}\n", held.page().display());
    symlink(env!("CARGO_BIN_EXE_clockgate-nri"), held.agent.host.at("clockgate-nri")).unwrap();
    held.agent.host.put("clockgate-nri.conf", &page).unwrap();
    let mut runtime = FakeRuntime::new(&held.agent.host.at("nri.sock"), &held.agent.host.at("clockgate-nri"));
    for count in [1.0, 2.0] {
        assert!(runtime.asks_to_make_a_container().contains("clockgate: refusing to create a container: "));
        until("it is counted", SOON, || held.refused() == [Some(0.0), Some(0.0), Some(count)]).unwrap();
    }
}

pub fn imitated() {
    let held = Held::new();
    let view = || Page::open(&held.page()).unwrap().read();
    until("the clock is known to be wrong", SOON, || view().served_tolerance().is_some()).unwrap();
    let before = view();
    let mut command = held.create(&stranger(), "imitated-\u{1b}[2J", "10min");
    let imitation = Ours::spawn(command.stdout(Stdio::null()).stderr(Stdio::null())).unwrap();
    let status = |more: &[&str]| {
        let output = clockgate().args(["status", "--page"]).arg(held.page()).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let said = || status(&[]);
    until("it is said", SOON, || said().contains("container imitated-\\u{1b}[2J")).unwrap();
    until("and counted", SOON, || number(&held.metrics(), "clockgate_starts_held") >= Some(1.0)).unwrap();
    let json: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    let pids: Vec<u64> = json["held"].as_array().unwrap().iter().filter_map(|one| one["pid"].as_u64()).collect();
    assert!(pids.contains(&imitation.0.id().into()), "{json}");
    let after = view();
    assert_eq!((after.gate, after.epoch, after.state), (Gate::Shut, before.epoch, before.state), "{after:?}");
    assert!(after.cause == before.cause && !after.why.contains("imitated"), "{after:?}");
    assert_eq!(held.refused(), [Some(0.0); 3]);
    drop(imitation);
    until("it is forgotten", SOON, || !said().contains("imitated")).unwrap();
}

/// What the page serves is said in each form.
pub fn tolerance() {
    let held = Held::new();
    let view = || Page::open(&held.page()).unwrap().read();
    until("the clock is known to be wrong", SOON, || view().served_tolerance().is_some()).unwrap();
    let status = |more: &[&str]| {
        let output = clockgate().args(["status", "--page"]).arg(held.page()).args(more).output().unwrap();
        String::from_utf8(output.stdout).unwrap()
    };
    let text = status(&[]);
    let line = text.lines().find(|line| line.starts_with("Tolerance: 20.0 s or more is served, measured "));
    assert!(line.is_some(), "{text}");
    let json: serde_json::Value = serde_json::from_str(&status(&["--json"])).unwrap();
    let tolerance = json["tolerance_now_ns"].as_u64().unwrap();
    assert!((20_000_000_000..30_000_000_000).contains(&tolerance), "{json}");
    assert!(json["tolerance_as_of_boottime_ns"].as_u64() > json["since_boottime_ns"].as_u64(), "{json}");
    let served = number(&held.metrics(), "clockgate_served_tolerance_seconds").unwrap();
    assert!((20.0..30.0).contains(&served), "{served}");
}

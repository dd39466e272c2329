//! What every verb prints as JSON, held against clockgate-interfaces(7): each field is named there, and no other, with its type.
#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

#[path = "../support/mod.rs"]
mod support;

#[path = "../support/web.rs"]
mod web;

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::{BufRead as _, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use clockgate::config::patterns;
use clockgate::container::{Caller, Container, Engine};
use clockgate::decision::{
    ClockMeasurement, Clocks, ContainerList, Epoch, Evidence, Gate, NamedContainer, Offset, Realtime, Reckoning,
    ReferenceKind, Snapshot,
};
use clockgate::explain::{Literals, Now, Scanner, Then, World, judge};
use clockgate::history::{self, HistoryFiles};
use clockgate::publish::gate_page::GatePage;
use clockgate::publish::proof_file::ProofFile;
use clockgate::sys::clock::{boottime, standing};
use clockgate::transition::{Course, FrozenContainers, Occurrence, Parts, Position, ReceivedAnswer, Transition};
use clockgate::waiter::oci::Waiting;
use clockgate::workload::StillFrozen;
use serde_json::{Value, json};
use support::agent::Agent;
use support::gate_page::{self, proven, shut};
use support::host::HostFolder;
use support::liar::Liar;
use support::vsock_guest;
use web::Web;

/// The field types of one verb, by their paths.
type Fields = BTreeMap<String, String>;

/// The tables of the manual, by their verbs.
fn documented() -> BTreeMap<String, Fields> {
    let manual = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man/clockgate-interfaces.7");
    tables(&fs::read_to_string(manual).unwrap())
}

fn tables(manual: &str) -> BTreeMap<String, Fields> {
    let section = manual.split(".Ss JSON\n").nth(1).unwrap_or_default().split("\n.S").next().unwrap_or_default();
    let mut verbs: BTreeMap<String, Fields> = BTreeMap::new();
    for table in section.split(".Bd -literal\n").skip(1).filter_map(|rest| rest.split(".Ed\n").next()) {
        let mut lines = table.lines();
        let fields = verbs.entry(lines.next().unwrap_or_default().to_owned()).or_default();
        // What is indented further goes on with the line above.
        for line in lines.filter_map(|line| line.strip_prefix("  ").filter(|line| !line.starts_with(' '))) {
            let mut words = line.split_whitespace();
            fields.insert(words.next().unwrap().to_owned(), words.next().unwrap_or_default().to_owned());
        }
    }
    verbs
}

/// Every field of a value with its type; null says nothing of the type but that it may be missing.
fn fields(value: &Value, path: &str, found: &mut BTreeSet<(String, &'static str)>) {
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !path.is_empty() {
        found.insert((path.to_owned(), kind));
    }
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                // The keys of the configuration are values, not fields.
                let name = if path == "keys" { "KEY" } else { name };
                fields(value, &if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }, found);
            }
        }
        Value::Array(values) => values.iter().for_each(|value| fields(value, &format!("{path}[]"), found)),
        Value::Null | Value::Bool(_) | Value::Number(_) | Value::String(_) => {}
    }
}

/// What the manual and these outputs of a verb do not have in common.
fn differences(table: &Fields, outputs: &[Value]) -> Vec<String> {
    let mut found = BTreeSet::new();
    outputs.iter().for_each(|output| fields(output, "", &mut found));
    let mut wrong = vec![];
    for (path, kind) in &found {
        match table.get(path) {
            None => wrong.push(format!("{path} is not in the manual")),
            Some(said) if *kind == "null" && !said.ends_with('?') => wrong.push(format!("{path} can be null")),
            Some(said) if *kind != "null" && said.trim_end_matches('?') != *kind => {
                wrong.push(format!("{path} is of type {kind}, not {said}"));
            }
            Some(_) => {}
        }
    }
    let seen: BTreeSet<&String> = found.iter().filter(|(_, kind)| *kind != "null").map(|(path, _)| path).collect();
    wrong.extend(table.keys().filter(|path| !seen.contains(path)).map(|path| format!("{path} is in the manual alone")));
    wrong.extend(outputs.iter().filter(|o| o["version"] != 2).map(|output| format!("not version 2: {output}")));
    wrong
}

#[track_caller]
fn holds(verb: &str, outputs: &[Value]) {
    let tables = documented();
    let wrong = differences(tables.get(verb).unwrap_or(&Fields::new()), outputs);
    assert!(wrong.is_empty(), "{verb}: {wrong:#?}\n{outputs:#?}");
}

fn clockgate(arguments: &[&str]) -> Value {
    let output = support::clockgate().args(arguments).env_remove("CLOCKGATE_SERVERS").output().unwrap();
    let said = serde_json::from_slice(&output.stdout);
    assert!(said.is_ok(), "{arguments:?}: {output:?}");
    said.unwrap()
}

struct Host(HostFolder);

impl Host {
    fn new(files: &[(&str, &str)]) -> Self {
        Self(HostFolder::new(files).unwrap())
    }

    fn path(&self) -> &str {
        self.0.path().to_str().unwrap()
    }

    fn says(&self, arguments: &[&str]) -> Value {
        clockgate(&[arguments, &["--json", "--root", self.path()]].concat())
    }

    /// A gate page that says so; it lives as long as its writer.
    fn page(&self, says: &Snapshot) -> GatePage {
        gate_page::publish(self.0.path(), says).unwrap()
    }

    fn directory(&self) -> PathBuf {
        gate_page::public(self.0.path())
    }
}

/// A container that waits at the gate.
fn waiting() -> Waiting {
    Waiting {
        pid: 1,
        engine: Caller::Docker,
        id: "a".to_owned(),
        name: Some("web".to_owned()),
        title: Some("web".to_owned()),
    }
}

/// A server that has this machine's own time.
fn server() -> (Liar, String) {
    let server = Liar::here(Offset::ZERO).unwrap();
    let address = server.address().to_string();
    (server, address)
}

/// Nobody answers there.
const CLOSED: &str = "127.0.0.1:1";

/// An agent that a server answers.
struct Answered {
    agent: Agent,
    _server: Liar,
}

impl Answered {
    fn start() -> Self {
        let (server, address) = server();
        let agent = Agent::start(&format!("servers: ['{address}']\ncorrection: none\n")).unwrap();
        Self { agent, _server: server }
    }

    fn says(&self, arguments: &[&str]) -> Value {
        clockgate(&[arguments, &["--json", "--bus", self.agent.bus().to_str().unwrap()]].concat())
    }
}

#[test]
fn status() {
    let daemon = [("proc/9/comm", "chronyd\n"), ("proc/9/status", "NSpid:\t9\nCapPrm:\t0000000002000000\n")];
    let host = Host::new(&[&daemon[..], &[("var/lib/clockgate/clock", "")]].concat());
    record_all(&host);
    let page = host.directory();
    let says = || clockgate(&["status", "--json", "--root", host.path(), "--page", page.to_str().unwrap()]);
    let open_page = host.page(&Snapshot { next: boottime(), ..proven() });
    let mut open = says();
    drop(open_page);
    // By an agent that lives, without which no tolerance is served.
    let mut shut_page = host.page(&Snapshot { measured: Some(measured()), ..shut() });
    shut_page.alive(boottime() + Duration::from_secs(600)).unwrap();
    let shut = says();
    drop(shut_page);
    // Nothing waits or is frozen on this host on a test's account.
    let held = waiting().json();
    let container = Container { engine: Engine::Docker, id: "a".into(), cgroup: "a".into(), inode: 1 };
    let frozen = |name: Option<&str>| {
        StillFrozen { container: container.clone(), name: name.map(str::to_owned), since: boottime() }.json()
    };
    open["held"] = json!([held]);
    open["frozen"] = json!([frozen(Some("web")), frozen(None)]);
    holds("status", &[open, shut]);
}

/// 20 s behind, by two exchanges of the epoch.
fn measured() -> ClockMeasurement {
    let now = boottime();
    ClockMeasurement {
        offset: Offset::from_secs(20),
        bound: Duration::from_secs(21),
        as_of: now,
        valid_until: now + Duration::from_secs(600),
        max_drift_ppm: 500,
        differences: Some(standing()),
        leap_second: None,
    }
}

#[test]
fn wait_and_run() {
    let host = Host::new(&[]);
    let wait = |page: &GatePage| {
        let _ = page;
        let mut command = Command::new(support::CLOCKGATE);
        command.args(["wait", "--json", "--max-wait", "50ms", "--page"]).arg(host.directory());
        command.output().unwrap()
    };
    let measured = Snapshot { offset: Some(Offset::ZERO), bound: Some(Duration::ZERO), ..shut() };
    let shut = wait(&host.page(&measured));
    let line = String::from_utf8(shut.stderr).unwrap();
    let waiting: Value = serde_json::from_str(line.lines().next().unwrap()).unwrap();
    let mut command = Command::new(support::CLOCKGATE);
    let endless =
        command.args(["wait", "--json", "--max-wait", "infinity", "--no-agent", "measure", "--server", CLOSED]);
    let mut endless = endless.arg("--page").arg(host.0.path()).stderr(Stdio::piped()).spawn().unwrap();
    let mut line = String::new();
    BufReader::new(endless.stderr.take().unwrap()).read_line(&mut line).unwrap();
    endless.kill().unwrap();
    endless.wait().unwrap();
    holds("wait and run, while they wait", &[waiting, serde_json::from_str(&line).unwrap()]);
    let open = wait(&host.page(&proven()));
    let refused = "echo 'Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T143000Z - 15 min.)'; exit 1";
    let page = host.page(&proven());
    let mut command = Command::new(support::CLOCKGATE);
    command.args(["run", "--retry-clock", "--json", "--page"]).arg(host.directory());
    let retried = command.args(["--", "sh", "-c", refused]).stdin(Stdio::null()).output().unwrap();
    drop(page);
    let said = String::from_utf8(retried.stderr).unwrap();
    let first = said.lines().next().unwrap();
    holds("run --retry-clock, after a refusal", &[serde_json::from_str(first).unwrap()]);
    holds("wait and run, at the end", &[serde_json::from_slice(&open.stdout).unwrap()]);
}

#[test]
fn measure() {
    let (_server, address) = server();
    let answered = clockgate(&["measure", "--json", "--server", &address, "--server", CLOSED]);
    let far = Liar::here(Offset::from_secs(9)).unwrap();
    let split = clockgate(&["measure", "--json", "--server", &address, "--server", &far.address().to_string()]);
    let (_second, third) = server();
    let all = ["--server", &address, "--server", &third, "--server", &far.address().to_string()];
    let outvoted = clockgate(&[&["measure", "--json"][..], &all].concat());
    // Nobody counts on a web server on this machine: what one says is beside the references.
    let web = Web::start();
    let dated = clockgate(&["measure", "--json", "--server", CLOSED, "--http", &web.url()]);
    holds("measure", &[answered, split, outvoted, dated]);
}

/// Records that have every field between them.
fn happened() -> Vec<Transition> {
    let answer = ReceivedAnswer {
        source: "a".into(),
        kind: ReferenceKind::Ntp,
        offset: Offset::ZERO,
        root_distance: Duration::ZERO,
        authenticated: false,
    };
    let took = Some(Duration::from_millis(1));
    let parts = Parts { answered: took, frozen: took, stepped: took, opened: took, thawed: took };
    let one = |name: &str| ContainerList::from(NamedContainer::new("docker", "3f2a8c01d9e2", Some(name)));
    let frozen = Some(FrozenContainers { frozen: one("web"), of: 2 });
    let course = Course { answers: vec![answer], stepped: Some(Offset::ZERO), frozen, parts };
    let record = |what: Occurrence, now: Snapshot| Transition {
        what,
        at: Clocks { boot: boottime(), ..Clocks::default() },
        before: Position::default(),
        now,
        course: course.clone(),
        falsetickers: vec!["b".into()],
        daemon: Some("a daemon".into()),
        is_repetition: false,
        held: one("held"),
        released: 3,
        released_containers: one("released"),
        tally: Arc::default(),
    };
    let because = Snapshot { why: "why".into(), ..shut() };
    vec![
        record(Occurrence::GateOpen, proven()),
        record(Occurrence::Stepped(Offset::ZERO), because),
        record(Occurrence::DaemonAgrees(Offset::ZERO), proven()),
        record(Occurrence::RestoreMissed("a source"), Snapshot { repeats: Some(Epoch::new(1)), ..proven() }),
        record(Occurrence::FrozenInPart(vec!["c".into()]), shut()),
        record(Occurrence::CarriersThawed(one("d")), shut()),
        record(Occurrence::TolerantThawed(one("d")), shut()),
        record(Occurrence::GateOpen, Snapshot { gate: Gate::Proven, ..shut() }),
    ]
}

/// A history that has them.
fn record_all(host: &Host) {
    let files = HistoryFiles::below(host.0.path());
    for record in happened() {
        files.append(&history::line(&record, "boot", 1), None).unwrap();
    }
}

#[test]
fn history() {
    let host = Host::new(&[("var/lib/clockgate/clock", "")]);
    record_all(&host);
    holds("history", &[host.says(&["history"])]);
}

#[test]
fn tolerances() {
    holds("tolerances", &[clockgate(&["tolerances", "--json"])]);
}

#[test]
fn report() {
    let host = Host::new(&[]);
    let empty = host.says(&["report"]);
    let night = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/report/01-a-known-night/history/events.jsonl");
    host.0.put("var/lib/clockgate/history/events.jsonl", &fs::read_to_string(night).unwrap()).unwrap();
    holds("report", &[empty, host.says(&["report"])]);
}

#[test]
fn doctor() {
    let (_server, address) = server();
    let image = Host::new(&[("sys/class/.keep", "")]);
    let measured = clockgate(&["doctor", "--json", "--only", "clock", "--server", &address]);
    holds("doctor", &[image.says(&["doctor"]), measured]);
}

#[test]
fn sync() {
    let (_server, address) = server();
    let host = Host::new(&[]);
    let planned = host.says(&["sync", "--dry-run", "--server", &address]);
    let proven = host.says(&["sync", "--server", &address]);
    let failed = host.says(&["sync", "--dry-run", "--timeout", "200ms", "--server", CLOSED]);
    let answered = Answered::start();
    let root = answered.agent.host.path().to_str().unwrap();
    let by_the_agent = clockgate(&["sync", "--json", "--root", root]);
    // A test steps nothing, and reckons nothing.
    let mut stepped = proven.clone();
    stepped["reckoned"] = json!(true);
    stepped["steps_ns"] = json!([1]);
    let web = Web::start();
    let by_the_web = host.says(&["sync", "--dry-run", "--http", &web.url()]);
    holds("sync", &[planned, proven, failed, by_the_agent, stepped, by_the_web]);
}

#[test]
fn notify_and_accept() {
    let agent = Answered::start();
    let at_once = agent.says(&["notify", "suspend"]);
    let proven = agent.says(&["notify", "resume", "--wait"]);
    holds("notify", &[at_once, proven]);
    let accepted = agent.says(&["accept"]);
    let _ = agent.says(&["notify", "suspend"]);
    // An acceptance begins an epoch, in which nothing was measured yet.
    let mut measured = accepted.clone();
    measured["agent"]["offset_ns"] = json!(1);
    measured["agent"]["bound_ns"] = json!(1);
    holds("accept", &[accepted, agent.says(&["accept"]), measured]);
}

#[test]
fn vm_notify() {
    let says = |answer: &str| {
        let notify = ["vm", "notify", "resume", "--json", "--uds"];
        let tell = |socket: &Path| clockgate(&[&notify[..], &[socket.to_str().unwrap()]].concat());
        vsock_guest::answering(answer, tell).unwrap()
    };
    let measured = r#"{"state":"Synchronized","gate":"open","epoch":2,"offset_ns":1,"bound_ns":2,"why":""}"#;
    let nothing = r#"{"state":"Disrupted","gate":"shut","epoch":2,"why":"resume"}"#;
    holds("vm notify", &[says(measured), says(nothing)]);
    let many = |answer: &str| {
        let folder = tempfile::tempdir().unwrap();
        let (list, gone) = (folder.path().join("guests"), folder.path().join("gone"));
        vsock_guest::answering(answer, |socket: &Path| {
            std::fs::write(&list, format!("{}\n{}\n", socket.display(), gone.display())).unwrap();
            clockgate(&["vm", "notify", "resume", "--json", "--timeout", "20s", "--guests", list.to_str().unwrap()])
        })
        .unwrap()
    };
    // The kernel's vsock is this machine's: a guest by its number is as one by its socket.
    let mut numbered = many(r#"{"version":1,"state":"Disrupted","gate":"shut","epoch":2,"why":"resume"}"#);
    numbered["guests"][1]["cid"] = json!(7);
    holds("vm notify, many guests", &[many(measured), many(nothing), numbered]);
}

#[test]
fn thaw() {
    let host = Host::new(&[]);
    let mut said = host.says(&["thaw"]);
    said["thawed"] = json!(["/a"]);
    said["gone"] = json!(["/b"]);
    holds("thaw", &[said]);
}

#[test]
fn config() {
    let host = Host::new(&[("etc/clockgate/config.yaml", "threshold: 50ms\n")]);
    holds("config show and config sample", &[host.says(&["config", "show"]), host.says(&["config", "sample"])]);
    let wrong = Host::new(&[("etc/clockgate/config.yaml", "at-deadline: {nobody-to-ask: hold}\n")]);
    let faulty = Host::new(&[("etc/clockgate/config.yaml", "deadline: 5\n"), ("etc/clockgate/config.yml", "")]);
    let check = ["config", "check"];
    holds("config check", &[host.says(&check), wrong.says(&check), faulty.says(&check)]);
}

#[test]
fn hooks() {
    let host = Host::new(&[
        ("usr/bin/dockerd", ""),
        ("etc/docker/daemon.json", "{}\n"),
        ("etc/clockgate/oci.conf", "colour = red\n"),
    ]);
    for program in ["usr/bin/clockgate-oci", "usr/bin/runc"] {
        host.0.put_program(program, "#!/bin/sh\n").unwrap();
    }
    let installed = host.says(&["hooks", "install", "docker", "--oci", "/usr/bin/clockgate-oci"]);
    let mut listed = host.says(&["hooks", "list"]);
    listed["held"] = json!([waiting().json()]);
    fs::write(host.0.at("etc/docker/daemon.json"), "{}\n").unwrap();
    let edited = host.says(&["hooks", "list"]);
    let mut noted = installed.clone();
    noted["targets"][0]["notes"] = json!(["a note"]);
    holds("hooks install and hooks remove", &[installed, noted]);
    holds("hooks list", &[listed, edited]);
}

#[test]
fn the_file_of_the_last_proof() {
    let folder = tempfile::tempdir().unwrap();
    let written = |evidence: &Evidence| -> Value {
        let mut file = ProofFile::beside(&folder.path().join("public"));
        file.note(evidence).unwrap();
        serde_json::from_str(&fs::read_to_string(file.path()).unwrap()).unwrap()
    };
    let at = Clocks { boot: boottime(), ..Clocks::default() };
    let proof = Reckoning { at, truth: at.real, width: Duration::from_millis(3), sleeps: 0 };
    let none = Evidence::default();
    let proven = Evidence { last: Some(proof), anchor: Some(proof), ..Evidence::default() };
    holds("/run/clockgate/proof.json", &[written(&none), written(&proven)]);
}

#[test]
fn explain() {
    let text =
        "Signature not yet current: 20260627T150000Z is still later than 20260627T143000Z (20260627T144500Z + 15 min.)
        eyJhbGciOiJIUzI1NiJ9.eyJpYXQiOjE3ODI1Njg4MDAsImV4cCI6MTc4MjU3MjQwMH0.c2ln";
    let offline = clockgate(&["explain", "--offline", "--json", text]);
    let literals = Literals::new(patterns::load(Path::new("/nonexistent")).unwrap()).unwrap();
    let mut scanner = Scanner::new(&literals);
    scanner.feed(text.as_bytes());
    let found = scanner.finish();
    let at = Realtime::from_secs(1_782_568_800);
    let world = World {
        now: Some(Now { offset: Offset::ZERO, root_distance: Duration::from_millis(1), supporters: Some(3) }),
        local: Some(at),
        lifetimes: found.lifetimes,
        ..World::default()
    };
    let then =
        Then { offset: Offset::from_secs(-900), since: Some(at), until: Some(at), by: Some("a daemon".to_owned()) };
    let measured = clockgate::explain::json(&judge(found.matches, &world, |_| Some(then.clone())));
    let nothing = clockgate(&["explain", "--offline", "--json", "make: *** [all] Error 2"]);
    holds("explain", &[offline, measured, nothing]);
}

#[test]
fn every_table_of_the_manual_is_held() {
    let source = include_str!("main.rs");
    for verb in documented().keys() {
        assert!(source.contains(&format!("holds(\"{verb}\"")), "{verb}");
    }
}

#[test]
fn a_field_too_many_a_missing_one_and_another_type_are_found() {
    let manual =
        ".Ss JSON\n.Bd -literal\nstatus\n  version  integer  2\n  why  string?  words\n    and more\n.Ed\n.Sh X\n";
    let table = &tables(manual)["status"];
    let count = |output: Value| differences(table, &[output]).len();
    assert_eq!(count(json!({"version": 2, "why": "a"})), 0);
    assert_eq!(count(json!({"version": 2, "why": "a", "more": 1})), 1);
    assert_eq!(count(json!({"version": 2})), 1);
    assert_eq!(count(json!({"version": 2, "why": 7})), 1);
    assert_eq!(count(json!({"version": 1, "why": "a"})), 1);
    assert_eq!(
        differences(table, &[json!({"version": 2, "why": "a"}), json!({"version": null, "why": null})]).len(),
        2
    );
}

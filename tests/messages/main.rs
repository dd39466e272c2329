//! What somebody reads who did something wrong: each message that clockgate(8) lists, with its exit code, provoked.

#![allow(clippy::unwrap_used, reason = "tests")]

mod help;
#[path = "../support/mod.rs"]
mod support;

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Command, Output};

use clockgate::decision::{AtDeadline, Gate, Snapshot, State};
use support::agent::Agent;
use support::host::HostFolder;
use support::{gate_page, vsock_guest};

/// Who is asked there answers nobody.
const NOBODY: &str = "127.0.0.1:1";

fn clockgate(arguments: &[&str]) -> Output {
    Command::new(env!("CARGO_BIN_EXE_clockgate")).args(arguments).env_remove("CLOCKGATE_SERVERS").output().unwrap()
}

/// A command line that is wrong by itself.
fn line(arguments: &[&str]) -> Output {
    clockgate(arguments)
}

/// `run` at a page that says so.
fn run(gate: Gate, why: &str, arguments: &[&str]) -> Output {
    let folder = tempfile::tempdir().unwrap();
    let said = Snapshot { state: State::GaveUp(AtDeadline::Hold).code(), gate, why: why.into(), ..gate_page::proven() };
    let _page = gate_page::publish(folder.path(), &said).unwrap();
    let directory = gate_page::public(folder.path());
    clockgate(&[&["run", "--page", directory.to_str().unwrap(), "--max-wait", "20ms"], arguments].concat())
}

/// `config check` of a host with this file.
fn configured(file: &str, text: &str) -> Output {
    let host = HostFolder::new(&[(&format!("etc/clockgate/{file}"), text)]).unwrap();
    clockgate(&["config", "check", "--root", host.path().to_str().unwrap()])
}

fn sync() -> Output {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    clockgate(&["sync", "--dry-run", "--root", root, "--server", NOBODY, "--timeout", "200ms"])
}

/// The agent as somebody who may do nothing here.
fn agent_of_a_user() -> Output {
    let root = tempfile::tempdir().unwrap();
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
    let program = root.path().join("program");
    support::copy_program(support::CLOCKGATE.as_ref(), &program).unwrap();
    let mut command = Command::new(program);
    command.args(["agent", "--root", root.path().to_str().unwrap()]);
    if nix::unistd::geteuid().is_root() {
        command.uid(65534).gid(65534);
    } else {
        fs::set_permissions(root.path(), PermissionsExt::from_mode(0o555)).unwrap();
    }
    let output = command.output().unwrap();
    fs::set_permissions(root.path(), PermissionsExt::from_mode(0o755)).unwrap();
    output
}

/// The agent where the clocks that count from boot are not the host's.
fn agent_in_a_time_namespace() -> Output {
    let root = tempfile::tempdir().unwrap();
    let mut command = Command::new("unshare");
    command.args(["--user", "--map-root-user", "--time", "--boottime", "86400", "--fork"]);
    command.args([env!("CARGO_BIN_EXE_clockgate"), "agent", "--root", root.path().to_str().unwrap()]).output().unwrap()
}

type Provoke = fn() -> Output;
type Case = (i32, &'static str, Provoke);

const CASES: &[Case] = &[
    (1, "is not installed", || {
        let root = tempfile::tempdir().unwrap();
        line(&["hooks", "remove", "docker", "--root", root.path().to_str().unwrap()])
    }),
    (2, "The command comes after `--`", || line(&["run", "ls"])),
    (2, "expected an absolute path", || line(&["status", "--page", "public"])),
    (2, "has no servers to ask", || line(&["run", "--page", "/nonexistent", "--no-agent", "measure", "--", "true"])),
    (69, "there is no gate page at", || line(&["status", "--page", "/nonexistent"])),
    (69, "no agent answers on", || line(&["notify", "resume", "--bus", "/nonexistent/bus"])),
    (69, "this is a time namespace", agent_in_a_time_namespace),
    (75, "the clock is not set", || line(&["sync", "--http", "http://127.0.0.1:1"])),
    (75, "the gate is still shut after", || run(Gate::Shut, "resume: measuring", &["--", "true"])),
    (75, "which --require-proof does not accept", || {
        run(Gate::Unproven, "why not", &["--require-proof", "--", "true"])
    }),
    (75, "the agent gives no reason", || run(Gate::Shut, "", &["--", "true"])),
    (75, "no reference answered", || line(&["measure", "--server", NOBODY, "--timeout", "200ms"])),
    (75, "the clock is not proven", sync),
    (77, "start the agent as root", agent_of_a_user),
    (78, "cannot verify https servers", || {
        line(&["measure", "--http", "https://a.invalid", "--ca-file", "/nonexistent"])
    }),
    (78, "is not read: the configuration is config.yaml", || configured("clockgate.yaml", "servers: []\n")),
    (78, "is not read: its name has to end in .yaml", || configured("config.d/10-x.conf", "servers: []\n")),
    (78, "is not a directory", || line(&["agent", "--root", "/nonexistent"])),
    (78, "no exchange can have enough answers", || {
        configured("config.yaml", "servers: [192.0.2.1]\nmin-references: 3\n")
    }),
    (127, "cannot execute", || run(Gate::Proven, "", &["--", "/nonexistent"])),
];

#[test]
fn each_message_of_the_manual_is_said_with_its_exit_code() {
    for (code, message, provoke) in CASES {
        let output = provoke();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(*code) && said.contains(message), "[{code}] {message}: {output:?}");
    }
}

#[test]
fn the_manual_lists_these_messages_and_no_others() {
    let manual = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man/clockgate.8")).unwrap();
    let section = manual.split(".Ss Messages\n").nth(1).unwrap().split("\n.S").next().unwrap();
    let listed: BTreeSet<String> =
        section.lines().filter_map(|line| line.strip_prefix(".It ")).map(str::to_owned).collect();
    let tested: BTreeSet<String> = CASES.iter().map(|(code, message, _)| format!("[{code}] {message}")).collect();
    assert_eq!(listed, tested);
}

/// An agent that nobody answers, which keeps its gate shut.
struct Unanswered(Agent);

impl Unanswered {
    fn start() -> Self {
        Self(Agent::start(&format!("servers: ['{NOBODY}']\ncorrection: none\ndeadline: 1h\n")).unwrap())
    }

    fn told(&self, arguments: &[&str]) -> Output {
        clockgate(&[arguments, &["--bus", self.0.bus().to_str().unwrap()]].concat())
    }
}

/// A guest whose agent says that it is still shut, at the other end of a hypervisor's socket.
fn guest_that_stays_shut() -> Output {
    let answer = r#"{"version":1,"state":"Disrupted","gate":"shut","epoch":2,"why":"restore: measuring"}"#;
    let notify = ["vm", "notify", "post-restore", "--wait", "--timeout", "20s", "--uds"];
    let tell = |socket: &Path| clockgate(&[&notify[..], &[socket.to_str().unwrap()]].concat());
    vsock_guest::answering(answer, tell).unwrap()
}

/// What else ends with 75, of those who talk to an agent or clean up after one.
const MORE_75: &[(&str, &str, Provoke)] = &[
    ("notify", "see `clockgate status`", || {
        Unanswered::start().told(&["notify", "post-restore", "--wait", "--timeout", "50ms"])
    }),
    // Before a sleep nobody's word opens.
    ("accept", "see `clockgate status`", || {
        let unanswered = Unanswered::start();
        assert!(unanswered.told(&["notify", "suspend"]).status.success());
        unanswered.told(&["accept"])
    }),
    ("vm notify", "`clockgate status` in the guest says why", guest_that_stays_shut),
    ("thaw", "run it again, or write 0 to the `cgroup.freeze` of each cgroup named", || {
        let root = tempfile::tempdir().unwrap();
        clockgate(&["thaw", "--root", root.path().to_str().unwrap(), "--ledger", root.path().to_str().unwrap()])
    }),
    ("agent --shut-gate", "to restart the agent: sudo systemctl restart clockgate", || shut_gate("systemd")),
    ("agent --shut-gate", "to restart the agent: sudo rc-service clockgate restart", || shut_gate("openrc-init")),
    ("agent --shut-gate", "to restart the agent: sudo sv restart clockgate", || shut_gate("runit")),
    ("agent --shut-gate", "to restart the agent: restart the service clockgate by this host's init", || {
        shut_gate("dinit")
    }),
];

/// Where the first process has this name.
fn shut_gate(init: &str) -> Output {
    let root = tempfile::tempdir().unwrap();
    fs::create_dir_all(root.path().join("proc/1")).unwrap();
    fs::write(root.path().join("proc/1/comm"), format!("{init}\n")).unwrap();
    // Something that is no page, in its place.
    fs::create_dir_all(root.path().join("run/clockgate/public/gate")).unwrap();
    clockgate(&["agent", "--shut-gate", "--root", root.path().to_str().unwrap()])
}

/// Whatever ends with 75 says what to do: names a command, or what to look at.
#[test]
fn each_75_ends_in_what_to_do() {
    for (_, message, provoke) in CASES.iter().filter(|(code, ..)| *code == 75) {
        let output = provoke();
        let said = String::from_utf8_lossy(&output.stderr);
        let helps = [
            "name another server with `--http URL`",
            "see `clockgate status`",
            "see each answer with `clockgate measure`",
            "UDP port 123",
        ];
        assert!(helps.iter().any(|help| said.contains(help)), "{message}: {said}");
    }
    for (verb, help, provoke) in MORE_75 {
        let output = provoke();
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(75) && said.contains(help), "{verb}: {output:?}");
    }
}

#[test]
fn sync_prints_json_when_it_fails_too() {
    let root = tempfile::tempdir().unwrap();
    let root = root.path().to_str().unwrap();
    let output = clockgate(&["sync", "--dry-run", "--json", "--root", root, "--server", NOBODY, "--timeout", "200ms"]);
    assert_eq!(output.status.code(), Some(75));
    let json: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&json["version"], &json["proven"]), (&2.into(), &false.into()));
    assert_eq!(json["failures"][0]["source"], NOBODY);
}

#[test]
fn no_line_of_the_help_is_wider_than_a_hundred_columns() {
    for verb in [
        "agent", "run", "wait", "sync", "accept", "measure", "status", "history", "notify", "thaw", "vm", "config",
        "hooks",
    ] {
        let output = clockgate(&[verb, "--help"]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let wide: Vec<&str> = text.lines().filter(|line| line.chars().count() > 100).collect();
        assert!(output.status.success() && !text.is_empty() && wide.is_empty(), "{verb}: {wide:?}");
    }
}

/// An engine that does not read why a container is refused reads the exit code.
#[test]
fn the_wrapper_ends_with_its_code_though_nobody_reads_what_it_says() {
    let (reader, writer) = std::io::pipe().unwrap();
    drop(reader);
    let mut wrapper = Command::new(env!("CARGO_BIN_EXE_clockgate-oci"));
    let status = wrapper.args(["state", "x"]).env("PATH", "/nonexistent").stderr(writer).status().unwrap();
    assert_eq!(status.code(), Some(127), "{status}");
}

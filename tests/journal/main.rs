//! What the agent says to the journal: entries with fields, and a catalog that explains them by the real journalctl.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../support/mod.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File};
use std::os::unix::fs::MetadataExt as _;
use std::os::unix::net::UnixDatagram;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clockgate::decision::Offset;
use clockgate::sys::journal::SOCKET;
use clockgate::transition::{EventKind, Urgency};
use libtest_mimic::{Arguments, Trial};
use support::agent::CONFIG;
use support::host::HostFolder;
use support::liar::Liar;
use support::{CLOCKGATE, Ours, clockgate, harmless, lacks_program, needing, small, until};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let plain: [(&str, fn()); 2] = [
        ("the_catalog_explains_each_kind_that_is_logged_and_no_other", catalog_is_whole),
        ("the_catalog_names_fields_that_there_are", catalog_names_fields),
    ];
    // The agent is started without the right to set the clock.
    let agents: [(&str, fn()); 5] = [
        ("a_line_of_each_program_has_a_priority_where_the_journal_reads_it_and_none_where_a_person_does", priorities),
        ("an_open_gate_is_an_entry_with_its_numbers_and_no_line_beside_it", open_gate),
        ("what_needs_a_person_is_a_warning", warning),
        ("without_a_journal_to_receive_it_it_is_a_line_with_its_priority", no_journal),
        ("a_journal_that_ends_loses_nothing", journal_that_ends),
    ];
    let trial = |lacks, (name, test): (&str, fn())| {
        needing(lacks, name, move || {
            test();
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = plain.map(|test| trial(None, test)).into();
    trials.extend(agents.map(|test| trial(lacks_program("setpriv"), test)));
    trials.push(trial(lacks_program("journalctl"), ("journalctl_takes_the_catalog", real_journalctl)));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// The fields of an entry; of one that is there several times, the last.
type Fields = BTreeMap<String, String>;

/// Takes an entry of the native protocol apart.
fn fields(mut entry: &[u8]) -> Fields {
    let mut found = Fields::new();
    while let Some(end) = entry.iter().position(|byte| *byte == b'\n') {
        let line = String::from_utf8_lossy(&entry[..end]).into_owned();
        entry = &entry[end + 1..];
        if let Some((name, value)) = line.split_once('=') {
            found.insert(name.to_owned(), value.to_owned());
            continue;
        }
        let (length, rest) = entry.split_at(8);
        let length = usize::try_from(u64::from_le_bytes(length.try_into().unwrap())).unwrap();
        found.insert(line, String::from_utf8_lossy(&rest[..length]).into_owned());
        entry = &rest[length + 1..];
    }
    found
}

/// A host with a journal that a test reads, and an agent whose standard error goes to it.
struct Host {
    folder: HostFolder,
    journal: Option<UnixDatagram>,
}

impl Host {
    fn new(server: &Liar, journal: Option<()>) -> Self {
        let config = format!("servers: ['{}']\ncorrection: none\ndeadline: 10min\n", server.address());
        let folder = HostFolder::new(&[(CONFIG, config.as_str())]).unwrap();
        let journal = journal.map(|()| {
            let socket = folder.at(SOCKET);
            fs::create_dir_all(socket.parent().unwrap()).unwrap();
            let journal = UnixDatagram::bind(socket).unwrap();
            journal.set_read_timeout(Some(SOON)).unwrap();
            journal
        });
        Self { folder, journal }
    }

    fn agent(&self) -> Ours {
        let log = File::create(self.folder.at("log")).unwrap();
        let meta = log.metadata().unwrap();
        let mut agent = clockgate();
        agent.args(["agent", "--root"]).arg(self.folder.path()).stderr(log);
        // As the kernel has it, systemd writes it.
        agent.env("JOURNAL_STREAM", format!("{}:{}", meta.dev(), meta.ino())).env_remove("CLOCKGATE_SERVERS");
        Ours::spawn(&mut agent).unwrap()
    }

    fn log(&self) -> String {
        fs::read_to_string(self.folder.at("log")).unwrap_or_default()
    }

    /// The next entry of this kind.
    fn entry(&self, kind: EventKind) -> Fields {
        let mut buffer = vec![0; 1 << 20];
        loop {
            let received = self.journal.as_ref().unwrap().recv(&mut buffer);
            assert!(received.is_ok(), "no entry of {kind:?}: {received:?}\n{}", self.log());
            let entry = fields(&buffer[..received.unwrap()]);
            if entry["MESSAGE_ID"] == kind.message_id() {
                return entry;
            }
        }
    }
}

fn priorities() {
    let built = |package| small::build_of(package, &["--bins"]).unwrap()[0].clone();
    let (kubernetes, run) = (built("clockgate-kubernetes"), built("clockgate-run"));
    let programs: [(&Path, &[&str], u8, &str); 6] = [
        (CLOCKGATE.as_ref(), &["agent", "--root", "/nonexistent"], 3, "clockgate: "),
        (env!("CARGO_BIN_EXE_clockgate-oci").as_ref(), &["--version"], 3, "clockgate: no container runtime: "),
        (env!("CARGO_BIN_EXE_clockgate-nri").as_ref(), &["--socket", "/nonexistent/nri.sock"], 6, "waiting for "),
        (&run, &["--page", "/nonexistent", "--no-agent", "hold", "--timeout", "1ms"], 3, "clockgate: "),
        (&kubernetes, &["remove", "--kubeconfig", "/nonexistent"], 3, "clockgate-kubernetes: "),
        (&kubernetes, &["--kubeconfig", "/nonexistent"], 5, "waiting until "),
    ];
    let folder = tempfile::tempdir().unwrap();
    for (program, arguments, priority, words) in programs {
        for (is_journal, prefix) in [(true, format!("<{priority}>")), (false, String::new())] {
            let path = folder.path().join("log");
            let log = File::create(&path).unwrap();
            let meta = log.metadata().unwrap();
            let stream = if is_journal { format!("{}:{}", meta.dev(), meta.ino()) } else { "1:1".to_owned() };
            // Without a runtime that the wrapper could become.
            let mut command = harmless("env");
            command.arg("PATH=/nonexistent").arg(program).args(arguments);
            command.stdout(Stdio::null()).stderr(log).env("JOURNAL_STREAM", stream);
            command.env_remove("CLOCKGATE_SERVERS").env_remove("NODE_NAME").env_remove("KUBERNETES_SERVICE_HOST");
            let _running = Ours::spawn(&mut command).unwrap();
            let said = || fs::read_to_string(&path).unwrap();
            let is_said = until(words, SOON, || said().lines().any(|line| line.starts_with(&(prefix.clone() + words))));
            assert!(is_said.is_ok(), "{}: {arguments:?}: {}", program.display(), said());
        }
    }
}

fn open_gate() {
    let truth = Liar::here(Offset::ZERO).unwrap();
    let host = Host::new(&truth, Some(()));
    let _agent = host.agent();
    let entry = host.entry(EventKind::GateOpen);
    assert!(entry["MESSAGE"].starts_with("gate open epoch=1 cause=started "), "{entry:?}");
    let text = |name: &str| entry.get(name).map(String::as_str);
    assert_eq!((text("PRIORITY"), text("SYSLOG_IDENTIFIER")), (Some("6"), Some("clockgate")));
    assert_eq!((text("CLOCKGATE_EVENT"), text("CLOCKGATE_GATE")), (Some("gate-open"), Some("open")));
    assert_eq!((text("CLOCKGATE_EPOCH"), text("CLOCKGATE_GATE_BEFORE")), (Some("1"), Some("shut")));
    for number in ["OFFSET_NS", "BOUND_NS", "BOOTTIME_NS", "OPENED_AFTER_NS", "ANSWERED_AFTER_NS"] {
        let value = text(&format!("CLOCKGATE_{number}")).unwrap_or("none");
        assert!(value.parse::<i64>().is_ok(), "{number}: {value}: {entry:?}");
    }
    assert!(text("CLOCKGATE_ANSWERS").unwrap().contains("root distance"), "{entry:?}");
    assert!(!host.log().contains("gate open"), "{}", host.log());
}

fn warning() {
    let liar = Liar::here(Offset::from_secs(-7200)).unwrap();
    let host = Host::new(&liar, Some(()));
    let _agent = host.agent();
    let entry = host.entry(EventKind::StepRefused);
    assert_eq!(entry["PRIORITY"], "4");
    assert!(entry["MESSAGE"].contains("one reference alone says"), "{entry:?}");
}

fn no_journal() {
    let truth = Liar::here(Offset::ZERO).unwrap();
    let host = Host::new(&truth, None);
    let _agent = host.agent();
    until("the gate opens", SOON, || host.log().contains("\n<6>gate open epoch=1")).unwrap();
}

fn journal_that_ends() {
    let truth = Liar::here(Offset::ZERO).unwrap();
    let mut host = Host::new(&truth, Some(()));
    let agent = host.agent();
    host.entry(EventKind::GateOpen);
    host.journal = None;
    nix::sys::signal::kill(agent.pid(), nix::sys::signal::Signal::SIGTERM).unwrap();
    until("the end is a line", SOON, || host.log().contains("<6>gate shut; the agent ends")).unwrap();
}

fn catalog() -> &'static Path {
    Path::new("packaging/usr/lib/systemd/catalog/clockgate.catalog")
}

/// The ids that the text of a catalog explains.
fn explained(catalog: &str) -> BTreeSet<&str> {
    catalog.lines().filter_map(|line| line.strip_prefix("-- ")).filter_map(|id| id.split(' ').next()).collect()
}

fn catalog_is_whole() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(catalog())).unwrap();
    let logged = EventKind::ALL.into_iter().filter(|kind| kind.urgency() != Urgency::Debug);
    assert_eq!(explained(&text), logged.map(EventKind::message_id).collect());
}

/// The names between `@` that the journal fills in.
fn placeholders(text: &str) -> BTreeSet<&str> {
    text.split('@').skip(1).step_by(2).collect()
}

fn catalog_names_fields() {
    let text = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(catalog())).unwrap();
    let source = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("src/transition/facts.rs")).unwrap();
    for name in placeholders(&text).into_iter().filter(|name| *name != "MESSAGE") {
        let field = name.strip_prefix("CLOCKGATE_").unwrap_or_default().to_lowercase();
        assert!(source.contains(&format!("\"{field}\"")), "there is no field {name}");
    }
    assert!(placeholders(&text).contains("CLOCKGATE_WHY"));
}

fn real_journalctl() {
    let root = tempfile::tempdir().unwrap();
    let folder = root.path().join("usr/lib/systemd/catalog");
    fs::create_dir_all(&folder).unwrap();
    fs::create_dir_all(root.path().join("var/lib/systemd/catalog")).unwrap();
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join(catalog()), folder.join("clockgate.catalog")).unwrap();
    let journalctl = |verb: &str| {
        let mut command = Command::new("journalctl");
        command.arg(verb).arg(format!("--root={}", root.path().display())).stdin(Stdio::null()).output().unwrap()
    };
    let updated = journalctl("--update-catalog");
    assert!(updated.status.success() && updated.stderr.is_empty(), "{updated:?}");
    let dumped = journalctl("--dump-catalog");
    let text = String::from_utf8_lossy(&dumped.stdout);
    assert_eq!(explained(&text).len(), EventKind::ALL.iter().filter(|k| k.urgency() != Urgency::Debug).count());
    assert!(text.contains("Subject: The gate is open: the clock is proven"), "{text}");
}

//! The NTP client and `clockgate measure` against a real chronyd, which runs with `-x` and so never touches the clock.

use std::error::Error;
use std::fs;
use std::net::UdpSocket;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::Duration;

use clockgate::decision::{Boottime, Measurement, agree};
use clockgate::reference::{References, ServerName};
use clockgate::sys::clock::boottime;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;

const CLOCKGATE: &str = env!("CARGO_BIN_EXE_clockgate");
const PATIENCE: Duration = Duration::from_secs(20);

type Outcome = Result<(), Failed>;
type Test = fn() -> Outcome;

const WITH_CHRONYD: [(&str, Test); 5] = [
    ("a_real_chronyd_is_measured_over_ipv4_and_ipv6", a_real_chronyd_is_measured_over_ipv4_and_ipv6),
    ("one_chronyd_behind_two_addresses_is_one_reference", one_chronyd_behind_two_addresses_is_one_reference),
    (
        "a_chronyd_without_a_reference_of_its_own_proves_nothing",
        a_chronyd_without_a_reference_of_its_own_proves_nothing,
    ),
    ("a_chronyd_that_may_not_answer_us_is_silent", a_chronyd_that_may_not_answer_us_is_silent),
    ("measure_prints_a_table_and_json", measure_prints_a_table_and_json),
];

const IN_AN_EMPTY_ROOT: [(&str, Test); 2] = [
    ("an_empty_root_measures_an_address_and_says_why_a_name_fails", an_empty_root),
    ("a_hosts_file_is_read_whatever_nsswitch_conf_says", a_hosts_file),
];

fn main() {
    let arguments = Arguments::from_args();
    let chronyd = skip("chronyd is not in target/lab", !chronyd_path().is_file());
    let namespaces = chronyd || skip("no user namespaces and not root", !may_change_root());
    let trials = WITH_CHRONYD.map(|(name, test)| Trial::test(name, test).with_ignored_flag(chronyd));
    let rooted = IN_AN_EMPTY_ROOT.map(|(name, test)| Trial::test(name, test).with_ignored_flag(namespaces));
    let nobody = Trial::test("without_an_answer_measure_exits_75", without_an_answer_measure_exits_75);
    let trials = trials.into_iter().chain(rooted).chain([nobody]).collect();
    libtest_mimic::run(&arguments, trials).exit();
}

/// Says aloud what is not tested; in CI nothing may be skipped, and the tests run into what is missing.
fn skip(why: &str, missing: bool) -> bool {
    let skip = missing && std::env::var_os("CI").is_none();
    if skip {
        eprintln!("skipped: {why}");
    }
    skip
}

fn a_real_chronyd_is_measured_over_ipv4_and_ipv6() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow")?;
    for host in ["127.0.0.1", "[::1]"] {
        let measured = server.measured(host)?;
        let reading = measured.readings.first().ok_or("no reading")?;
        // The server's clock and ours are the same clock.
        check(reading.offset.abs() <= reading.root_distance, reading)?;
        check(reading.stratum == Some(3) && !reading.authenticated, reading)?;
        check(reading.root_distance < Duration::from_secs(1), reading)?;
    }
    Ok(())
}

fn one_chronyd_behind_two_addresses_is_one_reference() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow")?;
    server.measured("127.0.0.1")?;
    let references = References::new(vec![server.at("127.0.0.1")?, server.at("[::1]")?]);
    // chronyd may set its local reference anew between the two answers: tried until it has not.
    let measured = until(|| {
        Some(references.measure(PATIENCE)).filter(|m| m.failures.iter().any(|f| f.why.contains("counted once")))
    })?;
    check(measured.readings.len() == 1, &measured)?;
    check(agree(&measured.readings, boottime(), 500, 1).is_ok(), &measured)
}

fn a_chronyd_without_a_reference_of_its_own_proves_nothing() -> Outcome {
    let server = Chronyd::start("allow")?;
    let measured = until(|| {
        let measured = References::new(vec![server.at("127.0.0.1").ok()?]).measure(PATIENCE);
        measured.failures.iter().any(|f| f.why.contains("not synchronised")).then_some(measured)
    })?;
    check(measured.readings.is_empty(), &measured)
}

fn a_chronyd_that_may_not_answer_us_is_silent() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow 192.0.2.0/24")?;
    // It opens its port, so that no ICMP error comes, and drops the question.
    let measured = until(|| {
        let measured = References::new(vec![server.at("127.0.0.1").ok()?]).measure(Duration::from_millis(400));
        measured.failures.iter().any(|f| f.why.contains("no answer within 400 ms")).then_some(measured)
    })?;
    check(measured.readings.is_empty(), &measured)
}

fn measure_prints_a_table_and_json() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow")?;
    server.measured("127.0.0.1")?;
    let named = format!("localhost:{}", server.port);
    let closed = format!("127.0.0.1:{}", free_port()?);
    let output = measure(&["--server", &named, "--server", &closed])?;
    let text = String::from_utf8(output.stdout)?;
    check(output.status.code() == Some(0), &text)?;
    let mut lines = text.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    check(head == ["SOURCE", "OFFSET", "BOUND", "STRATUM", "DELAY", "AUTHENTICATED"], &text)?;
    check(lines.next().is_some_and(|line| line.contains("(localhost)") && line.ends_with("no")), &text)?;
    check(text.contains(&format!("{closed}: cannot be reached: Connection refused")), &text)?;
    check(text.contains("agreement: offset "), &text)?;

    let output = Command::new(CLOCKGATE)
        .args(["measure", "--json"])
        .env("CLOCKGATE_SERVERS", format!("127.0.0.1:{}, {closed}", server.port))
        .output()?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    check(output.status.code() == Some(0), &json)?;
    check(json["version"] == 1 && json["asked"] == "CLOCKGATE_SERVERS", &json)?;
    check(json["references"][0]["stratum"] == 3, &json)?;
    check(json["references"][0]["bound_ns"].as_u64().is_some_and(|b| b < 1_000_000_000), &json)?;
    check(json["failures"][0]["source"] == closed.as_str(), &json)?;
    check(json["agreement"]["supporters"] == 1, &json)
}

fn without_an_answer_measure_exits_75() -> Outcome {
    let closed = format!("127.0.0.1:{}", free_port()?);
    let output = measure(&["--server", &closed, "--json"])?;
    check(output.status.code() == Some(75), &output)?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    check(json["agreement"].is_null() && json["failures"][0]["source"] == closed.as_str(), &json)?;
    check(String::from_utf8(output.stderr)?.contains("no reference answered"), &json)?;
    let wrong = measure(&["--server", "ntp/example"])?;
    check(wrong.status.code() == Some(2), &wrong)
}

fn an_empty_root() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow")?;
    server.measured("127.0.0.1")?;
    let root = root_with(&[])?;
    let address = format!("127.0.0.1:{}", server.port);
    let output =
        measure_in(root.path(), &["--server", &address, "--server", "no-such-host.invalid", "--timeout", "10s"])?;
    let text = String::from_utf8(output.stdout)?;
    check(output.status.code() == Some(0), &text)?;
    check(text.lines().nth(1).is_some_and(|line| line.starts_with(&address)), &text)?;
    check(text.contains("cannot resolve `no-such-host.invalid` by /etc/hosts"), &text)
}

fn a_hosts_file() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow")?;
    server.measured("127.0.0.1")?;
    // Loading a module of another C library's kills a static program; ours asks none, whatever this file says.
    let root =
        root_with(&[("etc/hosts", "127.0.0.1 ntp.here\n"), ("etc/nsswitch.conf", "hosts: myhostname resolve\n")])?;
    let output = measure_in(root.path(), &["--server", &format!("ntp.here:{}", server.port)])?;
    let text = String::from_utf8(output.stdout)?;
    check(output.status.code() == Some(0) && text.contains("(ntp.here)"), &text)
}

/// A chronyd of our own on loopback, ended when it is dropped.
struct Chronyd {
    child: Child,
    port: u16,
    _folder: tempfile::TempDir,
}

impl Chronyd {
    fn start(config: &str) -> Result<Self, Failed> {
        let folder = tempfile::tempdir()?;
        let port = free_port()?;
        let file = folder.path().join("chrony.conf");
        let lines = [
            format!("port {port}\nbindaddress 127.0.0.1\nbindaddress ::1\ncmdport 0\nbindcmdaddress /"),
            format!("pidfile {}", folder.path().join("pid").display()),
            config.to_owned(),
        ];
        fs::write(&file, lines.join("\n") + "\n")?;
        let child = Command::new(chronyd_path())
            .args(["-x", "-d", "-U", "-u", &user()?, "-f"])
            .arg(&file)
            .stdout(Stdio::null())
            .stderr(fs::File::create(folder.path().join("log"))?)
            .spawn()?;
        Ok(Self { child, port, _folder: folder })
    }

    fn at(&self, host: &str) -> Result<ServerName, Failed> {
        Ok(format!("{host}:{}", self.port).parse()?)
    }

    /// What it says, once it is there to say it.
    fn measured(&self, host: &str) -> Result<Measurement, Failed> {
        let references = References::new(vec![self.at(host)?]);
        until(|| Some(references.measure(Duration::from_secs(1))).filter(|m| !m.readings.is_empty()))
    }
}

impl Drop for Chronyd {
    fn drop(&mut self) {
        drop(self.child.kill());
        drop(self.child.wait());
    }
}

fn chronyd_path() -> PathBuf {
    let lab = std::env::var_os("CLOCKGATE_LAB").map(PathBuf::from);
    lab.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("target/lab")).join("chrony/usr/sbin/chronyd")
}

/// chronyd wants to become somebody; it becomes who it is.
fn user() -> Result<String, Failed> {
    Ok(String::from_utf8(Command::new("id").arg("-un").output()?.stdout)?.trim().to_owned())
}

fn may_change_root() -> bool {
    let tried = Command::new("unshare").args(["--map-root-user", "chroot", "/", "true"]).output();
    tried.is_ok_and(|output| output.status.success())
}

/// A folder that holds our binary and these files, and nothing else.
fn root_with(files: &[(&str, &str)]) -> Result<tempfile::TempDir, Failed> {
    let root = tempfile::tempdir()?;
    fs::copy(CLOCKGATE, root.path().join("clockgate"))?;
    fs::set_permissions(root.path().join("clockgate"), fs::Permissions::from_mode(0o755))?;
    for (name, content) in files {
        let path = root.path().join(name);
        fs::create_dir_all(path.parent().ok_or("no folder")?)?;
        fs::write(path, content)?;
    }
    Ok(root)
}

fn measure(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new(CLOCKGATE).arg("measure").args(arguments).env_remove("CLOCKGATE_SERVERS").output()?)
}

fn measure_in(root: &Path, arguments: &[&str]) -> Result<Output, Failed> {
    Ok(Command::new("unshare")
        .args(["--map-root-user", "chroot"])
        .arg(root)
        .args(["/clockgate", "measure"])
        .args(arguments)
        .env_remove("CLOCKGATE_SERVERS")
        .output()?)
}

/// A port that was free a moment ago.
fn free_port() -> Result<u16, Failed> {
    Ok(UdpSocket::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// Tries until something comes of it; each try waits by itself.
fn until<T>(attempt: impl Fn() -> Option<T>) -> Result<T, Failed> {
    let deadline: Boottime = boottime() + PATIENCE;
    loop {
        match attempt() {
            Some(found) => return Ok(found),
            None if boottime() >= deadline => return Err("nothing came of it in time".into()),
            None => std::thread::park_timeout(Duration::from_millis(20)),
        }
    }
}

fn check(holds: bool, seen: &impl std::fmt::Debug) -> Outcome {
    let complaint: Box<dyn Error> = format!("{seen:#?}").into();
    if holds { Ok(()) } else { Err(complaint.into()) }
}

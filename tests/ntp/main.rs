//! The NTP client and `clockgate measure` against a real chronyd, which runs with `-x` and so never touches the clock.

mod attacks;
mod nts;
#[path = "../support/mod.rs"]
mod support;

use std::fmt::Debug;
use std::fs;
use std::process::{Command, Output};
use std::time::Duration;

use clockgate::decision::{Measurement, Policy};
use clockgate::reference::{References, ServerName};
use clockgate::sys::clock::boottime;
use libtest_mimic::{Arguments, Failed, Trial};
use serde_json::Value;
use support::chronyd::{self, free_port};
use support::host::HostFolder;
use support::{CLOCKGATE, Ours, Outcome, clockgate, expect, harmless, needing, texts, until_some};

const PATIENCE: Duration = Duration::from_secs(20);
const SERVES: &str = "local stratum 3\nallow";

fn main() {
    let arguments = Arguments::from_args();
    let trial = |name, test: fn() -> Outcome| needing(chronyd::missing(), name, test);
    let rooted = |name, test: fn() -> Outcome| needing(chronyd::missing().or_else(lacks_another_root), name, test);
    let trials = vec![
        trial("a_real_chronyd_is_measured_over_ipv4_and_ipv6", a_real_chronyd),
        trial("one_chronyd_behind_two_addresses_says_the_same_upstream_twice", one_behind_two_addresses),
        trial("a_chronyd_without_a_reference_of_its_own_proves_nothing", without_a_reference),
        trial("a_chronyd_that_may_not_answer_us_is_silent", that_may_not_answer),
        trial("a_chronyd_with_a_guard_time_answers_a_repetition", with_a_guard_time),
        trial("a_real_chronyd_is_measured_by_nts", nts::by_nts),
        trial("a_chronyd_that_was_restarted_gets_new_keys", nts::after_a_restart),
        trial("an_expired_certificate_of_a_real_chronyd_is_refused_with_its_sentence", nts::expired),
        trial("a_certificate_that_is_not_valid_yet_is_refused_by_the_answers_own_time", nts::not_valid_yet),
        trial("a_certificate_for_another_name_is_refused_with_its_sentence", nts::another_name),
        trial("the_old_certificate_of_a_revoked_key_is_refused_after_its_end", nts::an_old_certificate),
        trial("each_question_has_a_port_and_a_number_that_nobody_can_guess", attacks::unguessable),
        trial("a_spray_of_100000_packets_beside_the_path_moves_nothing", attacks::spray_beside_the_path),
        trial("a_flood_of_kisses_of_death_that_answer_nothing_silences_nobody", attacks::flood_of_kisses),
        trial("kisses_of_death_on_the_path_silence_that_server_alone", attacks::kisses_on_the_path),
        trial("a_replayed_answer_is_none_plain_by_key_or_by_nts", attacks::replay),
        trial("an_authenticated_answer_that_was_changed_on_the_way_is_none", attacks::changed_on_the_way),
        trial("a_delayed_answer_has_its_delay_in_the_bound", attacks::delayed),
        trial("a_keyed_server_is_not_outvoted_by_plain_ones", attacks::outvoted),
        trial("a_real_chronyd_is_measured_by_symmetric_keys_and_by_no_other_secret", nts::by_keys),
        trial("plain_liars_prove_nothing_beside_a_real_chronyd_by_nts_nor_without_it", nts::beside_liars),
        trial("measure_prints_a_table_and_json", a_table_and_json),
        rooted("an_empty_root_measures_an_address_and_says_why_a_name_fails", an_empty_root),
        rooted("the_configurations_servers_and_the_daemons_claim_are_printed", the_daemons_claim),
        rooted("a_hosts_file_is_read_whatever_nsswitch_conf_says", a_hosts_file),
        Trial::test("without_an_answer_measure_exits_75", without_an_answer),
    ];
    libtest_mimic::run(&arguments, trials).exit();
}

fn a_real_chronyd() -> Outcome {
    let server = Chronyd::start(SERVES)?;
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

fn one_behind_two_addresses() -> Outcome {
    let server = Chronyd::start(SERVES)?;
    server.measured("127.0.0.1")?;
    // chronyd may set its local reference anew between the two answers: tried until it has not.
    let measured = until_some("an answer", PATIENCE, || {
        let references = References::new(vec![server.at("127.0.0.1").ok()?, server.at("[::1]").ok()?]);
        let measured = references.measure(PATIENCE);
        let [one, other] = &measured.readings[..] else { return None };
        (one.upstream.is_some() && one.upstream == other.upstream).then_some(measured)
    })?;
    let voices: Vec<_> = measured.readings.iter().map(|r| &r.voice.name).collect();
    check(voices[0] != voices[1], &measured)?;
    let agreed = measured.agreement(&Policy::default(), boottime());
    check(agreed.as_ref().is_ok_and(|agreed| agreed.supporters == 1), &agreed)
}

fn without_a_reference() -> Outcome {
    let server = Chronyd::start("allow")?;
    let measured = until_some("an answer", PATIENCE, || {
        let measured = References::new(vec![server.at("127.0.0.1").ok()?]).measure(PATIENCE);
        measured.failures.iter().any(|f| f.why.contains("not synchronised")).then_some(measured)
    })?;
    check(measured.readings.is_empty(), &measured)
}

fn that_may_not_answer() -> Outcome {
    let server = Chronyd::start("local stratum 3\nallow 192.0.2.0/24")?;
    // It opens its port, so that no ICMP error comes, and drops the question.
    let measured = until_some("an answer", PATIENCE, || {
        let measured = References::new(vec![server.at("127.0.0.1").ok()?]).measure(Duration::from_millis(400));
        measured.failures.iter().any(|f| f.why.contains("no answer within 400 ms")).then_some(measured)
    })?;
    check(measured.readings.is_empty(), &measured)
}

fn with_a_guard_time() -> Outcome {
    // It drops what comes within 2 s of the question before (chrony.conf(5), ratelimit).
    let server = Chronyd::start("local stratum 3\nallow\nratelimit interval 1 burst 1 leak 4")?;
    let name = server.at("127.0.0.1")?;
    let references = until_some("an answer", PATIENCE, || {
        let references = References::new(vec![name.clone()]);
        (!references.measure(PATIENCE).readings.is_empty()).then_some(references)
    })?;
    // Nobody else is there to answer: it is waited for, and one of the repetitions is late enough.
    let second = references.measure(PATIENCE);
    check(second.readings.len() == 1, &second)
}

fn a_table_and_json() -> Outcome {
    let server = Chronyd::start(SERVES)?;
    server.measured("127.0.0.1")?;
    let (named, closed) = (format!("localhost:{}", server.port), format!("127.0.0.1:{}", free_port()?));
    let output = measure(&["--server", &named, "--server", &closed])?;
    let (table, _) = texts(&output);
    let mut lines = table.lines();
    let head: Vec<&str> = lines.next().unwrap_or_default().split_whitespace().collect();
    expect(output.status.code() == Some(0), &output)?;
    expect(head == ["SOURCE", "OFFSET", "BOUND", "STRATUM", "DELAY", "AUTHENTICATED"], &output)?;
    expect(lines.next().is_some_and(|line| line.contains("(localhost)") && line.ends_with("no")), &output)?;
    expect(table.contains(&format!("{closed}: cannot be reached: Connection refused")), &output)?;
    expect(table.contains("agreement: offset ") && table.contains("asked: --server"), &output)?;

    let servers = format!("127.0.0.1:{}, {closed}", server.port);
    let output = clockgate().args(["measure", "--json"]).env("CLOCKGATE_SERVERS", servers).output()?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    expect(output.status.code() == Some(0), &output)?;
    expect(json["version"] == 2 && json["servers_from"] == "CLOCKGATE_SERVERS", &output)?;
    expect(json["references"][0]["stratum"] == 3 && json["references"][0]["kind"] == "ntp", &output)?;
    expect(json["references"][0]["bound_ns"].as_u64().is_some_and(|b| b < 1_000_000_000), &output)?;
    expect(json["failures"][0]["source"] == closed.as_str(), &output)?;
    expect(json["agreement"]["supporters"] == 1, &output)
}

fn without_an_answer() -> Outcome {
    let closed = format!("127.0.0.1:{}", free_port()?);
    let output = measure(&["--server", &closed, "--json"])?;
    let json: Value = serde_json::from_slice(&output.stdout)?;
    expect(output.status.code() == Some(75), &output)?;
    expect(json["agreement"].is_null() && json["failures"][0]["source"] == closed.as_str(), &output)?;
    expect(texts(&output).1.contains("no reference answered"), &output)?;
    let wrong = measure(&["--server", "ntp/example"])?;
    expect(wrong.status.code() == Some(2), &wrong)
}

fn an_empty_root() -> Outcome {
    let server = Chronyd::start(SERVES)?;
    server.measured("127.0.0.1")?;
    let address = format!("127.0.0.1:{}", server.port);
    let output = measure_in(&[], &["--server", &address, "--server", "no-such-host.invalid"])?;
    let (table, _) = texts(&output);
    expect(output.status.code() == Some(0), &output)?;
    expect(table.lines().nth(1).is_some_and(|line| line.starts_with(&address)), &output)?;
    expect(table.contains("cannot resolve `no-such-host.invalid` by /etc/hosts"), &output)
}

fn the_daemons_claim() -> Outcome {
    let truth = Chronyd::start(SERVES)?;
    truth.measured("127.0.0.1")?;
    let commands = free_port()?;
    // It has something to claim once it follows somebody.
    let _daemon = Chronyd::start(&format!(
        "server 127.0.0.1 port {} iburst minpoll -2 maxpoll -2\ncmdport {commands}",
        truth.port
    ))?;
    let config = format!("servers: ['127.0.0.1:{}']\nchrony: {{udp: '127.0.0.1:{commands}'}}\n", truth.port);
    let (output, json) = until_some("an answer", PATIENCE, || {
        let output = measure_in(&[("etc/clockgate/config.yaml", &config)], &["--json"]).ok()?;
        let json: Value = serde_json::from_slice(&output.stdout).ok()?;
        (json["references"][1]["source"] == "chronyd").then_some((output, json))
    })?;
    expect(json["servers_from"] == "the configuration's servers", &output)?;
    expect(json["references"][1]["kind"] == "daemon", &output)?;
    expect(json["agreement"]["supporters"] == 1, &output)
}

fn a_hosts_file() -> Outcome {
    let server = Chronyd::start(SERVES)?;
    server.measured("127.0.0.1")?;
    // A module of another C library's kills a static program that loads it; ours loads none, whatever this file says.
    let files = [("etc/hosts", "127.0.0.1 ntp.here\n"), ("etc/nsswitch.conf", "hosts: myhostname resolve\n")];
    let output = measure_in(&files, &["--server", &format!("ntp.here:{}", server.port)])?;
    expect(output.status.code() == Some(0) && texts(&output).0.contains("(ntp.here)"), &output)
}

/// A chronyd of our own on loopback, ended when it is dropped.
struct Chronyd {
    _process: Ours,
    _folder: tempfile::TempDir,
    port: u16,
}

impl Chronyd {
    fn start(config: &str) -> Result<Self, Failed> {
        let (folder, port) = (tempfile::tempdir()?, free_port()?);
        let file = folder.path().join("chrony.conf");
        let pid = folder.path().join("pid");
        let own = format!("port {port}\nbindaddress 127.0.0.1\nbindaddress ::1\ncmdport 0\nbindcmdaddress /\n");
        fs::write(&file, format!("{own}pidfile {}\n{config}\n", pid.display()))?;
        let process = chronyd::start(&file, &folder.path().join("log"))?;
        Ok(Self { _process: process, _folder: folder, port })
    }

    fn at(&self, host: &str) -> Result<ServerName, Failed> {
        Ok(format!("{host}:{}", self.port).parse()?)
    }

    /// What it says, once it is there to say it.
    fn measured(&self, host: &str) -> Result<Measurement, Failed> {
        // Each attempt knows nothing of the one before: manners would have it wait.
        let name = self.at(host)?;
        let measured = || References::new(vec![name.clone()]).measure(Duration::from_secs(1));
        until_some("an answer", PATIENCE, || Some(measured()).filter(|m| !m.readings.is_empty()))
    }
}

fn lacks_another_root() -> Option<String> {
    let tried = Command::new("unshare").args(["--map-root-user", "chroot", "/", "true"]).output();
    let may = tried.is_ok_and(|output| output.status.success());
    (!may).then(|| "unshare(1) and a user namespace".to_owned())
}

fn measure(arguments: &[&str]) -> Result<Output, Failed> {
    Ok(clockgate().arg("measure").args(arguments).env_remove("CLOCKGATE_SERVERS").output()?)
}

/// The same in a root that holds our binary, these files and nothing else.
fn measure_in(files: &[(&str, &str)], arguments: &[&str]) -> Result<Output, Failed> {
    let root = HostFolder::new(files)?;
    support::copy_program(CLOCKGATE.as_ref(), &root.at("clockgate"))?;
    let mut command = harmless("unshare");
    command.args(["--map-root-user", "chroot"]).arg(root.path()).args(["/clockgate", "measure"]).args(arguments);
    Ok(command.env_remove("CLOCKGATE_SERVERS").output()?)
}

fn check(holds: bool, seen: &impl Debug) -> Outcome {
    if holds { Ok(()) } else { Err(format!("{seen:#?}").into()) }
}

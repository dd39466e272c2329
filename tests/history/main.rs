//! What the agent keeps of the clock's past, and what is read of it: over restarts, torn files, a full disk and years.

#![allow(clippy::unwrap_used, reason = "tests")]

#[path = "../freezer/cgroups.rs"]
#[allow(dead_code, reason = "the tests of the freezer need more of it")]
mod cgroups;
mod containers;
mod odd;
#[path = "../support/mod.rs"]
mod support;

use std::fs;
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use clockgate::decision::{Gate, Offset};
use clockgate::history::{FOLDER, HistoryFiles, HistoryRecord};
use clockgate::page::Page;
use libtest_mimic::{Arguments, Trial};
use nix::sys::signal::{Signal, kill};
use serde_json::Value;
use support::agent::CONFIG;
use support::host::HostFolder;
use support::liar::Liar;
use support::{CLOCKGATE, Ours, clockgate, lacks_program, needing, until};

/// Far more than anything here takes.
const SOON: Duration = Duration::from_secs(30);

fn main() -> ExitCode {
    let files: [(&str, fn()); 6] = [
        ("a_file_that_is_cut_at_any_byte_loses_the_torn_record_alone", cut_at_every_byte),
        ("long_records_stay_below_four_mebibytes_and_the_latest_are_kept", long_records),
        ("lines_of_a_later_version_and_rubbish_are_skipped_and_unknown_fields_are_none_of_it", later_versions),
        ("a_host_without_a_state_directory_keeps_nothing", no_state),
        ("what_is_asked_for_is_printed_with_its_true_time", printed),
        ("odd_files_and_odd_questions_are_answered_in_words", odd::answered),
    ];
    let agents: [(&str, fn()); 2] = [
        ("an_agents_events_are_kept_over_a_restart_for_root_and_the_group_alone", restarts),
        ("a_history_that_cannot_be_written_is_a_warning_and_the_gate_opens", not_written),
    ];
    let trial = |lacks, (name, test): (&str, fn())| {
        needing(lacks, name, move || {
            test();
            Ok(())
        })
    };
    let mut trials: Vec<Trial> = files.map(|test| trial(None, test)).into();
    trials.extend(agents.map(|test| trial(lacks_program("setpriv"), test)));
    cgroups::sweep();
    let of_containers: [(&str, fn()); 2] = [
        ("what_was_frozen_is_recorded_with_as_much_as_is_configured_and_reloaded", containers::frozen),
        ("what_was_held_and_released_is_recorded_with_as_much_as_is_configured", containers::held),
    ];
    trials.extend(of_containers.map(|test| trial(cgroups::lacks().or_else(|| lacks_program("setpriv")), test)));
    trials.push(trial(
        lacks_user_namespaces(),
        ("what_a_full_disk_takes_is_counted_and_what_comes_after_it_is_kept", full_disk),
    ));
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

/// A file system of a test's own is mounted in a user namespace.
fn lacks_user_namespaces() -> Option<String> {
    let mut tried = Command::new("unshare");
    let tried = tried.args(["--user", "--map-root-user", "--mount", "mount", "-t", "tmpfs", "none", "/mnt"]).output();
    let works = tried.is_ok_and(|output| output.status.success());
    (!works).then(|| "mounts in a user namespace".to_owned())
}

/// A host with a state directory.
fn host(config: &str) -> HostFolder {
    HostFolder::new(&[(CONFIG, config), ("var/lib/clockgate/.keep", "")]).unwrap()
}

fn answered_by(server: &Liar) -> HostFolder {
    host(&format!("servers: ['{}']\ncorrection: none\n", server.address()))
}

fn agent(host: &HostFolder) -> Ours {
    let log = fs::File::options().create(true).append(true).open(host.at("log")).unwrap();
    let mut agent = clockgate();
    agent.args(["agent", "--root"]).arg(host.path()).env_remove("CLOCKGATE_SERVERS").stderr(log);
    Ours::spawn(&mut agent).unwrap()
}

fn log(host: &HostFolder) -> String {
    fs::read_to_string(host.at("log")).unwrap_or_default()
}

fn is_open(host: &HostFolder) -> bool {
    Page::open(&host.at("run/clockgate/public")).is_ok_and(|page| page.read().gate == Gate::Proven)
}

/// What the verb prints.
fn history(host: &HostFolder, arguments: &[&str]) -> String {
    let output =
        Command::new(CLOCKGATE).arg("history").args(arguments).arg("--root").arg(host.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

fn records(host: &HostFolder) -> Vec<Value> {
    let all: Value = serde_json::from_str(&history(host, &["--json"])).unwrap();
    all["records"].as_array().unwrap().clone()
}

fn events(records: &[Value]) -> Vec<&str> {
    records.iter().map(|record| record["event"].as_str().unwrap()).collect()
}

fn restarts() {
    let truth = Liar::here(Offset::ZERO).unwrap();
    let host = answered_by(&truth);
    for times in 1..=2 {
        let mut running = agent(&host);
        until("the gate opens", SOON, || is_open(&host)).unwrap();
        kill(running.pid(), Signal::SIGTERM).unwrap();
        until("the agent ends", SOON, || running.0.try_wait().is_ok_and(|status| status.is_some())).unwrap();
        let all = records(&host);
        let count = |event: &str| events(&all).iter().filter(|e| **e == event).count();
        assert_eq!((count("gate-open"), count("ended")), (times, times), "{all:#?}");
        assert!(all.iter().all(|record| record["dated_by"] == "proof"), "{all:#?}");
        let opened = all.iter().find(|record| record["event"] == "gate-open").unwrap();
        assert_eq!((&opened["gate_before"], &opened["epoch"]), (&"shut".into(), &1.into()));
        assert_eq!(opened["answers"][0]["kind"], "ntp");
        assert!(opened["opened_after_ns"].as_u64() >= opened["answered_after_ns"].as_u64(), "{opened}");
    }
    let mode = |path: &str| fs::metadata(host.at(FOLDER).join(path)).unwrap().permissions().mode() & 0o777;
    assert_eq!((mode(""), mode("events.jsonl")), (0o750, 0o640));
}

fn not_written() {
    let truth = Liar::here(Offset::ZERO).unwrap();
    let host = answered_by(&truth);
    host.put(FOLDER, "no folder").unwrap();
    let _agent = agent(&host);
    until("the gate opens", SOON, || is_open(&host)).unwrap();
    until("it is said", SOON, || log(&host).contains("cannot write the history to")).unwrap();
    assert_eq!(log(&host).matches("cannot write the history to").count(), 1, "once");
}

fn full_disk() {
    let truth = Liar::here(Offset::ZERO).unwrap();
    let host = answered_by(&truth);
    let script = r#"
        mount -t tmpfs -o size=64k none var/lib/clockgate
        head -c 100000 /dev/zero >var/lib/clockgate/fill 2>/dev/null
        "$0" agent --root "$PWD" 2>log & agent=$!
        while [ ! -e emptied ]; do sleep 0.05; done
        rm var/lib/clockgate/fill
        touch ready
        while [ ! -e measured ]; do sleep 0.05; done
        kill $agent
        wait $agent
        "$0" history --json --root "$PWD" >found.new
        mv found.new found
    "#;
    let mut shell = Command::new("unshare");
    shell.args(["--user", "--map-root-user", "--mount", "sh", "-c", script, CLOCKGATE]).current_dir(host.path());
    let _shell = Ours::spawn(shell.env_remove("CLOCKGATE_SERVERS").stdin(Stdio::null())).unwrap();
    until("the gate opens", SOON, || is_open(&host)).unwrap();
    until("it is said", SOON, || log(&host).contains("cannot write the history to")).unwrap();
    host.put("emptied", "").unwrap();
    until("there is room", SOON, || host.at("ready").exists()).unwrap();
    let notify = ["notify", "resume", "--wait", "--bus"];
    let notified = Command::new(CLOCKGATE).args(notify).arg(host.at("run/clockgate/bus")).output().unwrap();
    assert!(notified.status.success(), "{notified:?}");
    host.put("measured", "").unwrap();
    until("the history is read", SOON, || host.at("found").exists()).unwrap();
    let found: Value = serde_json::from_str(&fs::read_to_string(host.at("found")).unwrap()).unwrap();
    let records = found["records"].as_array().unwrap();
    assert!(records[0]["lost"].as_u64() >= Some(1), "{records:#?}");
    assert!(events(records).contains(&"gate-open") && events(records).contains(&"ended"), "{records:#?}");
    assert!(log(&host).contains("is written again"), "{}", log(&host));
}

/// A line as the agent writes it, of a boot that began at 1970-01-01 plus `BEGAN` seconds.
fn line(epoch: u64, secs: u64, more: &str) -> String {
    let (boottime, realtime) = (secs * 1_000_000_000, (BEGAN + secs) * 1_000_000_000);
    format!(
        r#"{{"version":1,"boot_id":"b","boottime_ns":{boottime},"realtime_ns":{realtime},"epoch":{epoch},"event":"x","cause":"started","message":"number {secs}"{more}}}"#
    ) + "\n"
}

const BEGAN: u64 = 1_700_000_000;

fn put(host: &HostFolder, text: &str) {
    host.put(&format!("{FOLDER}/events.jsonl"), text).unwrap();
}

fn messages(files: &HistoryFiles) -> (Vec<String>, usize) {
    let text = files.read().unwrap();
    let read = text.records();
    (read.records.iter().map(HistoryRecord::message).collect(), read.skipped)
}

fn cut_at_every_byte() {
    let host = host("");
    let files = HistoryFiles::below(host.path());
    let whole = [line(1, 1, ""), line(1, 2, ""), line(1, 3, "")].concat();
    for cut in 0..=whole.len() {
        put(&host, &whole[..cut]);
        files.append(&line(2, 9, ""), None).unwrap();
        let (found, skipped) = messages(&files);
        // A line without its end is whole all the same where only that is missing.
        let kept = whole[..cut].matches('}').count();
        let expected: Vec<String> = (1..=kept).chain([9]).map(|number| format!("number {number}")).collect();
        let is_torn = !matches!(whole[..cut].chars().last(), None | Some('\n' | '}'));
        assert_eq!((found, skipped), (expected, usize::from(is_torn)), "cut at {cut}");
    }
}

fn long_records() {
    let host = host("");
    let files = HistoryFiles::below(host.path());
    let long = format!(r#","why":"{}""#, "w".repeat(60_000));
    for secs in 1..=400 {
        files.append(&line(1, secs, &long), None).unwrap();
        let folder = fs::read_dir(files.folder()).unwrap();
        let size: u64 = folder.map(|entry| entry.unwrap().metadata().unwrap().len()).sum();
        assert!(size <= 4 << 20, "{size}");
    }
    let (found, skipped) = messages(&files);
    assert!(found.len() >= 48, "three whole files: {}", found.len());
    let first = 400 - found.len() + 1;
    assert_eq!(found, (first..=400).map(|number| format!("number {number}")).collect::<Vec<_>>());
    assert_eq!(skipped, 0);
}

fn later_versions() {
    let host = host("");
    let later = line(1, 2, "").replace(r#""version":1"#, r#""version":2"#);
    let rubbish = "\n[]\n{}\nnull\n\u{0}\u{0}\n";
    // As an earlier version wrote it: counts of containers alone.
    let earlier = line(1, 3, r#","frozen":1,"frozen_of":2,"released":3"#);
    put(&host, &[line(1, 1, r#","new":{"a":[1]}"#), later, rubbish.to_owned(), earlier].concat());
    let (found, skipped) = messages(&HistoryFiles::below(host.path()));
    assert_eq!((found, skipped), (vec!["number 1".to_owned(), "number 3".to_owned()], 5));
    let counted = records(&host).pop().unwrap();
    assert_eq!((&counted["frozen"], &counted["frozen_containers"]), (&1.into(), &Value::Null));
    assert!(history(&host, &[]).ends_with("5 lines skipped: torn, or written by a later version\n"));
    assert!(HistoryRecord::parse("{\"version\":1}").is_none());
}

fn no_state() {
    let host = HostFolder::new(&[]).unwrap();
    HistoryFiles::below(host.path()).append(&line(1, 1, ""), None).unwrap();
    assert!(!Path::new(&host.at("var")).exists());
    assert_eq!(history(&host, &[]), "nothing is recorded\n");
}

fn printed() {
    let host = host("");
    // The clock was an hour behind until second 20, where a proof is.
    let behind = line(2, 10, "").replace(&format!("{}", BEGAN + 10), &format!("{}", BEGAN + 10 - 3600));
    let difference = BEGAN * 1_000_000_000;
    let proof = line(2, 20, &format!(r#","gate":"open","offset_ns":0,"real_minus_boot_ns":{difference}"#));
    let of_another_boot = line(2, 5, "").replace(r#""boot_id":"b""#, r#""boot_id":"a""#);
    put(&host, &[of_another_boot, behind, proof, line(3, 30, "")].concat());
    let all = "2023-11-14T22:13:25.000Z? number 5\n\
               2023-11-14T22:13:30.000Z  number 10\n\
               2023-11-14T22:13:40.000Z  number 20\n\
               2023-11-14T22:13:50.000Z  number 30\n\
               ?: as the system clock showed it, which no proof confirms\n";
    assert_eq!(history(&host, &[]), all);
    assert_eq!(history(&host, &["--since", "2023-11-14T22:13:45Z"]), "2023-11-14T22:13:50.000Z  number 30\n");
    let none =
        "nothing of that is recorded: the history is from 2023-11-14T22:13:25.000Z to 2023-11-14T22:13:50.000Z\n";
    assert_eq!(history(&host, &["--since", "1h"]), none);
    let of_two = history(&host, &["--epoch", "2"]);
    assert_eq!(of_two, "2023-11-14T22:13:30.000Z  number 10\n2023-11-14T22:13:40.000Z  number 20\n");
    let refused = Command::new(CLOCKGATE).args(["history", "--since", "soon"]).output().unwrap();
    assert_eq!(refused.status.code(), Some(2));
}

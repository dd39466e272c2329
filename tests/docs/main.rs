//! What no test compares, drifts: manual pages, the page's table and the reader in Python against the program itself.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Output, Stdio};
use std::time::Duration;

use clockgate::config::Config;
use clockgate::config::keys::KEYS;
use clockgate::config::patterns;
use clockgate::daemon::facts::DAEMONS;
use clockgate::decision::{Boottime, Cause, Differences, Epoch, Gate, LeapSecond, Offset, RestoreSign, Snapshot};
use clockgate::explain::Pattern;
use clockgate::metrics::FAMILIES;
use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::{boottime, standing};
use libtest_mimic::{Arguments, Trial};
use support::expected::is_as_written;
use support::{Ours, Outcome, gate_page, lacks_program, needing, until};

#[path = "../support/mod.rs"]
mod support;

fn main() -> ExitCode {
    let trials = vec![
        Trial::test("every_verb_and_option_is_in_its_manual_page", every_option),
        Trial::test("every_synopsis_names_the_options_that_there_are", every_synopsis),
        Trial::test("the_publishers_manual_page_has_the_options_that_there_are", the_publishers),
        Trial::test("every_check_of_doctor_is_in_its_manual_page_in_the_same_order", every_check),
        Trial::test("every_key_is_in_the_manual_with_its_default_and_what_it_allows", every_key),
        Trial::test("the_manual_and_the_interfaces_agree_on_the_page", the_page),
        Trial::test("the_manual_names_all_that_the_bus_object_has", the_bus),
        Trial::test("every_cause_is_named_wherever_causes_are_listed", the_causes),
        Trial::test("each_time_daemon_has_its_row_of_facts_in_the_documentation", the_daemons),
        Trial::test("every_metric_has_its_row_in_the_documentation_and_every_cause_is_named", the_metrics),
        Trial::test("every_tolerance_has_its_row_in_the_documentation_and_the_manual", tolerances),
        Trial::test("the_manual_of_messages_is_what_the_program_knows", messages),
        Trial::test("what_the_readme_shows_of_explain_is_what_it_prints", explained),
        needing(lacks_program("mandoc"), "the_manual_pages_are_without_fault", lint),
        needing(lacks_program("python3"), "the_reader_in_python_reads_what_the_agent_writes", reads),
        needing(lacks_program("python3"), "the_reader_in_python_takes_no_page_that_it_should_not", refuses),
        needing(lacks_program("python3"), "the_reader_in_python_is_woken_when_the_gate_opens", is_woken),
    ];
    libtest_mimic::run(&Arguments::from_args(), trials).exit_code()
}

fn file(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(path)).unwrap()
}

fn clockgate(arguments: &[&str]) -> String {
    let output = Command::new(env!("CARGO_BIN_EXE_clockgate")).args(arguments).output().unwrap();
    String::from_utf8(output.stdout).unwrap()
}

fn every_option() -> Outcome {
    let mut missing = BTreeSet::new();
    for verb in &support::verbs::below(&[]) {
        let path = match verb.as_str() {
            "run" | "wait" => "docs/man/clockgate-run.1",
            "doctor" => "docs/man/clockgate-doctor.1",
            _ => "docs/man/clockgate.8",
        };
        let page = file(path);
        if !page.lines().any(|line| line == format!(".Cm {verb}") || line == format!(".Nm clockgate {verb}")) {
            missing.insert(format!("{path}: the verb {verb}"));
        }
        for option in options(&clockgate(&[verb, "--help"])) {
            if !page.contains(&format!("Fl -{option}")) {
                missing.insert(format!("{path}: --{option} of {verb}"));
            }
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("not there: {missing:#?}").into()) }
}

/// Those of a program of another package.
fn the_publishers() -> Outcome {
    let program = support::small::build_of("clockgate-kubernetes", &["--bins"])?;
    let output = Command::new(program.first().ok_or("no program")?).arg("--help").output()?;
    let help = options(&String::from_utf8(output.stdout)?);
    let page = file("docs/man/clockgate-kubernetes.8");
    let listed = page.lines().filter_map(|line| line.strip_prefix(".It Fl -")?.split(' ').next().map(str::to_owned));
    assert_eq!(listed.collect::<BTreeSet<_>>(), help);
    let synopsis = page.split(".Sh SYNOPSIS\n").nth(1).and_then(|rest| rest.split("\n.Sh ").next()).unwrap();
    let unnamed: Vec<_> = help.iter().filter(|option| !synopsis.contains(&format!("Fl -{option} "))).collect();
    assert!(help.len() == 6 && unnamed.is_empty(), "{help:?}; not in the synopsis: {unnamed:?}");
    Ok(())
}

/// What the synopsis of a verb names is what its help does.
fn every_synopsis() -> Outcome {
    let page = file("docs/man/clockgate.8");
    let synopsis = page.split(".Sh SYNOPSIS\n").nth(1).and_then(|rest| rest.split("\n.Sh ").next()).unwrap();
    let verbs = "agent, sync, measure, tolerances, explain, accept, status, history, report, notify, thaw, vm notify, config check, hooks install, hooks remove, hooks list, help";
    for verb in verbs.split(", ") {
        let words: Vec<&str> = verb.split(' ').collect();
        let begins = words.iter().map(|word| format!(".Cm {word}")).collect::<Vec<_>>().join("\n");
        let block = synopsis.split(".Nm\n").find(|block| {
            block.strip_prefix(&begins).is_some_and(|rest| !rest.starts_with(|c: char| c.is_alphanumeric()))
        });
        let Some(block) = block else { return Err(format!("no synopsis of {verb}").into()) };
        let named: BTreeSet<String> = block
            .split_whitespace()
            .filter_map(|word| word.strip_prefix('-'))
            .map(|word| word.trim_end_matches('|').to_owned())
            .filter(|word| !word.is_empty())
            .collect();
        assert_eq!(named, options(&clockgate(&[&words[..], &["--help"]].concat())), "{verb}");
    }
    Ok(())
}

fn every_check() -> Outcome {
    let page = file("docs/man/clockgate-doctor.1");
    let section = page.split(".Sh CHECKS\n").nth(1).and_then(|rest| rest.split("\n.Sh ").next()).unwrap();
    let listed: Vec<&str> = section.lines().filter_map(|line| line.strip_prefix(".It ")).collect();
    let made: Vec<&str> = clockgate::doctor::ALL.iter().map(|rule| rule.id).collect();
    assert_eq!(listed, made);
    Ok(())
}

fn explained() -> Outcome {
    let refused =
        "Signature expired: 20260627T140000Z is now earlier than 20260627T141500Z (20260627T143000Z - 15 min.)";
    let printed = clockgate(&["explain", "--offline", refused]);
    let readme = file("README.md");
    let shown = readme.lines().skip_while(|line| !line.ends_with("| clockgate explain --offline")).skip(1);
    let shown: String = shown.map_while(|line| line.strip_prefix("    ")).map(|line| format!("{line}\n")).collect();
    // The command's line is the first.
    assert!(shown.lines().count() < 10, "at most ten lines");
    if shown == printed { Ok(()) } else { Err(format!("README:\n{shown}\nit prints:\n{printed}").into()) }
}

/// `CLOCKGATE_BLESS=1` writes clockgate-errors(7) anew.
fn messages() -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man/clockgate-errors.7");
    let page = fs::read_to_string(&path).unwrap();
    let (begin, end) = (".\\\" The list is made from the patterns by tests/docs.\n", ".\\\" End of the list.\n");
    let (before, rest) = page.split_once(begin).unwrap();
    let (written, after) = rest.split_once(end).unwrap();
    let escaped = |text: &str| text.replace('\\', "\\e").replace('-', "\\-");
    let entry = |one: &Pattern| {
        let tolerance = one.tolerance.map_or_else(|| "unknown".to_owned(), clockgate::duration::print);
        let effect = if one.refused_before_effect { "The request was refused before it had an effect.\n" } else { "" };
        let other = if one.may_mean.is_empty() { String::new() } else { format!("Or: {}.\n", one.may_mean) };
        format!(
            ".It Ic {}\n\\&{}:\n.Dq \\&{} .\n.br\nYour clock: {}.\nTolerance: {} ({}).\n{effect}{other}",
            one.id,
            escaped(&one.issuer),
            escaped(&one.literals[0]),
            one.direction.name(),
            escaped(&tolerance),
            escaped(&one.tolerance_source)
        )
    };
    let list: String = patterns::load(Path::new("/nonexistent")).unwrap().iter().map(entry).collect();
    if std::env::var_os("CLOCKGATE_BLESS").is_some() {
        fs::write(&path, format!("{before}{begin}{list}{end}{after}")).unwrap();
        return Ok(());
    }
    if written == list { Ok(()) } else { Err("docs/man/clockgate-errors.7 is not what the patterns say".into()) }
}

/// The long options of a help text, without those that every command has.
fn options(help: &str) -> BTreeSet<String> {
    let word = |text: &str| text.chars().take_while(|c| c.is_ascii_alphanumeric() || *c == '-').collect();
    help.lines()
        .map(str::trim_start)
        .filter(|line| line.starts_with('-'))
        .filter_map(|line| line.split("--").nth(1).map(word))
        .filter(|option: &String| !matches!(option.as_str(), "help" | "version"))
        .collect()
}

fn the_daemons() -> Outcome {
    let page = file("docs/daemons.md");
    let rows: Vec<String> = DAEMONS.iter().map(|daemon| daemon.facts().row()).collect();
    let missing: Vec<&String> = rows.iter().filter(|row| !page.lines().any(|line| line == row.as_str())).collect();
    let is_row = |line: &&str| line.starts_with('|');
    let written = page.lines().skip_while(|line| !is_row(line)).take_while(is_row).count() - 2;
    if missing.is_empty() && written == rows.len() {
        Ok(())
    } else {
        Err(format!("{written} rows; not there: {missing:#?}").into())
    }
}

/// `CLOCKGATE_BLESS=1` writes the table anew.
fn the_metrics() -> Outcome {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/metrics.md");
    let page = fs::read_to_string(&path).unwrap();
    let begin = "|---|---|---|---|\n";
    let (before, rest) = page.split_once(begin).unwrap();
    let after: String = rest.split_inclusive('\n').skip_while(|line| line.starts_with('|')).collect();
    let rows: String = FAMILIES.iter().map(|family| format!("{}\n", family.row())).collect();
    let names: Vec<_> = (0..).map(Cause::name_of).take_while(|name| *name != "unknown").collect();
    let (last, others) = names.split_last().unwrap();
    let causes = format!("{} and {last}.", others.join(", "));
    let text = after.split_whitespace().collect::<Vec<_>>().join(" ");
    assert!(text.contains(&causes), "not there: {causes}");
    is_as_written(&path, &format!("{before}{begin}{rows}{after}"))
}

fn tolerances() -> Outcome {
    let page = file("docs/recipes.md");
    let manual = file("docs/man/clockgate-run.1");
    for class in clockgate::tolerance::CLASSES {
        assert!(page.lines().any(|line| line == class.row()), "docs/recipes.md: {}", class.row());
        let item = format!(".It Cm {}\n{}", class.name, clockgate::duration::print(class.tolerance));
        assert!(manual.contains(&item), "docs/man/clockgate-run.1: {item}");
    }
    Ok(())
}

fn every_key() -> Outcome {
    let page = file("docs/man/clockgate.yaml.5");
    let mut missing = vec![];
    let entries: Vec<(&str, String)> = page
        .split(".It Ic ")
        .skip(1)
        .map(|entry| entry.split_once('\n').unwrap())
        .map(|(name, text)| (name, text.split_whitespace().collect::<Vec<_>>().join(" ")))
        .collect();
    let named: Vec<_> = entries.iter().map(|(name, _)| *name).collect();
    let known: Vec<_> = KEYS.iter().map(|key| key.name).collect();
    assert_eq!(named, known, "the keys and their order");
    for (key, (name, text)) in KEYS.iter().zip(&entries) {
        let facts = format!("Default: {}. Allowed: {}.", key.print(&Config::default()).trim_matches('"'), key.allows());
        if !text.contains(&facts) {
            missing.push(format!("{name}: {facts}"));
        }
    }
    if missing.is_empty() { Ok(()) } else { Err(format!("not there: {missing:#?}").into()) }
}

fn the_page() -> Outcome {
    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let manual: Vec<(String, String)> = file("docs/man/clockgate-interfaces.7")
        .lines()
        .map(words)
        .filter(|words| words.len() > 3 && words[0].parse::<usize>().is_ok())
        .filter(|words| words[1].starts_with(['u', 'i']) || words[2] == "bytes")
        .map(|words| (words[0].clone(), if words[2] == "bytes" { words[3].clone() } else { words[2].clone() }))
        .collect();
    let interfaces: Vec<(String, String)> = file("docs/interfaces.md")
        .lines()
        .map(|line| line.split('|').map(|cell| cell.trim().to_owned()).collect::<Vec<_>>())
        .filter(|cells| cells.len() == 7 && cells[1].parse::<usize>().is_ok())
        .map(|cells| (cells[1].clone(), cells[4].clone()))
        .collect();
    assert!(interfaces.len() > 10, "{interfaces:?}");
    assert_eq!(manual, interfaces);
    Ok(())
}

fn the_bus() -> Outcome {
    let page = file("docs/man/clockgate-interfaces.7");
    let xml = file("packaging/usr/share/dbus-1/interfaces/org.clockgate.Agent1.xml");
    let words: BTreeSet<&str> = page.split_whitespace().collect();
    let named = |mark: &'static str| xml.split(mark).skip(1).filter_map(|rest| rest.split('"').next());
    let names: Vec<_> = named("<property name=\"").chain(named("<method name=\"")).collect();
    assert!(names.len() > 10, "{names:?}");
    let missing: Vec<_> = names.into_iter().filter(|name| !words.contains(name)).collect();
    if missing.is_empty() { Ok(()) } else { Err(format!("not there: {missing:?}").into()) }
}

fn the_causes() -> Outcome {
    let names: Vec<_> = (0..).map(Cause::name_of).take_while(|name| *name != "unknown").collect();
    let numbered: Vec<_> = names.iter().enumerate().map(|(code, name)| format!("{code} {name}")).collect();
    for path in ["docs/interfaces.md", "docs/man/clockgate-interfaces.7"] {
        let text = file(path).split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(text.contains(&numbered.join(", ")), "{path}: {numbered:?}");
    }
    let reader = file("examples/gate.py").split_whitespace().collect::<Vec<_>>().join(" ");
    let quoted: Vec<_> = names.iter().map(|name| format!("\"{name}\"")).collect();
    assert!(reader.contains(&format!("CAUSES = [{}]", quoted.join(", "))), "examples/gate.py: {quoted:?}");
    let manual = file("docs/man/clockgate.8");
    let items: BTreeSet<_> =
        manual.lines().filter_map(|line| line.strip_prefix(".It ")).flat_map(str::split_whitespace).collect();
    assert!(names.iter().all(|name| items.contains(name)), "docs/man/clockgate.8: {names:?}");
    Ok(())
}

fn lint() -> Outcome {
    let pages: Vec<_> = fs::read_dir(Path::new(env!("CARGO_MANIFEST_DIR")).join("docs/man"))
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .collect();
    let output = Command::new("mandoc").args(["-Tlint", "-Wwarning"]).args(&pages).output().unwrap();
    if pages.len() >= 8 && output.status.success() && output.stdout.is_empty() {
        return Ok(());
    }
    Err(format!("{} pages: {}", pages.len(), String::from_utf8_lossy(&output.stdout)).into())
}

/// `examples/gate.py` with a page of its own.
struct Reader {
    folder: tempfile::TempDir,
}

impl Reader {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn page(&self) -> GatePage {
        GatePage::open(&self.folder.path().join("public")).unwrap().0
    }

    fn path(&self) -> PathBuf {
        self.folder.path().join("public/gate")
    }

    fn command(&self) -> Command {
        let mut command = Command::new("python3");
        command.arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gate.py"));
        command.env("CLOCKGATE_PAGE", self.path()).env("PYTHONDONTWRITEBYTECODE", "1");
        command
    }

    fn read(&self) -> Output {
        self.command().output().unwrap()
    }
}

fn proven() -> Snapshot {
    Snapshot {
        epoch: Epoch::new(7),
        cause: Cause::Restore(RestoreSign::Notice),
        offset: Some(Offset::from_nanos(-1_500_000)),
        bound: Some(Duration::from_millis(3)),
        max_drift_ppm: 500,
        ..gate_page::proven()
    }
}

fn json(output: &Output) -> serde_json::Value {
    let json = serde_json::from_slice(&output.stdout);
    assert!(json.is_ok(), "{output:?}");
    json.unwrap()
}

fn reads() -> Outcome {
    let reader = Reader::new();
    let mut page = reader.page();
    let snapshot = proven();
    page.publish(&snapshot).unwrap();
    let output = reader.read();
    let said = json(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert_eq!(
        (&said["gate"], &said["state"], &said["cause"]),
        (&"open".into(), &"Synchronized".into(), &"restore".into())
    );
    assert_eq!((&said["epoch"], &said["offset"], &said["threshold"]), (&7.into(), &(-0.0015).into(), &0.2.into()));
    let bound = said["bound"].as_f64().unwrap();
    assert!((0.003..0.013).contains(&bound), "3 ms, growing by half a millisecond a second: {bound}");

    page.publish(&Snapshot { gate: Gate::Shut, bound: None, why: "schläft".into(), ..snapshot.clone() }).unwrap();
    let output = reader.read();
    let said = json(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert_eq!((&said["gate"], &said["why"], &said["offset"]), (&"shut".into(), &"schläft".into(), &().into()));

    // A dead agent's gate: the word says open and the proof has run out.
    page.publish(&Snapshot { valid_until: Boottime::from_nanos(1), ..snapshot.clone() }).unwrap();
    let output = reader.read();
    assert_eq!((output.status.code(), &json(&output)["gate"]), (Some(1), &"shut".into()));

    page.publish(&Snapshot { gate: Gate::Unproven, ..snapshot.clone() }).unwrap();
    let output = reader.read();
    assert_eq!((output.status.code(), &json(&output)["gate"]), (Some(1), &"unproven".into()));

    // What the clocks would show, had somebody moved them since.
    let now = standing();
    let hour = Offset::from_secs(3600);
    for (differences, why) in [
        (Differences { real_minus_boot: now.real_minus_boot - hour, ..now }, "moved by +36"),
        (Differences { mono_minus_raw: now.mono_minus_raw + hour, ..now }, "moved by -3"),
        (Differences { boot_minus_mono: now.boot_minus_mono + Duration::from_secs(9), ..now }, "slept for"),
    ] {
        page.publish(&Snapshot { differences, ..snapshot.clone() }).unwrap();
        let output = reader.read();
        let said = json(&output);
        assert_eq!((output.status.code(), &said["gate"]), (Some(1), &"shut".into()));
        assert!(said["why"].as_str().is_some_and(|said| said.contains(why)), "{said}");
    }
    // A leap second is no step, where one is expected: made a moment ago, and not made though it was time.
    let second = Offset::from_secs(-1);
    let leapt = Differences { real_minus_boot: now.real_minus_boot - second, ..now };
    let ago = |secs: u64| {
        Some(LeapSecond { at: Boottime::from_nanos(boottime().as_nanos() - secs * 1_000_000_000), change: second })
    };
    for (differences, leap_second, code) in [(leapt, ago(0), 0), (leapt, ago(9), 0), (leapt, None, 1), (now, ago(9), 1)]
    {
        page.publish(&Snapshot { differences, leap_second, ..snapshot.clone() }).unwrap();
        let output = reader.read();
        assert_eq!(output.status.code(), Some(code), "{leap_second:?}: {}", json(&output));
    }
    page.end("it was stopped").unwrap();
    let output = reader.read();
    assert_eq!((output.status.code(), &json(&output)["agent"]), (Some(69), &"ended".into()));
    Ok(())
}

fn refuses() -> Outcome {
    let reader = Reader::new();
    assert_eq!(reader.read().status.code(), Some(69), "no page");
    fs::create_dir_all(reader.path().parent().unwrap()).unwrap();
    fs::write(reader.path(), [0; 100]).unwrap();
    assert_eq!(reader.read().status.code(), Some(69), "truncated");
    fs::write(reader.path(), [0; 4096]).unwrap();
    assert_eq!(reader.read().status.code(), Some(69), "no agent has been here");

    reader.page().publish(&proven()).unwrap();
    let good = fs::read(reader.path()).unwrap();
    for (what, at) in [("magic", 0), ("version", 8), ("boot", 16), ("an odd sequence", 36)] {
        let mut bad = good.clone();
        bad[at] ^= 1;
        fs::write(reader.path(), &bad).unwrap();
        let output = reader.read();
        assert_eq!(output.status.code(), Some(69), "{what}: {output:?}");
        assert!(!output.stderr.starts_with(b"Traceback"), "{what}: {output:?}");
    }
    Ok(())
}

fn is_woken() -> Outcome {
    let reader = Reader::new();
    let mut page = reader.page();
    let mut waiting = Ours::spawn(reader.command().args(["--wait", "60"]).stdout(Stdio::null()))?;
    // It sleeps in futex(2) before the gate opens; the kernel names the call it sleeps in.
    let asleep = || fs::read_to_string(format!("/proc/{}/syscall", waiting.0.id())).unwrap_or_default();
    let number = format!("{} ", libc::SYS_futex);
    until("the reader sleeps", Duration::from_secs(20), || asleep().starts_with(&number))?;
    page.publish(&proven()).unwrap();
    assert_eq!(waiting.0.wait().unwrap().code(), Some(0));

    page.publish(&Snapshot::default()).unwrap();
    let given_up = reader.command().args(["--wait", "0.2"]).output().unwrap();
    assert_eq!(given_up.status.code(), Some(75), "{given_up:?}");
    Ok(())
}

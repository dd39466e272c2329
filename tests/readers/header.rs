//! The C header against the crate: one page, two readers, the same view of it.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use clockgate::decision::{Boottime, Differences, Gate, LeapSecond, Offset, Snapshot};
use clockgate::page::{Agent, Page, View};
use clockgate::sys::clock::{boottime, standing};

use super::root;
use super::support::gate_page::{proven, public, publish, shut};
use super::support::{Ours, Outcome, expect, fail, until};

const WARNINGS: [&str; 5] = ["-Wall", "-Wextra", "-pedantic", "-Werror", "-O2"];

pub fn folder() -> PathBuf {
    root().join("crates/clockgate-page/include")
}

pub fn compile(options: &[&str], source: &Path, program: &Path) -> Outcome {
    compile_by("cc", options, source, program)
}

fn compile_by(compiler: &str, options: &[&str], source: &Path, program: &Path) -> Outcome {
    let mut command = Command::new(compiler);
    command.args(WARNINGS).arg("-I").arg(folder()).args(options).arg(source).arg("-o").arg(program);
    let output = command.output()?;
    expect(output.status.success() && output.stderr.is_empty(), &output)
}

/// Pages of every kind: proofs at all ages and sizes, clocks that were moved by a little and by much, leap seconds, agents.
fn pages() -> Vec<(String, Snapshot)> {
    let (now, standing) = (boottime(), standing());
    let ms = |millis: i64| Offset::from_nanos(millis * 1_000_000);
    let ago = |secs: u64| Boottime::from_nanos(now.as_nanos().saturating_sub(secs * 1_000_000_000));
    let drifting =
        Snapshot { max_drift_ppm: 500, offset: Some(ms(-1)), bound: Some(Duration::from_millis(3)), ..proven() };
    let mut all = vec![
        ("shut".to_owned(), shut()),
        ("never measured".to_owned(), Snapshot::default()),
        ("unproven".to_owned(), Snapshot { gate: Gate::Unproven, ..shut() }),
        ("expired".to_owned(), Snapshot { valid_until: now, ..drifting.clone() }),
        ("no bound".to_owned(), Snapshot { bound: None, offset: None, ..drifting.clone() }),
    ];
    for offset in [-150, -1, 0, 150] {
        for moved in [0, 100, -100, 190, -250, 250, 3_600_000] {
            for age in [0, 100, 399, 500] {
                let base = Snapshot {
                    offset: Some(ms(offset)),
                    bound: Some(ms(offset).abs() + Duration::from_millis(10)),
                    as_of: ago(age),
                    ..drifting.clone()
                };
                let stepped = Differences { real_minus_boot: standing.real_minus_boot - ms(moved), ..standing };
                let slewed = Differences { mono_minus_raw: standing.mono_minus_raw - ms(moved), ..standing };
                all.push((
                    format!("{offset} stepped {moved} at {age}"),
                    Snapshot { differences: stepped, ..base.clone() },
                ));
                all.push((format!("{offset} slewed {moved} at {age}"), Snapshot { differences: slewed, ..base }));
            }
        }
    }
    for slept in [0, 500, 5_000_000] {
        let asleep = standing.boot_minus_mono + Duration::from_micros(slept);
        let differences = Differences { boot_minus_mono: asleep, ..standing };
        all.push((format!("slept {slept} us"), Snapshot { differences, ..drifting.clone() }));
    }
    for change in [-1, 1] {
        for made in [false, true] {
            for at in [ago(9), ago(0), now + Duration::from_secs(9)] {
                let change = Offset::from_secs(change);
                let was = if made { standing.real_minus_boot - change } else { standing.real_minus_boot };
                let (differences, leap_second) =
                    (Differences { real_minus_boot: was, ..standing }, Some(LeapSecond { at, change }));
                all.push((
                    format!("leap {change} made {made} at {at:?}"),
                    Snapshot { differences, leap_second, ..drifting.clone() },
                ));
            }
        }
    }
    all
}

/// As `view.c` prints it; what is counted by the moment of the look stands apart.
fn as_printed(view: &View) -> (String, u64) {
    let (agent, at) = match view.agent {
        Agent::Alive => (0, None),
        Agent::Starting => (1, None),
        Agent::Ended { at } => (2, Some(at)),
        Agent::Silent { since } => (3, Some(since)),
        Agent::PageGone => (4, None),
    };
    let bound = |bound: Option<Duration>| bound.map_or(u64::MAX, |bound| u64::try_from(bound.as_nanos()).unwrap());
    let mut line = format!("{} {} {agent} {}", view.gate as u32, view.word, at.map_or(0, Boottime::as_nanos));
    let leap = view.leap_second.map_or(0, |leap| leap.change.as_nanos());
    let (offset, max_drift) = (view.offset.map_or(-1, Offset::as_nanos), view.max_drift_ppm);
    let times = [view.as_of, view.valid_until, view.since, view.deadline].map(Boottime::as_nanos);
    let [as_of, valid_until, since, deadline] = times;
    write!(line, " {} {} {} {offset} {}", view.epoch, view.state, view.cause, bound(view.bound)).unwrap();
    write!(line, " {as_of} {} {valid_until} {since} {deadline} {max_drift} {leap}", bound(Some(view.threshold)))
        .unwrap();
    (line, bound(view.bound_now))
}

/// The doubt that the words of a view are of, by its number in the header.
fn doubt(view: &View) -> u64 {
    let of = |words: &str| view.gate == Gate::Shut && view.word == 1 && view.why.contains(words);
    let all = ["expired", "slept for", "was set", "was slewed", "cannot be read at once"];
    all.iter().position(|words| of(words)).map_or(0, |at| at as u64 + 1)
}

/// What the program printed, in the same form, with the doubt and the rest of the text.
fn read_by(program: &Path, folder: &Path) -> Outcome<(String, u64, u64, String)> {
    let output = Command::new(program).arg(public(folder)).output()?;
    expect(output.status.success(), &output)?;
    let text = String::from_utf8(output.stdout)?;
    let (first, why) = text.split_once('\n').ok_or("no line")?;
    let mut words: Vec<&str> = first.split(' ').collect();
    if words.len() != 18 {
        return fail(format!("it printed {text}"));
    }
    let (bound_now, doubt) = (words.remove(10), words.remove(4));
    // The moment says something only of an agent that is gone.
    if matches!(words[2], "0" | "1" | "4") {
        words[3] = "0";
    }
    Ok((words.join(" "), bound_now.parse()?, doubt.parse()?, why.trim_end().to_owned()))
}

pub fn agrees(compiler: &str, options: &[&str]) -> Outcome {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("view");
    compile_by(compiler, options, &root().join("tests/readers/view.c"), &program)?;
    let says = |what: &str, code: &str| -> Outcome {
        let output = Command::new(&program).arg(public(folder.path())).output()?;
        if output.stdout == format!("error {code}\n").as_bytes() { Ok(()) } else { fail(format!("{what}: {output:?}")) }
    };
    says("no folder", "1")?;
    let mut page = publish(folder.path(), &shut())?;
    let mut proofs = 0;
    for (what, snapshot) in pages() {
        page.publish(&snapshot)?;
        same(&what, &program, folder.path())?;
        proofs += u32::from(Page::open(&public(folder.path()))?.read().gate == Gate::Proven);
    }
    if proofs < 20 {
        return fail(format!("{proofs} of these pages are proofs"));
    }
    page.end("it was stopped")?;
    same("ended", &program, folder.path())?;
    others(folder.path(), &program)?;
    for (what, at, code) in [("another boot", 16, "2"), ("another version", 8, "4"), ("another magic", 0, "4")] {
        let path = public(folder.path()).join("gate");
        let mut bytes = std::fs::read(&path)?;
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes)?;
        says(what, code)?;
        bytes[at] ^= 1;
        std::fs::write(&path, bytes)?;
    }
    std::fs::write(public(folder.path()).join("gate"), [0; 100])?;
    says("cut short", "4")?;
    std::fs::write(public(folder.path()).join("gate"), [0; 4096])?;
    says("no agent yet", "1")
}

/// Pages of an older and of a later agent, and of one that was killed while it wrote.
fn others(folder: &Path, program: &Path) -> Outcome {
    let path = public(folder).join("gate");
    let good = std::fs::read(&path)?;
    for (what, at, field) in [
        ("before the differences", 12, 376_u32),
        ("before the leap second", 12, 408),
        ("a word of a later version", 32, 3),
        ("killed while it wrote", 36, 7),
    ] {
        let mut bytes = good.clone();
        bytes[at..at + 4].copy_from_slice(&field.to_ne_bytes());
        std::fs::write(&path, bytes)?;
        same(what, program, folder)?;
    }
    Ok(std::fs::write(&path, good)?)
}

/// Both readers see the same; what depends on the moment and the width of a look differs by little.
fn same(what: &str, program: &Path, folder: &Path) -> Outcome {
    let view = Page::open(&public(folder))?.read();
    let (line, bound_now, doubt_of_c, why) = read_by(program, folder)?;
    let (expected, bound) = as_printed(&view);
    let apart = bound.abs_diff(bound_now);
    let said = doubt(&view) != 0 || view.gate == Gate::Shut && view.word == 2 || why == view.why;
    if line == expected && doubt_of_c == doubt(&view) && apart < 10_000_000 && said {
        return Ok(());
    }
    fail(format!("{what}:\nC     {line} {bound_now} doubt {doubt_of_c} {why}\ncrate {expected} {bound} {}", view.why))
}

/// A sleeper is woken by a change of the word.
pub fn waits() -> Outcome {
    let folder = tempfile::tempdir()?;
    let program = folder.path().join("wait");
    compile(&["-std=c11"], &root().join("examples/page/wait.c"), &program)?;
    let mut page = publish(folder.path(), &shut())?;
    let mut waiting = Ours::spawn(Command::new(&program).arg(public(folder.path())).arg("60").stdout(Stdio::null()))?;
    let asleep = || std::fs::read_to_string(format!("/proc/{}/syscall", waiting.0.id())).unwrap_or_default();
    let number = format!("{} ", libc::SYS_futex);
    until("it sleeps in futex(2)", Duration::from_secs(20), || asleep().starts_with(&number))?;
    page.publish(&proven())?;
    let status = waiting.0.wait()?;
    if status.success() { Ok(()) } else { fail(format!("ended with {status}")) }
}

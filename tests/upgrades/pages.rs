//! Pages of the previous release, of this one and of a later one.

use std::fs;
use std::io::Read as _;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use clockgate::decision::{Epoch, Gate, Offset};
use clockgate::page::{self, Agent, FILE, Page, at};
use clockgate::publish::gate_page::GatePage;

use super::layout::{self, Layout};
use super::support::gate_page::{proven, public, publish, shut};
use super::support::{CLOCKGATE, Ours, Outcome, ensure, expect, harmless, lacks_program, small, texts, until};

const SOON: Duration = Duration::from_secs(30);

pub fn previous() -> Outcome {
    let layout = Layout::previous()?;
    let mut old = layout::page(&layout)?;
    let folder = tempfile::tempdir()?;
    old.put("boot_id", 1)?;
    old.lay(folder.path())?;
    let other = Page::open(&public(folder.path())).err().ok_or("a page of another boot was read")?;
    ensure(matches!(other, page::Error::OtherKernel(_)), other.to_string())?;

    old.of_this_boot()?;
    old.lay(folder.path())?;
    let view = Page::open(&public(folder.path()))?.read();
    let nanos = |duration: Option<Duration>| duration.map_or(-1, |duration| duration.as_nanos().cast_signed());
    for (name, found) in [
        ("gate", i128::from(view.word)),
        ("epoch", view.epoch.into()),
        ("state", view.state.into()),
        ("cause", view.cause.into()),
        ("offset", view.offset.map_or(-1, Offset::as_nanos).into()),
        ("bound", nanos(view.bound)),
        ("as_of", view.as_of.as_nanos().into()),
        ("threshold", nanos(Some(view.threshold))),
        ("valid_until", view.valid_until.as_nanos().into()),
        ("since", view.since.as_nanos().into()),
        ("deadline", view.deadline.as_nanos().into()),
        ("max_drift", view.max_drift_ppm.into()),
        ("alive_until", view.alive_until.as_nanos().into()),
    ] {
        let wanted = old.number(name)?;
        ensure(wanted == found, format!("{name}: {wanted} was written, and {found} read"))?;
    }
    ensure((view.gate, view.agent) == (Gate::Proven, Agent::Alive), format!("{view:?}"))?;
    let added = (view.changes, view.next, view.measured.is_some());
    ensure(added == (None, None, false), format!("fields that this page has not: {added:?}"))?;
    for reader in Reader::all()? {
        let output = reader.at(folder.path())?;
        expect(output.status.success(), &output)?;
    }
    Ok(())
}

pub fn ours_by_its_layout() -> Outcome {
    let layout = Layout::previous()?;
    let folder = tempfile::tempdir()?;
    let snapshot = proven();
    let mut writer = publish(folder.path(), &snapshot)?;
    let bytes = || fs::read(public(folder.path()).join(FILE));
    let read = layout.read(bytes()?);
    let kept = layout::page(&layout)?;
    for name in ["magic", "version"] {
        ensure(read.number(name)? == kept.number(name)?, format!("{name} is another"))?;
    }
    ensure(usize::try_from(read.number("size")?)? >= read.end()?, "it is shorter than it was")?;
    ensure(read.number("sequence")? % 2 == 0, "it is being written")?;
    let differences = snapshot.differences;
    for (name, wanted) in [
        ("gate", 1),
        ("epoch", 1),
        ("state", snapshot.state.into()),
        ("cause", snapshot.cause.code().into()),
        ("offset", 0),
        ("bound", 2_000_000),
        ("as_of", snapshot.as_of.as_nanos().into()),
        ("threshold", 200_000_000),
        ("valid_until", snapshot.valid_until.as_nanos().into()),
        ("since", snapshot.since.as_nanos().into()),
        ("deadline", 0),
        ("max_drift", snapshot.max_drift_ppm.into()),
        ("real_minus_boot", differences.real_minus_boot.as_nanos().into()),
        ("boot_minus_mono", differences.boot_minus_mono.as_nanos().cast_signed()),
        ("mono_minus_raw", differences.mono_minus_raw.as_nanos().into()),
        ("leap", 0),
    ] {
        let found = read.number(name)?;
        ensure(wanted == found, format!("{name}: {wanted} was written, and {found} read"))?;
    }
    writer.publish(&shut())?;
    let read = layout.read(bytes()?);
    ensure(read.number("gate")? == 0 && read.text("why")? == "resume: measuring", "a gate that is shut")
}

pub fn later() -> Outcome {
    let folder = tempfile::tempdir()?;
    let _writer = publish(folder.path(), &proven())?;
    set_version(folder.path(), 2)?;
    for reader in Reader::all()? {
        let output = reader.at(folder.path())?;
        let said = texts(&output).1;
        expect(output.status.code() == Some(69) && said.contains("version") && said.contains('2'), &output)?;
        expect(output.stdout.is_empty(), &output)?;
    }
    Ok(())
}

pub fn becomes_later() -> Outcome {
    let folder = tempfile::tempdir()?;
    let mut writer = publish(folder.path(), &shut())?;
    let mut command = harmless(CLOCKGATE);
    command.args(["run", "--page"]).arg(public(folder.path())).args(["--no-agent", "fail", "--", "echo", "through"]);
    let mut waiting = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn()?;
    waiting.stderr.as_mut().ok_or("no standard error")?.read_exact(&mut [0])?;
    set_version(folder.path(), 2)?;
    // The word of a page that is no longer ours.
    writer.publish(&proven())?;
    let output = waiting.wait_with_output()?;
    expect(!output.status.success() && output.stdout.is_empty(), &output)?;
    expect(texts(&output).1.contains("version"), &output)
}

pub fn taken_over() -> Outcome {
    let folder = tempfile::tempdir()?;
    drop(publish(folder.path(), &proven())?);
    set_version(folder.path(), 2)?;
    let (_writer, epoch) = GatePage::open(&public(folder.path()))?;
    ensure(epoch == Epoch::new(0), format!("{epoch:?} was read where a later version may have anything"))?;
    let view = Page::open(&public(folder.path()))?.read();
    ensure(view.gate == Gate::Shut && view.agent == Agent::Starting, format!("{view:?}"))
}

/// Fields are added behind the last one without a new version.
pub fn longer() -> Outcome {
    let folder = tempfile::tempdir()?;
    let _writer = publish(folder.path(), &proven())?;
    let file = fs::OpenOptions::new().write(true).open(public(folder.path()).join(FILE))?;
    file.write_all_at(&[0xff; 64], u64::try_from(at::END)?)?;
    file.write_all_at(&u32::try_from(at::END + 64)?.to_ne_bytes(), u64::try_from(at::SIZE)?)?;
    for reader in Reader::all()? {
        let output = reader.at(folder.path())?;
        expect(output.status.success(), &output)?;
    }
    Ok(())
}

fn set_version(folder: &Path, version: u32) -> Outcome {
    let file = fs::OpenOptions::new().write(true).open(public(folder).join(FILE))?;
    Ok(file.write_all_at(&version.to_ne_bytes(), u64::try_from(at::VERSION)?)?)
}

/// A program that reads the page and ends with 0 at a gate that is open.
struct Reader(Vec<PathBuf>, &'static [&'static str]);

impl Reader {
    fn all() -> Outcome<Vec<Self>> {
        let small = small::build(&["--bins"])?.into_iter().next().ok_or("cargo names no program")?;
        let mut all = vec![
            Self(vec![CLOCKGATE.into()], &["wait", "--max-wait", "5s", "--no-agent", "fail", "--page"]),
            Self(vec![CLOCKGATE.into()], &["run", "--max-wait", "5s", "--no-agent", "fail", "--page"]),
            Self(vec![CLOCKGATE.into()], &["status", "--page"]),
            Self(vec![small], &["--max-wait", "5s", "--no-agent", "fail", "--page"]),
        ];
        if lacks_program("python3").is_none() {
            let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("examples/gate.py");
            all.push(Self(vec!["python3".into(), script], &[]));
        }
        Ok(all)
    }

    fn at(&self, folder: &Path) -> Outcome<Output> {
        let Self(program, arguments) = self;
        let mut command = harmless(&program[0]);
        command.args(&program[1..]).args(*arguments).stdin(Stdio::null()).env_remove("CLOCKGATE_SERVERS");
        if arguments.is_empty() {
            command.env("CLOCKGATE_PAGE", public(folder).join(FILE));
        } else {
            command.arg(public(folder));
        }
        if arguments.first() == Some(&"run") {
            command.args(["--", "true"]);
        }
        Ok(command.output()?)
    }
}

/// What a waiter that is a process has come to.
pub fn ends_with_success(waiting: &mut Ours) -> Outcome {
    until("the waiter goes on", SOON, || waiting.0.try_wait().is_ok_and(|status| status.is_some()))?;
    ensure(waiting.0.wait()?.success(), "the waiter failed")
}

/// `run` of a program at the page of a host that is a folder, when it waits.
pub fn waiter(program: &Path, page: &Path) -> Outcome<Ours> {
    let mut command = Command::new(program);
    command.args(["run", "--no-agent", "fail", "--page"]).arg(page).args(["--", "true"]).stderr(Stdio::piped());
    let mut waiting = Ours::spawn(&mut command)?;
    waiting.0.stderr.as_mut().ok_or("no standard error")?.read_exact(&mut [0])?;
    Ok(waiting)
}

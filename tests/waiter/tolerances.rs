//! A waiter that says how far off the clock may be: at pages as an agent publishes them, by options and by a container's label.

use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Duration;

use clockgate::decision::{ClockMeasurement, Gate, Offset, Snapshot};
use clockgate::sys::clock::{boottime, standing};
use libtest_mimic::Failed;

use super::program::Program;
use super::support::gate_page::publish;
use super::support::{Outcome, expect, texts, until};
use super::{page, proven, shut};

/// 20 s behind, by two exchanges.
fn measured() -> ClockMeasurement {
    let now = boottime();
    ClockMeasurement {
        offset: Offset::from_secs(20),
        bound: Duration::from_millis(20_002),
        as_of: now,
        valid_until: now + Duration::from_secs(1000),
        max_drift_ppm: 500,
        differences: Some(standing()),
        leap_second: None,
    }
}

fn off() -> Snapshot {
    Snapshot { measured: Some(measured()), ..unmeasured() }
}

/// With the threshold that agents have.
fn unmeasured() -> Snapshot {
    Snapshot { threshold: Duration::from_millis(200), ..shut() }
}

fn echoes(program: Program, snapshot: &Snapshot, options: &[&str]) -> Result<Output, Failed> {
    program.run_at(snapshot, &[options, &["--max-wait", "100ms", "--", "echo", "through"]].concat())
}

fn passes(output: &Output) -> Outcome {
    expect(output.stdout == b"through\n", output)
}

pub fn wide(program: Program) -> Outcome {
    for options in [&["--tolerance", "60s"][..], &["--for", "sigv4"], &["--for", "s3", "--for", "kerberos"]] {
        let output = echoes(program, &off(), options)?;
        let said =
            texts(&output).1.contains("by two exchanges the clock is wrong by at most 20.0 s, within the tolerance");
        expect(output.stdout == b"through\n" && said, &output)?;
    }
    // The smallest counts; and what others tolerate is nothing to who names no tolerance.
    for options in [
        &[][..],
        &["--tolerance", "20s"],
        &["--for", "sigv4", "--tolerance", "10s"],
        &["--for", "sigv4", "--for", "ceph"],
        &["--for", "tls"],
    ] {
        let output = echoes(program, &off(), options)?;
        expect(output.status.code() == Some(75) && output.stdout.is_empty(), &output)?;
    }
    // A gate that is open without a proof opens for a wide tolerance as for everybody, and a proof is something else.
    let open = Snapshot { gate: Gate::Unproven, why: "opened without a proof: silence".into(), ..unmeasured() };
    passes(&echoes(program, &open, &["--tolerance", "60s"])?)?;
    for options in [&["--tolerance", "60s", "--require-proof"][..], &["--tolerance", "50ms"], &["--for", "jwt"]] {
        let output = echoes(program, &open, options)?;
        expect(output.status.code() == Some(75) && output.stdout.is_empty(), &output)?;
    }
    let both = Snapshot { measured: Some(measured()), ..open };
    passes(&echoes(program, &both, &["--tolerance", "60s", "--require-proof"])?)
}

pub fn narrow(program: Program) -> Outcome {
    let at = |bound| Snapshot { bound: Some(Duration::from_millis(bound)), ..proven() };
    passes(&echoes(program, &at(40), &["--for", "ceph"])?)?;
    let output = echoes(program, &at(60), &["--for", "ceph"])?;
    let said = texts(&output).1.contains("the gate is open, and the clock may be wrong by more than 50.000 ms");
    expect(output.status.code() == Some(75) && output.stdout.is_empty() && said, &output)?;
    passes(&echoes(program, &at(60), &["--for", "tls"])?)?;
    passes(&echoes(program, &at(60), &["--tolerance", "60s"])?)?;
    // Said on the command line.
    for wrong in [["--tolerance", "0s"], ["--tolerance", "60"], ["--for", "sigv5"]] {
        let output = echoes(program, &off(), &wrong)?;
        expect(output.status.code() == Some(2), &output)?;
    }
    Ok(())
}

/// The word does not change, and still who waits with a tolerance is not late.
pub fn woken(program: Program) -> Outcome {
    let (folder, mut page) = page(&unmeasured())?;
    let mut with = program.waiter("wait", folder.path(), ["--tolerance", "60s"]).stderr(Stdio::null()).spawn()?;
    let mut without = program.waiter("wait", folder.path(), [""; 0]).stderr(Stdio::null()).spawn()?;
    page.publish(&off())?;
    until("it goes on", Duration::from_secs(30), || with.try_wait().is_ok_and(|ended| ended.is_some()))?;
    assert!(with.wait()?.success() && without.try_wait()?.is_none(), "the gate is shut for others");
    without.kill()?;
    without.wait()?;
    Ok(())
}

/// A wrapper around a runtime that says that it was called, and bundles for it.
struct Wrapper {
    folder: tempfile::TempDir,
}

impl Wrapper {
    fn new() -> Result<Self, Failed> {
        let wrapper = Self { folder: tempfile::tempdir()? };
        let at = |name: &str| wrapper.folder.path().join(name);
        symlink(env!("CARGO_BIN_EXE_clockgate-oci"), at("clockgate-fake"))?;
        fs::write(at("fake"), "#!/bin/sh\necho created\n")?;
        fs::set_permissions(at("fake"), PermissionsExt::from_mode(0o755))?;
        let (page, log) = (at("public"), at("log"));
        let settings = format!("page = {}\nsyslog = {}\nmax-wait = 300ms\n", page.display(), log.display());
        fs::write(at("clockgate-fake.conf"), settings)?;
        Ok(wrapper)
    }

    fn path(&self) -> &Path {
        self.folder.path()
    }

    fn create(&self, label: &str) -> Result<Output, Failed> {
        let bundle: PathBuf = self.path().join("bundle");
        fs::create_dir_all(&bundle)?;
        let config =
            serde_json::json!({ "annotations": { "clockgate.tolerance": label }, "process": { "args": ["a"] } });
        fs::write(bundle.join("config.json"), config.to_string())?;
        let mut command = Command::new(self.path().join("clockgate-fake"));
        Ok(command.arg("create").arg("--bundle").arg(bundle).arg("x").output()?)
    }
}

pub fn labelled() -> Outcome {
    let wrapper = Wrapper::new()?;
    let log = std::os::unix::net::UnixDatagram::bind(wrapper.path().join("log"))?;
    log.set_read_timeout(Some(Duration::from_secs(30)))?;
    let line = || -> Result<String, Failed> {
        let mut bytes = [0; 1024];
        let length = log.recv(&mut bytes)?;
        Ok(String::from_utf8_lossy(&bytes[..length]).into_owned())
    };
    let _page = publish(wrapper.path(), &off())?;
    for label in ["60s", "sigv4"] {
        let output = wrapper.create(label)?;
        expect(output.stdout == b"created\n", &output)?;
        let said = line()?;
        assert!(said.starts_with("<30>") && said.contains("within the tolerance of"), "{said}");
    }
    for label in ["10s", "tls", "ceph"] {
        let output = wrapper.create(label)?;
        expect(output.status.code() == Some(75) && output.stdout.is_empty(), &output)?;
        assert!(line()?.contains("held: the gate is shut") && line()?.contains("refusing to create"), "{label}");
    }
    // What cannot be read is no tolerance, and the log has it.
    let output = wrapper.create("a while")?;
    expect(output.status.code() == Some(75) && output.stdout.is_empty(), &output)?;
    assert!(line()?.contains("clockgate.tolerance is ignored: "), "the label is named");
    Ok(())
}

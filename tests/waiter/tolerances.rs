//! A waiter that says how far off the clock may be: at pages as an agent publishes them.

use std::process::{Output, Stdio};
use std::time::Duration;

use clockgate::decision::{ClockMeasurement, Gate, Offset, Snapshot};
use clockgate::sys::clock::{boottime, standing};
use libtest_mimic::Failed;

use super::support::{Outcome, expect, texts, until};
use super::{page, proven, run_at, shut, waiter};

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

fn echoes(snapshot: &Snapshot, options: &[&str]) -> Result<Output, Failed> {
    run_at(snapshot, &[options, &["--max-wait", "100ms", "--", "echo", "through"]].concat())
}

fn passes(output: &Output) -> Outcome {
    expect(output.stdout == b"through\n", output)
}

pub fn wide() -> Outcome {
    for options in [&["--tolerance", "60s"][..], &["--for", "sigv4"], &["--for", "s3", "--for", "kerberos"]] {
        let output = echoes(&off(), options)?;
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
        let output = echoes(&off(), options)?;
        expect(output.status.code() == Some(75) && output.stdout.is_empty(), &output)?;
    }
    // A gate that is open without a proof opens for a wide tolerance as for everybody, and a proof is something else.
    let open = Snapshot { gate: Gate::Unproven, why: "opened without a proof: silence".into(), ..unmeasured() };
    passes(&echoes(&open, &["--tolerance", "60s"])?)?;
    for options in [&["--tolerance", "60s", "--require-proof"][..], &["--tolerance", "50ms"], &["--for", "jwt"]] {
        let output = echoes(&open, options)?;
        expect(output.status.code() == Some(75) && output.stdout.is_empty(), &output)?;
    }
    let both = Snapshot { measured: Some(measured()), ..open };
    passes(&echoes(&both, &["--tolerance", "60s", "--require-proof"])?)
}

pub fn narrow() -> Outcome {
    let at = |bound| Snapshot { bound: Some(Duration::from_millis(bound)), ..proven() };
    passes(&echoes(&at(40), &["--for", "ceph"])?)?;
    let output = echoes(&at(60), &["--for", "ceph"])?;
    let said = texts(&output).1.contains("the gate is open, and the clock may be wrong by more than 50.000 ms");
    expect(output.status.code() == Some(75) && output.stdout.is_empty() && said, &output)?;
    passes(&echoes(&at(60), &["--for", "tls"])?)?;
    passes(&echoes(&at(60), &["--tolerance", "60s"])?)?;
    // Said on the command line.
    for wrong in [["--tolerance", "0s"], ["--tolerance", "60"], ["--for", "sigv5"]] {
        let output = echoes(&off(), &wrong)?;
        expect(output.status.code() == Some(2), &output)?;
    }
    Ok(())
}

/// The word does not change, and still who waits with a tolerance is not late.
pub fn woken() -> Outcome {
    let (folder, mut page) = page(&unmeasured())?;
    let mut with = waiter("wait", folder.path(), ["--tolerance", "60s"]).stderr(Stdio::null()).spawn()?;
    let mut without = waiter("wait", folder.path(), [""; 0]).stderr(Stdio::null()).spawn()?;
    page.publish(&off())?;
    until("it goes on", Duration::from_secs(30), || with.try_wait().is_ok_and(|ended| ended.is_some()))?;
    assert!(with.wait()?.success() && without.try_wait()?.is_none(), "the gate is shut for others");
    without.kill()?;
    without.wait()?;
    Ok(())
}

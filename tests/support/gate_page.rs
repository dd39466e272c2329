//! A gate page that the test publishes in an agent's place, and what it says.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clockgate::decision::{Cause, Epoch, Gate, Offset, Snapshot, State};
use clockgate::publish::gate_page::GatePage;
use clockgate::sys::clock::{boottime, standing};

use super::outcome::Outcome;

/// A gate that is open on a proof of this moment: right to 2 ms for an hour, on a clock that does not drift.
pub fn proven() -> Snapshot {
    let now = boottime();
    Snapshot {
        state: State::Synchronized.code(),
        gate: Gate::Proven,
        epoch: Epoch::new(1),
        since: now,
        offset: Some(Offset::ZERO),
        bound: Some(Duration::from_millis(2)),
        as_of: now,
        threshold: Duration::from_millis(200),
        valid_until: now + Duration::from_secs(3600),
        differences: standing(),
        ..Snapshot::default()
    }
}

/// A gate that has just been shut: nothing was measured since.
pub fn shut() -> Snapshot {
    Snapshot {
        state: State::Disrupted.code(),
        gate: Gate::Shut,
        epoch: Epoch::new(2),
        cause: Cause::Requested,
        since: boottime(),
        why: "resume: measuring".into(),
        ..Snapshot::default()
    }
}

/// Where [`publish`] has the page of a host that is a folder, as `--page` wants it.
pub fn public(folder: &Path) -> PathBuf {
    folder.join("public")
}

/// A page in `FOLDER/public` that says so; it lives as long as its writer.
pub fn publish(folder: &Path, snapshot: &Snapshot) -> Outcome<GatePage> {
    let (mut page, _) = GatePage::open(&public(folder))?;
    page.publish(snapshot)?;
    Ok(page)
}

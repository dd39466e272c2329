//! Thaws by the ledger alone, with an agent or without one.

use super::cgroup_tree::CgroupMount;
use super::error::{Thawed, WorkloadError};
use super::freezer::Freezer;
use super::ledger::Ledger;
use super::{FreezeSettings, boot_id, open};

/// Thaws by the ledger, as `clockgate thaw` and `ExecStopPost=` do.
///
/// # Errors
/// As [`super::Workloads::thaw`], and [`WorkloadError::LaterLedger`].
pub fn replay(settings: &FreezeSettings) -> Result<Thawed, WorkloadError> {
    let boot = boot_id(&settings.proc_root)?;
    let Some(ledger) = Ledger::open(&settings.ledger, &boot)? else { return Ok(Thawed::default()) };
    let thawed = thaw_by(&ledger, settings)?;
    ledger.tidy()?;
    if thawed.later > 0 {
        return Err(WorkloadError::LaterLedger { path: settings.ledger.clone(), thawed });
    }
    Ok(thawed)
}

fn thaw_by(ledger: &Ledger, settings: &FreezeSettings) -> Result<Thawed, WorkloadError> {
    let contents = ledger.read()?;
    if contents.entries.is_empty() {
        return Ok(Thawed { damaged: contents.damaged, later: contents.later, ..Thawed::default() });
    }
    let place = CgroupMount::find(&settings.proc_root, settings.cgroup.as_deref())?;
    Freezer { hierarchy: &open(&place)?, ledger, old_freezer: None }.thaw(&contents, None)
}

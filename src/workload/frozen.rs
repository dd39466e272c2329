//! What we have frozen: by the ledger and the kernel's own marks, so that no list in memory can be wrong.

use std::path::Path;

use super::cgroup_tree::{self, CgroupMount, CgroupNode};
use super::error::{Thawed, WorkloadError};
use super::ledger::{Contents, Entry, Ledger};
use super::{FreezeSettings, boot_id, open};
use crate::container::{Container, Lookup, Places};
use crate::decision::{Boottime, lasting_in_words};
use crate::sys::cgroup::Hierarchy;
use crate::sys::foreign::shown;

/// A container that we froze and that was not thawed since.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct StillFrozen {
    /// The container.
    pub container: Container,
    /// Its name; none where the engine did not say, or where we may not read its files.
    pub name: Option<String>,
    /// Since when.
    pub since: Boottime,
}

impl StillFrozen {
    /// Which one it is: `docker: container 3f2a8c01d9e2 (web)`.
    #[must_use]
    pub fn title(&self) -> String {
        let Self { container, name, since: _ } = self;
        let short = container.id.get(..12).unwrap_or(&container.id);
        let name = name.as_ref().map_or(String::new(), |name| format!(" ({name})"));
        shown(&format!("{}: container {short}{name}", container.engine))
    }

    /// The same, and for how long: `docker: container 3f2a8c01d9e2 (web), for 18 s`.
    #[must_use]
    pub fn in_words(&self, now: Boottime) -> String {
        format!("{}, for {}", self.title(), lasting_in_words(now.since(self.since)))
    }

    /// As our JSON has it.
    #[must_use]
    pub fn json(&self) -> serde_json::Value {
        let Self { container, name, since } = self;
        serde_json::json!({
            "engine": container.engine.to_string(),
            "id": container.id,
            "name": name,
            "cgroup": format!("/{}", container.cgroup.display()),
            "since_boottime_ns": since.as_nanos(),
        })
    }
}

/// Every container that is frozen by us, with an agent or without one. Takes no lock and needs no privilege; a pause of its user's is
/// not ours.
///
/// # Errors
/// [`WorkloadError`] when the ledger or the hierarchy cannot be read.
pub fn frozen(settings: &FreezeSettings) -> Result<Vec<StillFrozen>, WorkloadError> {
    let boot = boot_id(&settings.proc_root)?;
    let Contents { entries: noted, damaged, later } = Ledger::look(&settings.ledger, &boot)?;
    if later > 0 {
        let thawed = Thawed { damaged, later, ..Thawed::default() };
        return Err(WorkloadError::LaterLedger { path: settings.ledger.clone(), thawed });
    }
    if noted.is_empty() {
        return Ok(vec![]);
    }
    let place = CgroupMount::find(&settings.proc_root, settings.cgroup.as_deref())?;
    let hierarchy = open(&place)?;
    let places = Places::of(&settings.root);
    let mut lookup = Lookup::new(&places);
    let tree = cgroup_tree::walk(&place.folder, lookup.tasks())?;
    let frozen = tree.iter().flat_map(CgroupNode::containers).filter_map(|container| {
        let since = frozen_by_us(&hierarchy, &noted, &container.cgroup)?;
        Some(StillFrozen { name: lookup.metadata(container).name, container: container.clone(), since })
    });
    Ok(frozen.collect())
}

/// Since when our mark has held it; none where nothing does, or where its own mark was set by another program.
fn frozen_by_us(hierarchy: &Hierarchy, noted: &[Entry], cgroup: &Path) -> Option<Boottime> {
    let mut since = None;
    for marked in cgroup.ancestors().filter(|path| !path.as_os_str().is_empty()) {
        let Some(inode) = hierarchy.set_mark(marked).ok().flatten() else { continue };
        match noted.iter().find(|entry| entry.inode == inode) {
            Some(entry) => since = Some(since.map_or(entry.since, |known: Boottime| known.min(entry.since))),
            None if marked == cgroup => return None,
            None => {}
        }
    }
    since
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::container::Engine;

    #[test]
    fn twelve_digits_the_name_and_for_how_long() {
        let container = Container {
            engine: Engine::Docker,
            id: format!("3f2a8c01d9e2{}", "0".repeat(52)),
            cgroup: "docker/x".into(),
            inode: 1,
        };
        let at = |secs: u64| Boottime::from_nanos(secs * 1_000_000_000);
        let mut frozen = StillFrozen { container, name: Some("web".to_owned()), since: at(100) };
        assert_eq!(frozen.in_words(at(118)), "docker: container 3f2a8c01d9e2 (web), for 18 s");
        frozen.name = None;
        assert_eq!(frozen.in_words(at(28_982)), "docker: container 3f2a8c01d9e2, for 8 h 1 min 22 s");
        assert_eq!(frozen.json()["since_boottime_ns"], 100_000_000_000_u64);
    }
}

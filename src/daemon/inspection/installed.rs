//! Which time daemons are installed, by their units, and what keeps one from starting.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::steps::directives;
use crate::daemon::facts::{DAEMONS, Daemon};
use crate::sys::foreign;

/// Where units are, in the order in which systemd prefers them.
const FOLDERS: [&str; 4] = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// The unit of a time daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledUnit {
    /// The daemon's name.
    pub daemon: &'static str,
    /// The unit's.
    pub unit: &'static str,
    /// Whether something starts it.
    pub is_enabled: bool,
    /// Whether it is masked, so that nothing can.
    pub is_masked: bool,
    /// It ends itself where the clock is off by more than this, by its configuration; none where it never does.
    pub exits_beyond: Option<Duration>,
    /// Its `Condition` lines and those of its drop-ins, under which it is not started and does not fail.
    pub conditions: Vec<String>,
}

/// Every one below this root; a daemon whose unit another one shares is named once.
pub fn find(root: &Path) -> Vec<InstalledUnit> {
    let mut found: Vec<InstalledUnit> = vec![];
    for daemon in DAEMONS {
        let facts = daemon.facts();
        // The unit of its own package is the first in its list; the others are aliases that several share.
        let is_new = |unit: &&&'static str| !found.iter().any(|known| known.unit == **unit);
        let own = facts.units.iter().take(2).filter(is_new).find_map(|unit| look(root, daemon, unit));
        found.extend(own);
    }
    found
}

fn look(root: &Path, daemon: Daemon, unit: &'static str) -> Option<InstalledUnit> {
    let file =
        FOLDERS.iter().map(|folder| root.join(folder).join(unit)).find(|file| file.symlink_metadata().is_ok())?;
    let is_masked = fs::read_link(&file).is_ok_and(|target| target == Path::new("/dev/null"));
    let mut text = foreign::text(&file).unwrap_or_default();
    for folder in FOLDERS {
        let drop_ins = fs::read_dir(root.join(folder).join(format!("{unit}.d"))).into_iter().flatten().flatten();
        text.extend(drop_ins.filter_map(|entry| foreign::text(&entry.path()).ok()).map(|text| format!("\n{text}")));
    }
    let conditions = text
        .lines()
        .map(str::trim)
        .filter(|line| line.starts_with("Condition") && can_fail(root, line))
        .map(foreign::shown);
    let configuration = daemon.facts().files.iter().find_map(|file| foreign::text(&root.join(file)).ok());
    Some(InstalledUnit {
        daemon: daemon.facts().name,
        unit,
        is_enabled: is_enabled(root, unit),
        is_masked,
        exits_beyond: directives(daemon, &configuration.unwrap_or_default()).exits_beyond,
        conditions: conditions.collect(),
    })
}

/// A condition that a file is not there holds where it is not; of the others the system that runs knows more.
fn can_fail(root: &Path, condition: &str) -> bool {
    let absent = condition.split_once("=!/").map(|(_, path)| path);
    absent.is_none_or(|path| root.join(path).exists())
}

/// By the links that `systemctl enable` makes.
fn is_enabled(root: &Path, unit: &str) -> bool {
    FOLDERS.iter().any(|folder| {
        let entries = fs::read_dir(root.join(folder)).into_iter().flatten().flatten();
        let mut wants = entries
            .map(|entry| entry.path())
            .filter(|path| path.extension().is_some_and(|ending| ending == "wants" || ending == "requires"));
        wants.any(|wants| wants.join(unit).symlink_metadata().is_ok())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_unit_shows_what_keeps_it_from_starting() {
        let root = tempfile::tempdir().unwrap();
        let put = |path: &str, text: &str| {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        };
        assert!(find(root.path()).is_empty());
        put("usr/lib/systemd/system/chrony.service", "[Unit]\nConditionCapability=CAP_SYS_TIME\n");
        put("etc/systemd/system/multi-user.target.wants/chrony.service", "");
        put("usr/lib/systemd/system/systemd-timesyncd.service", "[Unit]\nConditionVirtualization=!container\n");
        std::os::unix::fs::symlink("/dev/null", root.path().join("etc/systemd/system/systemd-timesyncd.service"))
            .unwrap();
        let found = find(root.path());
        let shown: Vec<_> = found.iter().map(|one| (one.unit, one.is_enabled, one.is_masked)).collect();
        assert_eq!(shown, [("chrony.service", true, false), ("systemd-timesyncd.service", false, true)]);
        assert_eq!(found[0].conditions, ["ConditionCapability=CAP_SYS_TIME"]);
    }
}

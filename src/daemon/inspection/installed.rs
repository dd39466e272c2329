//! Which time daemons are installed, by their units or the scripts of OpenRC and runit, and what keeps one from starting.

use std::fs;
use std::path::Path;
use std::time::Duration;

use super::steps::directives;
use crate::daemon::detection::text_in_force;
use crate::daemon::facts::{DAEMONS, Daemon};
use crate::daemon::process::Process;
use crate::sys::foreign;
use crate::sys::service_manager::ServiceManager;

/// Where units are, in the order in which systemd prefers them.
const FOLDERS: [&str; 4] = ["etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system", "lib/systemd/system"];

/// Where OpenRC has its services, and a link to each that a runlevel starts (Alpine, Gentoo).
const SCRIPTS: &str = "etc/init.d";
const RUNLEVELS: &str = "etc/runlevels";
/// Where runit has its services, and a link to each that it starts (Debian, Void, Artix).
const SERVICES: &str = "etc/sv";
const STARTED: [&str; 3] = ["etc/service", "var/service", "etc/runit/runsvdir/default"];

/// The unit of a time daemon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InstalledUnit {
    /// The daemon's name.
    pub daemon: &'static str,
    /// The unit's, or that of the service of OpenRC or runit.
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

impl InstalledUnit {
    /// Whether it will be started.
    #[must_use]
    pub fn will_start(&self) -> bool {
        self.is_enabled && self.can_start()
    }

    /// Whether nothing is known to keep it from starting: a file that must not be there is.
    #[must_use]
    pub fn can_start(&self) -> bool {
        !self.is_masked && !self.conditions.iter().any(|condition| is_of_a_file(condition))
    }

    /// What enables it, and starts it.
    #[must_use]
    pub fn start(&self, manager: ServiceManager) -> String {
        let start = manager.enable_and_start(self.unit);
        if self.is_masked && manager == ServiceManager::Systemd {
            format!("sudo systemctl unmask {} && {start}", self.unit)
        } else {
            start
        }
    }

    /// What enables it in an image.
    #[must_use]
    pub fn enable_in_an_image(&self, manager: ServiceManager) -> String {
        let enable = manager.enable_in_an_image(self.unit);
        if self.is_masked && manager == ServiceManager::Systemd {
            format!("systemctl --root=DIR unmask {} && {enable}", self.unit)
        } else {
            enable
        }
    }
}

/// Whether this condition does not hold where a file is there; those that hold are not kept.
pub fn is_of_a_file(condition: &str) -> bool {
    condition.starts_with("ConditionFileIsExecutable=!") || condition.starts_with("ConditionPathExists=!")
}

/// Every one below this root that its service manager knows; a daemon whose unit another one shares is named once.
pub fn find(root: &Path, manager: ServiceManager) -> Vec<InstalledUnit> {
    let mut found: Vec<InstalledUnit> = vec![];
    for daemon in DAEMONS {
        let facts = daemon.facts();
        // The unit of its own package is the first in its list; the others are aliases that several share.
        let is_new = |unit: &&&'static str| !found.iter().any(|known| known.unit == **unit);
        let unit = || facts.units.iter().take(2).filter(is_new).find_map(|unit| look(root, daemon, unit));
        let of_openrc = || facts.services.iter().find_map(|service| script(root, daemon, service));
        let of_runit = || facts.services.iter().find_map(|service| supervised(root, daemon, service));
        found.extend(match manager {
            ServiceManager::Systemd => unit(),
            ServiceManager::Openrc => of_openrc(),
            ServiceManager::Runit => of_runit(),
            ServiceManager::Other => unit().or_else(of_openrc).or_else(of_runit),
        });
    }
    found
}

fn look(root: &Path, daemon: Daemon, unit: &'static str) -> Option<InstalledUnit> {
    let file =
        FOLDERS.iter().map(|folder| root.join(folder).join(unit)).find(|file| file.symlink_metadata().is_ok())?;
    // systemd.unit(5): by a link to /dev/null, also by way of another as on NixOS, or by an empty file.
    let is_masked = fs::canonicalize(&file).is_ok_and(|target| target == Path::new("/dev/null"))
        || fs::metadata(&file).is_ok_and(|meta| meta.is_file() && meta.len() == 0);
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
    Some(InstalledUnit {
        daemon: daemon.facts().name,
        unit,
        is_enabled: is_enabled(root, unit),
        is_masked,
        exits_beyond: exits_beyond(root, daemon),
        conditions: conditions.collect(),
    })
}

fn exits_beyond(root: &Path, daemon: Daemon) -> Option<Duration> {
    directives(daemon, &text_in_force(root, daemon, &Process::default())).exits_beyond
}

/// A service of OpenRC's, where this root has that.
fn script(root: &Path, daemon: Daemon, service: &'static str) -> Option<InstalledUnit> {
    let text = foreign::text(&root.join(SCRIPTS).join(service)).ok()?;
    let runlevels = fs::read_dir(root.join(RUNLEVELS)).ok()?.flatten();
    let mut links = runlevels.map(|runlevel| runlevel.path().join(service));
    let is_enabled = links.any(|link| link.symlink_metadata().is_ok());
    is_its_own(daemon, &text).then(|| service_of(root, daemon, service, is_enabled))
}

/// A service of runit's: a folder with what it runs. It is not started where that has a file of the name `down` (runsv(8)).
fn supervised(root: &Path, daemon: Daemon, service: &'static str) -> Option<InstalledUnit> {
    let folder = root.join(SERVICES).join(service);
    let text = foreign::text(&folder.join("run")).ok()?;
    let mut links = STARTED.iter().map(|started| root.join(started).join(service));
    let is_enabled = links.any(|link| link.symlink_metadata().is_ok()) && !folder.join("down").exists();
    is_its_own(daemon, &text).then(|| service_of(root, daemon, service, is_enabled))
}

/// Alpine calls that of busybox `ntpd`, as others call theirs.
fn is_its_own(daemon: Daemon, text: &str) -> bool {
    daemon != Daemon::Busybox || text.contains("busybox")
}

fn service_of(root: &Path, daemon: Daemon, service: &'static str, is_enabled: bool) -> InstalledUnit {
    InstalledUnit {
        daemon: daemon.facts().name,
        unit: service,
        is_enabled,
        is_masked: false,
        exits_beyond: exits_beyond(root, daemon),
        conditions: vec![],
    }
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
        let find = || find(root.path(), ServiceManager::Systemd);
        assert!(find().is_empty());
        put("usr/lib/systemd/system/chrony.service", "[Unit]\nConditionCapability=CAP_SYS_TIME\n");
        put("etc/systemd/system/multi-user.target.wants/chrony.service", "");
        put("usr/lib/systemd/system/systemd-timesyncd.service", "[Unit]\nConditionVirtualization=!container\n");
        std::os::unix::fs::symlink("/dev/null", root.path().join("etc/systemd/system/systemd-timesyncd.service"))
            .unwrap();
        let found = find();
        let shown: Vec<_> = found.iter().map(|one| (one.unit, one.is_enabled, one.is_masked)).collect();
        assert_eq!(shown, [("chrony.service", true, false), ("systemd-timesyncd.service", false, true)]);
        assert_eq!(found[0].conditions, ["ConditionCapability=CAP_SYS_TIME"]);
    }

    #[test]
    fn a_service_is_that_of_the_manager_that_runs_here() {
        let root = tempfile::tempdir().unwrap();
        for (path, text) in [
            ("usr/lib/systemd/system/chrony.service", "[Unit]\n"),
            ("etc/init.d/chrony", "#!/sbin/openrc-run\n"),
            ("etc/runlevels/default/chrony", ""),
            ("etc/sv/chronyd/run", "exec chronyd -n\n"),
            ("etc/sv/ntpd/run", "exec busybox ntpd -n\n"),
            ("etc/sv/ntpd/down", ""),
            ("var/service/chronyd/run", ""),
            ("var/service/ntpd/run", ""),
        ] {
            let path = root.path().join(path);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(path, text).unwrap();
        }
        for (manager, expected) in [
            (ServiceManager::Systemd, &[("chrony.service", false)][..]),
            (ServiceManager::Openrc, &[("chrony", true)]),
            (ServiceManager::Runit, &[("chronyd", true), ("ntpd", false)]),
            (ServiceManager::Other, &[("chrony.service", false), ("ntpd", false)]),
        ] {
            let found: Vec<_> = find(root.path(), manager).iter().map(|one| (one.unit, one.is_enabled)).collect();
            assert_eq!(found, expected, "{manager:?}");
        }
    }
}

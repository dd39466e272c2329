//! Texts of /proc and of files below /etc that any program may have written: paths stay below the folder that they are joined to, and a
//! process cannot be taken for another kind by its name.

use std::path::{Component, Path};

use clockgate::container::virtual_machine::has_run_one;
use clockgate::reference::local::rtc::{Keeps, noted};
use clockgate::workload::{mounts, unified};

pub fn check(data: &[u8]) {
    let Some(text) = super::text(data) else { return };
    hierarchies(text);
    if let Some(path) = unified(text) {
        assert!(path.components().all(|part| matches!(part, Component::Normal(_))), "{}", path.display());
        assert!(Path::new("/sys/fs/cgroup").join(&path).starts_with("/sys/fs/cgroup"));
    }
    assert_eq!(unified(&format!("12:freezer:/a\n{text}")), unified(text), "a line of version 1 before it");
    process(text);
    let keeps = noted(text);
    assert_eq!(noted(&format!("{}\n\n\n\nLOCAL\n", text.trim_end_matches('\n'))), keeps, "what follows");
    assert!(keeps == Keeps::Utc || text.contains("LOCAL"));
}

fn hierarchies(mountinfo: &str) {
    let all = mounts(mountinfo, |_| true);
    assert!(all.len() <= mountinfo.lines().count());
    let usual = all.iter().take_while(|path| path.starts_with("/sys/fs/cgroup")).count();
    assert!(all[usual..].iter().all(|path| !path.starts_with("/sys/fs/cgroup")), "the usual place first: {all:?}");
    let part = format!("{mountinfo}\n9 1 0:9 /docker/a /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_eq!(mounts(&part, |_| true), all, "a part is no whole one");
    let wanted = |filesystem: &str| filesystem.starts_with("cgroup2 ");
    assert!(mounts(mountinfo, wanted).iter().all(|path| all.contains(path)));
}

/// The name of a program is text of a stranger in the midst of the fields.
fn process(name: &str) {
    let stat = |ticks: u32| format!("71 ({name}) S {} {ticks} 3 0 0\n", "1 ".repeat(43 - 4).trim());
    assert!(!has_run_one("web", &stat(0)), "taken for a machine by its name");
    assert!(has_run_one("web", &stat(2)), "hidden by its name");
    assert!(!has_run_one("runsc", &stat(2)), "a sandbox");
}

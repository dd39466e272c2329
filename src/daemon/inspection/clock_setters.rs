//! Who may set the clock, by the rights of the processes and not by a list alone: a process that has CAP_SYS_TIME and not everything is
//! one by design.

use std::path::Path;

use crate::daemon::process::{numbered, text};
use crate::daemon::program::{PROGRAMS, Role};
use crate::sys::foreign;
use crate::sys::process_status::{Capability, ProcessStatus, hides_others, rights_reach_the_clock, shows_the_host};

/// Who has more capabilities than this has them as root has, less a few that its unit takes away.
const MOST_BY_DESIGN: u32 = 16;
/// They have the right, and what they do with it is known.
const OUR_OWN: [&str; 2] = ["clockgate", "systemd-timedat"];

/// A process that may set the clock.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClockSetter {
    /// Its number in this /proc.
    pub pid: u32,
    /// Its name.
    pub comm: String,
    /// Why it counts.
    pub rights: Rights,
    /// Whether it is in a container.
    pub is_contained: bool,
}

/// Why a process counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rights {
    /// A known program that keeps the clock.
    Keeper,
    /// A hypervisor's guest tools, which step the clock at resume or all the time.
    GuestTools,
    /// A known program that sets the clock on order.
    OnOrder,
    /// It has CAP_SYS_TIME and few other capabilities, and no list has its name.
    ByDesign,
    /// It is a known keeper that lacks CAP_SYS_TIME.
    Powerless,
}

/// Whether this root has processes at all.
pub fn has_processes(root: &Path) -> bool {
    root.join("proc/self").exists() || root.join("proc/1").exists()
}

/// Whether every process of the host is in this `/proc`.
pub fn sees_the_host(root: &Path) -> bool {
    shows_the_host(&root.join("proc")) && !hides_others(&root.join("proc"))
}

/// Every process that counts, by its number.
pub fn find(root: &Path) -> Vec<ClockSetter> {
    // In a user namespace of its own a capability does not reach the clock: no container's does, nor any where ours is one.
    let users = rights_reach_the_clock(&root.join("proc")).then(|| text(&root.join("proc/self/uid_map")));
    numbered(root).iter().filter_map(|(pid, folder)| setter(*pid, folder, users.as_deref())).collect()
}

fn setter(pid: u32, folder: &Path, users: Option<&str>) -> Option<ClockSetter> {
    let status = ProcessStatus::read(folder).unwrap_or_default();
    let comm = text(&folder.join("comm")).trim_end().to_owned();
    let is_of_the_host = users.is_some_and(|users| text(&folder.join("uid_map")) == users);
    let effective = status.effective().unwrap_or_default();
    let may = is_of_the_host && effective.has(Capability::SysTime);
    let role = PROGRAMS.iter().find(|program| program.comm() == comm).map(|program| program.role);
    let rights = match role {
        Some(Role::Keeper) if may => Rights::Keeper,
        Some(Role::GuestTools) if may => Rights::GuestTools,
        Some(Role::OnOrder) if may => Rights::OnOrder,
        // One of a daemon's processes gives its rights up: the other has them.
        Some(Role::Keeper) => Rights::Powerless,
        None if may && effective.count() <= MOST_BY_DESIGN && !OUR_OWN.contains(&comm.as_str()) => Rights::ByDesign,
        Some(Role::Helper | Role::GuestTools | Role::OnOrder) | None => return None,
    };
    Some(ClockSetter { pid, comm: foreign::shown(&comm), rights, is_contained: status.is_in_a_container() })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs;

    fn process(root: &Path, pid: u32, comm: &str, effective: &str, ns_pid: &str) {
        let folder = root.join(format!("proc/{pid}"));
        fs::create_dir_all(&folder).unwrap();
        fs::write(folder.join("comm"), format!("{comm}\n")).unwrap();
        fs::write(folder.join("status"), format!("Name:\t{comm}\nNSpid:\t{ns_pid}\nCapEff:\t{effective}\n")).unwrap();
    }

    #[test]
    fn who_has_the_right_by_design_is_found_without_a_list_and_who_has_everything_is_not() {
        let root = tempfile::tempdir().unwrap();
        process(root.path(), 1, "systemd", "000001ffffffffff", "1");
        process(root.path(), 20, "acme-timed", "0000000002000000", "20");
        process(root.path(), 21, "nginx", "0000000000000400", "21");
        process(root.path(), 22, "chronyd", "0000000002000400", "22");
        process(root.path(), 23, "chronyd", "0000000000000000", "23 1");
        process(root.path(), 24, "vmtoolsd", "000001ffffffffff", "24");
        let found: Vec<_> = find(root.path()).into_iter().map(|one| (one.pid, one.rights, one.is_contained)).collect();
        let expected = [
            (20, Rights::ByDesign, false),
            (22, Rights::Keeper, false),
            (23, Rights::Powerless, true),
            (24, Rights::GuestTools, false),
        ];
        assert_eq!(found, expected);
    }
}

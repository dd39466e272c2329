//! Who may set the clock, by the rights of the processes and not by a list alone: a process that has CAP_SYS_TIME and not everything is
//! one by design.

use std::fs;
use std::path::Path;

use crate::daemon::program::{PROGRAMS, Role};
use crate::sys::foreign;

/// linux/capability.h.
const CAP_SYS_TIME: u32 = 25;
/// The kernel's own PID namespace (PROC_PID_INIT_INO in linux/proc_ns.h): every process of the host is in its /proc.
const HOST_PIDS: &str = "pid:[4026531836]";
/// The most processes looked at; more than any kernel's default `pid_max` of 32,768.
const MOST_PROCESSES: usize = 65_536;
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
    fs::read_link(root.join("proc/self/ns/pid")).is_ok_and(|ns| ns == Path::new(HOST_PIDS))
}

/// Every process that counts, by its number.
pub fn find(root: &Path) -> Vec<ClockSetter> {
    let Ok(entries) = fs::read_dir(root.join("proc")) else { return vec![] };
    let ours = text(&root.join("proc/self/uid_map"));
    let numbered =
        entries.flatten().filter_map(|entry| Some((entry.file_name().to_str()?.parse().ok()?, entry.path())));
    let mut numbered: Vec<(u32, _)> = numbered.take(MOST_PROCESSES).collect();
    numbered.sort();
    numbered.iter().filter_map(|(pid, folder)| setter(*pid, folder, &ours)).collect()
}

fn setter(pid: u32, folder: &Path, ours: &str) -> Option<ClockSetter> {
    let status = text(&folder.join("status"));
    let field = |name: &str| status.lines().find_map(|line| line.strip_prefix(name)).map(str::trim);
    let comm = text(&folder.join("comm")).trim_end().to_owned();
    // In a user namespace of its own a capability does not reach the clock.
    let is_of_the_host = text(&folder.join("uid_map")) == ours;
    let held = field("CapEff:").and_then(|mask| u64::from_str_radix(mask, 16).ok()).unwrap_or_default();
    let may = is_of_the_host && held >> CAP_SYS_TIME & 1 == 1;
    let role = PROGRAMS.iter().find(|program| program.comm() == comm).map(|program| program.role);
    let rights = match role {
        Some(Role::Keeper) if may => Rights::Keeper,
        Some(Role::GuestTools) if may => Rights::GuestTools,
        Some(Role::OnOrder) if may => Rights::OnOrder,
        // One of a daemon's processes gives its rights up: the other has them.
        Some(Role::Keeper) => Rights::Powerless,
        None if may && held.count_ones() <= MOST_BY_DESIGN && !OUR_OWN.contains(&comm.as_str()) => Rights::ByDesign,
        Some(Role::Helper | Role::GuestTools | Role::OnOrder) | None => return None,
    };
    let is_contained = field("NSpid:").is_some_and(|pids| pids.split_whitespace().count() > 1);
    Some(ClockSetter { pid, comm: foreign::shown(&comm), rights, is_contained })
}

fn text(path: &Path) -> String {
    foreign::text(path).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

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

//! clockgate itself: its agent, its configuration, its hooks.

use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use crate::config::Config;
use crate::installer::{Host, Standing, Target, standing};
use crate::page::{Agent, Gate, Page};
use crate::sys::foreign;
use crate::sys::process_status::{ProcessStatus, processes};

/// clockgate itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AgentFacts {
    /// The agent, by its page.
    pub agent: AgentState,
    /// What is wrong with the configuration, in words.
    pub config_faults: Option<String>,
    /// What `hooks install` calls the engines that are here and whose containers do not wait at the gate.
    pub without_hook: Vec<&'static str>,
    /// Hooks that were edited since, so that they may not hold.
    pub edited: Vec<&'static str>,
    /// Whether the agent was started before its program was replaced.
    pub is_outdated: bool,
    /// Whether the kernel has cgroup2, without which nothing can be frozen.
    pub has_cgroup2: bool,
}

/// The agent, by its page.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum AgentState {
    /// There is no page.
    #[default]
    NotThere,
    /// It runs, and its gate is this; the reason where it is not proven.
    Runs(Gate, String),
    /// It is gone, in words.
    Gone(String),
}

pub fn gather(root: &Path, config: &Config, config_faults: Option<String>) -> AgentFacts {
    let agent = match Page::open(&config.page).map(|page| page.read()) {
        Err(_) => AgentState::NotThere,
        Ok(view) => match view.agent {
            Agent::Alive | Agent::Starting => AgentState::Runs(view.gate, view.why.clone()),
            Agent::Ended { .. } | Agent::Silent { .. } | Agent::PageGone => {
                AgentState::Gone(view.absence().unwrap_or_else(|| view.why.clone()))
            }
        },
    };
    let host = Host::new(root, None);
    let is_here = |target: &Target| {
        let folders = ["usr/bin", "usr/sbin", "usr/local/bin", "usr/local/sbin", "bin", "sbin"];
        let programs = target.programs().iter();
        programs.clone().any(|program| folders.iter().any(|folder| root.join(folder).join(program).exists()))
    };
    let (mut without_hook, mut edited) = (vec![], vec![]);
    for target in Target::ALL.into_iter().filter(|target| target.is_an_engines()).filter(is_here) {
        // An engine with several ways is held by any.
        let ways = [Some(target), target.instead(), target.beside()].into_iter().flatten();
        let found: Vec<(Target, Standing)> = ways.filter_map(|way| Some((way, standing(&host, way).ok()?))).collect();
        let of_users = found.iter().filter(|(_, one)| matches!(one, Standing::Edited { .. }));
        let of_users: Vec<&'static str> = of_users.map(|(way, _)| way.name()).collect();
        if !of_users.is_empty() {
            edited.extend(of_users.into_iter().filter(|name| !edited.contains(name)).collect::<Vec<_>>());
        } else if found.iter().all(|(_, one)| matches!(one, Standing::Absent))
            && !target.instead().is_some_and(|other| without_hook.contains(&other.name()))
        {
            without_hook.push(target.name());
        }
    }
    AgentFacts {
        agent,
        config_faults,
        is_outdated: is_outdated(root).unwrap_or_default(),
        without_hook,
        edited,
        has_cgroup2: root.join("sys/fs/cgroup/cgroup.controllers").exists()
            || root.join("sys/fs/cgroup/unified/cgroup.controllers").exists(),
    }
}

/// USER_HZ, in which the kernel counts for users (time(7)).
const TICKS_EACH_SECOND: i64 = 100;
/// A start and the writing of a file before it are as near as this.
const NEAR_SECS: i64 = 2;

/// Whether the program of a running agent was replaced since. The file that runs is compared where we may; else its start with the
/// time at which the file came (its change, since packages set the modification), both by the system clock.
fn is_outdated(root: &Path) -> Option<bool> {
    let text = |path: &Path| foreign::text(path).unwrap_or_default();
    let folder = processes(&root.join("proc")).map(|(_, folder)| folder).find(|folder| {
        let is_agent = || text(&folder.join("cmdline")).split('\0').nth(1) == Some("agent");
        let is_contained = || ProcessStatus::read(folder).unwrap_or_default().is_in_a_container();
        text(&folder.join("comm")).trim_end() == "clockgate" && is_agent() && !is_contained()
    })?;
    let arguments = text(&folder.join("cmdline"));
    let installed = Path::new(arguments.split('\0').next()?).strip_prefix("/").ok()?;
    let installed = root.join(installed).metadata().ok()?;
    if let Ok(running) = folder.join("exe").metadata() {
        return Some((running.dev(), running.ino()) != (installed.dev(), installed.ino()));
    }
    let booted = text(&root.join("proc/stat"));
    let booted: i64 = booted.lines().find_map(|line| line.strip_prefix("btime "))?.trim().parse().ok()?;
    // The name may have blanks and brackets; starttime is field 22 of proc_pid_stat(5).
    let stat = text(&folder.join("stat"));
    let started: i64 = stat.rsplit_once(')')?.1.split_whitespace().nth(22 - 3)?.parse().ok()?;
    Some(installed.ctime() > booted + started / TICKS_EACH_SECOND + NEAR_SECS)
}

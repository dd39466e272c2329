//! clockgate itself: its agent, its configuration, its hooks.

use std::path::Path;

use crate::config::Config;
use crate::installer::{Host, Standing, Target, standing};
use crate::page::{Agent, Gate, Page};

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
        folders.iter().any(|folder| root.join(folder).join(target.program()).exists())
    };
    let (mut without_hook, mut edited) = (vec![], vec![]);
    for target in Target::ALL.into_iter().filter(|target| target.holds_starts()).filter(is_here) {
        // An engine with two ways is held by either.
        let ways = [Some(target), target.instead()].into_iter().flatten();
        let found: Vec<Standing> = ways.filter_map(|way| standing(&host, way).ok()).collect();
        if found.iter().any(|one| matches!(one, Standing::Edited { .. })) {
            edited.push(target.name());
        } else if found.iter().all(|one| matches!(one, Standing::Absent))
            && !target.instead().is_some_and(|other| without_hook.contains(&other.name()))
        {
            without_hook.push(target.name());
        }
    }
    AgentFacts {
        agent,
        config_faults,
        without_hook,
        edited,
        has_cgroup2: root.join("sys/fs/cgroup/cgroup.controllers").exists()
            || root.join("sys/fs/cgroup/unified/cgroup.controllers").exists(),
    }
}

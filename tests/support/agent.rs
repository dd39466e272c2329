//! The agent as a process on a host that is a folder.

use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use super::host::HostFolder;
use super::outcome::Outcome;
use super::process::{Ours, clockgate};
use super::wait::until;

/// Where an agent's configuration lies.
pub const CONFIG: &str = "etc/clockgate/config.yaml";

/// An agent without the right to set the clock; ended with what is dropped.
#[derive(Debug)]
pub struct Agent {
    pub host: HostFolder,
    pub process: Ours,
}

impl Agent {
    /// Starts it with this configuration, and waits until it can be asked.
    pub fn start(config: &str) -> Outcome<Self> {
        Self::start_with(config, &[])
    }

    /// The same on a host that has these files.
    pub fn start_with(config: &str, files: &[(&str, &str)]) -> Outcome<Self> {
        Self::start_on(HostFolder::new(files)?, config)
    }

    /// The same on that host.
    pub fn start_on(host: HostFolder, config: &str) -> Outcome<Self> {
        host.put(CONFIG, config)?;
        let process = Ours::spawn(clockgate().args(["agent", "--root"]).arg(host.path()).stderr(Stdio::null()))?;
        let agent = Self { host, process };
        until("the agent starts", Duration::from_secs(30), || agent.bus().exists())?;
        Ok(agent)
    }

    /// Where it is asked.
    pub fn bus(&self) -> PathBuf {
        self.host.at("run/clockgate/bus")
    }
}

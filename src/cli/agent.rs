//! `clockgate agent`

use std::path::PathBuf;

use tokio::signal::unix::Signal;
use tokio::sync::mpsc;
use tracing::error;

use crate::agent;
use crate::agent::signals::{self as signal, Successor};
use crate::cli::CliError;
use crate::config::Config;
use crate::exit::Exit;
use crate::publish::{clockbound, gate_page, metrics_file};
use crate::sys::service_manager::{AGENT, ServiceManager};
use crate::sys::{descriptors, signals, time_namespace};
use crate::waiter::exec::exec;

/// What an agent has open on a busy day: 64 callers and as many scrapers, the references of an exchange, the containers of a freeze,
/// and itself.
const DESCRIPTORS: u64 = 320;

#[derive(Debug, clap::Args)]
pub struct AgentArgs {
    /// Read the configuration and the files of the host below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// Shut the gate that a dead agent left open, then exit (ExecStopPost=)
    #[arg(long)]
    shut_gate: bool,

    /// Log every event and every action
    #[arg(long, short)]
    verbose: bool,
}

impl AgentArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        super::log::init(self.verbose);
        signals::outlive_readers().map_err(|errno| CliError::caused(Exit::Bug, "cannot handle SIGPIPE", errno))?;
        if self.shut_gate {
            return self.shut();
        }
        time_namespace::require_the_hosts()
            .map_err(|e| CliError::caused(Exit::NoAgent, "the agent cannot run", e))
            .inspect_err(|error| self.last_words(error))?;
        // Without, the runtime panics where it needs one more.
        descriptors::at_least(DESCRIPTORS).map_err(|e| CliError::caused(Exit::NoAgent, "the agent cannot run", e))?;
        let config = super::load(&self.root).inspect_err(|error| self.last_words(error))?;
        super::runtime()?.block_on(async {
            let uncaught = |e| CliError::caused(Exit::Bug, "cannot handle SIGHUP, SIGTERM and SIGINT", e);
            let (shutdown, hangups) = (signal::shutdown().map_err(uncaught)?, signal::hangups().map_err(uncaught)?);
            let (reload, reloads) = mpsc::channel(1);
            tokio::spawn(reread(self.root, hangups, reload));
            match agent::run(config, reloads, shutdown).await.map_err(cannot_run)? {
                Successor::None => Ok(Exit::Ok),
                // The path that it was started by: the one in /proc is that of a file which an upgrade has removed.
                Successor::ItsProgram => match exec(std::env::args_os().collect()) {
                    Ok(never) => match never {},
                    Err(error) => Err(CliError::caused(Exit::NoAgent, "the agent cannot go on", error)),
                },
            }
        })
    }

    /// An agent that does not start leaves the reason on the page; where the configuration is wrong, on the one in the default place.
    fn last_words(&self, error: &CliError) {
        if self.root.is_dir() {
            // A user who may not write there, or an agent beside one that lives, leaves the page as it is.
            let page = Config::unread(&self.root).page;
            let _ = gate_page::last_words(&page, &format!("it did not start: {}", one_line(error)));
        }
    }

    /// Shuts what a dead agent left open, each thing for itself.
    fn shut(&self) -> Result<Exit, CliError> {
        // The gate has to be shut with any fault of the configuration by which the agent ended.
        let config = Config::load(&self.root).unwrap_or_else(|error| {
            error!("{error}; shutting the gate in the default folder");
            Config::unread(&self.root)
        });
        // systemd.exec(5): `exit-code`, `signal`, `watchdog`, `oom-kill`; not there where a person calls us.
        let how =
            std::env::var("SERVICE_RESULT").map_or(String::new(), |result| format!(" (service result: {result})"));
        let again = format!("to restart the agent: {}", ServiceManager::find(&self.root).restart(AGENT));
        let gate = gate_page::shut(&config.page, &format!("it was killed, or ended without a report{how}"));
        if config.clockbound.enabled {
            clockbound::shut(&config.clockbound.path, &config.root).map_err(|e| {
                CliError::caused(Exit::StillShut, format!("cannot write ClockBound's page; {again}"), e)
            })?;
        }
        if let Some(path) = &config.metrics.textfile
            && let Err(error) = metrics_file::shut(path, &config.page)
        {
            error!(%error, "cannot write the end of the agent to {}", path.display());
        }
        gate.map(|()| Exit::Ok)
            .map_err(|e| CliError::caused(Exit::StillShut, format!("cannot shut the gate; {again}"), e))
    }
}

fn cannot_run(error: agent::AgentError) -> CliError {
    let mut cause = std::error::Error::source(&error);
    while let Some(next) = cause {
        if next.downcast_ref::<std::io::Error>().is_some_and(|e| e.kind() == std::io::ErrorKind::PermissionDenied) {
            let start = ServiceManager::of_this_host().start(AGENT);
            let root = format!("start the agent as root, or give it a --root of its own; to start it: {start}");
            return CliError::caused(Exit::NotPermitted, root, error);
        }
        cause = next.source();
    }
    CliError::caused(Exit::NoAgent, "the agent cannot run", error)
}

/// Reads the configuration again on every HUP.
async fn reread(root: PathBuf, mut hangups: Signal, reload: mpsc::Sender<agent::Reread>) {
    while hangups.recv().await.is_some() {
        if reload.send(Config::load(&root).map(Box::new)).await.is_err() {
            return;
        }
    }
}

fn one_line(error: &CliError) -> String {
    error.to_string().lines().map(str::trim).collect::<Vec<_>>().join("; ")
}

//! The options that `run` and `wait` share.

use std::path::PathBuf;
use std::sync::LazyLock;
use std::time::Duration;

use crate::cli::CliError;
use crate::cli::servers::{ENVIRONMENT, of_the_environment};
use crate::cli::values::Choice;
use crate::decision::Policy;
use crate::exit::Exit;
use crate::page::{self, Page};
use crate::reference::ServerName;
use crate::tolerance::{CLASSES, ToleranceClass};
use crate::waiter::{Ground, NoAgent, OnTimeout, Options, Progress, Refusal, wait};

/// The agent's own, as it is written.
static THRESHOLD: LazyLock<String> = LazyLock::new(|| crate::duration::print(Policy::default().threshold));

// How to wait for the gate; no documentation comment, which would be what `run --help` begins with.
#[derive(Debug, clap::Args)]
pub struct GateOptions {
    /// How long to wait: 30s, 2min, or `infinity`
    #[arg(long, value_name = "DURATION", default_value = "60s", value_parser = patience)]
    max_wait: MaxWait,

    /// What to do when that time is over
    #[arg(long, value_enum, default_value = "fail")]
    on_timeout: Choice<OnTimeout>,

    /// Accept only a gate that is open on a proof
    #[arg(long)]
    require_proof: bool,

    /// Go on while the clock is wrong by at most this, by two exchanges after the last disruption
    #[arg(long, value_name = "DURATION", value_parser = crate::tolerance::duration)]
    tolerance: Option<Duration>,

    /// The same by what the clock is needed for, see `clockgate tolerances`; repeatable, the smallest counts
    #[arg(long = "for", value_name = "CLASS", value_parser = class())]
    classes: Vec<String>,

    /// The directory of the gate page
    #[arg(long, value_name = "DIR", default_value = page::DIRECTORY, value_parser = clockgate_run::values::absolute)]
    page: PathBuf,

    /// What to do without a gate page [default: measure if servers are configured, else kernel]
    #[arg(long, value_enum, value_name = "HOW")]
    no_agent: Option<Choice<NoAgent>>,

    /// Ask this NTP server without a gate page; repeatable [default: CLOCKGATE_SERVERS]
    #[arg(long = "server", value_name = "HOST[:PORT]")]
    servers: Vec<ServerName>,

    /// The bound that is required without a gate page
    #[arg(long, value_name = "DURATION", default_value = THRESHOLD.as_str(), value_parser = crate::duration::parse)]
    threshold: Duration,

    /// Print JSON
    #[arg(long)]
    pub json: bool,
}

/// The names of the table.
fn class() -> clap::builder::PossibleValuesParser {
    CLASSES.map(|class| class.name).into()
}

/// How long; none is for ever.
#[derive(Clone, Copy, Debug)]
struct MaxWait(Option<Duration>);

fn patience(text: &str) -> Result<MaxWait, String> {
    clockgate_run::values::patience(text).map(MaxWait)
}

impl GateOptions {
    /// The folder of the gate page.
    pub fn page(&self) -> &std::path::Path {
        &self.page
    }

    /// The smallest that was named.
    fn tolerance(&self) -> Option<Duration> {
        let classes = self.classes.iter().filter_map(|name| ToleranceClass::named(name)).map(|class| class.tolerance);
        classes.chain(self.tolerance).min()
    }

    /// Waits as they say.
    ///
    /// # Errors
    /// The environment names an invalid server, or the gate did not let us through.
    pub fn wait(&self, progress: &mut Progress) -> Result<Ground, CliError> {
        let servers = if self.servers.is_empty() { of_the_environment()? } else { self.servers.clone() };
        let no_agent = self.no_agent.map(|chosen| chosen.0);
        if no_agent == Some(NoAgent::Measure) && servers.is_empty() && Page::open(&self.page).is_err() {
            let missing = format!(
                "there is no agent, and `--no-agent measure` has no servers to ask: name them with --server or {ENVIRONMENT}"
            );
            return Err(CliError::new(Exit::Usage, missing));
        }
        let unnamed = if servers.is_empty() { NoAgent::Kernel } else { NoAgent::Measure };
        let options = Options {
            directory: self.page.clone(),
            max_wait: self.max_wait.0,
            on_timeout: self.on_timeout.0,
            require_proof: self.require_proof,
            tolerance: self.tolerance(),
            no_agent: no_agent.unwrap_or(unnamed),
            threshold: self.threshold,
        };
        wait(&options, servers, progress).map_err(refused)
    }
}

/// A refusal as a command ends with it.
fn refused(refusal: Refusal) -> CliError {
    let (exit, message) = (refusal.exit(), refusal.to_string());
    match (refusal.advice(), refusal) {
        (Some(advice), _) => CliError::still_shut(message, advice),
        (None, Refusal::NoAgent { source, .. }) => CliError::caused(exit, message, source),
        (None, Refusal::Page(source)) => CliError::caused(exit, message, source),
        (None, other) => CliError::new(exit, other.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_small_waiter_has_the_agents_threshold() {
        assert_eq!(Policy::default().threshold, clockgate_run::THRESHOLD);
    }
}

//! `clockgate notify`: a notice to the agent of a sleep, a wake-up, a snapshot or a restore.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::ArgGroup;
use clap::builder::PossibleValuesParser;
use serde_json::json;

use crate::cli::{CliError, print_line, time_value};
use crate::config::Config;
use crate::decision::{Boottime, Realtime};
use crate::duration;
use crate::exit::Exit;
use crate::publish::bus::client::{self, AgentClient, CallerTime, NoticeKind, Outcome};

#[derive(Debug, clap::Args)]
#[command(group = ArgGroup::new("waits").args(["wait", "time"]).multiple(true))]
pub struct NotifyArgs {
    /// The event
    #[arg(value_parser = PossibleValuesParser::new(NoticeKind::ALL.map(NoticeKind::name)))]
    what: String,
    /// Wait until the gate is shut (suspend, pre-snapshot), or until the clock is proven again (resume, post-restore)
    #[arg(long)]
    wait: bool,
    /// How long to wait at most
    #[arg(long, value_name = "D", value_parser = duration::parse, default_value = "60s", requires = "waits")]
    timeout: Duration,
    /// Supply the time at the start of this command, and wait (resume, post-restore; root): 2026-11-24T12:00:00.25Z, or
    /// @1795521600.25 as `date +@%s.%N` prints it
    #[arg(long, value_name = "T", value_parser = time_value::parse, requires = "bound")]
    time: Option<Realtime>,
    /// The bound of that time, including the delay until this command started
    #[arg(long, value_name = "B", value_parser = duration::parse, requires = "time")]
    bound: Option<Duration>,
    /// The agent's socket [default: bus.socket of the configuration]
    #[arg(long, value_name = "PATH")]
    bus: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl NotifyArgs {
    /// Performs the verb: 0 when the agent took it, and with `--wait` when what was waited for has come.
    pub fn run(self, began: Boottime) -> Result<Exit, CliError> {
        let what = NoticeKind::named(&self.what);
        let what = what.ok_or_else(|| CliError::new(Exit::Usage, format!("unknown notification `{}`", self.what)))?;
        let given = self.time.zip(self.bound).map(|(at, bound)| CallerTime { at, as_of: began, bound });
        if let Some(why) = given.as_ref().and_then(|_| what.refuses_time()) {
            return Err(CliError::new(Exit::Usage, why));
        }
        let waits = self.wait || given.is_some();
        let patience = if waits { self.timeout.max(Duration::from_millis(1)) } else { Duration::ZERO };
        let agent = AgentClient::connect(&socket(self.bus))?;
        let outcome = match given {
            Some(given) => agent.notify_with_time(what, given, patience)?,
            None => agent.notify(what, patience)?,
        };
        if self.json {
            print_line(json!({"version": 2, "notified": what.name(), "agent": outcome}));
        } else if waits {
            print_line(sentence(&outcome));
        }
        let waited_in_vain = waits && !what.begins() && outcome.gate != "open";
        if waited_in_vain {
            Err(CliError::still_shut("the clock is not proven", super::ASK_STATUS))
        } else {
            Ok(Exit::Ok)
        }
    }
}

/// The agent's socket: as given, or as in the configuration.
pub(super) fn socket(given: Option<PathBuf>) -> PathBuf {
    // A hook's notice must arrive with any fault of the configuration; the agent reports the fault.
    given.unwrap_or_else(|| Config::load(Path::new("/")).unwrap_or_default().bus.socket)
}

/// What the agent answered, for people.
pub(super) fn sentence(outcome: &Outcome) -> String {
    let mut text = format!("gate {}, {} in epoch {}", outcome.gate, outcome.state, outcome.epoch);
    if let (Some(offset), Some(bound)) = (outcome.offset_ns, outcome.bound_ns) {
        let offset = crate::decision::Offset::from_nanos(offset);
        let bound = Duration::from_nanos(bound).as_secs_f64() * 1e3;
        text.push_str(&format!(", offset {offset}, bound {bound:.3} ms"));
    }
    if !outcome.why.is_empty() {
        text.push_str(&format!(": {}", outcome.why));
    }
    text
}

impl From<client::ClientError> for CliError {
    fn from(error: client::ClientError) -> Self {
        let text = crate::error_chain::in_full(&error);
        let exit = match error {
            client::ClientError::NoAgent { .. }
            | client::ClientError::OtherVersion { .. }
            | client::ClientError::Stuck { .. } => Exit::NoAgent,
            client::ClientError::Refused(_) => Exit::Usage,
            client::ClientError::NotPermitted(_) => Exit::NotPermitted,
            client::ClientError::StillShut(_) => return Self::still_shut(text, super::ASK_STATUS),
            client::ClientError::TooOften(_) => Exit::StillShut,
        };
        Self::new(exit, text)
    }
}

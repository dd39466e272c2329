//! `clockgate accept`: the time that the clock shows is meant.

use std::path::PathBuf;

use serde_json::json;

use crate::cli::notify::{sentence, socket};
use crate::cli::{CliError, print_line};
use crate::exit::Exit;
use crate::publish::bus::client::AgentClient;

#[derive(Debug, clap::Args)]
pub struct AcceptArgs {
    /// The agent's socket [default: bus.socket of the configuration]
    #[arg(long, value_name = "PATH")]
    bus: Option<PathBuf>,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl AcceptArgs {
    /// Performs the verb: 0 when the gate is open, without a proof.
    pub fn run(self) -> Result<Exit, CliError> {
        let outcome = AgentClient::connect(&socket(self.bus))?.accept()?;
        if self.json {
            print_line(json!({"version": 2, "agent": outcome}));
        } else {
            print_line(sentence(&outcome));
        }
        if outcome.gate == "shut" {
            Err(CliError::still_shut("the gate is shut", super::ASK_STATUS))
        } else {
            Ok(Exit::Ok)
        }
    }
}

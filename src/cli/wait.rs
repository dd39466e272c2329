//! `clockgate wait`

use super::gate_options::{GateOptions, refused};
use crate::cli::{CliError, print_line};
use crate::exit::Exit;
use crate::sys::signals;
use crate::waiter::{Progress, Style, wait};

#[derive(Debug, clap::Args)]
pub struct WaitArgs {
    #[command(flatten)]
    gate: GateOptions,
}

impl WaitArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        signals::end_on_term_and_int()
            .map_err(|errno| CliError::caused(Exit::Bug, "cannot handle SIGTERM and SIGINT", errno))?;
        let mut progress = Progress::new(Style::of_stderr(self.gate.json));
        let ground = wait(&self.gate.options()?, &mut progress).map_err(refused)?;
        if self.gate.json {
            print_line(serde_json::json!({ "version": 2, "released": true, "reason": ground.to_string() }));
        } else {
            print_line(ground);
        }
        Ok(Exit::Ok)
    }
}

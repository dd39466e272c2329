//! `clockgate wait`

use super::gate_options::GateOptions;
use crate::cli::{CliError, print_line};
use crate::exit::Exit;
use crate::sys::signals;
use crate::waiter::{Progress, Released, Style};

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
        let ground = self.gate.wait(&mut progress)?;
        if self.gate.json {
            print_line(Released::on(&ground).json());
        } else {
            print_line(ground);
        }
        Ok(Exit::Ok)
    }
}

//! `clockgate run`

use std::ffi::OsString;

use super::gate_options::GateOptions;
use crate::cli::CliError;
use crate::exit::Exit;
use crate::sys::signals;
use crate::waiter::{Progress, Style, exec};

mod retry;

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    gate: GateOptions,

    /// If CMD fails and its last lines say that a request was refused because of the clock, before it had an effect: wait
    /// for the gate and run CMD once more
    #[arg(long)]
    retry_clock: bool,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD", value_hint = clap::ValueHint::CommandWithArguments)]
    command: Vec<OsString>,
}

impl RunArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<i32, CliError> {
        signals::end_on_term_and_int()
            .map_err(|errno| CliError::caused(Exit::RunFailed, "cannot handle SIGTERM and SIGINT", errno))?;
        let mut progress = Progress::new(Style::of_stderr(self.gate.json));
        let ground = self.gate.wait(&mut progress)?;
        progress.released(&ground);
        if self.retry_clock {
            return retry::run(&self.command, &self.gate);
        }
        match exec::exec(self.command) {
            Ok(never) => match never {},
            Err(error) => Err(CliError::caused(error.exit(), "the gate is open", error)),
        }
    }
}

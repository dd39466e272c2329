//! `clockgate run`

use std::ffi::OsString;

use super::gate_options::{GateOptions, refused};
use crate::cli::CliError;
use crate::exit::Exit;
use crate::sys::signals;
use crate::waiter::{Ground, Progress, Style, run, wait};

#[derive(Debug, clap::Args)]
pub struct RunArgs {
    #[command(flatten)]
    gate: GateOptions,

    /// The command and its arguments
    #[arg(last = true, required = true, value_name = "CMD")]
    command: Vec<OsString>,
}

impl RunArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        signals::end_on_term_and_int()
            .map_err(|errno| CliError::caused(Exit::RunFailed, "cannot handle SIGTERM and SIGINT", errno))?;
        let mut progress = Progress::new(Style::of_stderr(self.gate.json));
        let ground = wait(&self.gate.options()?, &mut progress).map_err(refused)?;
        // A gate that stood open on a proof is nothing to talk about; whatever else let the command go is.
        if progress.has_spoken() || !matches!(ground, Ground::Proven(_)) {
            progress.ground(&ground);
        }
        match run::exec(self.command) {
            Ok(never) => match never {},
            Err(error) => Err(CliError::caused(error.exit(), "the gate is open", error)),
        }
    }
}

//! `clockgate oci`

use std::ffi::OsString;

use crate::cli::CliError;
use crate::exit::Exit;
use crate::waiter::oci;

// None of its own: all arguments are the runtime's.
#[derive(Debug, clap::Args)]
#[command(disable_help_flag = true)]
pub struct OciArgs {
    /// `hook`, or the arguments of the runtime
    #[arg(trailing_var_arg = true, allow_hyphen_values = true, value_name = "ARG")]
    args: Vec<OsString>,
}

impl OciArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        let argv0 = "clockgate-oci".as_ref();
        let outcome = if self.args == ["hook"] {
            oci::hook(argv0, &mut std::io::stdin())
        } else {
            oci::run(argv0, self.args).map(|never| match never {})
        };
        outcome.map(|()| Exit::Ok).map_err(|error| CliError::new(error.exit(), crate::error_chain::in_full(&error)))
    }
}

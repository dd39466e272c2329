//! `clockgate notify`

use crate::cli::Error;
use crate::exit::Exit;

/// Options of `clockgate notify`.
#[derive(Debug, clap::Args)]
pub struct Args {}

impl Args {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, Error> {
        Err(Error::new(Exit::Bug, "not written yet"))
    }
}

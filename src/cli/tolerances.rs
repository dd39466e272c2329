//! `clockgate tolerances`

use serde_json::json;

use crate::cli::{CliError, print};
use crate::duration;
use crate::exit::Exit;
use crate::tolerance::CLASSES;

#[derive(Debug, clap::Args)]
pub struct TolerancesArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl TolerancesArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        if self.json {
            let classes = CLASSES.map(|class| {
                json!({
                    "name": class.name,
                    "what": class.what,
                    "tolerance_ns": crate::decision::nanos_u64(class.tolerance),
                    "source": class.source,
                })
            });
            print(&format!("{}\n", json!({ "version": 2, "classes": classes })))?;
        } else {
            let line = |class: crate::tolerance::ToleranceClass| {
                let tolerance = duration::print(class.tolerance);
                format!("{:<9} {:<6} {}: {}\n", class.name, tolerance, class.what, class.source)
            };
            print(&CLASSES.map(line).concat())?;
        }
        Ok(Exit::Ok)
    }
}

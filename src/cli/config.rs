//! `clockgate config`: check, show or sample the configuration.

use std::path::PathBuf;

use clap::Subcommand;
use serde_json::json;

use crate::cli::{self, CliError};
use crate::config::{self, Fault, Loaded, authorities, patterns, print};
use crate::exit::Exit;

#[derive(Debug, clap::Args)]
pub struct ConfigArgs {
    #[command(subcommand)]
    what: ConfigVerb,
    /// Read the configuration below DIR instead of /
    #[arg(long, value_name = "DIR", default_value = "/", global = true)]
    root: PathBuf,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
}

#[derive(Debug, Subcommand)]
enum ConfigVerb {
    /// Check the configuration, the file of `ca-file` and the messages below explain.d, or each FILE by itself; print each
    /// error with file, line and key
    Check {
        /// Files to check instead of the configuration in force
        files: Vec<PathBuf>,
    },
    /// Print the value and the origin of every key
    Show,
    /// Print a commented file with the default of every key
    Sample,
}

impl ConfigArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        match &self.what {
            ConfigVerb::Check { files } if files.is_empty() => {
                let messages = patterns::load(&self.root).map(|_| Loaded::default());
                self.check(vec![self.opened(config::load(&self.root)), messages])
            }
            ConfigVerb::Check { files } => {
                self.check(files.iter().map(|file| self.opened(config::load_file(file))).collect())
            }
            ConfigVerb::Show => self.show(),
            ConfigVerb::Sample if self.json => say(&format!("{:#}\n", print::json(&Loaded::default()))),
            ConfigVerb::Sample => say(&print::sample()),
        }
    }

    /// With what the files that a configuration names have in them.
    fn opened(&self, loaded: Result<Loaded, config::ConfigError>) -> Result<Loaded, config::ConfigError> {
        loaded.and_then(|loaded| authorities::check(loaded, &self.root))
    }

    fn check(&self, outcomes: Vec<Result<Loaded, config::ConfigError>>) -> Result<Exit, CliError> {
        let (mut files, mut faults, mut warnings) = (vec![], vec![], vec![]);
        for outcome in outcomes {
            match outcome {
                Ok(loaded) => {
                    files.extend(loaded.files);
                    warnings.extend(loaded.warnings);
                }
                Err(error) => faults.extend(error.faults),
            }
        }
        if self.json {
            let all = |some: &[Fault]| some.iter().map(fault).collect::<Vec<_>>();
            say(&format!("{:#}\n", json!({"version": 2, "errors": all(&faults), "warnings": all(&warnings)})))?;
            return Ok(if faults.is_empty() { Exit::Ok } else { Exit::Config });
        }
        if !faults.is_empty() {
            return Err(CliError::new(Exit::Config, config::ConfigError { faults }.to_string()));
        }
        let warned: String = warnings.iter().map(|warning| format!("warning: {warning}\n")).collect();
        let names: Vec<_> = files.iter().map(|file| file.display().to_string()).collect();
        match names.as_slice() {
            [] => say("no configuration file: every key has its default\n"),
            names => say(&format!("{warned}no errors in {}\n", names.join(", "))),
        }
    }

    fn show(&self) -> Result<Exit, CliError> {
        let loaded = config::load(&self.root).map_err(|error| CliError::new(Exit::Config, error.to_string()))?;
        if self.json { say(&format!("{:#}\n", print::json(&loaded))) } else { say(&print::show(&loaded)) }
    }
}

fn fault(fault: &Fault) -> serde_json::Value {
    json!({"file": fault.file, "line": fault.line, "key": fault.key, "message": fault.what})
}

/// Prints, and has done what was asked.
fn say(text: &str) -> Result<Exit, CliError> {
    cli::print(text).map(|()| Exit::Ok)
}

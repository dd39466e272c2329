//! `clockgate doctor`: what is wrong with this clock, and why. Changes nothing and needs no privilege.

use std::path::PathBuf;

use crate::cli::servers::of_the_environment;
use crate::cli::{CliError, print, runtime};
use crate::config::Config;
use crate::doctor::facts::{self, Examination, NetworkUse};
use crate::doctor::{CheckOutcome, Detail, Diagnosis, is_selector, json, text, wants_slow};
use crate::exit::Exit;
use crate::reference::ServerName;

#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Print what each result rests on, and what mends it; asks servers what takes up to 10 s
    #[arg(short, long)]
    verbose: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Make only these checks: an id such as `net.dns`, its part before the point, or a section; repeatable
    #[arg(long, value_name = "CHECK", value_parser = selector)]
    only: Vec<String>,

    /// Leave these checks out; repeatable
    #[arg(long, value_name = "CHECK", value_parser = selector)]
    skip: Vec<String>,

    /// Ask no server: look at this host alone
    #[arg(long)]
    offline: bool,

    /// Exit with 1 for a warning, too
    #[arg(long)]
    strict: bool,

    /// Ask only this NTP server; repeatable (default: as for `measure`)
    #[arg(long = "server", value_name = "HOST[:PORT]")]
    servers: Vec<ServerName>,

    /// Look at the system below this directory, which need not run: an image
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl DoctorArgs {
    /// Performs the verb: 0 without a failure, 1 with one.
    pub fn run(self) -> Result<Exit, CliError> {
        if !self.root.is_dir() {
            return Err(CliError::new(Exit::Usage, format!("{} is not a directory", self.root.display())));
        }
        let servers = if self.servers.is_empty() { of_the_environment()? } else { self.servers };
        let is_slow = self.verbose && wants_slow(&self.only, &self.skip);
        let examination = Examination {
            config: Config::load(&self.root).map_err(|error| error.to_string()),
            root: self.root,
            servers,
            network: match (self.offline, is_slow) {
                (true, _) => NetworkUse::Offline,
                (false, true) => NetworkUse::AskedSlowly,
                (false, false) => NetworkUse::Asked,
            },
        };
        let runtime = runtime()?;
        let facts = runtime.block_on(facts::gather(&examination));
        // A look-up that hangs is not waited for.
        runtime.shutdown_background();
        let diagnosis = Diagnosis::of(&facts, &self.only, &self.skip);
        let detail = if self.verbose { Detail::Evidence } else { Detail::Lines };
        let said =
            if self.json { format!("{:#}\n", json(&diagnosis, &examination.root)) } else { text(&diagnosis, detail) };
        print(&said)?;
        let is_bad =
            diagnosis.count(CheckOutcome::Fail) > 0 || (self.strict && diagnosis.count(CheckOutcome::Warn) > 0);
        Ok(if is_bad { Exit::No } else { Exit::Ok })
    }
}

fn selector(text: &str) -> Result<String, String> {
    if is_selector(text) {
        Ok(text.to_owned())
    } else {
        Err("there is no check and no section of this name; `clockgate doctor --offline` lists them".to_owned())
    }
}

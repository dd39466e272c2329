//! `clockgate thaw`: what the agent froze and did not thaw; by hand, as `ExecStopPost=`, and, hidden, as the guard.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::cli::{CliError, print_line};
use crate::config::Config;
use crate::exit::Exit;
use crate::sys::foreign::shown_path;
use crate::sys::output;
use crate::workload::cgroup_tree::CgroupMount;
use crate::workload::thaw_guard::{self, GuardTask};
use crate::workload::{self, FreezeSettings, Thawed, ledger};

#[derive(Debug, clap::Args)]
pub struct ThawArgs {
    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Read the configuration below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,

    /// The ledger of what was frozen (the configuration's if not given)
    #[arg(long, value_name = "FILE", hide = true)]
    ledger: Option<PathBuf>,

    /// The cgroup2 hierarchy (found if not given)
    #[arg(long, value_name = "DIR", hide = true)]
    cgroup: Option<PathBuf>,

    /// Be the guard of the agent at the other end of standard input
    #[arg(long, value_name = "SESSION", hide = true)]
    guard: Option<String>,
}

impl ThawArgs {
    /// Performs the verb: 0 when nothing that clockgate froze is frozen any more.
    pub fn run(self) -> Result<Exit, CliError> {
        if let Some(session) = &self.guard {
            return self.keep(session);
        }
        let settings = self.settings();
        let outcome = workload::replay(&settings);
        let nothing = Thawed::default();
        let thawed = match &outcome {
            Ok(thawed)
            | Err(
                workload::WorkloadError::StillFrozen { thawed, .. }
                | workload::WorkloadError::LaterLedger { thawed, .. },
            ) => thawed,
            Err(_) => &nothing,
        };
        if self.json {
            print_line(as_json(thawed, &outcome));
        } else {
            let _ = output::print(&as_text(thawed, outcome.is_ok()));
        }
        match outcome {
            Ok(_) => Ok(Exit::Ok),
            Err(error) => {
                let help = help(&error);
                Err(CliError::caused(code(&error), format!("cannot thaw everything; {help}"), error))
            }
        }
    }

    fn settings(&self) -> FreezeSettings {
        let mut settings = match Config::load(&self.root) {
            Ok(config) => config.workload_settings(),
            Err(error) => {
                // A mistake in the configuration is no reason to leave anything frozen.
                output::say(&format!("clockgate: {error}\nThawing with the ledger in its default place.\n"));
                Config::unread(&self.root).workload_settings()
            }
        };
        settings.cgroup.clone_from(&self.cgroup);
        if let Some(ledger) = &self.ledger {
            settings.ledger.clone_from(ledger);
        }
        settings
    }

    fn keep(&self, session: &str) -> Result<Exit, CliError> {
        let session = u64::from_str_radix(session, 16)
            .map_err(|e| CliError::caused(Exit::Usage, format!("invalid session `{session}`"), e))?;
        let failed = |error: workload::WorkloadError| CliError::caused(code(&error), "the guard has failed", error);
        let folder = CgroupMount::find(Path::new("/proc"), self.cgroup.as_deref()).map_err(failed)?.folder;
        // A guard gets everything as options: it reads no configuration.
        let ledger = self.ledger.clone().unwrap_or_else(|| ledger::PATH.into());
        let watch = GuardTask { ledger, folder, session };
        thaw_guard::keep(&watch).map(|()| Exit::Ok).map_err(failed)
    }
}

fn help(error: &workload::WorkloadError) -> &'static str {
    if matches!(error, workload::WorkloadError::LaterLedger { .. }) {
        "run `clockgate thaw` of the version that froze it"
    } else if code(error) == Exit::NotPermitted {
        "run it as root"
    } else {
        "run it again, or write 0 to the `cgroup.freeze` of each cgroup named"
    }
}

fn code(error: &workload::WorkloadError) -> Exit {
    match error {
        workload::WorkloadError::NotPermitted { .. } => Exit::NotPermitted,
        workload::WorkloadError::StillFrozen { failed, .. }
            if failed.iter().all(|error| matches!(error, workload::WorkloadError::NotPermitted { .. })) =>
        {
            Exit::NotPermitted
        }
        workload::WorkloadError::NoHierarchy(_)
        | workload::WorkloadError::Absent { .. }
        | workload::WorkloadError::Broken { .. }
        | workload::WorkloadError::Held(_)
        | workload::WorkloadError::LaterLedger { .. }
        | workload::WorkloadError::Guard { .. }
        | workload::WorkloadError::StillFrozen { .. } => Exit::StillShut,
    }
}

fn as_json(thawed: &Thawed, outcome: &Result<Thawed, workload::WorkloadError>) -> serde_json::Value {
    let paths = |paths: &[PathBuf]| paths.iter().map(|path| format!("/{}", path.display())).collect::<Vec<_>>();
    json!({
        "version": 2,
        "thawed": paths(&thawed.thawed),
        "gone": paths(&thawed.gone),
        "damaged_lines": thawed.damaged,
        "later_lines": thawed.later,
        "done": outcome.is_ok(),
    })
}

fn as_text(thawed: &Thawed, is_done: bool) -> String {
    let mut lines: Vec<String> = thawed.thawed.iter().map(|path| format!("thawed /{}", shown_path(path))).collect();
    lines.extend(thawed.gone.iter().map(|path| format!("gone: /{}", shown_path(path))));
    if thawed.damaged > 0 {
        lines.push(format!("skipped {} damaged line(s) of the ledger", thawed.damaged));
    }
    if lines.is_empty() && is_done {
        lines.push("nothing is frozen by clockgate".to_owned());
    }
    lines.into_iter().map(|line| line + "\n").collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_folder_that_a_user_has_named_writes_no_lines_of_its_own() {
        let thawed = Thawed { thawed: vec!["user/\u{1b}[2J\nthawed /b".into()], ..Thawed::default() };
        assert_eq!(as_text(&thawed, true), "thawed /user/\\u{1b}[2J\\nthawed /b\n");
    }
}

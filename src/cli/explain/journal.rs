//! The system's journal as the text to explain, read by journalctl(1).

use std::io::ErrorKind;
use std::process::{Command, Stdio};

use super::read_all;
use crate::cli::CliError;
use crate::exit::Exit;
use crate::explain::Scanner;

// Which part of the journal; a doc comment would become the verb's own help.
#[derive(Debug, clap::Args)]
pub struct JournalArgs {
    /// Explain the messages of the system's journal since the last boot
    #[arg(long, conflicts_with_all = ["texts", "command", "list"])]
    journal: bool,

    /// Read this unit's messages alone
    #[arg(short, long = "unit", value_name = "UNIT", requires = "journal")]
    units: Vec<String>,

    /// Read what was written since then, as journalctl(1) has it, such as `-1h` or `yesterday`
    #[arg(long, value_name = "TIME", requires = "journal", allow_hyphen_values = true)]
    since: Option<String>,
}

impl JournalArgs {
    /// Whether the journal is asked for.
    pub const fn is_wanted(&self) -> bool {
        self.journal
    }

    /// Reads it. Each line begins with its time in UTC; a message of any length is passed on in pieces.
    ///
    /// # Errors
    /// There is no journalctl, or it failed; what it said is on standard error.
    pub fn read(&self, scanner: &mut Scanner<'_>) -> Result<(), CliError> {
        let mut command = Command::new("journalctl");
        command.args(["--no-pager", "--utc", "--all", "--output=short-iso"]);
        command.args(self.units.iter().map(|unit| format!("--unit={unit}")));
        command.arg(self.since.as_ref().map_or_else(|| "--boot".to_owned(), |since| format!("--since={since}")));
        let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn().map_err(|error| {
            let what = if error.kind() == ErrorKind::NotFound {
                "cannot read the journal: there is no journalctl here (read a file of the log instead: clockgate explain \
                 < FILE)"
            } else {
                "cannot read the journal: journalctl cannot be executed"
            };
            CliError::caused(Exit::Usage, what, error)
        })?;
        let read = child.stdout.take().map_or(Ok(()), |output| read_all(output, scanner, "the output of journalctl"));
        let status = child.wait().map_err(|e| CliError::caused(Exit::Bug, "cannot wait for journalctl", e))?;
        read?;
        if status.success() {
            return Ok(());
        }
        Err(CliError::new(Exit::Usage, format!("cannot read the journal: journalctl failed ({status})")))
    }
}

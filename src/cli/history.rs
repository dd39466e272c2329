//! `clockgate history`: what happened on this host, dated by the proofs.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};

use serde_json::{Value, json};

use crate::cli::period::Period;
use crate::cli::{CliError, print};
use crate::decision::{Realtime, counted};
use crate::exit::Exit;
use crate::history::{DatedBy, DatedRecord, HistoryFiles, date, none_of, utc};
use crate::sys::foreign::{shown, shown_path};

#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    #[command(flatten)]
    period: Period,

    /// Print this epoch of the last boot alone
    #[arg(long, value_name = "N")]
    epoch: Option<u64>,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Read the history below this directory
    #[arg(long, value_name = "DIR", default_value = "/")]
    root: PathBuf,
}

impl HistoryArgs {
    /// Performs the verb.
    pub fn run(self) -> Result<Exit, CliError> {
        let (since, until) = self.period.ends()?;
        let files = history_below(&self.root)?;
        let text = files.read().map_err(|error| cannot_read(&files, error))?;
        let read = text.records();
        let skipped = read.skipped;
        let last_boot = read.records.last().map(|record| record.boot.to_string()).unwrap_or_default();
        let mut dated = date(read.records);
        let ends = dated.first().zip(dated.last()).map(|(first, last)| (first.time, last.time));
        dated.retain(|dated| {
            let is_in_it =
                since.is_none_or(|since| dated.time >= since) && until.is_none_or(|until| dated.time <= until);
            let is_of_it = self.epoch.is_none_or(|epoch| dated.record.epoch == epoch && dated.record.boot == last_boot);
            is_in_it && is_of_it
        });
        let printed = if self.json { json(&dated, skipped) } else { in_lines(&dated, skipped, ends) };
        print(&printed)?;
        Ok(Exit::Ok)
    }
}

/// The history of the host at `root`, which has to be there: a host without a history has none, and a misspelt one is no host.
pub(super) fn history_below(root: &Path) -> Result<HistoryFiles, CliError> {
    let failed = |error| CliError::caused(Exit::Usage, format!("cannot read {}", shown_path(root)), error);
    fs::metadata(root).map_err(failed)?;
    Ok(HistoryFiles::below(root))
}

/// Why the history cannot be read.
pub(super) fn cannot_read(files: &HistoryFiles, error: io::Error) -> CliError {
    let what = format!("cannot read the history in {}", shown_path(files.folder()));
    if error.kind() == ErrorKind::PermissionDenied {
        return CliError::caused(
            Exit::NotPermitted,
            format!("{what}: it is for root and the group `clockgate`"),
            error,
        );
    }
    CliError::caused(Exit::Bug, what, error)
}

fn in_lines(dated: &[DatedRecord<'_>], skipped: usize, ends: Option<(Realtime, Realtime)>) -> String {
    let mut lines = String::new();
    for DatedRecord { time, by, record } in dated {
        let mark = match by {
            DatedBy::Proof => ' ',
            DatedBy::Clock => '?',
        };
        lines.push_str(&format!("{}{mark} {}\n", utc(*time), shown(&record.message())));
    }
    if dated.iter().any(|dated| dated.by == DatedBy::Clock) {
        lines.push_str("?: as the system clock showed it, which no proof confirms\n");
    }
    if skipped > 0 {
        lines.push_str(&format!("{} skipped: torn, or written by a later version\n", counted(skipped as u64, "line")));
    }
    if dated.is_empty() {
        lines.push_str(&format!("{}\n", none_of(ends)));
    }
    lines
}

fn json(dated: &[DatedRecord<'_>], skipped: usize) -> String {
    let record = |dated: &DatedRecord<'_>| {
        let mut fields = dated.record.fields();
        fields.remove("version");
        fields.insert("time".to_owned(), utc(dated.time).into());
        fields.insert("time_ns".to_owned(), dated.time.as_nanos().into());
        fields.insert("dated_by".to_owned(), dated.by.name().into());
        Value::Object(fields)
    };
    let records: Vec<Value> = dated.iter().map(record).collect();
    format!("{}\n", json!({ "version": 2, "skipped": skipped, "records": records }))
}

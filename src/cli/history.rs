//! `clockgate history`: what happened on this host, dated by the proofs.

use std::io::{self, ErrorKind};
use std::path::PathBuf;
use std::time::Duration;

use serde_json::{Value, json};

use crate::cli::{CliError, print, time_value};
use crate::decision::{Offset, Realtime, counted};
use crate::duration;
use crate::exit::Exit;
use crate::history::{DatedBy, DatedRecord, HistoryFiles, date, utc};
use crate::sys::clock::realtime;
use crate::sys::foreign::shown;

#[derive(Debug, clap::Args)]
pub struct HistoryArgs {
    /// Print what happened since then: a time, or a duration before now such as `12h`
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Realtime>,

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
        let files = HistoryFiles::below(&self.root);
        let text = files.read().map_err(|error| cannot_read(&files, error))?;
        let read = text.records();
        let skipped = read.skipped;
        let last_boot = read.records.last().map(|record| record.boot.to_string()).unwrap_or_default();
        let mut dated = date(read.records);
        dated.retain(|dated| {
            let is_late = self.since.is_none_or(|since| dated.time >= since);
            let is_of_it = self.epoch.is_none_or(|epoch| dated.record.epoch == epoch && dated.record.boot == last_boot);
            is_late && is_of_it
        });
        let printed = if self.json { json(&dated, skipped) } else { in_lines(&dated, skipped) };
        print(&printed)?;
        Ok(Exit::Ok)
    }
}

/// Why the history cannot be read.
pub(super) fn cannot_read(files: &HistoryFiles, error: io::Error) -> CliError {
    let exit = if error.kind() == ErrorKind::PermissionDenied { Exit::NotPermitted } else { Exit::Bug };
    let folder = files.folder().display();
    CliError::caused(
        exit,
        format!("cannot read the history in {folder}: it is for root and the group `clockgate`"),
        error,
    )
}

/// A time, or how long ago.
pub(super) fn moment(text: &str) -> Result<Realtime, String> {
    let ago = |ago: Duration| realtime() + Offset::from_nanos(-i64::try_from(ago.as_nanos()).unwrap_or(i64::MAX));
    duration::parse(text).map(ago).or_else(|_| time_value::parse(text))
}

fn in_lines(dated: &[DatedRecord<'_>], skipped: usize) -> String {
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
        lines.push_str("nothing is recorded\n");
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

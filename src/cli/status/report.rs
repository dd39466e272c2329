//! All that `status` says: the page, and what is read beside it.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::daemon;
use crate::decision::{Boottime, Cause, Gate, Offset, Realtime};
use crate::history::{DatedBy, HistoryFiles};
use crate::page::{self, View, boot_id};
use crate::report::{Fold, RecordedDisruption};
use crate::waiter::oci::{self, Waiting};
use crate::workload::{self, FreezeSettings, StillFrozen, WorkloadError};

// Where it is looked for; clap would print a doc comment as that of the verb.
#[derive(Clone, Debug, clap::Args)]
pub struct StatusPlaces {
    /// The directory of the gate page
    #[arg(long, value_name = "DIR", default_value = page::DIRECTORY, value_parser = clockgate_run::values::absolute)]
    pub page: PathBuf,

    /// Look for containers, their names, time daemons and the history below this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,

    /// The cgroup2 hierarchy (found if not given)
    #[arg(long, value_name = "DIR", hide = true)]
    cgroup: Option<PathBuf>,
}

/// What there is to say.
#[derive(Debug)]
pub struct StatusReport {
    /// The page.
    pub view: View,
    /// Containers that wait at the gate.
    pub held: Vec<Waiting>,
    /// Containers that we froze.
    pub frozen: Result<Vec<StillFrozen>, WorkloadError>,
    /// The time daemons that are seen to run.
    pub daemons: Vec<&'static str>,
    /// The last disruption that the history has, where we may read it.
    kept: io::Result<Option<RecordedDisruption>>,
}

/// The last disruption: by the history for those who may read it, else by the page.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LastDisruption {
    pub epoch: u64,
    pub cause: String,
    /// When its epoch began; none where that was in an earlier boot.
    pub since: Option<Boottime>,
    /// The same as a date, which the history alone has.
    pub time: Option<(Realtime, DatedBy)>,
    pub stepped: Option<Offset>,
    /// How long the gate was shut; none while it is, and where only the history would say.
    pub shut_for: Option<Duration>,
}

impl StatusReport {
    /// Reads what is beside the page of this view.
    pub fn read(places: &StatusPlaces, view: View) -> Self {
        Self {
            held: held(),
            frozen: places.frozen(),
            daemons: daemon::running(&places.root),
            kept: places.kept(),
            view,
        }
    }

    /// The same with another look at the page alone, which costs next to nothing.
    pub fn with_view(self, view: View) -> Self {
        Self { view, ..self }
    }

    /// The last disruption; none where none is known.
    pub fn last(&self) -> Option<LastDisruption> {
        LastDisruption::of(&self.view, self.kept.as_ref().ok().and_then(Option::as_ref))
    }

    /// Whether the history, which is written behind the page, does not have yet how this epoch came to an open gate.
    pub fn awaits_history(&self) -> bool {
        let is_open = self.view.gate != Gate::Shut;
        let is_missing = |last: LastDisruption| last.epoch == self.view.epoch && last.shut_for.is_none();
        is_open && self.kept.is_ok() && self.last().is_some_and(is_missing)
    }

    /// Whether all is well and nothing is awaited: then nothing changes but by what the page announces.
    pub fn is_quiet(&self) -> bool {
        let is_frozen = self.frozen.as_ref().is_ok_and(|frozen| !frozen.is_empty());
        self.view.gate == Gate::Proven && !self.view.agent.is_gone() && self.held.is_empty() && !is_frozen
    }
}

impl StatusPlaces {
    /// The containers that we froze.
    pub fn frozen(&self) -> Result<Vec<StillFrozen>, WorkloadError> {
        workload::frozen(&FreezeSettings {
            ledger: self.page.with_file_name("ledger"),
            cgroup: self.cgroup.clone(),
            root: self.root.clone(),
            ..FreezeSettings::default()
        })
    }

    fn kept(&self) -> io::Result<Option<RecordedDisruption>> {
        let mut fold = Fold::default();
        HistoryFiles::below(&self.root).each_of_the_latest_lines(|line| fold.add_line(line))?;
        Ok(fold.last())
    }
}

/// Containers that wait at the gate of this host.
pub fn held() -> Vec<Waiting> {
    oci::waiting(Path::new("/proc"))
}

impl LastDisruption {
    fn of(view: &View, kept: Option<&RecordedDisruption>) -> Option<Self> {
        let of_page = (view.epoch > 0 && view.cause != Cause::Started.code()).then(|| Self::of_page(view));
        let Some(kept) = kept else { return of_page };
        let boot: String = boot_id().unwrap_or_default().iter().map(|byte| format!("{byte:02x}")).collect();
        let is_of_this_boot = kept.boot == boot;
        // It is written behind the page.
        let disruption = &kept.disruption;
        if of_page.as_ref().is_some_and(|page| !is_of_this_boot || page.epoch > disruption.epoch) {
            return of_page;
        }
        Some(Self {
            epoch: disruption.epoch,
            cause: disruption.cause_name().to_owned(),
            since: is_of_this_boot.then_some(kept.began),
            time: disruption.by.map(|by| (disruption.time, by)),
            stepped: disruption.stepped,
            shut_for: disruption.shut_for(),
        })
    }

    fn of_page(view: &View) -> Self {
        Self {
            epoch: view.epoch,
            cause: view.cause_name().to_owned(),
            since: Some(view.since),
            time: None,
            stepped: None,
            shut_for: None,
        }
    }
}

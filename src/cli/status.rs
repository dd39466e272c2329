//! `clockgate status`

mod nagios;

use std::path::{Path, PathBuf};
use std::time::Duration;

use crate::cli::{CliError, print};
use crate::decision::{Boottime, Gate, Offset, bound_in_words, nanos_u64};
use crate::exit::Exit;
use crate::metrics::{MetricSources, MetricsFormat};
use crate::page::{self, Agent, Page, View};
use crate::publish::bus::client::AgentClient;
use crate::sys::nap;
use crate::waiter::oci::{self, Waiting};
use crate::workload::{self, FreezeSettings, StillFrozen};

/// A second in all.
const LOOKS_AT_SILENT: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    /// The directory of the gate page
    #[arg(long, value_name = "DIR", default_value = page::DIRECTORY, value_parser = super::absolute)]
    page: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print for a monitoring system
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<StatusFormat>,

    /// Look for containers and their names below this folder
    #[arg(long, value_name = "DIR", default_value = "/", hide = true)]
    root: PathBuf,

    /// The cgroup2 hierarchy (found if not given)
    #[arg(long, value_name = "DIR", hide = true)]
    cgroup: Option<PathBuf>,
}

/// What monitoring systems read.
#[derive(Clone, Copy, Debug, clap::ValueEnum)]
enum StatusFormat {
    /// OpenMetrics 1.0
    Openmetrics,
    /// Prometheus' text format 0.0.4
    Prometheus,
    /// A Monitoring Plugins line
    Nagios,
}

impl StatusArgs {
    /// Performs the verb: 0 when the gate is open on a proof, 69 where its agent is gone, 1 when it is not open on a proof.
    pub fn run(self) -> Result<Exit, CliError> {
        let page = match Page::open(&self.page) {
            Ok(page) => page,
            Err(error) if matches!(self.format, Some(StatusFormat::Nagios)) => {
                print(&nagios::unknown(&error))?;
                return Ok(Exit::Unknown);
            }
            Err(error) => return Err(CliError::caused(Exit::NoAgent, "no gate to report on", error)),
        };
        let mut view = page.read();
        // Just after a sleep of the machine the agent may be about to say that it lives.
        for _ in 0..LOOKS_AT_SILENT {
            if !matches!(view.agent, Agent::Silent { .. }) {
                break;
            }
            nap(LOOK_EVERY);
            view = page.read();
        }
        let held = oci::waiting(Path::new("/proc"));
        match self.format {
            Some(StatusFormat::Openmetrics) => print(&self.metrics(MetricsFormat::OpenMetrics, &view, held.len()))?,
            Some(StatusFormat::Prometheus) => print(&self.metrics(MetricsFormat::Prometheus, &view, held.len()))?,
            Some(StatusFormat::Nagios) => {
                print(&nagios::line(&view, held.len(), self.frozen().ok().map(|frozen| frozen.len())))?;
                return Ok(nagios::exit(&view));
            }
            None if self.json => print(&format!("{}\n", json(&view, &held, &self.frozen())))?,
            None => print(&text(&view, &held, &self.frozen()))?,
        }
        Ok(match view.gate {
            Gate::Proven => Exit::Ok,
            Gate::Shut | Gate::Unproven if view.agent.is_gone() => Exit::NoAgent,
            Gate::Shut | Gate::Unproven => Exit::No,
        })
    }

    /// The agent's metrics; where it does not answer, or not to us, those that the page has.
    fn metrics(&self, format: MetricsFormat, view: &View, held: usize) -> String {
        let asked = AgentClient::connect(&self.page.with_file_name("bus")).and_then(|agent| agent.metrics(format));
        asked.unwrap_or_else(|_| format.write(MetricSources { view, tally: None, held: Some(held as u64) }))
    }

    fn frozen(&self) -> Frozen {
        workload::frozen(&FreezeSettings {
            ledger: self.page.with_file_name("ledger"),
            cgroup: self.cgroup.clone(),
            root: self.root.clone(),
            ..FreezeSettings::default()
        })
    }
}

type Frozen = Result<Vec<StillFrozen>, workload::WorkloadError>;

fn json(view: &View, held: &[Waiting], frozen: &Frozen) -> serde_json::Value {
    serde_json::json!({
        "version": 2,
        "gate": view.gate.to_string(),
        "state": view.state_name(),
        "epoch": view.epoch,
        "cause": view.cause_name(),
        "why": view.why,
        "offset_ns": view.offset.map(Offset::as_nanos),
        "bound_ns": view.bound.map(nanos_u64),
        "bound_now_ns": view.bound_now.map(nanos_u64),
        "as_of_boottime_ns": view.as_of.as_nanos(),
        "since_boottime_ns": view.since.as_nanos(),
        "valid_until_boottime_ns": view.valid_until.as_nanos(),
        "threshold_ns": nanos_u64(view.threshold),
        "now_boottime_ns": view.now.as_nanos(),
        "agent": agent(view),
        "held": held.iter().map(Waiting::json).collect::<Vec<_>>(),
        "frozen": frozen.as_ref().ok().map(|some| some.iter().map(StillFrozen::json).collect::<Vec<_>>()),
    })
}

/// How the agent behind the page fares.
const fn agent(view: &View) -> &'static str {
    match view.agent {
        Agent::Alive => "alive",
        Agent::Starting => "starting",
        Agent::Ended { .. } => "ended",
        Agent::Silent { .. } => "silent",
        Agent::PageGone => "page-gone",
    }
}

fn text(view: &View, held: &[Waiting], frozen: &Frozen) -> String {
    let now = view.now;
    let mut lines = vec![
        ("Gate", view.gate.to_string()),
        ("State", view.state_name().to_owned()),
        ("Epoch", format!("{}, {} s old, cause: {}", view.epoch, now.since(view.since).as_secs(), view.cause_name())),
    ];
    // The reason why an agent ended is shown instead.
    if !view.why.is_empty() && !matches!(view.agent, Agent::Ended { .. }) {
        lines.push(("Why", view.why.clone()));
    }
    if let Some(absence) = view.absence() {
        lines.push(("Agent", absence));
    }
    if let (Some(offset), Some(bound)) = (view.offset, view.bound_now.map(nanos_u64)) {
        let age = now.since(view.as_of).as_secs();
        lines.push(("Offset", format!("{offset}: the clock was {} {age} s ago", offset.in_words())));
        let [bound, threshold] = [Duration::from_nanos(bound), view.threshold].map(bound_in_words);
        lines.push(("Bound", format!("{bound} now, threshold {threshold}")));
    }
    if view.gate == Gate::Proven {
        lines.push(("Proven", format!("for {} s more", view.valid_until.since(now).as_secs())));
    }
    if view.deadline != Boottime::default() {
        lines.push(("Deadline", format!("in {} s", view.deadline.since(now).as_secs())));
    }
    lines.extend(held.iter().map(|held| ("Held", held.to_string())));
    match frozen {
        Ok(frozen) => lines.extend(frozen.iter().map(|frozen| ("Frozen", frozen.in_words(now)))),
        Err(error) => lines.push(("Frozen", format!("unknown: {error}"))),
    }
    lines.into_iter().map(|(name, value)| format!("{name:>9}: {value}\n")).collect()
}

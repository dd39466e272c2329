//! `clockgate status`

mod follow;
mod json;
mod nagios;
mod report;
mod text;

use std::time::Duration;

use crate::cli::{CliError, print};
use crate::decision::Gate;
use crate::exit::Exit;
use crate::metrics::{MetricSources, MetricsFormat};
use crate::page::{Agent, Page, View};
use crate::publish::bus::client::AgentClient;
use crate::sys::nap;
use crate::waiter::oci;

use follow::FollowStyle;
use report::{StatusPlaces, StatusReport};
use text::Moments;

/// A second in all.
const LOOKS_AT_SILENT: u32 = 10;
const LOOK_EVERY: Duration = Duration::from_millis(100);

#[derive(Debug, clap::Args)]
pub struct StatusArgs {
    #[command(flatten)]
    places: StatusPlaces,

    /// Show each change until interrupted: live on a terminal, else a line or a JSON object a change
    #[arg(long, conflicts_with = "format")]
    follow: bool,

    /// Print JSON
    #[arg(long)]
    json: bool,

    /// Print for a monitoring system
    #[arg(long, value_name = "FORMAT", conflicts_with = "json")]
    format: Option<StatusFormat>,
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
        let page = match Page::open(&self.places.page) {
            Ok(page) => page,
            Err(error) if matches!(self.format, Some(StatusFormat::Nagios)) => {
                print(&nagios::unknown(&error))?;
                return Ok(Exit::Unknown);
            }
            Err(error) => return Err(CliError::caused(Exit::NoAgent, "no gate to report on", error)),
        };
        if self.follow {
            let style = if self.json { FollowStyle::Json } else { FollowStyle::of_stdout() };
            return follow::follow(page, &self.places, style);
        }
        let mut view = page.read();
        // Just after a sleep of the machine the agent may be about to say that it lives.
        for _ in 0..LOOKS_AT_SILENT {
            if !matches!(view.agent, Agent::Silent { .. }) {
                break;
            }
            nap(LOOK_EVERY);
            view = page.read();
        }
        let exit = match view.gate {
            Gate::Proven => Exit::Ok,
            Gate::Shut | Gate::Unproven if view.agent.is_gone() => Exit::NoAgent,
            Gate::Shut | Gate::Unproven => Exit::No,
        };
        match self.format {
            Some(StatusFormat::Openmetrics) => print(&self.metrics(MetricsFormat::OpenMetrics, &view))?,
            Some(StatusFormat::Prometheus) => print(&self.metrics(MetricsFormat::Prometheus, &view))?,
            Some(StatusFormat::Nagios) => {
                let frozen = self.places.frozen().ok().map(|frozen| frozen.len());
                print(&nagios::line(&view, report::held().len(), frozen))?;
                return Ok(nagios::exit(&view));
            }
            None if self.json => print(&format!("{}\n", json::of(&StatusReport::read(&self.places, view))))?,
            None => {
                let lines = text::lines(&StatusReport::read(&self.places, view), Moments::Counted);
                print(&format!("{}\n", lines.join("\n")))?;
            }
        }
        Ok(exit)
    }

    /// The agent's metrics; where it does not answer, or not to us, those that the page has.
    fn metrics(&self, format: MetricsFormat, view: &View) -> String {
        let bus = self.places.page.with_file_name("bus");
        let asked = AgentClient::connect(&bus).and_then(|agent| agent.metrics(format));
        asked.unwrap_or_else(|_| {
            let refused = oci::refused(&self.places.page).map(|(by, count)| (by.name(), count));
            let held = Some(report::held().len() as u64);
            format.write(MetricSources { held, refused: Some(&refused), ..MetricSources::of_the_page(view) })
        })
    }
}

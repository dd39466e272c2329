//! `clockgate status`

use std::path::{Path, PathBuf};

use crate::cli::Error;
use crate::decision::{Boottime, Gate, Offset, drift, nanos_u64};
use crate::exit::Exit;
use crate::page::{self, Page, View};
use crate::sys::clock::boottime;
use crate::waiter::oci::{self, Waiting};

#[derive(Debug, clap::Args)]
pub struct Args {
    /// The folder of the gate page
    #[arg(long, value_name = "DIR", default_value = page::DIRECTORY)]
    page: PathBuf,

    /// Print JSON
    #[arg(long)]
    json: bool,
}

impl Args {
    /// Performs the verb: 0 when the gate is open on a proof, 1 when it is not.
    pub fn run(self) -> Result<Exit, Error> {
        let page = Page::open(&self.page).map_err(|e| Error::caused(Exit::NoAgent, "no gate to report on", e))?;
        let view = page.read();
        let now = boottime();
        let held = oci::waiting(Path::new("/proc"));
        if self.json {
            println!("{}", json(&view, now, &held))
        } else {
            print!("{}", text(&view, now, &held))
        }
        Ok(if view.gate == Gate::Proven { Exit::Ok } else { Exit::No })
    }
}

/// The bound as it stands now: grown since the question.
fn bound_now(view: &View, now: Boottime) -> Option<u64> {
    let bound = view.bound?;
    Some(nanos_u64(bound.saturating_add(drift(now.since(view.as_of), view.max_drift_ppm))))
}

fn json(view: &View, now: Boottime, held: &[Waiting]) -> serde_json::Value {
    serde_json::json!({
        "version": 1,
        "gate": view.gate.to_string(),
        "state": view.state_name(),
        "epoch": view.epoch,
        "cause": view.cause_name(),
        "why": view.why,
        "offset_ns": view.offset.map(Offset::as_nanos),
        "bound_ns": view.bound.map(nanos_u64),
        "bound_now_ns": bound_now(view, now),
        "as_of_boottime_ns": view.as_of.as_nanos(),
        "since_boottime_ns": view.since.as_nanos(),
        "valid_until_boottime_ns": view.valid_until.as_nanos(),
        "threshold_ns": nanos_u64(view.threshold),
        "now_boottime_ns": now.as_nanos(),
        "held": held.iter().map(Waiting::json).collect::<Vec<_>>(),
    })
}

fn text(view: &View, now: Boottime, held: &[Waiting]) -> String {
    let mut lines = vec![
        ("Gate", view.gate.to_string()),
        ("State", view.state_name().to_owned()),
        ("Epoch", format!("{}, {} s old, cause: {}", view.epoch, now.since(view.since).as_secs(), view.cause_name())),
    ];
    if !view.why.is_empty() {
        lines.push(("Why", view.why.clone()));
    }
    if let (Some(offset), Some(bound)) = (view.offset, bound_now(view, now)) {
        let age = now.since(view.as_of).as_secs();
        lines.push(("Offset", format!("{offset} ({age} s ago; positive: our clock is behind)")));
        lines.push(("Bound", format!("{:.3} ms now, threshold {} ms", bound as f64 / 1e6, view.threshold.as_millis())));
    }
    if view.gate == Gate::Proven {
        lines.push(("Proven", format!("for {} s more", view.valid_until.since(now).as_secs())));
    }
    if view.deadline != Boottime::default() {
        lines.push(("Deadline", format!("in {} s", view.deadline.since(now).as_secs())));
    }
    lines.extend(held.iter().map(|held| ("Held", held.to_string())));
    lines.into_iter().map(|(name, value)| format!("{name:>9}: {value}\n")).collect()
}

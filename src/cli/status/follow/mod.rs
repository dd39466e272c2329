//! `status --follow`: what changes, when it changes. While the gate is open on a proof, and nothing is held or frozen, it sleeps until
//! the agent publishes something; otherwise it looks once a second.

mod changes;
mod page_watch;
mod screen;
mod wake_ups;

use std::io::{self, ErrorKind};
use std::mem;
use std::time::Duration;

use serde_json::Value;

use super::json;
use super::report::{StatusPlaces, StatusReport};
use super::text::{self, Moments};
use crate::cli::CliError;
use crate::decision::Gate;
use crate::exit::Exit;
use crate::page::{Page, View};
use crate::sys::clock::realtime;
use crate::sys::{output, terminal};

use changes::Changes;
use page_watch::PageWatch;
use screen::Screen;
use wake_ups::{WakeUp, WakeUps};

/// How often to look while something counts, or may change though the page does not.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// What happens beside the page follows a publication so soon; a look at all of it would compete with the agent for a processor.
const LOOK_BESIDE_AFTER: Duration = Duration::from_millis(100);
/// While the history, which is written to a disk, does not have it yet, each next look is twice as late, and this is the last.
const LOOKS_BESIDE: u32 = 8;

/// The form in which changes are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FollowStyle {
    /// A screen that is drawn over.
    Live,
    /// A line a change.
    Lines,
    /// A JSON object a change.
    Json,
}

impl FollowStyle {
    /// What suits standard output.
    pub fn of_stdout() -> Self {
        if terminal::is_live(&io::stdout()) { Self::Live } else { Self::Lines }
    }
}

/// Shows the state of the gate and each change, until it is interrupted or its reader has gone.
pub fn follow(page: Page, places: &StatusPlaces, style: FollowStyle) -> Result<Exit, CliError> {
    let failed = |source: io::Error| CliError::caused(Exit::Bug, "cannot follow the gate page", source);
    let wake_ups = WakeUps::new(&places.page, style).map_err(failed)?;
    let mut watch = PageWatch::new(page, &places.page, wake_ups.bell());
    let mut shown = FollowOutput::begin(style).map_err(failed)?;
    let mut report = StatusReport::read(places, watch.read());
    // The looks at what is beside the page since that has changed; none where all of it is known.
    let mut looks = Some(0);
    loop {
        match shown.show(&report) {
            Err(error) if error.kind() == ErrorKind::BrokenPipe => return Ok(Exit::Ok),
            outcome => outcome.map_err(failed)?,
        }
        match wake_ups.wait(pause(&report, looks)).map_err(failed)? {
            WakeUp::PageChanged => {
                report = report.with_view(watch.read());
                looks = Some(0);
            }
            WakeUp::TimePassed => {
                report = StatusReport::read(places, watch.read());
                looks = looks.map(|looks| looks + 1).filter(|looks| *looks < LOOKS_BESIDE && report.awaits_history());
                if !report.is_quiet() {
                    wake_ups.watch_folder(&places.page);
                }
            }
            WakeUp::Resized => shown.draw_anew(),
            WakeUp::Suspended => shown.suspend().map_err(failed)?,
            WakeUp::Interrupted(signal) => {
                drop(shown);
                wake_ups.end_by(signal);
                return Ok(Exit::Ok);
            }
            WakeUp::NoReader => return Ok(Exit::Ok),
        }
    }
}

/// How long to sleep though nothing wakes us; a proof that runs out is no event of the page's.
fn pause(report: &StatusReport, looks: Option<u32>) -> Duration {
    let View { now, valid_until, .. } = report.view;
    let longest =
        if report.is_quiet() { valid_until.since(now).saturating_add(Duration::from_millis(1)) } else { LOOK_EVERY };
    looks.map_or(longest, |looks| longest.min(LOOK_BESIDE_AFTER.saturating_mul(1 << looks)))
}

/// Where it is shown, and what was shown there.
enum FollowOutput {
    Screen(Screen),
    Lines(Changes),
    Objects(Value),
}

impl FollowOutput {
    fn begin(style: FollowStyle) -> io::Result<Self> {
        Ok(match style {
            FollowStyle::Live => Self::Screen(Screen::open()?),
            FollowStyle::Lines => Self::Lines(Changes::default()),
            FollowStyle::Json => Self::Objects(Value::Null),
        })
    }

    fn show(&mut self, report: &StatusReport) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                // A time of day is shown where a proof says that the clock is right, and nothing has to be counted.
                let moments = if report.is_quiet() { Moments::OfDay(realtime()) } else { Moments::Counted };
                screen.draw(text::lines(report, moments))
            }
            Self::Lines(changes) => {
                let is_proven = report.view.gate == Gate::Proven;
                changes
                    .of(report)
                    .into_iter()
                    .try_for_each(|change| output::print_to_a_reader(&changes::line(&change, realtime(), is_proven)))
            }
            Self::Objects(last) => {
                let object = json::of(report);
                let lasting = json::without_moving(&object);
                if mem::replace(last, lasting.clone()) == lasting {
                    return Ok(());
                }
                output::print_to_a_reader(&format!("{object}\n"))
            }
        }
    }

    /// The terminal has another size.
    fn draw_anew(&mut self) {
        match self {
            Self::Screen(screen) => screen.forget(),
            Self::Lines(_) | Self::Objects(_) => {}
        }
    }

    /// Stops this process until its shell continues it, with the terminal as it was.
    fn suspend(&mut self) -> io::Result<()> {
        match self {
            Self::Screen(screen) => {
                screen.close()?;
                wake_ups::stop()?;
                screen.reopen()
            }
            Self::Lines(_) | Self::Objects(_) => Ok(()),
        }
    }
}

//! What was wrong with the clock, as a report: computed once from the history, as data, and written as text, JSON, a picture or a page.
//!
//! Records go into a [`Fold`] one by one, which keeps a few bytes of each; a [`ClockReport`] is what it makes of them, within a [`Window`].

mod dated;
mod escape;
mod fold;
mod follows;
mod html;
mod json;
mod last;
mod meaning;
mod names;
mod references;
mod svg;
mod text;
mod timeline;
mod window;
mod words;

use std::time::Duration;

use crate::decision::{Cause, Offset, Realtime};
use crate::history::DatedBy;

pub use fold::Fold;
pub use html::{STYLE_HASH, write as write_html};
pub use json::write as write_json;
pub use last::RecordedDisruption;
pub use names::{Named, NamedContainers};
pub use references::ReferenceWorth;
pub use svg::{Axis, COLUMNS, LaneBox, MOST_MARKS, OffsetScale, write as write_svg};
pub use text::write as write_text;
pub use window::{LivingAgent, Window};
pub use words::Zone;

/// What happened between two times.
#[derive(Clone, Debug, Default)]
pub struct ClockReport {
    /// From when to when; none where nothing is recorded.
    pub span: Option<TimeSpan>,
    /// From when to when the whole history is.
    pub whole: Option<TimeSpan>,
    /// How long the gate was in each condition.
    pub shares: Shares,
    /// The gate, from one change to the next, without a hole.
    pub gate: Vec<GateSpan>,
    /// When containers were frozen.
    pub frozen: Vec<TimeSpan>,
    /// What was measured, in order.
    pub samples: Vec<OffsetSample>,
    /// The disruptions, the oldest first.
    pub disruptions: Vec<Disruption>,
    /// Which containers they name.
    pub names: NamedContainers,
    /// The index of the disruption with the largest offset.
    pub worst: Option<usize>,
    /// The index of the one with the longest shut gate.
    pub longest: Option<usize>,
    /// What the references were worth.
    pub references: Vec<ReferenceWorth>,
    /// How often a reference was met that is in no row.
    pub unlisted_references: u64,
    /// How often each warning was recorded.
    pub warnings: Vec<(&'static str, u64)>,
    /// How many records were read.
    pub records: u64,
    /// Lines that are torn, or of a later version.
    pub skipped: u64,
    /// Records that a full disk took.
    pub lost: u64,
}

/// A piece of time.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct TimeSpan {
    /// Its beginning.
    pub from: Realtime,
    /// Its end.
    pub until: Realtime,
}

impl TimeSpan {
    /// How long it is.
    #[must_use]
    pub fn length(self) -> Duration {
        Duration::from_nanos(u64::try_from((self.until - self.from).as_nanos()).unwrap_or(0))
    }

    /// Whether a time is in it.
    #[must_use]
    pub fn has(self, time: Realtime) -> bool {
        (self.from..=self.until).contains(&time)
    }

    /// What of it lies within another; none where nothing does.
    #[must_use]
    pub fn within(self, other: Self) -> Option<Self> {
        let both = Self { from: self.from.max(other.from), until: self.until.min(other.until) };
        (both.from <= both.until).then_some(both)
    }
}

/// The gate as far as a reader of the history knows it, the worst last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum GateLane {
    /// Open on a proof.
    Proven,
    /// The machine slept, behind a shut gate.
    Asleep,
    /// Unknown: no agent ran.
    NoAgent,
    /// Unknown: the machine was off, or ran without an agent until it was.
    Off,
    /// Unknown: the machine was paused, or is one that was restored.
    Paused,
    /// Open without a proof.
    Unproven,
    /// Shut.
    Shut,
}

impl GateLane {
    /// Every condition, in the order of the report.
    pub const ALL: [Self; 7] =
        [Self::Proven, Self::Unproven, Self::Shut, Self::Asleep, Self::NoAgent, Self::Off, Self::Paused];

    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Proven => "proven",
            Self::Unproven => "unproven",
            Self::Shut => "shut",
            Self::Asleep => "asleep",
            Self::NoAgent => "no-agent",
            Self::Off => "off",
            Self::Paused => "paused",
        }
    }

    /// Whether the gate is unknown.
    #[must_use]
    pub const fn is_unknown(self) -> bool {
        matches!(self, Self::NoAgent | Self::Off | Self::Paused)
    }
}

/// A piece of time in one condition.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct GateSpan {
    /// When.
    pub span: TimeSpan,
    /// Which.
    pub lane: GateLane,
}

/// How long the gate was in each condition.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Shares([Duration; 7]);

impl Shares {
    /// How long it was in this one.
    #[must_use]
    pub const fn of(&self, lane: GateLane) -> Duration {
        self.0[lane as usize]
    }

    /// How long in all.
    #[must_use]
    pub fn whole(&self) -> Duration {
        self.0.iter().sum()
    }

    fn add(&mut self, lane: GateLane, length: Duration) {
        self.0[lane as usize] += length;
    }
}

/// A measurement.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OffsetSample {
    /// When it was recorded.
    pub time: Realtime,
    /// Since when it holds: a clock that was found wrong has been so since the disruption.
    pub since: Realtime,
    /// Until when it holds, at the latest.
    pub until: Realtime,
    /// What was measured.
    pub measured: MeasuredOffset,
}

/// How far off the clock was.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredOffset {
    /// Reference minus local.
    pub offset: Offset,
    /// By how much that may be wrong.
    pub root_distance: Duration,
}

/// How a disruption ended.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Ending {
    /// The gate is shut as far as is known.
    #[default]
    StillShut,
    /// The gate was opened on a proof.
    Proven,
    /// The gate was opened without one, and stayed so.
    Unproven,
    /// The gate was opened without one, and on a proof so much later.
    ProvenLater(Duration),
    /// Another disruption came before the gate was opened.
    Overtaken,
    /// The agent or the boot ended before the gate was opened.
    AgentGone,
}

impl Ending {
    /// Its name in JSON.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::StillShut => "still-shut",
            Self::Proven => "proven",
            Self::Unproven => "unproven",
            Self::ProvenLater(_) => "proven-later",
            Self::Overtaken => "overtaken",
            Self::AgentGone => "agent-gone",
        }
    }
}

/// How the agent before a start went away.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum AgentBefore {
    /// There is none on record, or this is no start.
    #[default]
    None,
    /// It ended in good order.
    Ended,
    /// It was killed, or crashed.
    Killed,
    /// The machine was off in between.
    OtherBoot,
}

/// Something that voided what was known of the clock.
#[derive(Clone, Debug, Default)]
pub struct Disruption {
    /// When.
    pub time: Realtime,
    /// What dates it; none before it is dated.
    pub by: Option<DatedBy>,
    /// The epoch that it began.
    pub epoch: u64,
    /// The number of its cause, see [`Cause::name_of`].
    pub cause: u32,
    /// How the agent before a start went away.
    pub before: AgentBefore,
    /// How far off the clock was found at most.
    pub measured: Option<MeasuredOffset>,
    /// By how much the clock was stepped.
    pub stepped: Option<Offset>,
    /// How long the machine slept.
    pub asleep: Option<Duration>,
    /// How long the gate was shut while the machine was awake.
    pub shut: Duration,
    /// How it ended.
    pub ending: Ending,
    /// How many containers were frozen, and how many were to be.
    pub frozen: Option<(u32, u32)>,
    /// How many waiters were held.
    pub held: u32,
    /// How many waiters were released.
    pub released: u32,
    /// The containers by name.
    pub named: Option<Box<Named>>,
    /// The warnings, one bit for each of `EventKind::ALL`.
    pub warnings: u32,
    index: u32,
}

impl Disruption {
    /// The name of its cause.
    #[must_use]
    pub fn cause_name(&self) -> &'static str {
        Cause::name_of(self.cause)
    }

    /// How far off the clock was, without a sign; zero where that is unknown.
    #[must_use]
    pub fn size(&self) -> Duration {
        self.measured.map_or(Duration::ZERO, |measured| measured.offset.abs())
    }

    /// The worse one is greater: by the offset, then by the time that the gate was shut.
    #[must_use]
    pub fn severity(&self) -> (Duration, Duration) {
        (self.size(), self.shut)
    }
}

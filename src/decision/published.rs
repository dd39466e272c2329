//! What is published: the machine's state as every user may see it.

use std::time::Duration;

pub use clockgate_page::ClockMeasurement;
pub use clockgate_page::Gate;

use super::containers::ContainerText;
use super::event::Cause;
use super::leap::LeapSecond;
use super::time::{Boottime, Differences, Epoch, Offset};

/// The machine's state as it is published.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// The state's number on the page, see [`super::State::code`].
    pub state: u32,
    /// The gate, a function of the state.
    pub gate: Gate,
    /// Our count of disruptions.
    pub epoch: Epoch,
    /// Why this epoch began, see [`Cause::code`].
    pub cause: Cause,
    /// When this epoch began.
    pub since: Boottime,
    /// The epoch of the first sign of this disruption; none where this epoch is the first.
    pub repeats: Option<Epoch>,
    /// Reference minus local at the last measurement of this epoch; none before the first.
    pub offset: Option<Offset>,
    /// The most the clock was wrong at `as_of`; none before the first measurement of this epoch.
    pub bound: Option<Duration>,
    /// When the last question was asked.
    pub as_of: Boottime,
    /// The bound under which the gate opens.
    pub threshold: Duration,
    /// When the growing bound meets the threshold; the proof is void from then on. Zero when there is none.
    pub valid_until: Boottime,
    /// When the deadline's policy applies; zero when nothing waits for it.
    pub deadline: Boottime,
    /// When the next measurement is due, in the past while one is under way; zero where none is planned.
    pub next: Boottime,
    /// The differences of the clocks at the proof; meaningless without one.
    pub differences: Differences,
    /// The leap second that the clock is to make, and the truth with it.
    pub leap_second: Option<LeapSecond>,
    /// The rate the bound grows at, parts per million.
    pub max_drift_ppm: u32,
    /// Whether two references or an authenticated one stand behind the proof, at once or one after the other, or an RTC that ran through.
    pub is_supported: bool,
    /// Whether authenticated references, and no others, stand behind the proof.
    pub is_authenticated: bool,
    /// What two exchanges of this epoch measured that are no proof: waiters with a wider tolerance go by it. None beside a proof.
    pub measured: Option<ClockMeasurement>,
    /// Why the gate is shut, in words; empty when it is open on a proof.
    pub why: ContainerText,
}

//! One answer about the clock's error, and what it is worth as time goes on.

use std::fmt;
use std::time::Duration;

use super::time::{Boottime, Offset, Realtime, drift};

/// What kind of reference gave a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Kind {
    /// An NTP server that we asked ourselves.
    Ntp,
    /// The time daemon of this host, after it was made to forget.
    Daemon,
    /// A hardware clock of the kernel's PTP class: the hypervisor's, or a network card's.
    Phc,
    /// The time that the hypervisor publishes in the VMClock page.
    VmClock,
    /// The battery-backed clock: whole seconds, evidence for a step and never a proof.
    Rtc,
    /// Whoever told us of a restore told us the time as well.
    Told,
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ntp => "ntp",
            Self::Daemon => "daemon",
            Self::Phc => "phc",
            Self::VmClock => "vmclock",
            Self::Rtc => "rtc",
            Self::Told => "told",
        })
    }
}

/// A reference's leap second warning (RFC 5905 section 7.3, leap indicator 0 to 2; 3 is no reading at all).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Leap {
    /// No leap second this month.
    #[default]
    None,
    /// The last minute of the month has 61 seconds.
    Insert,
    /// The last minute of the month has 59 seconds.
    Delete,
}

/// One answer about the clock's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Who said it: `192.0.2.1:123 (ntp.example)`, `chronyd`.
    pub source: String,
    /// What kind of reference that is.
    pub kind: Kind,
    /// When the question was asked, taken before it was asked.
    pub as_of: Boottime,
    /// What the system clock said at `as_of`.
    pub local: Realtime,
    /// Reference minus local.
    pub offset: Offset,
    /// delay/2 + root delay/2 + root dispersion + precision, as of `as_of` (RFC 5905 section 11.2, Λ).
    pub root_distance: Duration,
    /// Whether the answer was authenticated (NTS or a symmetric key).
    pub authenticated: bool,
    /// The source's leap second warning.
    pub leap: Leap,
    /// The source's stratum, 1 to 15, where it has one.
    pub stratum: Option<u8>,
    /// Round trip of the exchange, where there was one.
    pub delay: Option<Duration>,
}

impl Reading {
    /// The root distance at `now`: grown at `drift_ppm` since the question.
    #[must_use]
    pub fn root_distance_at(&self, now: Boottime, drift_ppm: u32) -> Duration {
        self.root_distance.saturating_add(drift(now.since(self.as_of), drift_ppm))
    }

    /// The most the clock can be wrong at `now`: abs(offset) + root distance.
    #[must_use]
    pub fn bound_at(&self, now: Boottime, drift_ppm: u32) -> Duration {
        self.offset.abs().saturating_add(self.root_distance_at(now, drift_ppm))
    }
}

/// Why a reference gave no reading, in words for the person at 3 a.m.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Failure {
    /// Who was asked.
    pub source: String,
    /// What came back instead of a reading.
    pub why: String,
}

/// What came back when every reference was asked once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// The answers, in the order they came.
    pub readings: Vec<Reading>,
    /// Those who did not answer, or not well.
    pub failures: Vec<Failure>,
    /// How far the kernel bends the clock's rate just now, parts per million without the sign
    /// (adjtimex: `freq` and `tick`); beyond the configured drift it is what the bound grows by.
    pub rate_ppm: u32,
}

//! One answer about the clock's error, and how far it can be trusted as time passes.

use std::collections::BTreeSet;
use std::fmt;
use std::time::Duration;

use super::time::{Boottime, Offset, Realtime, drift};

/// What kind of reference gave a reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ReferenceKind {
    /// An NTP server that we asked ourselves.
    Ntp,
    /// The time daemon of this host, after its reset.
    Daemon,
    /// A hardware clock of the kernel's PTP class: the hypervisor's, or a network card's.
    Phc,
    /// The time that the hypervisor publishes in the VMClock page.
    VmClock,
    /// The battery-backed clock: whole seconds, evidence for a step and never a proof.
    Rtc,
    /// The caller that notified us of a restore supplied the time as well.
    Caller,
}

impl fmt::Display for ReferenceKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Ntp => "ntp",
            Self::Daemon => "daemon",
            Self::Phc => "phc",
            Self::VmClock => "vmclock",
            Self::Rtc => "rtc",
            Self::Caller => "told",
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

/// Who speaks: one voice counts once, however many addresses and devices it speaks from.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Voice {
    /// What counts once in a majority: a server's name (all its addresses together), one address of a pool, the hypervisor.
    pub name: String,
    /// What counts once where two references are required: the same, but one for all addresses of a pool.
    pub operator: String,
}

impl Voice {
    /// A server by its configured name or address.
    #[must_use]
    pub fn server(name: impl Into<String>) -> Self {
        let name = name.into();
        Self { operator: name.clone(), name }
    }

    /// One address of a pool: a machine of another operator, found through one name.
    #[must_use]
    pub fn of_pool(address: impl Into<String>, pool: impl Into<String>) -> Self {
        Self { name: address.into(), operator: pool.into() }
    }

    /// Every clock of the hypervisor: its PTP clock, VMClock page, virtio RTC, and the time received over vsock.
    #[must_use]
    pub fn hypervisor() -> Self {
        Self::server("hypervisor")
    }
}

/// Whom a server listens to and when it last set its clock (RFC 5905 section 7.3): two servers that say the same, to the
/// fraction of a second, are one machine or repeat one another.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Upstream {
    /// Reference id.
    pub id: [u8; 4],
    /// Reference timestamp, NTP's 32.32 fixed point format; one in whole seconds says nothing and is no upstream here.
    pub set: u64,
}

/// One answer about the clock's error.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reading {
    /// Who said it: `192.0.2.1:123 (ntp.example)`, `chronyd`.
    pub source: String,
    /// Whom it counts for.
    pub voice: Voice,
    /// What kind of reference that is.
    pub kind: ReferenceKind,
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
    /// By what two names of one server are recognised; none where its answer does not show it.
    pub upstream: Option<Upstream>,
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
    /// The voice that it would have been; none where the failure is not that of one reference.
    pub voice: Option<Voice>,
    /// Whether it was asked at all; a question that a limit withheld is no silence.
    pub asked: bool,
    /// What came back instead of a reading.
    pub why: String,
}

impl Failure {
    /// A failure that takes no voice from a majority: a remark, or the whole exchange.
    #[must_use]
    pub fn remark(source: impl Into<String>, why: impl Into<String>) -> Self {
        Self { source: source.into(), voice: None, asked: true, why: why.into() }
    }
}

/// Packets in the name of a reference that answered, none of which was used.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RefusedPackets {
    /// Whose name they had.
    pub source: String,
    /// How many they were, and what was wrong with the last one.
    pub why: String,
}

/// A reference that was asked and may still answer in time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AwaitedSource {
    /// Who was asked.
    pub source: String,
    /// Whom the answer will count for.
    pub voice: Voice,
}

/// The answers since every reference was asked: sent anew, whole, whenever one arrived or the time of a server was up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Measurement {
    /// The answers, in the order they came.
    pub readings: Vec<Reading>,
    /// Those who did not answer in their time, or not well.
    pub failures: Vec<Failure>,
    /// What came beside the answers and was not used.
    pub refused: Vec<RefusedPackets>,
    /// Those who may still answer in time; empty when the exchange has ended.
    pub waiting: Vec<AwaitedSource>,
    /// The voices of the references that prove who they are, whether they answered or not. Beside one of them plain answers prove nothing.
    pub authenticated: BTreeSet<String>,
    /// How far the kernel bends the clock's rate just now, parts per million without the sign
    /// (adjtimex: `freq` and `tick`); beyond the configured drift it is what the bound grows by.
    pub rate_ppm: u32,
}

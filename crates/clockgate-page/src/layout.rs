//! The layout: where each field of the page begins, and what its numbers mean. `docs/interfaces.md` of clockgate is the same in
//! words; a test holds the two together.

/// The folder that holds the page, and the only one to mount into a container.
pub const DIRECTORY: &str = "/run/clockgate/public";
/// The page's name in its folder.
pub const FILE: &str = "gate";
/// The first eight bytes of every version.
pub const MAGIC: u64 = u64::from_ne_bytes(*b"CLKGATE\0");
/// The version of the layout below; fields may be added behind the last one without a new version.
pub const VERSION: u32 = 1;
/// The number that means "not known" in `offset` (as bits) and `bound`.
pub const UNKNOWN: u64 = u64::MAX;
/// Room for the reason, bytes of UTF-8 padded with zeros.
pub const WHY_LEN: usize = 256;

/// The number of a proof by references that anyone on the way can imitate.
pub const BY_PLAIN: u32 = 1;
/// The number of a proof by references that prove who they are, and by no others.
pub const BY_AUTHENTICATED: u32 = 2;

/// The names of the states, by their number on the page.
const STATES: [&str; 8] =
    ["Unknown", "Suspended", "Disrupted", "Settling", "Synchronized", "FreeRunning", "GaveUp", "Ended"];
/// The state of an agent that has not begun to measure.
pub const STARTING: u32 = 0;
/// The state after a disruption until a step was made or a proof.
pub const DISRUPTED: u32 = 2;
/// The state past the deadline of a disruption.
pub const GAVE_UP: u32 = 6;
/// The state of an agent that has ended; the page keeps its reason.
pub const ENDED: u32 = 7;

/// The names of the causes of an epoch, by their number on the page.
const CAUSES: [&str; 11] = [
    "started",
    "sleep",
    "resume",
    "foreign-step",
    "snapshot",
    "restore",
    "requested",
    "expired",
    "drifted",
    "daemon-disagrees",
    "pause",
];

/// The numbers of the causes.
pub mod cause {
    /// The agent has started.
    pub const STARTED: u32 = 0;
    /// The machine is going to sleep.
    pub const SLEEP: u32 = 1;
    /// The machine woke up.
    pub const RESUME: u32 = 2;
    /// Another program set the clock.
    pub const FOREIGN_STEP: u32 = 3;
    /// A snapshot is being taken.
    pub const SNAPSHOT: u32 = 4;
    /// A snapshot was loaded.
    pub const RESTORE: u32 = 5;
    /// It was asked for.
    pub const REQUESTED: u32 = 6;
    /// The proof has run out.
    pub const EXPIRED: u32 = 7;
    /// A measurement found the clock wrong.
    pub const DRIFTED: u32 = 8;
    /// The time daemon says that the clock is wrong.
    pub const DAEMON_DISAGREES: u32 = 9;
    /// The virtual machine was paused.
    pub const PAUSE: u32 = 10;
    /// How many there are.
    pub const COUNT: u32 = super::CAUSES.len() as u32;
}

/// The name of a state in logs, JSON and on the bus.
#[must_use]
pub fn state_name(code: u32) -> &'static str {
    name(&STATES, code).unwrap_or("of a later version")
}

/// The name of a cause in logs, JSON and on the bus.
#[must_use]
pub fn cause_name(code: u32) -> &'static str {
    name(&CAUSES, code).unwrap_or("unknown")
}

fn name(names: &[&'static str], code: u32) -> Option<&'static str> {
    names.get(usize::try_from(code).ok()?).copied()
}

/// Where each field begins.
pub mod at {
    /// u64, [`super::MAGIC`].
    pub const MAGIC: usize = 0;
    /// u32, [`super::VERSION`].
    pub const VERSION: usize = 8;
    /// u32, how many bytes of the page are used.
    pub const SIZE: usize = 12;
    /// 16 bytes, the boot id in the order that its text has.
    pub const BOOT_ID: usize = 16;
    /// u32, the gate and the futex: 0 shut, 1 proven, 2 unproven.
    pub const GATE: usize = 32;
    /// u32, the sequence lock: odd while the fields below change.
    pub const SEQUENCE: usize = 36;
    /// u64, the count of disruptions.
    pub const EPOCH: usize = 40;
    /// u32, see [`super::state_name`].
    pub const STATE: usize = 48;
    /// u32, see [`super::cause_name`].
    pub const CAUSE: usize = 52;
    /// i64 nanoseconds, reference minus local at `as_of`.
    pub const OFFSET: usize = 56;
    /// u64 nanoseconds, the most the clock was wrong at `as_of`.
    pub const BOUND: usize = 64;
    /// u64 nanoseconds since boot, when the last question was asked.
    pub const AS_OF: usize = 72;
    /// u64 nanoseconds, the bound under which the gate opens.
    pub const THRESHOLD: usize = 80;
    /// u64 nanoseconds since boot, when the proof ends; zero without one.
    pub const VALID_UNTIL: usize = 88;
    /// u64 nanoseconds since boot, when the epoch began.
    pub const SINCE: usize = 96;
    /// u64 nanoseconds since boot, when the policy for failures applies; zero when nothing waits for it.
    pub const DEADLINE: usize = 104;
    /// u32, parts per million that the bound grows by.
    pub const MAX_DRIFT: usize = 112;
    /// u32, moves with everything that is published, after it, and wakes those who sleep on it; an agent before [`NEXT`] leaves it zero.
    pub const CHANGES: usize = 116;
    /// 256 bytes, why the gate is not open on a proof.
    pub const WHY: usize = 120;
    /// u64 nanoseconds since boot, until when the agent lives if it says nothing more; in the state Ended, when it ended.
    pub const ALIVE_UNTIL: usize = WHY + super::WHY_LEN;
    /// i64 nanoseconds, `REALTIME − BOOTTIME` at the proof.
    pub const REAL_MINUS_BOOT: usize = ALIVE_UNTIL + 8;
    /// u64 nanoseconds, `BOOTTIME − MONOTONIC` at the proof.
    pub const BOOT_MINUS_MONO: usize = REAL_MINUS_BOOT + 8;
    /// i64 nanoseconds, `MONOTONIC − MONOTONIC_RAW` at the proof.
    pub const MONO_MINUS_RAW: usize = BOOT_MINUS_MONO + 8;
    /// Behind the differences: an agent before the leap second ends here.
    pub const DIFFERENCES_END: usize = MONO_MINUS_RAW + 8;
    /// u64 nanoseconds since boot, when the clock makes a leap second; means nothing without one.
    pub const LEAP_AT: usize = DIFFERENCES_END;
    /// i64 nanoseconds, by how much the clock moves at [`LEAP_AT`]; zero: no leap second is expected.
    pub const LEAP: usize = LEAP_AT + 8;
    /// Behind the leap second: an agent before the next measurement ends here.
    pub const LEAP_END: usize = LEAP + 8;
    /// u64 nanoseconds since boot, when the next measurement is due; zero where none is planned.
    pub const NEXT: usize = LEAP_END;
    /// Behind it: an agent before the measurement for tolerances ends here.
    pub const NEXT_END: usize = NEXT + 8;
    /// i64 nanoseconds, reference minus local at [`MEASURED_AS_OF`], by two exchanges of this epoch that prove no clock within the
    /// threshold.
    pub const MEASURED_OFFSET: usize = NEXT_END;
    /// u64 nanoseconds, the most the clock was wrong then; [`super::UNKNOWN`]: there is no such measurement.
    pub const MEASURED_BOUND: usize = MEASURED_OFFSET + 8;
    /// u64 nanoseconds since boot, the moment that offset and bound hold for.
    pub const MEASURED_AS_OF: usize = MEASURED_BOUND + 8;
    /// u64 nanoseconds since boot, when the measurement is too old.
    pub const MEASURED_UNTIL: usize = MEASURED_AS_OF + 8;
    /// u64, the epoch that both exchanges were asked in.
    pub const MEASURED_EPOCH: usize = MEASURED_UNTIL + 8;
    /// i64 nanoseconds, `REALTIME − BOOTTIME` at the measurement.
    pub const MEASURED_REAL_MINUS_BOOT: usize = MEASURED_EPOCH + 8;
    /// u64 nanoseconds, `BOOTTIME − MONOTONIC` at the measurement.
    pub const MEASURED_BOOT_MINUS_MONO: usize = MEASURED_REAL_MINUS_BOOT + 8;
    /// i64 nanoseconds, `MONOTONIC − MONOTONIC_RAW` at the measurement.
    pub const MEASURED_MONO_MINUS_RAW: usize = MEASURED_BOOT_MINUS_MONO + 8;
    /// u32, parts per million that its bound grows by.
    pub const MEASURED_MAX_DRIFT: usize = MEASURED_MONO_MINUS_RAW + 8;
    /// u32, who proved the clock: 0 no reference, or an agent that does not say; [`super::BY_PLAIN`]; [`super::BY_AUTHENTICATED`].
    pub const PROVEN_BY: usize = MEASURED_MAX_DRIFT + 4;
    /// Behind the last field.
    pub const END: usize = PROVEN_BY + 4;
}

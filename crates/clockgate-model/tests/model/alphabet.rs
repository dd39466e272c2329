//! What can happen in a search, in one place: the letters, and by how much each moves what. `cargo test --test model` prints it.

use std::time::Duration;

/// Every answer comes so long after its question.
pub const LATENCY: Duration = Duration::from_millis(10);
/// A server is asked so long after the order.
pub const ASKED_AFTER: Duration = Duration::from_micros(1);
/// A sleep, and what a pause or a restore takes from the clock.
pub const SLEPT: Duration = Duration::from_secs(20);
/// By how much a stranger steps the clock, and a liar is off.
pub const FAR_MS: i64 = 20_000;
/// A step by a stranger that leaves the clock within the threshold.
pub const NEAR_MS: i64 = 100;
/// Root distance of one server, and of one that knows the time only vaguely.
pub const NARROW_MS: u64 = 1;
pub const WIDE_MS: u64 = 400;

/// A letter. What is free happens as often as it can, all else as often as its group has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Letter {
    /// Time passes until the alarm.
    Alarm,
    /// The daemon has forgotten, its sources are plain.
    Forgotten,
    /// The daemon's sources are authenticated.
    Authenticated,
    /// One server answers, and is right.
    Right,
    /// Two servers answer, and are right.
    TwoRight,
    /// One of two servers has answered.
    OneOfTwo,
    /// One server answers, and its time is off.
    Liar,
    /// One server answers, right and vague.
    Vague,
    /// No server answers in time.
    Nobody,
    /// An answer to the question before, right.
    LateRight,
    /// An answer to the question before, off.
    LateLiar,
    Stepped,
    StepRefused,
    StepSuperseded,
    DaemonAgrees,
    DaemonDisagrees,
    Frozen,
    Thawed,
    ThawFailed,
    CarriersThawed,
    TolerantThawed,
    Sleeping,
    Woken,
    /// The kernel has counted a sleep.
    Slept,
    Snapshot,
    Restore,
    Paused,
    SteppedByOthers,
    SteppedALittleByOthers,
    Requested,
    Unseen,
    NetworkChanged,
    Accepted,
    Reckon,
    /// A web server's `Date` says that the clock is off, by what is not true.
    Dated,
    /// It says what is true.
    DatedTruly,
    /// An operator has the clock set by such a `Date`.
    SetByDate,
    /// By one that is off.
    SetByFalseDate,
    /// The agent is killed and begins anew.
    Crash,
    /// The configuration is read anew, with other rules.
    Reload,
}

/// Letters that are counted together.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Group {
    /// What voids what was known.
    Disruption,
    /// Sleep and snapshot.
    Sleep,
    /// An answer that is wrong, vague, partial, refused or none.
    Fault,
    /// An operator's word.
    Operator,
    /// Network, sources of disruptions, web servers.
    Notice,
    /// An agent that is killed or reads its configuration.
    Life,
}

pub const GROUPS: [Group; 6] =
    [Group::Disruption, Group::Sleep, Group::Fault, Group::Operator, Group::Notice, Group::Life];

pub const ALPHABET: [Letter; 40] = [
    Letter::Alarm,
    Letter::Forgotten,
    Letter::Authenticated,
    Letter::Right,
    Letter::TwoRight,
    Letter::OneOfTwo,
    Letter::Liar,
    Letter::Vague,
    Letter::Nobody,
    Letter::LateRight,
    Letter::LateLiar,
    Letter::Stepped,
    Letter::StepRefused,
    Letter::StepSuperseded,
    Letter::DaemonAgrees,
    Letter::DaemonDisagrees,
    Letter::Frozen,
    Letter::Thawed,
    Letter::ThawFailed,
    Letter::CarriersThawed,
    Letter::TolerantThawed,
    Letter::Sleeping,
    Letter::Woken,
    Letter::Slept,
    Letter::Snapshot,
    Letter::Restore,
    Letter::Paused,
    Letter::SteppedByOthers,
    Letter::SteppedALittleByOthers,
    Letter::Requested,
    Letter::Unseen,
    Letter::NetworkChanged,
    Letter::Accepted,
    Letter::Reckon,
    Letter::Dated,
    Letter::DatedTruly,
    Letter::SetByDate,
    Letter::SetByFalseDate,
    Letter::Crash,
    Letter::Reload,
];

impl Letter {
    /// What it is counted by; none where it is free.
    pub const fn group(self) -> Option<Group> {
        match self {
            Self::Alarm
            | Self::Forgotten
            | Self::Right
            | Self::Stepped
            | Self::DaemonAgrees
            | Self::Frozen
            | Self::Thawed
            | Self::Woken => None,
            Self::Restore | Self::Paused | Self::SteppedByOthers | Self::SteppedALittleByOthers | Self::Requested => {
                Some(Group::Disruption)
            }
            Self::Sleeping | Self::Slept | Self::Snapshot => Some(Group::Sleep),
            Self::Authenticated
            | Self::TwoRight
            | Self::OneOfTwo
            | Self::Liar
            | Self::Vague
            | Self::Nobody
            | Self::LateRight
            | Self::LateLiar
            | Self::StepRefused
            | Self::StepSuperseded
            | Self::DaemonDisagrees
            | Self::ThawFailed
            | Self::CarriersThawed
            | Self::TolerantThawed => Some(Group::Fault),
            Self::Accepted | Self::Reckon | Self::SetByDate | Self::SetByFalseDate => Some(Group::Operator),
            Self::Unseen | Self::NetworkChanged | Self::Dated | Self::DatedTruly => Some(Group::Notice),
            Self::Crash | Self::Reload => Some(Group::Life),
        }
    }
}

/// The alphabet in words.
pub fn printed() -> String {
    let mut text = format!(
        "answers after {LATENCY:?}, asked {ASKED_AFTER:?} after the order; far: {FAR_MS} ms, near: {NEAR_MS} ms; root distances \
         {NARROW_MS} and {WIDE_MS} ms; asleep {SLEPT:?}\nfree:"
    );
    let names = |group: Option<Group>| {
        let of = ALPHABET.iter().filter(move |letter| letter.group() == group);
        of.map(|letter| format!(" {letter:?}")).collect::<String>()
    };
    text.push_str(&names(None));
    for group in GROUPS {
        text.push_str(&format!("\n{group:?}:{}", names(Some(group))));
    }
    text
}

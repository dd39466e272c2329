//! What can happen. An answer carries the epoch of its question.

use std::fmt;
use std::time::Duration;

use super::action::OrderId;
use super::containers::{ContainerList, ContainerText};
use super::evidence::{Fix, Hint};
use super::http_date::HttpDate;
use super::reading::{Leap, Measurement};
use super::time::{Epoch, Offset, Round};

/// Who announced a sleep or a wake-up.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Notifier {
    /// logind's `PrepareForSleep`.
    Logind,
    /// A hook or a person: `clockgate notify`.
    Notify,
}

/// How it was noticed that this machine is a restored one, or was continued.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RestoreSign {
    /// A hook, the host or a person notified us.
    Notice,
    /// The kernel logged that it is a fork of an image.
    KernelLine,
    /// The hypervisor's own marker moved.
    Marker,
    /// A clock outside of the machine advanced while the machine did not.
    OutsideClock,
    /// Nothing reported it: a snapshot was announced, and not its end.
    Timeout,
}

/// Why what we knew about the clock is void.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Cause {
    /// The agent has just begun and has proven nothing yet.
    #[default]
    Started,
    /// A sleep was announced.
    Sleep,
    /// The machine woke up, after so long (`BOOTTIME − MONOTONIC` grew; zero where only a notice reports it).
    Resume {
        /// Time asleep as the kernel counted it.
        slept: Duration,
    },
    /// Another program set the clock, by so much.
    ForeignStep {
        /// Change of `REALTIME − BOOTTIME`.
        change: Offset,
    },
    /// A snapshot is about to be taken.
    Snapshot,
    /// The machine was restored from a snapshot, or continued after a pause, by this sign.
    Restore(RestoreSign),
    /// An operator asked for a fresh proof.
    Requested,
    /// The growing bound met the threshold before a reference answered.
    Expired,
    /// A later measurement found the clock wrong.
    Drifted,
    /// The time daemon means to take the clock elsewhere.
    DaemonDisagrees,
    /// The machine was paused without a notice, for so long by a clock that advanced meanwhile (zero where none shows how long).
    Pause {
        /// Time that the system clock lost.
        lost: Duration,
    },
}

impl Cause {
    /// Its number on the gate page; stable for ever.
    #[must_use]
    pub const fn code(self) -> u32 {
        match self {
            Self::Started => 0,
            Self::Sleep => 1,
            Self::Resume { .. } => 2,
            Self::ForeignStep { .. } => 3,
            Self::Snapshot => 4,
            Self::Restore(_) => 5,
            Self::Requested => 6,
            Self::Expired => 7,
            Self::Drifted => 8,
            Self::DaemonDisagrees => 9,
            Self::Pause { .. } => 10,
        }
    }

    /// By what a restore or a pause was noticed; none for every other cause.
    #[must_use]
    pub const fn restore_sign(self) -> Option<RestoreSign> {
        match self {
            Self::Restore(sign) => Some(sign),
            // A marker says that it moved, and not how far.
            Self::Pause { lost } if lost.is_zero() => Some(RestoreSign::Marker),
            Self::Pause { .. } => Some(RestoreSign::OutsideClock),
            Self::Started
            | Self::Sleep
            | Self::Resume { .. }
            | Self::ForeignStep { .. }
            | Self::Snapshot
            | Self::Requested
            | Self::Expired
            | Self::Drifted
            | Self::DaemonDisagrees => None,
        }
    }

    /// Its name in logs, JSON and on the bus, from the number on the page.
    #[must_use]
    pub fn name_of(code: u32) -> &'static str {
        clockgate_page::layout::cause_name(code)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(Self::name_of(self.code()))
    }
}

/// The daemon's authenticated sources (NTS, symmetric keys): beside them plain answers neither step nor open.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Authority {
    /// Their names.
    pub sources: Vec<String>,
    /// For how long none of them has answered; none where one has, or where that is unknown.
    pub silent_for: Option<Duration>,
    /// The day on which the daemon said so, where it does not answer now: it is stopped, restarting or silent.
    pub remembered: Option<String>,
}

/// What came of making the daemon forget.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// The daemon that keeps this clock, `chronyd`; none where we are alone.
    pub daemon: Option<String>,
    /// Its authenticated sources, where there are any that outrank plain ones.
    pub authority: Option<Authority>,
    /// Whether references of our own can prove who they are: then no daemon has to do it for them.
    pub has_keys: bool,
    /// Where it has sources that only it can reach, reference clocks alone: how long to wait for it. The daemon is asked itself then.
    pub only_source: Option<Duration>,
    /// What the RTC said before anything else was done; none where there is no RTC that makes sense.
    pub rtc: Option<Fix>,
    /// What did not work, in words; the attempt continues without it.
    pub trouble: Option<String>,
}

/// Why a step was not made, or not as ordered.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StepError {
    /// Another program moved the clock after the measurement; nothing was done.
    #[error("the clock moved by {change} between measurement and step; measuring again")]
    Superseded {
        /// By how much it had moved.
        change: Offset,
    },
    /// We may not set the clock.
    #[error("{0}")]
    NotPermitted(String),
    /// It went wrong otherwise.
    #[error("{0}")]
    Failed(String),
}

/// What the daemon says of the clock after we have proven it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum DaemonVerdict {
    /// It has not taken enough samples yet.
    NotYet,
    /// It has, and means to correct by so little.
    Agrees {
        /// What it means to correct.
        offset: Offset,
    },
    /// It believes the clock wrong by more than the threshold.
    Disagrees {
        /// What it means to correct.
        offset: Offset,
    },
    /// It does not answer, or there is none.
    Silent(String),
}

/// What came of a freeze.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct FreezeOutcome {
    /// The containers that are frozen.
    pub frozen: ContainerList,
    /// How many there are to freeze.
    pub of: usize,
    /// Those that did not freeze in time, and what could not be done at all.
    pub stuck: Vec<ContainerText>,
    /// The tolerances of those that ask to be thawed by them, each once.
    pub tolerances: Vec<Duration>,
}

/// What can happen to the machine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The agent begins.
    Started,
    /// Something voided what we knew.
    Disrupted(Cause),
    /// A sleep begins: the gate is to be shut before the notifier may go on.
    Sleeping(Notifier),
    /// The sleep is over, or did not happen.
    Woken(Notifier),
    /// The daemon was reset.
    Forgotten(Epoch, Forgotten),
    /// What has come back of this round of questions so far.
    Measured(Epoch, Round, Measurement),
    /// No reference has answered us, and the daemon has received an answer since its reset.
    Hinted(Epoch, Hint),
    /// No reference has answered, and an HTTP server's `Date` says something of the clock.
    Dated(Epoch, HttpDate),
    /// The clock was stepped by so much, or was not.
    Stepped(OrderId, Result<Offset, StepError>),
    /// The daemon was reset again and ordered to measure.
    HandedOver(Epoch, Result<(), String>),
    /// The daemon was asked whether it agrees.
    DaemonAsked(Epoch, DaemonVerdict),
    /// The running containers were frozen, as far as possible.
    Frozen(OrderId, FreezeOutcome),
    /// What was frozen runs again, or does not.
    Thawed(OrderId, Result<(), ContainerText>),
    /// The containers that carry the network run again though the others of this freeze do not; or do not.
    CarriersThawed(OrderId, Result<ContainerList, ContainerText>),
    /// Containers that asked for it run again by their own tolerance though the others of this freeze do not; or do not.
    TolerantThawed(OrderId, Result<ContainerList, ContainerText>),
    /// A route or link changed: who did not answer may answer now.
    NetworkChanged,
    /// An operator means this time: what reckoning and the date of a file say is to be forgotten (`clockgate accept`).
    Accepted,
    /// An operator wants the clock set by dead reckoning (`clockgate sync --reckoned`).
    Reckon,
    /// An operator wants the clock set by a web server's `Date` (`clockgate sync --http`).
    StepByDate(HttpDate),
    /// The kernel's leap second flag changed: it makes this leap second at the end of the day, or none.
    KernelFlagged(Leap),
    /// A source of disruptions ended; what it would have detected is missed until it is back.
    SourceLost(&'static str),
    /// A source was unavailable for a while: a restore may have been missed.
    Unseen(&'static str),
    /// The time of [`super::Machine::alarm`] has come.
    Alarm,
}

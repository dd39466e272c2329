//! What is to happen, drawn from a seed: the same seed draws the same again.

use std::fmt;
use std::time::Duration;

use clockgate::decision::Offset;

use super::judge::THRESHOLD;
use crate::lab::dice::Dice;

/// One thing that is done to the guest or to its world.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Act {
    /// A suspend through logind; a clock that moved by so much comes back from it.
    Sleep { lasts: Duration, moved: Offset },
    /// A stranger steps the clock.
    Step(Offset),
    /// From now on one of the honest servers lies by so much, from so far away.
    Lie { server: u8, by: Offset, round_trip: Duration, lasts: Duration },
    /// From now on nobody answers: one server is silent, the others refuse.
    Silence { lasts: Duration },
    /// The agent gets SIGKILL.
    KillAgent,
    /// The agent gets SIGSTOP, a stranger steps the clock, and so long after it the agent gets SIGCONT.
    StopAgent { lasts: Duration, moved: Offset },
    /// The agent's unit is restarted.
    RestartAgent,
    /// The time daemon is restarted, and may step again.
    RestartDaemon,
    /// The container engine gets SIGKILL while a start through it may be held, and is started again.
    RestartEngine,
    /// chronyd makes way for systemd-timesyncd, or the other way round.
    ReplaceDaemon,
    /// From now on nothing more can be written below this folder.
    Full { folder: Folder, lasts: Duration },
    /// `clockgate notify`, with `--wait` where it announces something.
    Notify(&'static str),
}

/// Where the agent writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Folder {
    /// `/run`, the whole of it.
    Run,
    /// `/var/lib/clockgate`.
    State,
}

impl Folder {
    pub const fn path(self) -> &'static str {
        match self {
            Self::Run => "/run",
            Self::State => "/var/lib/clockgate",
        }
    }
}

impl Act {
    /// What was stepped while the agent stood still the daemon may have undone before it goes on.
    const fn changes_nothing(self) -> bool {
        matches!(
            self,
            Self::RestartDaemon
                | Self::ReplaceDaemon
                | Self::RestartEngine
                | Self::StopAgent { .. }
                | Self::Lie { .. }
                | Self::Silence { .. }
                | Self::Full { .. }
        )
    }

    /// What counts as the same in the table of what was survived.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::Sleep { .. } => "sleep",
            Self::Step(_) => "step by another program",
            Self::Lie { .. } => "server that lies",
            Self::Silence { .. } => "silence of all servers",
            Self::KillAgent => "agent killed",
            Self::StopAgent { .. } => "agent stopped",
            Self::RestartAgent => "agent restarted",
            Self::RestartDaemon => "daemon restarted",
            Self::ReplaceDaemon => "daemon replaced",
            Self::RestartEngine => "engine restarted",
            Self::Full { folder: Folder::Run, .. } => "/run full",
            Self::Full { folder: Folder::State, .. } => "state folder full",
            Self::Notify(_) => "notice",
        }
    }
}

/// Acts that follow one another at once, each after a pause too short for the agent to be done with the one before.
#[derive(Clone, Debug)]
pub struct Disruption(pub Vec<(Duration, Act)>);

impl Disruption {
    /// Whether the agent may be dead when a stranger steps the clock: systemd shuts the gate then, and takes its time.
    pub fn kills(&self) -> bool {
        self.acts().any(|act| matches!(act, Act::KillAgent | Act::RestartAgent))
    }

    /// Whether what is frozen may be thawed on a wrong clock: by systemd after an agent that ended; and there is no freeze that cannot be
    /// written down.
    pub fn thaws(&self) -> bool {
        self.kills() || self.acts().any(|act| matches!(act, Act::Full { folder: Folder::Run, .. }))
    }

    /// Whether it has to begin an epoch; a daemon that is restarted may be of the same opinion as before, and a step that leaves the
    /// clock within the threshold is absorbed.
    pub fn disrupts(&self) -> bool {
        let may_be_absorbed = |act| matches!(act, Act::Step(by) if by.abs() <= THRESHOLD);
        self.acts().any(|act| !act.changes_nothing() && !may_be_absorbed(act))
    }

    /// Whether nothing else disrupts than that others set the clock.
    pub fn only_steps(&self) -> bool {
        self.acts().all(|act| matches!(act, Act::Step(_)) || act.changes_nothing())
    }

    pub fn acts(&self) -> impl Iterator<Item = Act> {
        self.0.iter().map(|(_, act)| *act)
    }
}

impl fmt::Display for Act {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Sleep { lasts, moved: Offset::ZERO } => write!(f, "sleep of {lasts:?}"),
            Self::Sleep { lasts, moved } => write!(f, "sleep of {lasts:?} that moves the clock by {moved}"),
            Self::Step(by) => write!(f, "step by {by}"),
            Self::Lie { server, by, round_trip, lasts } => {
                write!(f, "server {server}, {round_trip:?} away, lies by {by} for {lasts:?}")
            }
            Self::Silence { lasts } => write!(f, "silence for {lasts:?}"),
            Self::KillAgent => f.write_str("agent killed"),
            Self::StopAgent { lasts, moved } => write!(f, "agent stopped for {lasts:?}, and a step by {moved}"),
            Self::Full { folder, lasts } => write!(f, "{} full for {lasts:?}", folder.path()),
            Self::RestartAgent | Self::RestartDaemon | Self::ReplaceDaemon | Self::RestartEngine => {
                f.write_str(self.kind())
            }
            Self::Notify(what) => write!(f, "notify {what}"),
        }
    }
}

impl fmt::Display for Disruption {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (n, (pause, act)) in self.0.iter().enumerate() {
            match n {
                0 => write!(f, "{act}")?,
                _ => write!(f, ", {} ms later {act}", pause.as_millis())?,
            }
        }
        Ok(())
    }
}

/// Draws disruptions.
#[derive(Debug)]
pub struct Plan(Dice);

impl Plan {
    pub const fn new(seed: u64) -> Self {
        Self(Dice::new(seed))
    }

    /// A disruption; one of three overlaps with another.
    pub fn disruption(&mut self) -> Disruption {
        let mut acts = self.kind();
        if self.below(3) == 0 {
            acts.extend(self.kind());
        }
        Disruption(acts.into_iter().map(|act| (self.millis(0, 80), act)).collect())
    }

    fn kind(&mut self) -> Vec<Act> {
        match self.below(21) {
            0..=2 => vec![self.sleep()],
            3 | 4 => vec![self.step()],
            5 => vec![self.step(), self.step()],
            // The answers are wanted: by a step, or by somebody who says that all was restored.
            6 => vec![self.lie(4), self.asked()],
            7 => vec![self.lie(3), self.lie(4), self.asked()],
            8 => vec![Act::Silence { lasts: self.millis(500, 2500) }, self.asked()],
            9 => vec![Act::KillAgent],
            10 => vec![Act::RestartDaemon],
            11 => vec![Act::Notify("suspend"), Act::Notify("resume"), Act::Notify("resume")],
            // Into the settling of the step before.
            12 => vec![self.step(), Act::Notify("resume")],
            13 | 14 => vec![self.stop()],
            15 => vec![Act::RestartAgent],
            16 => vec![Act::ReplaceDaemon],
            17 => vec![self.full(Folder::Run), self.asked()],
            18 => vec![self.full(Folder::State), self.asked()],
            // Over a gate that is shut, and what is frozen.
            19 => vec![Act::Notify("suspend"), Act::RestartEngine, self.step(), Act::Notify("resume")],
            _ => vec![Act::Notify("pre-snapshot"), self.step(), Act::Notify("post-restore")],
        }
    }

    fn sleep(&mut self) -> Act {
        let moved = if self.below(4) == 0 { Offset::ZERO } else { self.offset() };
        Act::Sleep { lasts: self.millis(50, 1500), moved }
    }

    fn step(&mut self) -> Act {
        Act::Step(self.offset())
    }

    fn lie(&mut self, server: u8) -> Act {
        let (by, round_trip) = (self.offset(), self.millis(0, 400));
        Act::Lie { server, by, round_trip, lasts: self.millis(500, 2500) }
    }

    fn stop(&mut self) -> Act {
        Act::StopAgent { lasts: self.millis(100, 3000), moved: self.offset() }
    }

    fn full(&mut self, folder: Folder) -> Act {
        Act::Full { folder, lasts: self.millis(500, 2500) }
    }

    fn asked(&mut self) -> Act {
        if self.below(2) == 0 { Act::Notify("post-restore") } else { self.step() }
    }

    /// Forward or backward, small or large; nothing near the threshold, where an honest judge could err.
    fn offset(&mut self) -> Offset {
        let size = match self.below(4) {
            0 => self.millis(20, 100),
            1 => self.millis(400, 9_000),
            2 => self.millis(10_000, 1_000_000),
            _ => self.millis(1_000_000, 86_400_000),
        };
        let size = clockgate::decision::forward(size);
        if self.below(2) == 0 { size } else { -size }
    }

    fn millis(&mut self, from: u64, to: u64) -> Duration {
        self.0.millis(from, to)
    }

    fn below(&mut self, end: u64) -> u64 {
        self.0.below(end)
    }
}

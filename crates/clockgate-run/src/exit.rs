//! Exit codes: sysexits(3) where it has one; documented in docs/interfaces.md and the manual pages.

/// How a command ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Exit {
    /// Done.
    Ok = 0,
    /// It was done, and the answer is no (`status` of a shut gate).
    No = 1,
    /// The command line is wrong (clap's own code).
    Usage = 2,
    /// `status --format nagios`: there is nothing to judge by ("unknown" of the Monitoring Plugins).
    Unknown = 3,
    /// No agent, or no page of it (EX_UNAVAILABLE).
    NoAgent = 69,
    /// A bug in clockgate (EX_SOFTWARE).
    Bug = 70,
    /// The gate was still shut, or the clock still unproven, at the deadline (EX_TEMPFAIL).
    StillShut = 75,
    /// Not permitted (EX_NOPERM).
    NotPermitted = 77,
    /// The configuration is wrong (EX_CONFIG).
    Config = 78,
    /// `run`: clockgate itself failed, the code that env(1) and docker-run(1) use.
    RunFailed = 125,
    /// `run`: the command was found and could not be executed.
    CannotExecute = 126,
    /// `run`: the command was not found.
    NotFound = 127,
}

impl Exit {
    /// `status --format nagios`: the gate is shut ("critical" of the Monitoring Plugins).
    pub const CRITICAL: Self = Self::Usage;
}

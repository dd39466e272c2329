//! What is asked of all references at once.

use std::path::PathBuf;
use std::time::Duration;

use super::caller::pending_answer::PendingAnswer;
use crate::decision::Gate;

/// One question to every reference.
#[derive(Debug)]
pub struct Question {
    /// When the exchange ends, however many are silent.
    pub timeout: Duration,
    /// Whether the gate is shut: then a server that sent RATE is not asked for 8 s at most, otherwise for 1024 s.
    pub gate: Gate,
    /// The root below which the hardware clocks of this machine are found (`/` but for tests); none: they
    /// are not asked.
    pub hardware: Option<PathBuf>,
    /// Who was asked for the time already and answers beside the servers.
    pub callers: Vec<PendingAnswer>,
}

impl From<Duration> for Question {
    /// The servers alone, with this timeout, and a waiter is at the gate.
    fn from(timeout: Duration) -> Self {
        Self { timeout, gate: Gate::Shut, hardware: None, callers: vec![] }
    }
}

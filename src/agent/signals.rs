//! What an operator says by signals: TERM and INT mean the same, end; USR2, let the program in its place go on; HUP, read the
//! configuration again.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What is to come after the agent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Successor {
    /// Nothing of its doing.
    None,
    /// The program that lies where it was started from, as the same process: a later version, after an upgrade.
    ItsProgram,
}

/// Receives every HUP from now on.
///
/// # Errors
/// What sigaction(2) said.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Completes on the first TERM, INT or USR2; they are caught from now on, not from the first poll.
///
/// # Errors
/// What sigaction(2) said.
pub fn shutdown() -> io::Result<impl Future<Output = Successor>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    let mut renewal = signal(SignalKind::user_defined2())?;
    Ok(async move {
        tokio::select! {
            biased;
            _ = term.recv() => Successor::None,
            _ = int.recv() => Successor::None,
            _ = renewal.recv() => Successor::ItsProgram,
        }
    })
}

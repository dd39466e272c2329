//! What an operator says by signals: TERM and INT mean the same, end; HUP, read the configuration again.

use std::future::Future;
use std::io;

use tokio::signal::unix::{Signal, SignalKind, signal};

/// Receives every HUP from now on.
///
/// # Errors
/// What sigaction(2) said.
pub fn hangups() -> io::Result<Signal> {
    signal(SignalKind::hangup())
}

/// Completes on the first TERM or INT; both are caught from now on, not from the first poll.
///
/// # Errors
/// What sigaction(2) said.
pub fn shutdown() -> io::Result<impl Future<Output = ()>> {
    let (mut term, mut int) = (signal(SignalKind::terminate())?, signal(SignalKind::interrupt())?);
    Ok(async move {
        tokio::select! {
            _ = term.recv() => {}
            _ = int.recv() => {}
        }
    })
}

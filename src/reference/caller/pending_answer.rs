//! A reference that is asked for the time by other means than a socket of our own, and answers while the servers do.

use std::io::{self, PipeReader, PipeWriter};
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::mpsc::{Receiver, SyncSender, TryRecvError, sync_channel};

use crate::decision::{AwaitedSource, Failure, Reading};

/// The end of an exchange at which an answer arrives.
#[derive(Debug)]
pub struct PendingAnswer {
    /// Who was asked.
    pub waiting: AwaitedSource,
    answer: Receiver<Result<Reading, Failure>>,
    /// Closed by the other end once it has answered, which wakes poll(2); nothing is ever written.
    closed: PipeReader,
}

/// The end at which an answer is given; dropped without one, the caller has disconnected. Giving it does not block.
#[derive(Debug)]
pub struct CallerAnswer {
    // Dropped in this order: the answer is there before the exchange is woken.
    answer: SyncSender<Result<Reading, Failure>>,
    _closes: PipeWriter,
}

/// Both ends for a reference that is being asked.
///
/// # Errors
/// What pipe(2) said.
pub fn caller(waiting: AwaitedSource) -> io::Result<(CallerAnswer, PendingAnswer)> {
    let (closed, closes) = io::pipe()?;
    let (give, answer) = sync_channel(1);
    Ok((CallerAnswer { answer: give, _closes: closes }, PendingAnswer { waiting, answer, closed }))
}

impl CallerAnswer {
    /// Answers; the exchange may have ended, which is no fault.
    pub fn give(self, outcome: Result<Reading, Failure>) {
        let _ = self.answer.try_send(outcome);
    }
}

impl PendingAnswer {
    /// What it has answered; none as long as it has not.
    pub(in crate::reference) fn receive(&self) -> Option<Result<Reading, Failure>> {
        match self.answer.try_recv() {
            Ok(outcome) => Some(outcome),
            Err(TryRecvError::Empty) => None,
            Err(TryRecvError::Disconnected) => Some(Err(self.failure("hung up"))),
        }
    }

    /// That it failed, and why.
    pub(in crate::reference) fn failure(&self, why: &str) -> Failure {
        let voice = Some(self.waiting.voice.clone());
        Failure { voice, ..Failure::remark(self.waiting.source.clone(), why) }
    }
}

impl AsFd for PendingAnswer {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.closed.as_fd()
    }
}

//! Notices that somebody waits on: logind's sleep, hooks, the command line, the bus.

use tokio::sync::oneshot;

use crate::decision::{Event, Snapshot};

/// An event whose sender waits until the agent has answered it: the gate stands as the snapshot says, and that is published.
///
/// A notice of a sleep or a snapshot is answered when the machine may sleep ([`crate::decision::Action::LetSleep`]).
#[derive(Debug)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// Where the answer goes; nobody has to wait for it.
    pub answer: oneshot::Sender<Snapshot>,
}

impl Notice {
    /// A notice and the place where its answer will come.
    #[must_use]
    pub fn new(event: Event) -> (Self, oneshot::Receiver<Snapshot>) {
        let (answer, answered) = oneshot::channel();
        (Self { event, answer }, answered)
    }
}

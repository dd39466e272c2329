//! Notices whose senders wait: logind's sleep, hooks, the command line, the bus.

use tokio::sync::oneshot;

use crate::decision::{Cause, Event, Notifier, RestoreSign, Snapshot};

/// An event whose sender waits until the agent has answered it: the gate is as the snapshot says, and that is published.
///
/// A notice of a sleep or a snapshot is answered when the machine may sleep ([`crate::decision::Action::AllowSleep`]).
#[derive(Debug)]
pub struct Notice {
    /// What happened.
    pub event: Event,
    /// The channel for the answer; it need not have a reader.
    pub answer: oneshot::Sender<NoticeAnswer>,
}

/// The state after it, or why it was refused.
pub type NoticeAnswer = Result<Snapshot, String>;

impl Notice {
    /// A notice and the place where its answer will come.
    #[must_use]
    pub fn new(event: Event) -> (Self, oneshot::Receiver<NoticeAnswer>) {
        let (answer, answered) = oneshot::channel();
        (Self { event, answer }, answered)
    }
}

/// The kinds of notice.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NoticeKind {
    /// The machine is about to sleep.
    Suspend,
    /// The machine woke up.
    Resume,
    /// A snapshot is about to be taken.
    PreSnapshot,
    /// The machine was restored from a snapshot, or continued.
    PostRestore,
}

impl NoticeKind {
    /// Every one of them.
    pub const ALL: [Self; 4] = [Self::Suspend, Self::Resume, Self::PreSnapshot, Self::PostRestore];

    /// Its name on the bus, on vsock and on the command line.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Resume => "resume",
            Self::PreSnapshot => "pre-snapshot",
            Self::PostRestore => "post-restore",
        }
    }

    /// From its name.
    #[must_use]
    pub fn named(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|what| what.name() == name)
    }

    /// Whether something begins that the clock will not survive, so that the gate being shut is the end of it.
    #[must_use]
    pub const fn begins(self) -> bool {
        matches!(self, Self::Suspend | Self::PreSnapshot)
    }

    /// Why no time can come with it; none where one can.
    #[must_use]
    pub fn refuses_time(self) -> Option<String> {
        let why = || format!("a time is accepted with resume and post-restore only, not with `{}`", self.name());
        self.begins().then(why)
    }

    /// The event that it is.
    #[must_use]
    pub const fn event(self) -> Event {
        match self {
            Self::Suspend => Event::Sleeping(Notifier::Notify),
            Self::Resume => Event::Woken(Notifier::Notify),
            Self::PreSnapshot => Event::Disrupted(Cause::Snapshot),
            Self::PostRestore => Event::Disrupted(Cause::Restore(RestoreSign::Notice)),
        }
    }
}

//! What voids what we knew about the clock: one file a source. A source sends events and decides nothing; one that ends is
//! an event too.

use std::error::Error;
use std::future::Future;

use tokio::sync::mpsc::Sender;

use crate::decision::Event;

pub mod clock_set;
pub mod logind;
pub mod network;
pub mod notice;
pub mod notice_rate;
pub mod suspend;
pub mod vm;

/// A source that can be lost and found again: what it knew outlives its being lost.
pub trait DisruptionSource: Send {
    /// Its name, for the log and for [`Event::SourceLost`].
    const NAME: &'static str;
    /// Why it is lost.
    type Error: Error + Send;

    /// Sends events until no receiver is left, or ends at once where this machine has nothing of the kind. Started again after an error, it
    /// first sends what it missed; where it cannot know that, [`Event::Unseen`].
    fn watch(&mut self, events: &Sender<Event>) -> impl Future<Output = Result<(), Self::Error>> + Send;
}

/// The mark that a source compares with, as far as it was read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum LastMark<T> {
    /// Not looked for so far: nothing is proven yet, and nothing can have been missed.
    #[default]
    Unread,
    /// It could not be read: what it would have reported is unknown.
    Lost,
    /// Its value when it was read last.
    Known(T),
}

impl<T> LastMark<T> {
    /// It cannot be read now. What was known is compared later.
    fn lose(&mut self) {
        if matches!(self, Self::Unread) {
            *self = Self::Lost;
        }
    }

    const fn is_unread(&self) -> bool {
        matches!(self, Self::Unread)
    }
}

impl LastMark<()> {
    /// Of a source that has nothing to compare: whether it was looked for before, so that something may have been missed.
    fn begins_again(&mut self) -> bool {
        let was_lost = !self.is_unread();
        self.lose();
        was_lost
    }
}

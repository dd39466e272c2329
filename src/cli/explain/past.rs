//! The clock's past, for an explanation: by the journal, which is read when it is asked for.

use std::cell::RefCell;
use std::path::Path;

use crate::daemon::program::{self, ClockMessage};
use crate::decision::Offset;
use crate::explain::{PastMoment, Then};
use crate::past::{ClockEvent, Journal, JournalEntry, JournalError, Past};

/// A clock that was wrong dated its entries so; how far back the journal is read before a moment.
const MARGIN: Offset = Offset::from_secs(-2 * 24 * 3600);

/// What is known of the past, and why it is not.
#[derive(Debug)]
pub struct JournalPast<'a> {
    root: &'a Path,
    now: Option<Offset>,
    error: RefCell<Option<JournalError>>,
}

impl<'a> JournalPast<'a> {
    /// By the journal of the system below this root; `now` is how far off its clock is, where that was measured.
    pub const fn new(root: &'a Path, now: Option<Offset>) -> Self {
        Self { root, now, error: RefCell::new(None) }
    }

    /// The clock at that moment.
    pub fn at(&self, moment: PastMoment) -> Option<Then> {
        let (PastMoment::True(near) | PastMoment::Local(near)) = moment;
        let is_keeper = |comm: &str| program::keeps_clocks(comm) || comm == "clockgate";
        let parse = move |line: &[u8]| JournalEntry::parse(line, is_keeper, clock_event);
        let journal = match Journal::read(self.root, near + MARGIN, parse) {
            Ok(journal) => journal,
            Err(error) => {
                *self.error.borrow_mut() = Some(error);
                return None;
            }
        };
        let segments = journal.segments();
        let past = match moment {
            PastMoment::True(at) => Past::at(at, &segments, self.now),
            PastMoment::Local(at) => Past::when_it_said(at, &segments, self.now),
        };
        let Past { offset, since, until, by } = past?;
        Some(Then { offset, since, until, by })
    }

    /// Why it is not known, where it could not be read.
    pub fn why_not(&self) -> Option<String> {
        self.error.borrow().as_ref().map(ToString::to_string)
    }
}

fn clock_event(message: &str) -> ClockEvent {
    match program::correction(message) {
        Some(ClockMessage::Stepped) => ClockEvent::Step,
        Some(ClockMessage::Slews) => ClockEvent::Slew,
        None => ClockEvent::Nothing,
    }
}

//! The clock's past, for an explanation: by clockgate's own history, else by the journal; each is read when it is asked for.

use std::cell::RefCell;
use std::path::Path;

use crate::daemon::program::{self, ClockMessage};
use crate::decision::Offset;
use crate::explain::{PastMoment, Then};
use crate::history::HistoryFiles;
use crate::page::boot_id;
use crate::past::{ClockEvent, Journal, JournalEntry, JournalError, Past, Present, Segment};
use crate::sys::clock::clocks;

/// A clock that was wrong dated its entries so; how far back the journal is read before a moment.
const MARGIN: Offset = Offset::from_secs(-2 * 24 * 3600);

/// What is known of the past, and why it is not.
#[derive(Debug)]
pub struct KnownPast<'a> {
    root: &'a Path,
    now: Option<Offset>,
    error: RefCell<Option<JournalError>>,
}

impl<'a> KnownPast<'a> {
    /// Of the system below this root; `now` is how far off its clock is, where that was measured.
    pub const fn new(root: &'a Path, now: Option<Offset>) -> Self {
        Self { root, now, error: RefCell::new(None) }
    }

    /// The clock at that moment.
    pub fn at(&self, moment: PastMoment) -> Option<Then> {
        self.recorded(moment).or_else(|| self.by_journal(moment))
    }

    /// The clock at that moment by the history alone: no program is started. Who may not read it has the journal.
    pub fn recorded(&self, moment: PastMoment) -> Option<Then> {
        let text = HistoryFiles::below(self.root).read().ok()?;
        self.then(moment, &Segment::of_history(&text.records().records, present(self.root).as_ref()))
    }

    fn by_journal(&self, moment: PastMoment) -> Option<Then> {
        let (PastMoment::True(near) | PastMoment::Local(near)) = moment;
        let is_keeper = |comm: &str| program::keeps_clocks(comm) || comm == "clockgate";
        let parse = move |line: &[u8]| JournalEntry::parse(line, is_keeper, clock_event);
        match Journal::read(self.root, near + MARGIN, parse) {
            Ok(journal) => self.then(moment, &journal.segments()),
            Err(error) => {
                *self.error.borrow_mut() = Some(error);
                None
            }
        }
    }

    fn then(&self, moment: PastMoment, segments: &[Segment]) -> Option<Then> {
        let Past { offset, since, until, by } = match moment {
            PastMoment::True(at) => Past::at(at, segments, self.now),
            PastMoment::Local(at) => Past::when_it_said(at, segments, self.now),
        }?;
        Some(Then { offset, since, until, by })
    }

    /// Why it is not known, where it could not be read.
    pub fn why_not(&self) -> Option<String> {
        self.error.borrow().as_ref().map(ToString::to_string)
    }
}

/// The clocks now, where this is the system that runs.
fn present(root: &Path) -> Option<Present> {
    let boot = boot_id().filter(|_| root == Path::new("/"))?;
    Some(Present { boot: boot.iter().map(|byte| format!("{byte:02x}")).collect(), clocks: clocks() })
}

fn clock_event(message: &str) -> ClockEvent {
    match program::correction(message) {
        Some(ClockMessage::Stepped) => ClockEvent::Step,
        Some(ClockMessage::Slews) => ClockEvent::Slew,
        None => ClockEvent::Nothing,
    }
}

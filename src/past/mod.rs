//! The clock's past, by clockgate's own history and by what a journal wrote down: when it was stepped, how far, and by whom.

mod entry;
mod history;
mod journal;
mod segment;

pub use entry::{Author, ClockEvent, JournalEntry};
pub use history::Present;
pub use journal::{Journal, JournalError};
pub use segment::{Past, Segment};

//! The clock's past, by what a journal wrote down: when it was stepped, how far, and who wrote beside it.

mod entry;
mod journal;
mod segment;

pub use entry::{Author, ClockEvent, JournalEntry};
pub use journal::{Journal, JournalError};
pub use segment::{Past, Segment};

//! A line of clockgate's history, as it is read. A history of a hundred thousand disruptions has half a million lines: their reading is
//! most of what a report costs, so it is built for speed where the program is built for size.

mod record;

pub use record::{HistoryRecord, RecordedAnswer, RecordedContainer};

/// The version of a line; lines of a later one are skipped.
pub const VERSION: u64 = 1;

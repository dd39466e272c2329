//! What happened on this host, kept below the state directory: lines of JSON in a few files of limited size, written by the agent and
//! read by anyone who may. A record is dated when it is read: the time that the clock showed may have been wrong.

mod dating;
mod files;
mod line;
mod utc;

pub use clockgate_history::{HistoryRecord, RecordedAnswer, RecordedContainer};
pub use dating::{DatedBy, DatedRecord, Gap, Stamp, Written, date, times};
pub use files::{HistoryFiles, HistoryText, LARGEST, ReadHistory};
pub use line::line;
pub use utc::{none_of, utc, utc_as};

/// The folder, below the root of the host.
pub const FOLDER: &str = "var/lib/clockgate/history";

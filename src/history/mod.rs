//! What happened on this host, kept below the state directory: lines of JSON in a few files of limited size, written by the agent and
//! read by anyone who may. A record is dated when it is read: the time that the clock showed may have been wrong.

mod brief;
mod dating;
mod disruption;
mod files;
mod record;

pub use brief::{BriefAnswer, BriefContainer, BriefRecord};
pub use dating::{DatedBy, DatedRecord, Gap, Stamp, date, times};
pub use disruption::KeptDisruption;
pub use files::{HistoryFiles, LARGEST, ReadHistory};
pub use record::HistoryRecord;

/// The folder, below the root of the host.
pub const FOLDER: &str = "var/lib/clockgate/history";
/// The version of a line; lines of a later one are skipped.
pub const VERSION: u64 = 1;

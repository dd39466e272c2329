//! What is wrong with this host's clock, and why? Facts are gathered first, with all of the I/O; they are judged afterwards, by checks
//! that are pure; and a cause is a rule over the results of checks.
//!
//! Nothing is changed, and nothing needs root: a check that root could add is skipped, and reported as skipped.

mod cause;
mod check;
mod checks;
pub mod facts;
mod report;

pub use cause::{CAUSES, CauseRule, LikelyCause};
pub use check::{Check, CheckOutcome, CheckSection, CheckVerdict};
pub use checks::{ALL, CheckRule, is_selector, wants_slow};
pub use report::{Detail, Diagnosis, json, text};

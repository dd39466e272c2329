//! What of this folder the demo needs, which is built without what only tests need.
#![allow(dead_code, unused_imports, reason = "the demo uses its own part of it")]

pub mod laboratory;
pub mod liar;
pub mod outcome;
pub mod wait;

pub use outcome::{Outcome, ensure, fail};
pub use wait::until_answered;

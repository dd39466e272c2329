//! The time of a caller: of whoever tells the agent of something, and knows what time it is.

pub mod caller_time;
pub mod pending_answer;
pub mod registry;

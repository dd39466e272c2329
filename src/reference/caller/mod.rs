//! Caller-supplied time: of a caller that notifies the agent and knows what time it is.

pub mod caller_time;
pub mod pending_answer;
pub mod registry;

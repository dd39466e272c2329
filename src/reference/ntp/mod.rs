//! NTP as a client that proves something: no daemon, no discipline, one exchange with every server at once.

pub mod conversation;
mod kiss;
pub mod sample;
pub mod timestamp;
pub mod wire;

#[cfg(test)]
pub(crate) mod fake;

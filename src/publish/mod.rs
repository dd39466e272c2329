//! Publishing: the gate page first, then the outlets that notify their readers.

pub mod bus;
pub mod clockbound;
pub mod gate_page;
pub mod held_starts;
pub mod last_good;
pub mod metrics_file;
pub mod metrics_listener;
pub mod metrics_reader;
pub mod outlets;
pub mod proof_file;
pub mod sd_notify;

//! Say it: the gate page first, then everybody who would rather be told than look.

pub mod bus;
pub mod clockbound;
pub mod gate_page;
pub mod last_good;
pub mod outlets;
pub mod proof_file;
pub mod sd_notify;

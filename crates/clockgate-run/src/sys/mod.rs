//! The kernel made safe: the only `unsafe` blocks of the crate are here.

pub mod kernel_clock;
pub mod nss;
pub mod output;
pub mod signals;
pub mod terminal;

//! The kernel made safe: the only `unsafe` blocks of the crate are here.

pub mod clock;
pub mod futex;
pub mod mapping;
pub mod time_namespace;

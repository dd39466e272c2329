//! The kernel made safe: the only `unsafe` block of the crate is here.

pub mod alarm;

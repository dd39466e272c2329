//! The kernel made safe: the only `unsafe` blocks of the program are here.

pub mod clock;

//! The kernel made safe: the only `unsafe` blocks of the program are here.

pub mod clock;
pub mod readable;
pub mod step;
pub mod timerfd;

//! The kernel made safe: the only `unsafe` blocks of the program are here.

pub mod adjtimex;
pub mod clock;
pub mod nss;
pub mod random;
pub mod readable;
pub mod step;
pub mod timerfd;

//! The kernel made safe: the only `unsafe` blocks of the program are here.

pub mod adjtimex;
pub mod async_descriptor;
pub mod cgroup;
pub mod child;
pub mod clock;
pub mod cpu_counter;
pub mod descriptors;
pub mod foreign;
pub mod glob;
pub mod input;
pub mod journal;
pub mod local_time;
pub mod own_file;
pub mod process_status;
pub mod ptp;
pub mod public_files;
pub mod random;
pub mod rtc;
pub mod service_manager;
pub mod step;
pub mod time_namespace;
pub mod timed_output;
pub mod timerfd;
pub mod unix_peer;
pub mod vmclock;
pub mod vsock;

pub use clockgate_page::sys::nap;
pub use clockgate_run::sys::{nss, output, signals, terminal};

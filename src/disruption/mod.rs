//! What voids what we knew about the clock: one file a source. A source sends events and decides nothing; one that ends is
//! an event too.

pub mod callers;
pub mod clock_set;
pub mod hypervisor;
pub mod logind;
pub mod network;
pub mod notify;
pub mod signal;
pub mod suspend;
pub mod told;
pub mod vmclock;
pub mod vmgenid;
pub mod vsock;
pub mod watch;

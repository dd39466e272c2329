//! What a hypervisor does to this machine: what it says of it, and how it is found out where it says nothing.

pub mod hypervisor;
pub mod pause_detector;
pub mod vmclock;
pub mod vmgenid;
pub mod vsock;

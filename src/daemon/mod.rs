//! The time daemons, one file or folder each: the running ones, the servers they ask, their reset, measurement, step and resumption.
//!
//! One writer at a time: the daemon is reset first, and the slew that it had left with it; then we step, or have it step; then it
//! measures anew. `docs/decisions/0003-chrony-protocol.md` says what happens with a chronyd that is too old to forget,
//! `docs/decisions/0009-the-daemons-word.md` when a daemon's report is believed.

pub mod bus;
pub mod busybox;
mod by_unit;
pub mod chrony;
pub mod connman;
mod corrector;
mod detection;
pub mod facts;
mod inclusions;
pub mod inspection;
pub mod ntpd;
pub mod ntpd_rs;
pub mod openntpd;
pub mod process;
pub mod program;
pub mod server_lines;
mod source_reports;
mod sources;
pub mod timesyncd;
mod unit;

use std::path::Path;

pub use bus::BusAddress;
// For those who have a datagram and no ntpd.
pub use corrector::{Corrector, CorrectorSettings};
#[doc(hidden)]
pub use ntpd::control as ntp_control;
pub use sources::DaemonSources;

/// The names of the time daemons that run below this root, by their processes alone: that needs neither a bus nor a privilege.
#[must_use]
pub fn running(root: &Path) -> Vec<&'static str> {
    detection::look(root).iter().map(|seen| seen.who.name()).collect()
}

//! How far off are we? Every reference is asked at once; each answers with a reading or says why not.

mod book;
pub mod defaults;
pub mod hardware;
mod moment;
pub mod ntp;
pub mod phc;
mod references;
mod resolver;
pub mod rtc;
mod server;
mod server_name;
pub mod vmclock;

pub use references::References;
pub use server::Server;
pub use server_name::{Error as ServerNameError, NTP_PORT, ServerName};

use crate::decision::Realtime;

/// 2026-11-01, about when this program was written: no true time is earlier. NTP's timestamps, which do not name their era,
/// are read as the nearest to it, which is right until 2094. Our own clock is no measure of that: it is in doubt.
pub const BUILT: Realtime = Realtime::from_secs(1_793_491_200);

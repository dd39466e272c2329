//! How far off are we? Every reference is asked at once; each answers with a reading or says why not.

pub mod caller;
mod exchange;
pub mod http;
pub mod local;
pub mod ntp;
mod pending;
pub mod probe;
mod question;
mod references;
mod shared;
mod timed;
pub mod tls;

pub use caller::pending_answer::{CallerAnswer, PendingAnswer, caller};
pub use ntp::security::{CertificateTime, Security};
pub use ntp::server::Server;
pub use ntp::server_name::{KEY_EXCHANGE_PORT, NTP_PORT, ServerName, ServerNameError, ServerProof};
pub use ntp::server_pool::Hope;
pub use question::Question;
pub use references::References;

use crate::decision::Realtime;

/// The file below the root that keeps the last addresses of every name, see [`References::set_memory`].
pub const MEMORY_FILE: &str = "var/lib/clockgate/addresses";

/// 2026-11-01, about when this program was written: no true time is earlier. NTP's timestamps, which do not name their era,
/// are read as the nearest to it, which is right until 2094. Our own clock is no measure of that: it is in doubt.
pub const BUILT: Realtime = Realtime::from_secs(1_793_491_200);

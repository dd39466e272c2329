//! Let them go: waits at the gate page and reads nothing else. The waiting is `crates/clockgate-run`; here is what is not in that small
//! program: servers that are asked without an agent, a command that may be retried, the wrapping runtime and the gate of pods.

mod measuring;
pub mod nri;
pub mod oci;
pub mod supervise;

pub use clockgate_run::{
    Absence, Alone, Ground, Lookout, Measuring, NoAgent, OnTimeout, Options, Progress, Refusal, Released, Sight, Style,
    exec, is_kept, look_every,
};

use crate::reference::ServerName;

/// Waits until the gate lets us through, or the deadline; without an agent these servers are asked.
///
/// # Errors
/// [`Refusal`].
pub fn wait(options: &Options, servers: Vec<ServerName>, progress: &mut Progress) -> Result<Ground, Refusal> {
    let servers = measuring::Servers::new(servers, options.threshold);
    clockgate_run::wait(options, Measuring::By(&|| servers.measure()), progress)
}

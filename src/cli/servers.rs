//! Whom to ask, as the caller names them.

use crate::cli::Error;
use crate::exit::Exit;
use crate::reference::ServerName;

/// Where containers name their servers, separated by commas or white space.
pub const ENVIRONMENT: &str = "CLOCKGATE_SERVERS";

/// The servers of the environment; none where it names none.
///
/// # Errors
/// [`Exit::Usage`] for a name that is none.
pub fn of_the_environment() -> Result<Vec<ServerName>, Error> {
    let listed = std::env::var(ENVIRONMENT).unwrap_or_default();
    let parts = listed.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    let servers: Result<Vec<ServerName>, _> = parts.map(str::parse).collect();
    servers.map_err(|e| Error::caused(Exit::Usage, format!("cannot read {ENVIRONMENT}"), e))
}

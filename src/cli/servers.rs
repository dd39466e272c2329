//! Whom to ask, as the caller names them.

use crate::cli::CliError;
use crate::exit::Exit;
use crate::reference::ServerName;

pub use clockgate_run::ENVIRONMENT;

/// The servers of the environment; none where it names none.
///
/// # Errors
/// [`Exit::Usage`] for a name that is none.
pub fn of_the_environment() -> Result<Vec<ServerName>, CliError> {
    parse(&clockgate_run::named_servers())
}

fn parse(listed: &str) -> Result<Vec<ServerName>, CliError> {
    let parts = listed.split(|c: char| c == ',' || c.is_whitespace()).filter(|part| !part.is_empty());
    let servers: Result<Vec<ServerName>, _> = parts.map(str::parse).collect();
    servers.map_err(|e| CliError::caused(Exit::Usage, format!("cannot read {ENVIRONMENT}"), e))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn servers_are_separated_by_commas_and_white_space() {
        let servers = parse(" 192.0.2.1,b.example:99\t[::1]:5 ,").unwrap();
        let texts: Vec<String> = servers.iter().map(ToString::to_string).collect();
        assert_eq!(texts, ["192.0.2.1", "b.example:99", "[::1]:5"]);
        assert!(parse(" ").unwrap().is_empty());
    }

    #[test]
    fn a_wrong_environment_is_named() {
        let error = parse("192.0.2.1,b/example").unwrap_err();
        assert_eq!(error.exit, Exit::Usage);
        assert!(error.to_string().contains(ENVIRONMENT));
    }
}

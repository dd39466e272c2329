//! The command line.

use std::ffi::OsString;
use std::path::PathBuf;

use clockgate_page::DIRECTORY;
use lexopt::prelude::*;

use crate::identity::{Source, is_name};

const HELP: &str = "\
Publishes clockgate's gate as the condition clockgate.org/ClockTrusted of this Kubernetes node

Usage: clockgate-kubernetes [OPTIONS]
       clockgate-kubernetes remove [OPTIONS]

Without a verb it publishes until it is stopped. `remove` takes the condition away.

Options:
      --kubeconfig FILE  The kubeconfig to connect by [default: the kubelet's; in a pod, its ServiceAccount]
      --server URL       The API server, with --ca-file and --token-file, in place of a kubeconfig
      --ca-file FILE     Whose certificates are believed
      --token-file FILE  The token of a ServiceAccount, read at each request
      --node NAME        The node [default: NODE_NAME, the name in the kubelet's certificate, or this host's name]
      --page DIR         The directory of the gate page [default: /run/clockgate/public]
  -h, --help             Print help
  -V, --version          Print version
";

/// What is to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verb {
    Publish,
    Remove,
}

/// What is asked for.
#[derive(Debug, PartialEq, Eq)]
pub enum Request {
    Do(Orders),
    Text(String),
}

/// The whole command line.
#[derive(Debug, PartialEq, Eq)]
pub struct Orders {
    pub verb: Verb,
    pub source: Source,
    pub node: Option<String>,
    pub page: PathBuf,
}

#[derive(Debug, Default)]
struct Given {
    verb: Option<Verb>,
    kubeconfig: Option<PathBuf>,
    server: Option<String>,
    ca_file: Option<PathBuf>,
    token_file: Option<PathBuf>,
    node: Option<String>,
    page: Option<PathBuf>,
}

/// # Errors
/// What is wrong with it, in words.
pub fn parse(words: Vec<OsString>) -> Result<Request, String> {
    let mut given = Given::default();
    let mut parser = lexopt::Parser::from_args(words);
    while let Some(arg) = parser.next().map_err(in_words)? {
        match arg {
            Long("help") | Short('h') => return Ok(Request::Text(HELP.to_owned())),
            Long("version") | Short('V') => {
                return Ok(Request::Text(format!("clockgate-kubernetes {}\n", env!("CARGO_PKG_VERSION"))));
            }
            Long("kubeconfig") => given.kubeconfig = Some(parser.value().map_err(in_words)?.into()),
            Long("server") => given.server = Some(parser.value().and_then(ValueExt::string).map_err(in_words)?),
            Long("ca-file") => given.ca_file = Some(parser.value().map_err(in_words)?.into()),
            Long("token-file") => given.token_file = Some(parser.value().map_err(in_words)?.into()),
            Long("node") => given.node = Some(parser.value().and_then(ValueExt::string).map_err(in_words)?),
            Long("page") => given.page = Some(parser.value().map_err(in_words)?.into()),
            Value(word) if word == "remove" && given.verb.is_none() => given.verb = Some(Verb::Remove),
            other @ (Short(_) | Long(_) | Value(_)) => return Err(in_words(other.unexpected())),
        }
    }
    let node = given.node.or_else(|| std::env::var("NODE_NAME").ok().filter(|name| !name.is_empty()));
    if let Some(name) = node.as_ref().filter(|name| !is_name(name)) {
        return Err(format!("`{name}` is no name of a node"));
    }
    let source = match (given.kubeconfig, given.server, given.ca_file, given.token_file) {
        (Some(path), None, None, None) => Source::Kubeconfig(Some(path)),
        (None, Some(server), Some(authority), Some(token)) => Source::Account { server, authority, token },
        (None, None, None, None) => Source::of_this_place(),
        _ => return Err("--server, --ca-file and --token-file go together, and not with --kubeconfig".to_owned()),
    };
    Ok(Request::Do(Orders {
        verb: given.verb.unwrap_or(Verb::Publish),
        source,
        node,
        page: given.page.unwrap_or_else(|| DIRECTORY.into()),
    }))
}

fn in_words(error: impl std::fmt::Display) -> String {
    error.to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(line: &str) -> Result<Request, String> {
        parse(line.split_whitespace().map(OsString::from).collect())
    }

    #[test]
    fn a_source_is_whole_or_wrong() {
        let Ok(Request::Do(orders)) = of("remove --kubeconfig /a --node web-1 --page /p") else { panic!() };
        let source = Source::Kubeconfig(Some("/a".into()));
        assert_eq!(orders, Orders { verb: Verb::Remove, source, node: Some("web-1".to_owned()), page: "/p".into() });
        assert!(of("--server https://a --ca-file /c --token-file /t").is_ok());
        for wrong in ["--server https://a", "--kubeconfig /a --ca-file /c", "--node ../x", "publish", "remove remove"] {
            assert!(of(wrong).is_err(), "{wrong}");
        }
    }
}

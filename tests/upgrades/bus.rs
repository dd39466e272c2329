//! The bus: the name carries the version, what an older client calls is there, and what an older agent lacks is another version's.

use std::collections::BTreeSet;
use std::fs;
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::Duration;

use clockgate::error_chain::in_full;
use clockgate::publish::bus::PATH;
use clockgate::publish::bus::client::{AgentClient, ClientError, NoticeKind};
use zbus::{Guid, connection, interface};

use super::kept;
use super::support::{Outcome, ensure, fail};

/// An agent of another version: one method with other arguments, and none of the others.
struct OtherAgent;

#[interface(name = "org.clockgate.Agent1")]
impl OtherAgent {
    fn sync(&self, how: &str) -> String {
        how.to_owned()
    }
}

pub fn interface() -> Outcome {
    calls_of_the_previous_release()?;
    let folder = tempfile::tempdir()?;
    let socket = folder.path().join("bus");
    let listener = UnixListener::bind(&socket)?;
    let other = std::thread::spawn(move || serve(&listener));
    let client = AgentClient::connect(&socket)?;
    let short = Duration::from_secs(5);
    for refused in [client.sync(short), client.notify(NoticeKind::Resume, short), client.accept()] {
        match refused {
            Err(error @ ClientError::OtherVersion { .. }) => {
                let said = in_full(&error);
                ensure(said.contains("of another version") && said.contains("restart it"), said)?;
            }
            other => return fail(format!("{other:?}")),
        }
    }
    drop(client);
    other.join().map_err(|_| "the other agent has panicked")?
}

/// Serves one connection until it is closed.
fn serve(listener: &UnixListener) -> Outcome {
    let (stream, _) = listener.accept()?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
    runtime.block_on(async {
        let guid = Guid::try_from("0123456789abcdef0123456789abcdef")?;
        let builder = connection::Builder::unix_stream(stream).server(guid).p2p().serve_at(PATH, OtherAgent);
        builder.build().await?.closed().await;
        Ok(())
    })
}

/// Each method and property with its types.
fn members(xml: &str) -> BTreeSet<String> {
    let (mut members, mut method) = (BTreeSet::new(), String::new());
    let attribute = |line: &str, name: &str| {
        let value = line.split(&format!("{name}=\"")).nth(1).and_then(|rest| rest.split('"').next());
        value.unwrap_or_default().to_owned()
    };
    for line in xml.lines().map(str::trim) {
        if line.starts_with("<interface") || line.starts_with("<property") {
            let words = [attribute(line, "name"), attribute(line, "type"), attribute(line, "access")];
            members.insert(words.join(" "));
        } else if line.starts_with("<method") {
            method = attribute(line, "name");
        } else if line.starts_with("<arg") {
            method += &format!(" {}:{}", attribute(line, "direction"), attribute(line, "type"));
        } else if line.starts_with("</method") {
            members.insert(std::mem::take(&mut method));
        }
    }
    members
}

fn calls_of_the_previous_release() -> Outcome {
    let shipped = "packaging/usr/share/dbus-1/interfaces/org.clockgate.Agent1.xml";
    let shipped = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join(shipped))?;
    let (was, is) = (members(&fs::read_to_string(kept("org.clockgate.Agent1.xml"))?), members(&shipped));
    ensure(was.len() > 15, format!("{was:?}"))?;
    let missing: Vec<_> = was.difference(&is).collect();
    ensure(missing.is_empty(), format!("the previous release calls what is no longer there: {missing:?}"))
}

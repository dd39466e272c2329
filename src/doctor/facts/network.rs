//! The clock as servers have it, and why some do not answer.

use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

use super::NetworkUse;
use super::slow::{self, RawTimed, SlowFacts};
use crate::decision::{Measurement, Offset, Policy};
use crate::reference::ntp::default_servers as defaults;
use crate::reference::probe::{self, PortalReply, ServerProbe};
use crate::reference::{Question, References, Security, Server, ServerName};
use crate::sys::clock::{boottime, realtime};

/// The names are waited for so long, then the answers; and then it is asked why there were none.
const LOOK_UP: Duration = Duration::from_millis(500);
const ANSWER: Duration = Duration::from_millis(700);
const WHY: Duration = Duration::from_millis(1200);
/// More servers than these are not asked why they are silent: they are the same network.
const MOST_PROBED: usize = 6;

/// Whom to ask.
#[derive(Debug)]
pub struct Asked {
    pub root: PathBuf,
    pub named: Vec<ServerName>,
    pub of_the_daemon: Vec<Server>,
    pub others: usize,
    pub remark: Option<String>,
    pub network: NetworkUse,
    pub policy: Policy,
    pub security: Security,
}

/// Servers and network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct NetworkFacts {
    /// Whose servers were asked, in words.
    pub origin: String,
    /// The servers that there are to ask.
    pub servers: Vec<String>,
    /// Why the running daemon's own list could not be read.
    pub remark: Option<String>,
    /// What they say of the clock; none where the network was not to be used.
    pub measured: Option<Result<MeasuredNow, String>>,
    /// How many of the servers answered.
    pub servers_answered: usize,
    /// The servers that agree with no other, by name.
    pub falsetickers: Vec<String>,
    /// What came of each server that did not answer.
    pub silent: Vec<ServerProbe>,
    /// What a machine on the path answers for a host that does not exist; asked where no server answers.
    pub portal: Option<PortalReply>,
    /// Whether a machine on the path answers questions about names in the place of a host that does not exist.
    pub are_names_taken: bool,
    /// The cloud that this is.
    pub cloud: Option<CloudFacts>,
    /// What the slow questions found; none where they were not asked.
    pub slow: Option<SlowFacts>,
}

/// What the references agree on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct MeasuredNow {
    /// Reference minus local.
    pub offset: Offset,
    /// How far off that may be.
    pub root_distance: Duration,
    /// How many agree.
    pub supporters: usize,
}

/// The cloud that this machine runs in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloudFacts {
    /// Its name.
    pub name: &'static str,
    /// The servers that it offers to its machines.
    pub servers: Vec<String>,
    /// Whether one of them is among those that are asked.
    pub is_used: bool,
    /// Whether others are asked beside them.
    pub is_mixed: bool,
}

pub fn gather(asked: Asked) -> NetworkFacts {
    let Asked { root, named, of_the_daemon, others, remark, network, policy, security } = asked;
    // What the daemon itself goes by counts for what is used, whatever is asked on its behalf.
    let used: Vec<String> = named
        .iter()
        .map(ToString::to_string)
        .chain(of_the_daemon.iter().map(|server| server.name.to_string()))
        .collect();
    let cloud = cloud(&root, &used);
    let (servers, origin) = if named.is_empty() {
        let (servers, origin) = defaults::servers(&root, of_the_daemon, others);
        (servers, origin.to_string())
    } else {
        (named.into_iter().map(Server::from).collect(), "the servers that were named".to_owned())
    };
    let facts = NetworkFacts {
        origin,
        servers: servers.iter().map(|server| server.name.to_string()).collect(),
        remark,
        cloud,
        ..NetworkFacts::default()
    };
    match network {
        NetworkUse::Offline => facts,
        NetworkUse::Asked | NetworkUse::AskedSlowly => ask(&root, (servers, security), &policy, network, facts),
    }
}

fn ask(
    root: &Path,
    (servers, security): (Vec<Server>, Security),
    policy: &Policy,
    network: NetworkUse,
    facts: NetworkFacts,
) -> NetworkFacts {
    let names: Vec<ServerName> = servers.iter().map(|server| server.name.clone()).collect();
    // Where the daemon reported an address, no look-up is waited for.
    let waits = servers.iter().any(|server| !server.is_known());
    let references = References::new(servers);
    references.secure(security);
    if waits {
        references.resolve(LOOK_UP);
    }
    let question = || Question { hardware: Some(root.to_owned()), ..ANSWER.into() };
    let first = RawTimed::by(|| references.measure(question()));
    let measurement = &first.measurement;
    let agreement = measurement.agreement(policy, boottime());
    let mut silent: Vec<ServerName> =
        names.iter().filter(|name| !answered(measurement, name)).map(ServerName::plain).collect();
    let servers_answered = names.len() - silent.len();
    silent.truncate(MOST_PROBED);
    let portal = (servers_answered == 0).then(|| thread::spawn(|| PortalReply::found(WHY)));
    let taken = (servers_answered == 0).then(|| thread::spawn(|| probe::names_are_taken(WHY)));
    let truth = agreement.as_ref().map_or_else(|_| realtime(), |agreement| realtime() + agreement.offset);
    let plain: Vec<ServerName> = names.iter().map(ServerName::plain).collect();
    let ask_slowly = || slow::gather(&references, &plain, &first, truth, |references| references.measure(question()));
    let (slow, silent) = thread::scope(|scope| {
        let slow = (network == NetworkUse::AskedSlowly).then(|| scope.spawn(ask_slowly));
        let silent = if silent.is_empty() { vec![] } else { probe::servers(&silent, WHY) };
        (slow.and_then(|asked| asked.join().ok()), silent)
    });
    NetworkFacts {
        slow,
        servers_answered,
        falsetickers: agreement.as_ref().map(|agreement| agreement.falsetickers.clone()).unwrap_or_default(),
        measured: Some(agreement.map_err(|why| why.to_string()).map(|agreement| MeasuredNow {
            offset: agreement.offset,
            root_distance: agreement.bound().saturating_sub(agreement.offset.abs()),
            supporters: agreement.supporters,
        })),
        silent,
        portal: portal.and_then(|asked| asked.join().ok().flatten()),
        are_names_taken: taken.is_some_and(|asked| asked.join().unwrap_or_default()),
        ..facts
    }
}

/// A reading is labelled by its address, and by its name where it has one.
fn answered(measurement: &Measurement, name: &ServerName) -> bool {
    let label = if name.is_authenticated() { format!("({name})") } else { format!("({})", name.host()) };
    let address = name
        .address()
        .filter(|_| !name.is_authenticated())
        .map(|ip| std::net::SocketAddr::new(ip, name.port()).to_string());
    let of_it = |source: &str| source.ends_with(&label) || address.as_deref() == Some(source);
    measurement.readings.iter().any(|reading| of_it(&reading.source))
}

fn cloud(root: &Path, used: &[String]) -> Option<CloudFacts> {
    let (name, servers) = defaults::of_the_cloud(root)?;
    let servers: Vec<String> = servers.iter().map(ToString::to_string).collect();
    let ours = used.iter().filter(|server| servers.contains(server)).count();
    Some(CloudFacts { name, servers, is_used: ours > 0, is_mixed: ours > 0 && ours < used.len() })
}
